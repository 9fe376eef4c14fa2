# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock on the port above, which newer kernels take for a reset: somebody else may have it."""

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case
from harness.trace import KernelTrace


def foreign_reset(bed: Bed, trace: KernelTrace, role: str, seconds: float) -> None:
    """Root resets through sysfs, without the daemon; it is under way."""
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(seconds)
    process = bed.guest.start(f"echo 1 >{bed.path(role)}/reset")
    bed.defer(lambda: process.wait(60))
    bed.wait_until(lambda: bool(trace.resets(bed.addr(role))), 10, "the reset to begin")
    bed.set_slow_reset(0)


@case("reads and other lanes go on while a port is locked; a reset below it is done when the kernel lets go")
def held_port(bed: Bed) -> None:
    caller, two, port = Caller(bed), bed.addr("slow1"), bed.addr("port-slow")
    caller.call("ListDevices")
    trace = bed.trace()
    foreign_reset(bed, trace, "slow0", 6)
    waiting = caller.reset_start(two, "pm")
    reader = Caller(bed, "bob")
    for address in (two, port, bed.addr("slow0")):
        pending = reader.start("GetMethods", "sa{sv}", [address, {}])
        pending.result()
        assert pending.done - pending.sent < 2, address
    assert caller.reset(bed.addr("nic"), "pm")["verdict"] == "ok"
    assert not waiting.answered(), "it did not wait for the port"
    assert waiting.result()["verdict"] == "ok"
    assert [(e.what, e.returned) for e in trace.resets(two)] == [("pm", 0)], trace.events()


@case("subordinate is done when whoever has the port locked lets go of it")
def subordinate(bed: Bed) -> None:
    caller, both = Caller(bed), [bed.addr("slow0"), bed.addr("slow1")]
    poisons = [bed.poison(address) for address in both]
    trace = bed.trace()
    foreign_reset(bed, trace, "slow0", 5)
    result = caller.reset(both[0], "subordinate")
    assert result["verdict"] == "ok" and not any(bed.poisoned(poison) for poison in poisons), result
    foreign, = trace.resets(both[0])
    done, = [e for e in trace.writes() if e.what == "sbr"]
    assert done.address == bed.addr("port-slow") and done.time >= foreign.ended, trace.events()
    assert len(result["attempts"]) == 1, result
