# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock on the port above, which newer kernels take for a reset: somebody else may have it."""

from harness.bed import Bed
from harness.caller import Caller, Pending
from harness.foreign import LONGER, ForeignReset
from harness.registry import case


def begun(bed: Bed, caller: Caller, address: str, pending: Pending) -> None:
    """Until the reset is authorised. Its worker reads the port first, which the lock holds up, too."""
    bed.wait_until(lambda: pending.answered() or address in [job["address"] for job in caller.jobs()
                                                             if job["phase"] in ("queued", "resetting")], 30, "the job")


@case("reads and other lanes go on while a port is locked; a reset below it is done when the kernel lets go", timeout=240)
def held_port(bed: Bed) -> None:
    caller, reader, two, port = Caller(bed), Caller(bed, "bob"), bed.addr("slow1"), bed.addr("port-slow")
    caller.call("ListDevices")
    trace = bed.trace()
    for seconds in LONGER:
        foreign = ForeignReset(bed, trace, "slow0", seconds)
        waiting = caller.reset_start(two, "pm")
        begun(bed, reader, two, waiting)
        for address in (two, port, bed.addr("slow0")):
            reader.call("GetMethods", "sa{sv}", [address, {}])
        assert caller.reset(bed.addr("nic"), "pm")["verdict"] == "ok"
        answered = waiting.answered()
        in_time = foreign.under_way()
        held = foreign.finish()
        assert waiting.result()["verdict"] == "ok"
        if in_time:
            break
    assert in_time, "reads or the other lane had to wait until the port was free"
    assert not answered, "the reset below did not wait for the port"
    done, = trace.resets(two)
    assert (done.what, done.returned) == ("pm", 0) and done.time >= held.ended, trace.events()


@case("subordinate is done when whoever has the port locked lets go of it", timeout=240)
def subordinate(bed: Bed) -> None:
    caller, reader, both = Caller(bed), Caller(bed, "bob"), [bed.addr("slow0"), bed.addr("slow1")]
    trace = bed.trace()
    for seconds in LONGER:
        poisons = [bed.poison(address) for address in both]
        foreign = ForeignReset(bed, trace, "slow0", seconds)
        pending = caller.reset_start(both[0], "subordinate")
        begun(bed, reader, both[0], pending)
        answered = pending.answered()
        in_time = foreign.under_way()
        held, result = foreign.finish(), pending.result()
        assert result["verdict"] == "ok" and not any(bed.poisoned(poison) for poison in poisons), result
        assert len(result["attempts"]) == 1, result
        if in_time:
            break
    assert in_time, "the port was free before the reset was asked for"
    assert not answered, "it did not wait for the port"
    done, = [e for e in trace.writes() if e.what == "sbr"]
    assert done.address == bed.addr("port-slow") and done.time >= held.ended, trace.events()
