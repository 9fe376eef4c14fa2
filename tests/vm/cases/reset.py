# SPDX-License-Identifier: GPL-2.0-or-later
"""Resets that work: each method on a device that has it, proved by the kernel."""

from typing import Any

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case
from harness.service import RUN, Journal

MEMBER_CHECKS = {"answers", "ids", "header", "command", "bars", "link", "aer", "driver"}
BRIDGE_CHECKS = {"link", "aer"}


def check_result(bed: Bed, result: dict[str, Any], address: str, method: str, bridge: str = "") -> None:
    """A success: what it says about itself is complete and without a flaw."""
    device = bed.device_path(address)
    assert (result["method"], result["verdict"], result["reset_set"]) == (method, "ok", [device]), result
    assert result["job"] > 0 and result["duration_usec"] > 0, result
    attempt = result["attempts"][-1]
    assert (attempt["method"], attempt["outcome"], attempt["errno"], attempt["verdict"]) == (method, "done", 0, "ok"), result
    assert attempt["finished_usec"] - attempt["started_usec"] == result["duration_usec"], result
    assert not [c for c in result["checks"] if c["result"] == "failed"], result
    # What its driver says is a check only where one is bound.
    assert {c["check"] for c in result["checks"] if c["device"] == device} - {"probe"} == MEMBER_CHECKS, result
    if bridge:
        about = {c["check"]: c["result"] for c in result["checks"] if c["device"] == bed.device_path(bridge)}
        assert set(about) == BRIDGE_CHECKS and about["link"] == "ok", result
    proved = {c["check"] for c in result["checks"] if c["device"] == device and c["result"] == "ok"}
    assert proved >= MEMBER_CHECKS - {"link", "aer"}, result


def check_traced(bed: Bed, result: dict[str, Any], trace: Any, address: str, method: str, listed: list[str]) -> None:
    """The kernel did exactly this, when the reply says it did, and has its list back."""
    done = trace.resets()
    assert [(e.what, e.address, e.returned) for e in done] == [(method, address, 0)], trace.events()
    assert "pcireset-w" in done[0].task, done
    attempt = result["attempts"][-1]
    assert attempt["started_usec"] <= done[0].time * 1e6 <= attempt["finished_usec"], (attempt, done)
    written = [e.value for e in trace.writes() if e.what == "reset_method" and e.address == address]
    assert written == [method, " ".join(listed)], trace.events()
    assert bed.reset_methods(address) == listed
    assert attempt["reset_method"] == "exact", result


@case("FLR of an NVMe controller by alice: the register, the trace, the list, the reply")
def flr_nvme(bed: Bed) -> None:
    address = bed.plug_nvme(driver=False)
    caller, listed, trace = Caller(bed), bed.reset_methods(address), bed.trace()
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    poison = bed.poison(address)
    result = caller.reset(address, "flr")
    assert not bed.poisoned(poison)
    check_traced(bed, result, trace, address, "flr", listed)
    check_result(bed, result, address, "flr", bed.addr("port-nvme"))


@case("FLR of an NVMe controller whose driver knows resets: refused while a process has it open, unless with in_use", timeout=90)
def flr_nvme_driver(bed: Bed) -> None:
    address = bed.addr("nvme") if bed.present("nvme") else bed.plug_nvme(driver=False)
    caller, journal = Caller(bed), Journal(bed)
    bed.bind(address, "nvme")
    bed.wait_until(lambda: bed.guest.exists("/dev/nvme0n1"), 15, "/dev/nvme0n1")
    bed.guest.run("udevadm settle", timeout=30)
    bed.wait_until(lambda: caller.property(address, "Driver") == "nvme", 10, "the driver on the bus")
    holder = bed.guest.start("exec 9</dev/nvme0; echo open; exec sleep 600")
    bed.defer(holder.kill)
    holder.wait_output("open\n", 10)
    bed.wait_until(lambda: caller.property(address, "InUse"), 15, "the daemon to see who has it open")
    trace = bed.trace()
    error = caller.reset_refused(address, "flr")
    assert error.name == "org.pciresetd1.Error.InUse" and error.evidence["attempts"][0]["why"] == "held", error.evidence
    assert trace.writes() == [], trace.events()
    for options, action in (({"in_use": True}, "reset-in-use"), ({}, "reset")):
        trace.clear()
        mark = bed.mark()
        result = caller.reset(address, "flr", **options)
        check_traced(bed, result, trace, address, "flr", ["flr", "bus"])
        asked = [e["PCIRESETD_ACTION"] for e in journal.entries("authorized", PCIRESETD_JOB=str(result["job"]))]
        assert asked == [f"org.pciresetd1.{action}"], asked
        # The driver was told, and starts it again.
        bed.wait_until(lambda: "nvme nvme0" in bed.kernel_log_since(mark), 10, "a line of the driver")
        assert [c["after"] for c in result["checks"] if c["check"] == "driver"][:1] == ["nvme"], result
        assert bed.driver(address) == "nvme"
        bed.guest.run("dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 iflag=direct", check=True)
        holder.kill()
        bed.guest.run("udevadm settle", timeout=30)
        bed.wait_until(lambda: not caller.property(address, "InUse"), 15, "the daemon to see that it is idle")
    bed.machine.unplug("nvme")
    bed.wait_device("nvme", present=False)


