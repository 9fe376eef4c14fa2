# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors that the kernel announces: the emulator makes them at the port (AER), and the kernel's own recovery runs.

Which errors there are is the table in QEMU's hw/pci/pcie_aer.c: COMP_ABORT and its like are not fatal, MALF_TLP is, and a
fatal one has the kernel reset the link.
"""

from __future__ import annotations

from typing import Any

from harness.bed import Bed
from harness.caller import Caller
from harness.dead import QUARANTINED, release
from harness.foreign import LONGER, ForeignReset
from harness.registry import case
from harness.service import Journal

RECOVERING = "org.pciresetd1.Error.Recovering"
NONFATAL, FATAL = "COMP_ABORT", "MALF_TLP"


def inject(bed: Bed, port: str, error: str) -> None:
    bed.machine.hmp(f"pcie_aer_inject_error {port} {error}")


def hold_to(bed: Bed, address: str, on_error: str) -> None:
    """The rule for this device, until the case is over. QEMU takes a device away for good whose slot loses its power."""
    root = Caller(bed, "root")
    settings = {"on_error": ["s", on_error], "forbid": ["as", ["slot"]]}
    rule = root.call("SetPolicy", "sa{sv}a{sv}", [address, settings, {"runtime": ["b", True]}])
    bed.defer(lambda: Caller(bed, "root").call("UnsetPolicy", "sa{sv}", [rule, {}]))


def wait_state(bed: Bed, caller: Caller, address: str, *states: str) -> str:
    found: list[str] = []

    def look() -> bool:
        found[:] = [caller.property(address, "ErrorState")]
        return found[0] in states
    bed.wait_until(look, 20, f"{address} to be {' or '.join(states)}; it is {found}")
    return found[0]


def rows(caller: Caller, address: str) -> list[dict[str, Any]]:
    """What the history has of errors of this device, the last one first."""
    return caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "event": ["s", "error"]}])


def put_right(bed: Bed, role: str) -> None:
    """Removed and found again a device is as new; without a driver, and with the kernel's own at its port."""
    address = bed.addr(role)
    bed.unbind(address)
    release(bed, address)
    bed.guest.poke(f"{bed.path(role)}/remove", "1")
    bed.guest.poke("/sys/bus/pci/rescan", "1")
    bed.wait_device(role)
    bed.unbind(bed.addr(role))


def bars(bed: Bed, address: str) -> list[int]:
    config = bed.config(address)
    return [int.from_bytes(config[at:at + 4], "little") for at in range(0x10, 0x28, 4)]


@case("an error at the port: state, signal, journal and history say so, and that the device is well after the kernel's recovery",
      timeout=90)
def told(bed: Bed) -> None:
    address, caller, journal = bed.addr("nic"), Caller(bed, "bob"), Journal(bed)
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    before, mark = bars(bed, address), bed.mark()
    assert caller.property(address, "ErrorState") == ""
    caller.listen()
    inject(bed, "port-nic", NONFATAL)
    wait_state(bed, caller, address, "successful-recovery")
    look = journal.wait("error-look", PCIRESETD_DEVICE=address)
    assert look["PCIRESETD_VERDICT"] == "ok", look
    # The kernel says the same.
    log = bed.kernel_log_since(mark)
    assert "AER" in log and "device recovery successful" in log, log
    events = journal.entries("device-error", PCIRESETD_DEVICE=address)
    assert [e["PCIRESETD_EVENT"] for e in events] == ["ERROR_EVENT=BEGIN_RECOVERY", "ERROR_EVENT=SUCCESSFUL_RECOVERY"], events
    assert bed.addr("port-nic") + " aer" in events[0]["PCIRESETD_EVIDENCE"], events
    states = [s.arguments[1]["ErrorState"] for s in caller.signals("PropertiesChanged", bed.device_path(address))
              if "ErrorState" in s.arguments[1]]
    assert states == ["begin-recovery", "successful-recovery"], states
    looked, success, begin = rows(caller, address)
    assert (begin["why"], begin["reason"]) == ("begin-recovery", "ERROR_EVENT=BEGIN_RECOVERY"), begin
    counters = {c["device"]: c["after"] for c in begin["checks"] if c["check"] == "aer"}
    assert "below nonfatal " in counters[bed.device_path(bed.addr("port-nic"))], begin
    assert success["why"] == "successful-recovery" and looked["reason"] == "the device was found to be ok", (success, looked)
    assert {"answers", "ids", "command", "bars"} <= {c["check"] for c in looked["checks"] if c["result"] == "ok"}, looked
    assert bars(bed, address) == before and caller.property(address, "State") == "idle"


def check_evidence(bed: Bed, address: str, log: str) -> None:
    """What the kernel has said about the device is in the history for root, in the quarantine's file, and told to nobody else."""
    root, bob = Caller(bed, "root"), Caller(bed, "bob")

    def evidence(caller: Caller) -> list[dict[str, Any]]:
        return caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "event": ["s", "evidence"]}])
    bed.wait_until(lambda: evidence(root), 20, "the kernel's lines to be in the history")
    lines = [c["after"] for c in evidence(root)[0]["checks"]]
    assert lines and all(line in log for line in lines) and any("AER" in line for line in lines), (lines, log)
    assert [row["checks"] for row in evidence(bob)] == [[]] * len(evidence(root)), evidence(bob)
    assert "log" not in {c["check"] for c in bob.property(address, "Quarantine")["checks"]}
    stored = bed.guest.run("cat /var/lib/pciresetd/quarantine/*", check=True).stdout
    assert lines[-1] in stored.replace("\\/", "/"), stored


