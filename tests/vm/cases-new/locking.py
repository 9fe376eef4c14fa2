# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock on the port above, which newer kernels take for a reset: somebody else may have it."""

import errno
import time

from harness.bed import Bed
from harness.caller import Caller, Pending
from harness.foreign import GAPS, LONGER, ForeignReset, ForeignResets
from harness.registry import case
from harness.service import Journal
from harness.trace import Event, KernelTrace

# What a worker waits between two tries, at least.
FIRST_STEP, LONGEST_STEP = 0.01, 0.5


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


def tries(trace: KernelTrace) -> list[Event]:
    return [e for e in trace.events() if e.what == "subordinate"]


def is_locked_out(trace: KernelTrace) -> bool:
    return any(e.returned == -errno.EAGAIN for e in tries(trace))


def meet_lock(bed: Bed, caller: Caller, trace: KernelTrace, gap: float, **options: int) -> tuple[ForeignResets, Pending]:
    """A reset of slow1 by subordinate, beside resets of slow0 that somebody else makes, until one has kept the other out,
    or it is clear that none will. The worker reads both devices before; that has to wait for a gap between the resets, so
    a single one, however long, would be over before the worker writes anything."""
    foreign = ForeignResets(bed, trace, "slow0", 0.5, gap)
    pending = caller.reset_start(bed.addr("slow1"), "subordinate", **options)
    deadline = time.monotonic() + 30
    while not pending.answered() and not is_locked_out(trace) and time.monotonic() < deadline:
        time.sleep(0.05)
    return foreign, pending


@case("the kernel says EAGAIN to subordinate while somebody else has the locks; it is asked again until it does it", timeout=240)
def again(bed: Bed) -> None:
    caller, both, port = Caller(bed), [bed.addr("slow0"), bed.addr("slow1")], bed.addr("port-slow")
    trace = bed.trace()
    for gap in GAPS:
        poisons = [bed.poison(address) for address in both]
        foreign, pending = meet_lock(bed, caller, trace, gap)
        foreign.stop()
        result = pending.result()
        assert result["verdict"] == "ok" and not any(bed.poisoned(poison) for poison in poisons), result
        asked = tries(trace)
        if len(asked) > 1:
            break
    *refused, done = asked
    assert refused, "the locks were free each time"
    assert all(e.returned == -errno.EAGAIN for e in refused) and done.returned == len("1"), asked
    for number, (earlier, later) in enumerate(zip(asked, asked[1:])):
        assert earlier.ended and later.time - earlier.ended >= min(FIRST_STEP * 2 ** number, LONGEST_STEP), asked
    sbr, = [e for e in trace.writes() if e.what == "sbr"]
    assert sbr.address == port and sbr.time > done.time, trace.events()
    attempt, = result["attempts"]
    assert (attempt["outcome"], attempt["errno"], attempt["tries"]) == ("done", 0, len(asked)), attempt
    started = attempt["started_usec"]
    assert refused[-1].ended * 1e6 <= started + 1 and started <= done.time * 1e6 + 1, (attempt, asked)


@case("and when nobody lets go of them in time, the call ends, nothing was reset, and the job says so", timeout=240)
def not_in_time(bed: Bed) -> None:
    caller, both, seconds = Caller(bed), [bed.addr("slow0"), bed.addr("slow1")], 4
    trace, journal = bed.trace(), Journal(bed)
    proven = caller.methods(both[1])["subordinate"]["proven"]
    for gap in GAPS:
        poisons = [bed.poison(address) for address in both]
        foreign, pending = meet_lock(bed, caller, trace, gap, timeout_usec=seconds * 1_000_000)
        foreign.last_longer(2 * seconds + 2)
        line = pending.answer()
        bed.wait_until(lambda: caller.jobs() == [], 30, "the job to end")
        foreign.stop()
        asked = tries(trace)
        if asked and all(e.returned == -errno.EAGAIN for e in asked):
            break
        proven = caller.methods(both[1])["subordinate"]["proven"]
    assert len(asked) > 1 and all(e.returned == -errno.EAGAIN for e in asked), trace.events()
    assert line["error"] in ("org.pciresetd1.Error.TimedOut", "org.pciresetd1.Error.NotUsable"), line
    # Not for the ten seconds that it takes at most where the caller waits longer.
    assert asked[-1].time - asked[0].time <= seconds + 2, asked
    assert all(bed.poisoned(poison) for poison in poisons), "it was reset"
    assert [e for e in trace.writes() if e.what == "sbr"] == [], trace.events()
    assert caller.methods(both[1])["subordinate"]["proven"] == proven, "what was never done counts"
    ended = [e["PCIRESETD_RESULT"] for e in journal.entries("finished") if e["PCIRESETD_DEVICE"] == both[1]]
    assert ended[-1] == "NotUsable", ended
    result = caller.reset(both[1], "subordinate")
    assert result["verdict"] == "ok" and result["attempts"][0]["tries"] == 1, result
