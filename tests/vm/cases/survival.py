# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon and its workers are killed at random instants, again and again, while resets go on."""

import secrets

from harness.bed import Bed
from harness.cache import say
from harness.caller import Caller
from harness.guest import Process
from harness.registry import case
from harness.service import RUN, UNIT
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
    words = assassin.wait_output(" .\n", 360).split("killed")[-1].split()
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


@case("killed 100 times while resets go on, with some of its workers: no two that conflict overlap, each is in the history, "
      "and nothing is left", fresh=True, timeout=520)
def killed_many_times(bed: Bed) -> None:
    devices = {"slow0": "acpi", "slow1": "pm"}
    one, two = (bed.addr(role) for role in devices)
    kept = bed.addr("nic2")
    bed.unbind(kept)
    holder = bed.guest.start(["pcireset", "run", kept, "--", "sh", "-c", "echo $PCIRESET_LEASE .; sleep 900"], user="alice")
    bed.defer(lambda: bed.guest.run("pkill -u alice -x sleep"))
    lease = holder.wait_output(".\n", 30).split()[0]
    listed = {address: bed.reset_methods(address) for address in (one, two)}
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(0.1)

    trace = kill_many(bed, 100, 4, devices)
    caller = Caller(bed)
    bed.wait_until(lambda: caller.jobs() == [], 30, "the last jobs to end")
    events = trace.asked()
    assert len(events) > 30, f"only {len(events)} resets"
    check_no_overlap(events, [one, two])
    assert {address: bed.reset_methods(address) for address in listed} == listed
    assert {caller.property(address, "State") for address in listed} == {"idle"}
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