@case("a fatal error of a device that VFIO has: the kernel says that it has recovered it, and the program that it has not",
      timeout=90)
def lying(bed: Bed) -> None:
    address, caller, journal = bed.addr("nic2"), Caller(bed), Journal(bed)
    bed.bind(address, "vfio-pci")
    bed.defer(lambda: put_right(bed, "nic2"))
    before, mark = bars(bed, address), bed.mark()
    assert any(before) and caller.property(address, "ErrorState") == "", before
    inject(bed, "port-nic2", FATAL)
    wait_state(bed, caller, address, "successful-recovery-but-degraded")
    journal.wait("device-error", PCIRESETD_DEVICE=address, PCIRESETD_EVENT="ERROR_EVENT=SUCCESSFUL_RECOVERY")
    assert "device recovery successful" in bed.kernel_log_since(mark), bed.kernel_log_since(mark)
    assert bars(bed, address) != before, before
    look = journal.wait("error-look", PCIRESETD_DEVICE=address)
    assert look["PCIRESETD_VERDICT"] == "degraded" and "bars" in look["PCIRESETD_EVIDENCE"], look
    assert rows(caller, address)[0]["why"] == "successful-recovery-but-degraded", rows(caller, address)
    # Nobody gets it, without any rule.
    quarantine = caller.property(address, "Quarantine")
    assert caller.property(address, "State") == "quarantined" and quarantine["cause"] == "error", quarantine
    failed = [c["check"] for c in quarantine["checks"] if c["result"] == "failed"]
    assert "bars" in failed, quarantine
    check_evidence(bed, address, bed.kernel_log_since(mark))
    assert caller.acquire_start(address).error().name == QUARANTINED


@case("by rule the first word of an error puts the device into quarantine, although it is well afterwards", timeout=90)
def put_aside(bed: Bed) -> None:
    address, caller, journal = bed.addr("nic"), Caller(bed), Journal(bed)
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    bed.defer(lambda: release(bed, address))
    hold_to(bed, address, "quarantine")
    inject(bed, "port-nic", NONFATAL)
    wait_state(bed, caller, address, "successful-recovery")
    assert journal.wait("error-look", PCIRESETD_DEVICE=address)["PCIRESETD_VERDICT"] == "ok"
    quarantine = caller.property(address, "Quarantine")
    assert quarantine["cause"] == "error", quarantine
    assert quarantine["checks"][0]["after"] == "ERROR_EVENT=BEGIN_RECOVERY", quarantine
    assert caller.acquire_start(address).error().name == QUARANTINED


@case("by rule what the kernel could not recover is recovered: a device without a driver that has lost its addresses", timeout=150)
def recovered(bed: Bed) -> None:
    address, caller, journal = bed.addr("nic2"), Caller(bed), Journal(bed)
    bed.unbind(address)
    bed.defer(lambda: put_right(bed, "nic2"))
    hold_to(bed, address, "recover")
    before, mark = bars(bed, address), bed.mark()
    inject(bed, "port-nic2", FATAL)
    event = journal.wait("device-error", 20, PCIRESETD_DEVICE=address)
    assert event["PCIRESETD_EVENT"] == "ERROR_EVENT=FAILED_RECOVERY", event
    assert "device recovery failed" in bed.kernel_log_since(mark), bed.kernel_log_since(mark)
    finished = journal.wait("finished", 90, PCIRESETD_DEVICE=address)
    assert (finished["PCIRESETD_RESULT"], finished["PCIRESETD_VERDICT"]) == ("done", "ok"), finished
    bed.wait_device("nic2")
    wait_state(bed, caller, address, "")
    assert caller.property(address, "State") == "idle" and bars(bed, address) == before, (before, bars(bed, address))
    _, name = caller.acquire(address)
    assert name in caller.leases()


@case("while the kernel recovers a card nobody gets a lease on it or a reset of it, which afterwards is proved well by a reset",
      timeout=200)
def recovering(bed: Bed) -> None:
    first, second = bed.addr("slow0"), bed.addr("slow1")
    caller, root, trace = Caller(bed), Caller(bed, "root"), bed.trace()
    for address in (first, second):
        bed.bind(address, "vfio-pci")
    bed.defer(lambda: [bed.unbind(address) for address in (first, second)])
    for seconds in LONGER:
        # The kernel tells of the first function and waits for the second one's lock, which somebody's reset has.
        foreign = ForeignReset(bed, trace, "slow1", seconds)
        inject(bed, "port-slow", NONFATAL)
        wait_state(bed, caller, first, "begin-recovery", "successful-recovery")
        errors = [caller.reset_refused(first, "acpi"), caller.acquire_start(first).error(), caller.acquire_start(second).error(),
                  root.reset_refused(first, "any")] if foreign.under_way() else []
        was_in_time = foreign.under_way()
        foreign.finish()
        if was_in_time:
            break
    assert was_in_time, "no reset took long enough"
    assert [e.name for e in errors] == [RECOVERING] * 4, errors
    assert "ErrorState" in errors[0].text, errors[0]
    wait_state(bed, caller, first, "successful-recovery")
    # Nothing of what was refused has come through.
    assert [e for e in trace.resets(first)] == [], trace.events()
    bed.set_slow_reset(0)
    assert caller.reset(first, "acpi")["verdict"] == "ok"
    assert caller.property(first, "ErrorState") == ""


