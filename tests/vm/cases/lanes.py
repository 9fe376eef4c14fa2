# SPDX-License-Identifier: GPL-2.0-or-later
"""Resets in each other's way wait for each other; others do not. Times are the kernel's."""

from typing import Any

from harness.bed import Bed, DBusError
from harness.caller import PROPERTIES, Caller
from harness.registry import case
from harness.service import Journal
from harness.trace import Event, KernelTrace

JOB = "org.pciresetd1.Job"
NOT_USABLE = "org.pciresetd1.Error.NotUsable"
CANCELLED = "org.pciresetd1.Error.Cancelled"


def one_reset(trace: KernelTrace, address: str, method: str = "acpi") -> Event:
    found = [e for e in trace.resets(address) if e.what == method]
    assert len(found) == 1 and found[0].ended, trace.events()
    return found[0]


def slow(bed: Bed, seconds: float) -> None:
    bed.set_slow_reset(seconds)
    bed.defer(lambda: bed.set_slow_reset(0))


def cancel(caller: Caller, job: dict[str, Any]) -> Any:
    return caller.call("Cancel", "a{sv}", [{}], path=job["job"], interface=JOB)


def times(result: dict[str, Any]) -> tuple[int, int]:
    return result["attempts"][0]["started_usec"], result["attempts"][0]["finished_usec"]


@case("under one port one after the other, under another at the same time, by the kernel's times and the reply's")
def serialise_and_overlap(bed: Bed) -> None:
    first, sibling, other = bed.addr("slow0"), bed.addr("slow1"), bed.addr("slow2")
    callers, trace = [Caller(bed) for _ in range(3)], bed.trace()
    slow(bed, 3)
    pending = [caller.reset_start(address, "acpi") for caller, address in zip(callers, (first, sibling, other))]
    results = [p.result() for p in pending]
    events = [one_reset(trace, address) for address in (first, sibling, other)]
    assert all(e.ended - e.time >= 3 for e in events), events
    assert {r["verdict"] for r in results} == {"ok"}, results
    one, two = trace.asked(first, sibling)
    assert one.ended <= two.time, trace.events()
    assert any(events[2].time < e.ended and e.time < events[2].ended for e in events[:2]), events
    for result, event in zip(results, events):
        started, finished = times(result)
        assert started <= event.time * 1e6 and event.ended * 1e6 <= finished + 1, (result, event)
    a, b = sorted(times(r) for r in results[:2])
    assert a[1] <= b[0], results


