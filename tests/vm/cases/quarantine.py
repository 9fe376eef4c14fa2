# SPDX-License-Identifier: GPL-2.0-or-later
"""Quarantine on a real kernel: drivers kept off, and let in again; and cards that are told apart."""

from harness.bed import DEVICE, Bed
from harness.caller import Caller
from harness.dead import DEAD, QUARANTINED, check_kept_away, release
from harness.registry import case
from harness.service import main_pid, start

KEPT = "pciresetd-quarantine:"
PROBE = "/sys/bus/pci/drivers_probe"


def forward_to(bed: Bed, port: str, bus: str) -> str:
    """Let the port forward to this bus, past the kernel, which may be resetting what is below; the one before."""
    direct = ["setpci", "-A", "intel-conf1", "-s", bed.addr(port)]
    before = bed.guest.run([*direct, "SECONDARY_BUS.B"], check=True).stdout.strip()
    bed.guest.run([*direct, f"SECONDARY_BUS.B={bus}"], check=True)
    return before


def override(bed: Bed, address: str) -> str:
    return bed.attribute(address, "driver_override").strip()


def wait_override(bed: Bed, address: str, expected: str) -> None:
    bed.wait_until(lambda: override(bed, address) == expected, 15, f"driver_override to be {expected}")


def check_no_driver(bed: Bed, address: str, driver: str) -> None:
    """Whatever asks for one: udev, the kernel's probe, and an administrator."""
    bed.guest.run(f"modprobe {driver} && udevadm trigger --action=add --subsystem-match=pci && udevadm settle", timeout=60,
                  check=True)
    bed.guest.poke(PROBE, address)
    bound = bed.guest.run(["sh", "-c", f"echo {address} > /sys/bus/pci/drivers/{driver}/bind"])
    assert bound.rc != 0 and bed.driver(address) is None, (bound, bed.driver(address))


@case("no driver is bound to a device in quarantine, whatever asks for it, over kill -9 of the daemon; after its release one is",
      timeout=120)
def kept_off(bed: Bed) -> None:
    address, caller = bed.addr("virtio"), Caller(bed)
    assert override(bed, address) == "(null)" and bed.driver(address) is None
    bus = forward_to(bed, "port-virtio", "0")
    bed.defer(lambda: release(bed, address))
    bed.defer(lambda: forward_to(bed, "port-virtio", bus))
    assert caller.reset_refused(address, "flr").name == DEAD
    wait_override(bed, address, KEPT)
    check_kept_away(bed, caller, address)
    # It answers again; nobody has proved anything.
    forward_to(bed, "port-virtio", bus)
    assert bed.config(address)[:4] != b"\xff" * 4
    check_no_driver(bed, address, "virtio-pci")
    bed.guest.run(f"kill -KILL {main_pid(bed)}", check=True)
    start(bed)
    caller = Caller(bed)
    assert caller.property(address, "Quarantine")["kept_off"] is True
    check_no_driver(bed, address, "virtio-pci")

    release(bed, address)
    wait_override(bed, address, "(null)")
    bed.defer(lambda: bed.unbind(address))
    bed.guest.poke(PROBE, address)
    assert bed.driver(address) == "virtio-pci"
    row, = caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "event": ["s", "release"], "limit": ["t", 1]}])
    assert (row["why"], row["reason"]) == ("by-hand", "the case is over") and "uid" not in row, row


@case("the driver that a reset had to leave off comes back with the proof of a later one, which checks that it has", timeout=120)
def hand_back(bed: Bed) -> None:
    address, root, trace = bed.addr("slow2"), Caller(bed, "root"), bed.trace()
    rule = root.call("SetPolicy", "sa{sv}a{sv}", [address, {"driver": ["s", "rebind"]}, {"runtime": ["b", True]}])
    bed.defer(lambda: Caller(bed, "root").call("UnsetPolicy", "sa{sv}", [rule, {}]))
    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, "e1000e")
    bed.wait_until(lambda: root.property(address, "Driver") == "e1000e", 10, "news of the driver")
    assert override(bed, address) == "e1000e"
    bed.defer(lambda: release(bed, address))
    bed.defer(lambda: bed.guest.poke(f"{bed.path('slow2')}/reset_method", "default"))
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(5)
    pending = root.reset_start(address, "acpi")
    bed.wait_until(lambda: bool(trace.resets(address)), 15, "the reset to begin")
    bus = forward_to(bed, "port-slow2", "0")
    bed.defer(lambda: forward_to(bed, "port-slow2", bus))
    error = pending.error()
    assert error.name == DEAD, error
    wait_override(bed, address, KEPT + "e1000e")
    assert bed.driver(address) is None
    forward_to(bed, "port-slow2", bus)
    bed.set_slow_reset(0)
    # The kernel has looked anew at what a dead device can do.
    bed.guest.poke(f"{bed.path('slow2')}/reset_method", "default")
    check_no_driver(bed, address, "e1000e")

    result = root.reset(address, "pm")
    check, = [c for c in result["checks"] if c["check"] == "driver" and c["device"] == bed.device_path(address)]
    assert (check["result"], check["after"]) == ("ok", "e1000e"), result
    assert bed.driver(address) == "e1000e" and override(bed, address) == "e1000e"
    assert root.property(address, "State") == "idle"
    row, = root.call("GetHistory", "a{sv}", [{"address": ["s", address], "event": ["s", "release"], "limit": ["t", 1]}])
    assert row["why"] == "well-again", row


@case("another card in the port of one in quarantine is free, and the first one is in again when it is back", timeout=200)
def twins(bed: Bed) -> None:
    root, alice = Caller(bed, "root"), Caller(bed)

    def plug(last: str) -> str:
        bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="", mac=f"52:54:00:0c:0d:{last}")
        bed.wait_device("guest0", timeout=30)
        found = bed.addr("guest0")
        bed.wait_until(lambda: found in [row[0] for row in root.call("ListDevices")], 15, "the daemon to see it")
        return found

    def unplug() -> None:
        bed.machine.unplug("guest0", timeout=40)
        bed.wait_device("guest0", present=False, timeout=40)
        bed.wait_until(lambda: address not in [row[0] for row in root.call("ListDevices")], 15, "the daemon to see that")

    address = plug("01")
    root.call("Quarantine", "sa{sv}", ["smokes", {}], path=bed.device_path(address), interface=DEVICE)
    bed.wait_until(lambda: root.property(address, "Quarantine")["known_by"] == "serial-number", 20, "its number to be read")
    # Which it is not everybody's affair.
    assert "0c0d" not in str(root.property(address, "Quarantine")).replace("-", "")
    unplug()
    assert plug("02") == address
    bed.wait_until(lambda: alice.property(address, "State") == "idle", 20, "the other card to be known for another one")
    lease, _ = alice.acquire(address)
    alice.close(lease)
    unplug()
    assert plug("01") == address
    bed.defer(unplug)
    assert alice.property(address, "State") == "quarantined"
    assert alice.acquire_start(address).error().name == QUARANTINED
    release(bed, address)
    bed.wait_until(lambda: alice.property(address, "State") == "idle", 10, "its release")
