# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken devices, and what brings them back."""

from typing import Any

from harness.bed import DEVICE, DEVICES, Bed
from harness.caller import Caller, Pending
from harness.dead import QUARANTINED, release
from harness.registry import case


def recover_start(bed: Bed, caller: Caller, address: str) -> Pending:
    return caller.start("Recover", "a{sv}", [{}], path=bed.device_path(address), interface=DEVICE)


def health(bed: Bed, caller: Caller, address: str) -> dict[str, Any]:
    return caller.call("GetHealth", "a{sv}", [{"probe": ["b", True]}], path=bed.device_path(address), interface=DEVICE)


def climbed(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(a["method"], a["outcome"], a["verdict"]) for a in result["attempts"]]


def bars(bed: Bed, address: str) -> list[tuple[int, int]]:
    """What the kernel has given each base address register, and what is in it."""
    config = bed.config(address)
    found = []
    for i, line in enumerate(bed.guest.read_text(f"{DEVICES}/{address}/resource").splitlines()[:6]):
        start, _, flags = (int(word, 16) for word in line.split())
        if start:
            register = int.from_bytes(config[0x10 + 4 * i:0x14 + 4 * i], "little")
            found.append((start & 0xffffffff, register & (~3 if flags & 0x100 else ~0xf) & 0xffffffff))
    return found


@case("a fatal error leaves a device without its addresses: a reset that puts back what it finds is no recovery, and what the "
      "kernel sets up anew is; it lifts the quarantine", timeout=180)
def half_dead(bed: Bed) -> None:
    address, alice, root = bed.addr("nic"), Caller(bed), Caller(bed, "root")
    bed.unbind(address)
    bed.defer(lambda: release(bed, address))
    # The daemon hears of the error, and has looked who uses the device.
    assert alice.property(address, "State") == "idle"
    bed.wait_until(lambda: alice.property(address, "Driver") == "", 10, "the driver to be gone")
    # A kernel that does not know the power state of a device (a driver has left it) writes the addresses anew before its next
    # reset. After that reset it knows.
    assert alice.reset(address, "pm")["verdict"] == "ok"
    assert all(given == found for given, found in bars(bed, address)), bars(bed, address)
    bed.machine.hmp("pcie_aer_inject_error port-nic DLP")
    bed.wait_until(lambda: all(found == 0 for _, found in bars(bed, address)), 20, "the device to lose its addresses")
    bed.wait_until(lambda: alice.property(address, "State") == "quarantined", 20, "the device to be put aside")
    assert health(bed, root, address)["verdict"] == "degraded"
    assert recover_start(bed, alice, address).error().name == QUARANTINED

    result = recover_start(bed, root, address).result(150)
    steps = climbed(result)
    assert steps[-1] == ("rescan", "done", "ok"), steps
    # The kernel carried them out, and they have proved nothing.
    done = [verdict for _, outcome, verdict in steps[:-1] if outcome == "done"]
    assert done and "ok" not in done, steps
    assert result["verdict"] == "ok" and not result["needs_power_cycle"], result
    assert all(given == found != 0 for given, found in bars(bed, address)), bars(bed, address)
    assert health(bed, alice, address)["verdict"] == "ok"
    assert (alice.property(address, "State"), alice.property(address, "Quarantine")) == ("idle", {})
    assert alice.reset(address, "pm")["verdict"] == "ok"