@case("pm, bus, flr and acpi, each on a device that has it: what ran is what is said to have run")
def each_method(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    bed.set_slow_reset(0)
    for role, method, port, clears in (("nic", "pm", "port-nic", False), ("nic", "bus", "port-nic", True),
                                       ("sw-nic0", "bus", "sw-down0", True), ("virtio", "flr", "port-virtio", True),
                                       ("virtio", "bus", "port-virtio", True), ("slow2", "acpi", "port-slow2", False),
                                       ("multi1", "pm", "port-card", False), ("conv0", "pm", "conv-bridge", False)):
        address = bed.addr(role)
        listed = bed.reset_methods(address)
        if method not in listed:
            assert role == "conv0", (role, listed)
            continue
        poison = bed.poison(address) if clears else None
        trace.clear()
        result = caller.reset(address, method)
        assert not poison or not bed.poisoned(poison), (role, method)
        if listed != [method]:
            check_traced(bed, result, trace, address, method, listed)
        check_result(bed, result, address, method, "" if role == "conv0" else bed.addr(port))
        bridges = [e.address for e in trace.writes() if e.what == "sbr"]
        assert bridges == ([bed.addr(port)] if method == "bus" else []), trace.events()


@case("the aliases: any and function take the gentlest, link resets the link")
def aliases(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    for role, alias, method in (("virtio", "any", "flr"), ("virtio", "function", "flr"), ("virtio", "link", "bus"),
                                ("nic", "any", "pm"), ("nic", "link", "bus")):
        address = bed.addr(role)
        listed = bed.reset_methods(address)
        trace.clear()
        result = caller.reset(address, alias)
        check_traced(bed, result, trace, address, method, listed)
        assert len(result["attempts"]) == 1, result


@case("the reset is remembered: LastReset, and proven in GetMethods")
def remembered(bed: Bed) -> None:
    caller, address = Caller(bed), bed.addr("nic2")
    before = caller.methods(address)["pm"]["proven"]
    watcher = Caller(bed, "bob")
    watcher.listen()
    result = caller.reset(address, "pm")
    last = caller.property(address, "LastReset")
    assert (last["method"], last["verdict"], last["job"]) == ("pm", "ok", result["job"]), last
    # Whose it was is told to himself and root, in the history.
    assert "uid" not in last, last
    after = caller.methods(address)["pm"]["proven"]
    assert (after["tries"], after["ok"]) == (before["tries"] + 1, before["ok"] + 1), (before, after)
    assert after["median_usec"] > 0 and after["dead"] == before["dead"], after
    bed.wait_until(lambda: bool(watcher.signals("JobRemoved")), 5, "JobRemoved")
    job = watcher.signals("JobNew")[0].arguments
    assert job == [result["job"], f"/org/pciresetd1/job/{result['job']}", address], job
    assert watcher.signals("JobRemoved")[0].arguments == [*job, "done"]
    changed = {key for s in watcher.signals("PropertiesChanged", bed.device_path(address)) for key in s.arguments[1]}
    assert {"State", "LastReset"} <= changed, watcher.signals()


@case("of a card with two functions, bus is not believed: siblings; their own pm works, and the list stays as it can")
def multifunction(bed: Bed) -> None:
    caller, trace, address = Caller(bed), bed.trace(), bed.addr("multi0")
    assert bed.reset_methods(address) == ["pm", "bus"]
    facts = caller.methods(address)["bus"]
    assert (facts["advertised"], facts["enabled"], facts["usable"], facts["why"]) == (True, True, False, ["siblings"]), facts
    rung, = caller.call("Plan", "ssa{sv}", [address, "bus", {}])["rungs"]
    assert (rung["usable"], rung["why"]) == (False, ["siblings"]), rung
    assert set(rung["reset_set"]) == {bed.device_path(address), bed.device_path(bed.addr("multi1"))}, rung
    error = caller.reset_refused(address, "bus")
    assert error.name == "org.pciresetd1.Error.NotUsable" and address in error.text, error
    assert error.evidence["attempts"][0]["why"] == "siblings", error.evidence
    assert trace.writes() == [], trace.events()
    # The kernel does not take its own list back: `bus` was a lie, and `pm` is what is left.
    result = caller.reset(address, "any")
    assert (result["method"], result["attempts"][0]["reset_method"]) == ("pm", "reduced"), result
    assert [(e.what, e.address) for e in trace.resets()] == [("pm", address)], trace.events()
    assert bed.reset_methods(address) == ["pm"]
    bed.machine.unplug("multi0")
    bed.machine.plug("e1000e", "port-card", "multi1", 0, 1, romfile="")
    bed.machine.plug("e1000e", "port-card", "multi0", 0, 0, romfile="", multifunction=True)
    bed.wait_device("multi1")
    assert bed.reset_methods(bed.addr("multi0")) == ["pm", "bus"]


@case("bridges are refused, and so is what a device does not have; nothing is written")
def refused(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    for role in ("port-nic", "sw-up", "sw-down0", "conv-bridge"):
        for method in ("any", "bus", "pm"):
            error = caller.reset_refused(bed.addr(role), method)
            assert error.name == "org.pciresetd1.Error.NotUsable", (role, method, error)
    error = caller.reset_refused(bed.addr("conv-bridge"), "pm")
    assert error.evidence["attempts"][0]["why"] == "bridge", error.evidence
    for method in ("flr", "acpi", "af_flr", "device_specific"):
        error = caller.reset_refused(bed.addr("nic"), method)
        assert error.name == "org.pciresetd1.Error.NotUsable", (method, error)
        assert error.evidence["attempts"][0]["why"] == "not-advertised", error.evidence
    assert trace.writes() == [], trace.events()


@case("a conventional bus: its devices share the reset, and say so")
def conventional(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    for role in ("conv0", "conv1"):
        error = caller.reset_refused(bed.addr(role), "bus")
        assert error.name == "org.pciresetd1.Error.NotUsable", error
        assert "siblings" in error.evidence["attempts"][0]["why"].split(), error.evidence
    assert trace.writes() == [], trace.events()


@case("no records are left behind")
def records(bed: Bed) -> None:
    assert bed.guest.list(RUN) in ([], ["next-id"]), bed.guest.list(RUN)
