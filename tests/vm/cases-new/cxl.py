# SPDX-License-Identifier: GPL-2.0-or-later
"""A CXL device: its link reset has a name of its own, and `bus` is listed although it is hidden from it."""

import errno

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case


def memory(bed: Bed) -> str:
    return bed.addr("memory") if bed.present("memory") else bed.plug_cxl_memory()


@case("cxl_bus by alice: the register, the trace, the list, the reply")
def cxl_bus(bed: Bed) -> None:
    address = memory(bed)
    caller, trace = Caller(bed), bed.trace()
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    facts = caller.methods(address)["cxl_bus"]
    assert (facts["scope"], facts["advertised"], facts["usable"]) == ("link", True, True), facts
    poison = bed.poison(address)
    result = caller.reset(address, "cxl_bus")
    assert (result["method"], result["verdict"], result["reset_set"]) == ("cxl_bus", "ok", [bed.device_path(address)]), result
    assert not bed.poisoned(poison)
    done = trace.resets()
    assert [(e.what, e.returned) for e in done] == [("cxl_bus", 0), ("bus", 0)] and "pcireset-w" in done[0].task, trace.events()
    assert [e.address for e in trace.writes() if e.what == "sbr"] == [bed.addr("port-cxl")], trace.events()
    assert bed.reset_methods(address) == ["bus", "cxl_bus"]


@case("bus is listed and fails on it, and is told so; from then on link goes to cxl_bus at once")
def bus(bed: Bed) -> None:
    address, caller, trace = memory(bed), Caller(bed), bed.trace()
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    poison = bed.poison(address)
    error = caller.reset_refused(address, "bus")
    assert error.name == "org.pciresetd1.Error.ResetFailed", error
    attempt, = error.evidence["attempts"]
    assert (attempt["outcome"], attempt["errno"]) == ("failed", errno.ENOTTY), attempt
    assert bed.poisoned(poison) and not [e for e in trace.writes() if e.what == "sbr"], trace.events()
    proven = caller.methods(address)["bus"]["proven"]
    assert proven["failing"] and proven["ok"] == 0, proven
    result = caller.reset(address, "link")
    assert [(a["method"], a["outcome"]) for a in result["attempts"]] == [("cxl_bus", "done")], result
    assert result["verdict"] == "ok" and not bed.poisoned(poison), result
    assert bed.reset_methods(address) == ["bus", "cxl_bus"]
