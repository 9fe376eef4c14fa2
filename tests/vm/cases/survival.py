# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon survives: the bus, the journal, the clock, a suspend; and being killed again and again."""

import secrets
from typing import Any

from harness.bed import Bed
from harness.cache import say
from harness.caller import Caller, Pending
from harness.guest import Process
from harness.registry import case
from harness.service import RUN, UNIT, held, main_pid, restart
from harness.sysfs import check_sysfs
from harness.trace import Event, KernelTrace

GO_ON = "/run/bed-go-on"
DROP_IN = f"/run/systemd/system/{UNIT}.d/survival.conf"


def start_again_at_once(bed: Bed) -> None:
    """Without systemd's patience, which is not what is looked at here."""
    bed.guest.run(f"mkdir -p {DROP_IN.rsplit('/', 1)[0]}", check=True)
    bed.guest.write(DROP_IN, "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=20ms\n")
    bed.guest.run("systemctl daemon-reload", check=True)
    bed.defer(lambda: bed.guest.run(f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl reset-failed {UNIT}; systemctl start {UNIT}"))


def reset_on_and_on(bed: Bed, address: str, method: str) -> Process:
    """Somebody who does not care why a call came to nothing."""
    script = f"while [ -e {GO_ON} ]; do pcireset reset {address} {method} >/dev/null 2>&1 </dev/null; done; echo over ."
    return bed.guest.start(["sh", "-c", script], user="alice")


def kill_many(bed: Bed, times: int, one_in: int, devices: dict[str, str]) -> KernelTrace:
    seed = secrets.randbelow(1 << 31)
    say(f"seed of the kills: {seed}")
    start_again_at_once(bed)
    bed.guest.write("/run/bed-assassin.py", open(__file__.replace("cases/survival.py", "guest/assassin.py"), "rb").read())
    bed.guest.write(GO_ON, "")
    bed.defer(lambda: bed.guest.run(f"rm -f {GO_ON}"))
    trace = bed.trace()
    loops = [reset_on_and_on(bed, bed.addr(role), method) for role, method in devices.items()]
    assassin = bed.guest.start(["python3", "/run/bed-assassin.py", str(times), str(seed), str(one_in)])
    words = assassin.wait_output(" .\n", 470).split("killed")[-1].split()
    bed.guest.run(f"rm -f {GO_ON}", check=True)
    for loop in loops:
        loop.wait_output("over .\n", 60)
    assert int(words[0]) >= times and (not one_in or int(words[1]) > 0), f"seed {seed}: {assassin.stdout}"
    return trace


def check_no_overlap(events: list[Event], devices: list[str]) -> None:
    """From the moment at which the kernel was asked to until it had answered: of all these devices one after the other."""
    spans = sorted((e.time, e.ended, e.address) for e in events if e.address in devices)
    assert all(ended is not None for _, ended, _ in spans), spans
    for before, after in zip(spans, spans[1:]):
        assert before[1] is not None and before[1] <= after[0], f"{before} and {after} overlap"


def begin_slow(bed: Bed, trace: KernelTrace, seconds: float) -> tuple[str, Caller, Pending]:
    """A reset inside the kernel."""
    address, caller = bed.addr("slow2"), Caller(bed)
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(seconds)
    pending = caller.reset_start(address, "acpi")
    bed.wait_until(lambda: bool(trace.resets(address)), 10, "the reset to begin")
    return address, caller, pending


def newest_row(caller: Caller, address: str) -> dict[str, Any]:
    return caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "limit": ["t", 1]}])[0]


@case("the bus is killed during a reset: the daemon comes back with the bus, and knows the reset, how it ended, and the leases", timeout=120)
def bus_killed(bed: Bed) -> None:
    trace, before, kept = bed.trace(), main_pid(bed), bed.addr("nic2")
    bed.unbind(kept)
    holder = bed.guest.start(["pcireset", "run", kept, "--", "sh", "-c", "echo $PCIRESET_LEASE .; sleep 900"], user="alice")
    bed.defer(lambda: bed.guest.run("pkill -u alice -x sleep"))
    lease = holder.wait_output(".\n", 30).split()[0]
    listed = bed.reset_methods(bed.addr("slow2"))
    address, _, _ = begin_slow(bed, trace, 8)
    bed.guest.run("systemctl kill -s KILL dbus.service", check=True)
    bed.wait_until(lambda: main_pid(bed) not in (0, before), 40, "a new daemon")
    bed.guest.run(f"systemctl start polkit {UNIT}", timeout=60, check=True)
    caller = Caller(bed)
    bed.wait_until(lambda: caller.jobs() == [], 40, "the job to end")
    reset, = trace.resets(address)
    assert reset.returned == 0, reset
    row = newest_row(caller, address)
    assert (row["method"], row["outcome"], row["verdict"], row["uid"]) == ("acpi", "done", "ok", 1001), row
    assert bed.reset_methods(address) == listed
    assert caller.reset(address, "pm")["verdict"] == "ok"
    # Whoever has a lease needs no bus to keep it.
    assert set(caller.leases()) == {lease} and caller.property(kept, "Lease") == lease
    bed.guest.run("pkill -u alice -x sleep", check=True)
    bed.wait_until(lambda: caller.leases() == {}, 20, "the lease to end")