@case("first come, first served: three callers for one lane, and a fourth lane in between", kernel=False)
def order(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    first, second, third, elsewhere = (Caller(bed) for _ in range(4))
    trace = bed.trace()
    slow(bed, 10)
    head = first.reset_start(one, "acpi")
    first.wait_phase(one, "resetting")
    waiting = []
    for caller, address, method in ((second, two, "pm"), (third, one, "pm"), (second, two, "acpi")):
        waiting.append(caller.reset_start(address, method))
        bed.wait_until(lambda: len([j for j in first.jobs() if j["phase"] == "queued"]) == len(waiting), 10, "the queue")
    assert not head.answered()
    slow(bed, 0)
    free = elsewhere.reset_start(bed.addr("sw-nic0"), "bus")
    free.result()
    assert not head.answered(), "another lane had to wait"
    for pending in [head, *waiting]:
        pending.result()
    ours = [e for e in trace.resets() if e.address in (one, two)]
    assert [(e.address, e.what) for e in ours] == [(one, "acpi"), (two, "pm"), (one, "pm"), (two, "acpi")], trace.events()
    asked = trace.asked(one, two)
    assert all(earlier.ended <= later.time for earlier, later in zip(asked, asked[1:])), asked


@case("a job is on the bus with its phases; states follow; nobody may cancel a reset that has begun", kernel=False)
def jobs(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    alice, bob, watcher = Caller(bed), Caller(bed, "bob"), Caller(bed, "bob")
    watcher.listen()
    trace, journal = bed.trace(), Journal(bed)
    slow(bed, 10)
    running = alice.reset_start(one, "acpi")
    job = bob.wait_phase(one, "resetting")
    queued = alice.reset_start(two, "pm")
    behind = bob.wait_phase(two, "queued")
    assert bob.property(one, "State") == "resetting" and bob.property(two, "State") == "queued"
    seen = bob.call("GetAll", "s", [JOB], path=job["job"], interface=PROPERTIES)
    assert (seen["Id"], seen["Device"], seen["Method"], seen["Phase"], seen["Uid"]) == (
        job["id"], bed.device_path(one), "acpi", "resetting", 1001), seen
    assert seen["ResetSet"] == [bed.device_path(one)] and 0 < seen["QueuedAt"] <= seen["StartedAt"], seen
    shown = bed.busctl("bob", "--timeout=10", "get-property", "org.pciresetd1", behind["job"], JOB, "Phase", check=True)
    assert shown.stdout == 's "queued"\n', shown
    refused = bed.busctl("bob", "call", "org.pciresetd1", behind["job"], JOB, "Cancel", "a{sv}", "0")
    assert refused.rc and "Access denied" in refused.stderr, refused
    assert not queued.answered()
    assert bob.start("Cancel", "a{sv}", [{}], path=behind["job"], interface=JOB).error().name.endswith(
        "InteractiveAuthorizationRequired")
    bed.busctl("alice", "--timeout=10", "call", "org.pciresetd1", behind["job"], JOB, "Cancel", "a{sv}", "0", check=True)
    assert queued.error().name == CANCELLED
    for caller in (alice, bob):
        try:
            cancel(caller, job)
        except DBusError as error:
            assert error.name != CANCELLED and (caller is bob or error.name == NOT_USABLE), error
        else:
            raise AssertionError("a running reset was cancelled")
    assert running.result()["verdict"] == "ok"
    assert [(e.address, e.what, e.returned) for e in trace.resets()] == [(one, "acpi", 0)], trace.events()
    assert bob.jobs() == [] and bob.property(two, "State") == "idle"
    bed.wait_until(lambda: len(watcher.signals("JobRemoved")) == 2, 10, "JobRemoved")
    assert [s.arguments[3] for s in watcher.signals("JobRemoved")] == ["Cancelled", "done"]
    phases = [s.arguments[1]["Phase"] for s in watcher.signals("PropertiesChanged", job["job"]) if "Phase" in s.arguments[1]]
    assert phases[-2:] == ["resetting", "verifying"], phases
    states = [s.arguments[1]["State"] for s in watcher.signals("PropertiesChanged", bed.device_path(one))
              if "State" in s.arguments[1]]
    assert states[-1] == "idle" and "resetting" in states, states
    assert {s.path for s in watcher.signals("InterfacesAdded")} == {"/org/pciresetd1"}
    assert [s.arguments[0] for s in watcher.signals("InterfacesRemoved")] == [behind["job"], job["job"]]
    results = [(e["PCIRESETD_DEVICE"], e["PCIRESETD_RESULT"]) for e in journal.entries("finished")]
    assert results == [(two, "Cancelled"), (one, "done")], results


@case("who leaves the bus takes a waiting job along, but not a running one", kernel=False)
def leaving(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    runner, waiter, watcher = Caller(bed), Caller(bed), Caller(bed, "bob")
    trace, journal = bed.trace(), Journal(bed)
    slow(bed, 10)
    runner.reset_start(one, "acpi")
    watcher.wait_phase(one, "resetting")
    waiter.reset_start(two, "pm")
    watcher.wait_phase(two, "queued")
    bed.wait_until(lambda: bool(trace.resets(one)), 10, "the reset to begin")
    waiter.leave()
    runner.leave()
    bed.wait_until(lambda: [j["address"] for j in watcher.jobs()] == [one], 10, "the waiting job to go")
    assert watcher.jobs()[0]["phase"] == "resetting"
    bed.wait_until(lambda: watcher.jobs() == [], 30, "the running job to end")
    assert [(e.address, e.returned) for e in trace.resets()] == [(one, 0)], trace.events()
    results = [(e["PCIRESETD_DEVICE"], e["PCIRESETD_RESULT"]) for e in journal.entries("finished")]
    assert results == [(two, "Cancelled"), (one, "done")], results
    assert bed.reset_methods(one) in (["acpi", "pm", "bus"], ["acpi", "pm"])  # `bus` is never true of this card


@case("no_wait fails at once; a timeout ends a waiting job, and of a running one only the call", kernel=False)
def impatience(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    caller, trace = Caller(bed), bed.trace()
    slow(bed, 12)
    running = caller.reset_start(one, "acpi", timeout_usec=2_000_000)
    caller.wait_phase(one, "resetting")
    hasty = caller.reset_start(two, "pm", no_wait=True)
    error = hasty.error()
    assert error.name == NOT_USABLE and error.evidence["attempts"][0]["why"] == "busy", (error, error.evidence)
    short = caller.reset_start(two, "pm", timeout_usec=1_000_000)
    for pending, least in ((short, 1), (running, 2)):
        assert pending.error().name == "org.pciresetd1.Error.TimedOut"
        assert pending.done - pending.sent >= least, (pending.sent, pending.done)
    assert [(e.address, e.ended) for e in trace.resets()] == [(one, None)], trace.events()
    last = caller.reset_start(two, "pm")
    assert last.result()["verdict"] == "ok"
    first, second = trace.asked()
    assert (first.address, second.address) == (one, two) and first.ended <= second.time, trace.events()


# On a newer kernel locking.py shows that, and with the lock that such a kernel takes.
@case("a worker stuck for 20 s: other lanes and all reads go on", timeout=90, kernel=False)
def stuck(bed: Bed) -> None:
    address = bed.addr("slow2")
    caller, trace = Caller(bed), bed.trace()
    slow(bed, 20)
    stuck_one = caller.reset_start(address, "acpi")
    caller.wait_phase(address, "resetting")
    bed.wait_until(lambda: bool(trace.resets(address)), 10, "the reset to begin")
    reads = [("GetDevice", "s", [bed.addr("nic")]), ("GetMethods", "sa{sv}", [bed.addr("nic"), {}]),
             ("GetMethods", "sa{sv}", [address, {}]), ("Plan", "ssa{sv}", [address, "any", {}]), ("ListDevices", "", [])]
    reader = Caller(bed, "bob")
    while True:
        for member, signature, arguments in reads:
            reader.call(member, signature, arguments)
        for role, method in (("nic", "pm"), ("slow0", "pm"), ("virtio", "flr"), ("sw-nic1", "bus")):
            assert caller.reset(bed.addr(role), method)["verdict"] == "ok"
        if bed.guest.monotonic() > trace.resets(address)[0].time + 8:
            break
    assert not stuck_one.answered() and not trace.resets(address)[0].ended
    assert len([e for e in trace.resets() if e.address != address]) >= 4, trace.events()
    result = stuck_one.result()
    assert result["verdict"] == "ok" and result["duration_usec"] >= 20_000_000, result