@case("without a journal, and with one that is stopped, resets go on as before, and the daemon starts", timeout=120)
def no_journal(bed: Bed) -> None:
    caller, address = Caller(bed), bed.addr("slow2")
    with held(bed, "systemd-journald.service"):
        assert caller.reset(address, "pm")["verdict"] == "ok"
    sockets = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket"
    bed.defer(lambda: bed.guest.run(f"systemctl start {sockets} systemd-journald.service", timeout=40))
    bed.guest.run(f"systemctl stop {sockets} systemd-journald.service", timeout=40)
    assert caller.reset(address, "pm")["verdict"] == "ok"
    restart(bed)
    assert Caller(bed).reset(address, "pm")["verdict"] == "ok"
    assert "active" not in bed.guest.run(f"systemctl is-active {sockets} systemd-journald.service").stdout.split()


@case("the clock jumps by years during a reset, and back: only what tells the time shows it")
def clock_jumps(bed: Bed) -> None:
    trace = bed.trace()
    address, caller, pending = begin_slow(bed, trace, 4)
    bed.defer(bed.guest.set_clock)
    bed.guest.run("date -s '+10 years'", check=True)
    result = pending.result(40)
    assert result["verdict"] == "ok" and 4e6 <= result["duration_usec"] < 60e6, result
    later = newest_row(caller, address)
    bed.guest.run("date -s '-20 years'", check=True)
    result = caller.reset(address, "pm")
    assert result["verdict"] == "ok", result
    rows = caller.call("GetHistory", "a{sv}", [{"address": ["s", address]}])
    assert {later["id"], result["history_id"]} <= {row["id"] for row in rows}, rows
    assert caller.jobs() == [] and caller.property(address, "State") == "idle"


@case("a suspend in the middle of a reset waits for the kernel, and then for nobody; awake again all is as if nothing had been", timeout=120)
def suspended(bed: Bed) -> None:
    trace = bed.trace()
    bed.defer(lambda: bed.guest.run("echo none >/sys/power/pm_test"))
    # Everything but the machine itself falls asleep, for a second.
    bed.guest.run("echo devices >/sys/power/pm_test; echo 1 >/sys/module/suspend/parameters/pm_test_delay", check=True)
    address, caller, pending = begin_slow(bed, trace, 4)
    mark = bed.mark()
    bed.guest.run("echo freeze >/sys/power/state", timeout=60)
    log = bed.kernel_log_since(mark)
    assert "Freezing user space processes" in log and "suspend debug: Waiting for 1 second" in log, log
    result = pending.result(60)
    assert result["verdict"] == "ok", result
    assert [e.returned for e in trace.resets(address)] == [0]
    assert caller.jobs() == [] and caller.reset(address, "pm")["verdict"] == "ok"
    check_sysfs(bed, caller)


@case("killed 100 times while resets go on, with some of its workers: no two that conflict overlap, each is in the history, "
      "and nothing is left", fresh=True, timeout=600, beside=True)
def killed_many_times(bed: Bed) -> None:
    devices = {"slow0": "acpi", "slow1": "pm"}
    one, two = (bed.addr(role) for role in devices)
    kept = bed.addr("nic2")
    bed.unbind(kept)
    holder = bed.guest.start(["pcireset", "run", kept, "--", "sh", "-c", "echo $PCIRESET_LEASE .; sleep 900"], user="alice")
    bed.defer(lambda: bed.guest.run("pkill -u alice -x sleep"))
    lease = holder.wait_output(".\n", 30).split()[0]
    # What the kernel listed at boot and would refuse now is not put back.
    for role, method in devices.items():
        assert Caller(bed).reset(bed.addr(role), method)["verdict"] == "ok"
    listed = {address: bed.reset_methods(address) for address in (one, two)}
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(0.1)

    trace = kill_many(bed, 100, 4, devices)
    caller = Caller(bed)
    bed.wait_until(lambda: caller.jobs() == [], 30, "the last jobs to end")
    events = trace.asked()
    assert len(events) > 10, f"only {len(events)} resets"
    check_no_overlap(events, [one, two])
    assert {address: bed.reset_methods(address) for address in listed} == listed
    assert {caller.property(address, "State") for address in listed} == {"idle"}
    # A worker that has found its daemon gone has left a word for the next one.
    restart(bed)
    bed.wait_until(lambda: bed.guest.list(RUN) == ["next-id"], 20, "the records to go")
    assert set(caller.leases()) == {lease}, caller.leases()
    for address in listed:
        asked = [e for e in events if e.address == address]
        rows = [row for row in caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "limit": ["t", 1000]}])
                if row["written"]]
        assert len(rows) >= len(asked), f"{address}: {len(asked)} resets, and {len(rows)} rows"
    bed.guest.run("pkill -u alice -x sleep", check=True)
    bed.wait_until(lambda: caller.leases() == {}, 20, "the lease to end")
    assert caller.reset(one, "pm")["verdict"] == "ok"
