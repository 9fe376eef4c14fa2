# SPDX-License-Identifier: GPL-2.0-or-later
"""pcireset, from end to end: what it prints, its JSON, its exit status, on devices that are really reset."""

import json
from typing import Any

from harness.bed import Bed
from harness.caller import Caller
from harness.dead import release
from harness.guest import Result
from harness.registry import case
from harness.service import UNIT
from harness.sysfs import offered_by
from harness.trace import KernelTrace

OK, USAGE, DENIED, NO_DEVICE, NOT_USABLE, FAILED, DEAD, TIMED_OUT, CANCELLED, UNREACHABLE = 0, 2, 3, 4, 5, 6, 7, 8, 9, 10


def run(bed: Bed, user: str, *arguments: str, rc: int = OK) -> Result:
    result = bed.guest.run(["pcireset", *arguments], user=user, timeout=60)
    assert result.rc == rc, result
    if rc != OK and "--json" not in arguments:
        assert result.stderr.startswith("pcireset: ") and not result.stdout, result
    return result


def as_json(bed: Bed, user: str, *arguments: str, rc: int = OK) -> Any:
    return json.loads(run(bed, user, "--json", *arguments, rc=rc).stdout)


def short(address: str) -> str:
    return address.removeprefix("0000:")


def resets(trace: KernelTrace) -> list[tuple[str, str]]:
    done = [(e.what, e.address) for e in trace.resets()]
    trace.clear()
    return done


@case("list, show, methods and plan say what the bus says, as text and as JSON")
def looking(bed: Bed) -> None:
    caller, address = Caller(bed, "bob"), bed.addr("nic")
    rows = as_json(bed, "bob", "list")
    keys = ("address", "path", "driver", "state", "owner", "description")
    assert [[row[key] for key in keys] for row in rows] == caller.call("ListDevices")
    text = run(bed, "bob", "list").stdout.splitlines()
    assert len(text) == len(rows) + 1 and [line.split()[0] for line in text[1:]] == [row["address"] for row in rows]
    columns = {line.index(row["description"]) for line, row in zip(text[1:], rows)}
    assert len(columns) == 1, "the table is not aligned"
    shown = as_json(bed, "bob", "show", short(address))
    assert shown["properties"]["Address"] == address, shown
    assert [m["name"] for m in shown["methods"]] == offered_by(bed, "nic"), shown
    assert address in run(bed, "bob", "show", address.upper()).stdout
    methods = {m.pop("name"): m for m in as_json(bed, "bob", "methods", short(address))}
    assert methods == caller.methods(address), methods
    assert as_json(bed, "bob", "plan", address) == caller.call("Plan", "ssa{sv}", [address, "any", {}])
    assert as_json(bed, "bob", "plan", address, "link") == caller.call("Plan", "ssa{sv}", [address, "link", {}])
    assert "siblings" in run(bed, "bob", "methods", bed.addr("multi0")).stdout
    assert "org.pciresetd1.reset" in run(bed, "bob", "plan", address).stdout


@case("reset as alice: by method, alias, short address, as text and JSON; the kernel agrees")
def resetting(bed: Bed) -> None:
    address, trace = bed.addr("nic"), bed.trace()
    assert f"{address}: reset by pm" in run(bed, "alice", "reset", short(address)).stdout
    assert resets(trace) == [("pm", address)]
    poison = bed.poison(address)
    result = as_json(bed, "alice", "reset", address, "bus")
    assert (result["method"], result["verdict"]) == ("bus", "ok") and resets(trace) == [("bus", address)], result
    assert not bed.poisoned(poison)
    assert "bus" in run(bed, "alice", "reset", address, "link").stdout and resets(trace) == [("bus", address)]
    bed.fail_slow_reset()
    bed.defer(lambda: bed.set_slow_reset(0))
    slow = bed.addr("slow2")
    fell = run(bed, "alice", "reset", slow)
    assert "reset by pm" in fell.stdout and "acpi" in fell.stderr, fell
    assert resets(trace) == [("acpi", slow), ("pm", slow)]


@case("every failure has its exit status and says what to do next; nothing was written")
def failing(bed: Bed) -> None:
    address, trace = bed.addr("nic"), bed.trace()
    for arguments in (("reset",), ("reset", "zz"), ("reset", address, "a b"), ("frobnicate",), ("list", "x"),
                      ("reset", "--timeout=0", address), ("--no-such-option", "list"), ("cancel", "x"), ("list", "--in-use")):
        run(bed, "alice", *arguments, rc=USAGE)
    for mode in ((), ("--no-ask-password",)):
        denied = run(bed, "bob", *mode, "reset", address, "bus", rc=DENIED)
        assert address in denied.stderr and "polkit" in denied.stderr, denied
    error = as_json(bed, "bob", "reset", address, rc=DENIED)["error"]
    assert error["name"].startswith("org.freedesktop.DBus.Error.") and error["details"]["method"] == "", error
    for verb in ("show", "methods", "plan", "reset"):
        run(bed, "alice", verb, "ff:1f.7", rc=NO_DEVICE)
    run(bed, "alice", "cancel", "4000000", rc=NO_DEVICE)
    for arguments in ((bed.addr("multi0"), "bus"), (bed.addr("port-nic"),), (address, "flr"), (address, "warp")):
        run(bed, "alice", "reset", *arguments, rc=NOT_USABLE)
    assert trace.writes() == [], trace.events()
    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, "e1000e")
    used = run(bed, "alice", "reset", address, "pm", rc=NOT_USABLE)
    assert "in use" in used.stderr and "--in-use" in used.stderr, used
    assert trace.writes() == [], trace.events()
    run(bed, "bob", "--in-use", "reset", address, "pm", rc=DENIED)
    assert "reset by pm" in run(bed, "alice", "--in-use", "reset", address, "pm").stdout
    assert resets(trace) == [("pm", address)]


@case("failed and dead devices, jobs, cancel, timeout and Ctrl-C", timeout=120)
def waiting(bed: Bed) -> None:
    one, two, trace = bed.addr("slow0"), bed.addr("slow1"), bed.trace()
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.fail_slow_reset()
    run(bed, "alice", "reset", one, "acpi", rc=FAILED)
    port = bed.addr("port-virtio")
    before = bed.guest.run(["setpci", "-s", port, "SECONDARY_BUS.B"], check=True).stdout.strip()
    virtio = bed.addr("virtio")
    bed.guest.run(["setpci", "-s", port, "SECONDARY_BUS.B=0"], check=True)
    try:
        run(bed, "alice", "reset", virtio, "flr", rc=DEAD)
    finally:
        bed.guest.run(["setpci", "-s", port, f"SECONDARY_BUS.B={before}"], check=True)
        release(bed, virtio)
    trace.clear()
    bed.set_slow_reset(20)
    watcher = Caller(bed, "bob")
    running = bed.guest.start(["pcireset", "reset", one, "acpi"], user="alice")
    job = watcher.wait_phase(one, "resetting")

    def waiting_jobs() -> list[int]:
        return [j["id"] for j in watcher.jobs() if j["phase"] == "queued"]
    queued = bed.guest.start(["pcireset", "reset", two, "pm"], user="alice")
    bed.wait_until(lambda: len(waiting_jobs()) == 1, 15, "one to queue")
    interrupted = bed.guest.start(["pcireset", "reset", two, "pm"], user="alice")
    bed.wait_until(lambda: len(waiting_jobs()) == 2, 15, "another to queue")
    listed = as_json(bed, "bob", "jobs")
    assert {j["phase"] for j in listed if j["address"] == one} == {"resetting"}, listed
    text = run(bed, "bob", "jobs").stdout
    assert "resetting" in text and "queued" in text and "alice" in text, text
    interrupted.signal(2)
    assert interrupted.wait(15).rc == CANCELLED
    run(bed, "alice", "--timeout=2", "reset", two, "pm", rc=TIMED_OUT)
    bed.wait_until(lambda: len(waiting_jobs()) == 1, 15, "one to be left")
    waiting_one, = waiting_jobs()
    run(bed, "bob", "cancel", str(waiting_one), rc=DENIED)
    run(bed, "alice", "cancel", str(job["id"]), rc=NOT_USABLE)
    run(bed, "alice", "cancel", str(waiting_one))
    assert queued.wait(15).rc == CANCELLED
    assert trace.resets(one)[0].ended is None
    assert running.wait(30).rc == OK
    assert resets(trace) == [("acpi", one)]


@case("monitor shows a reset; without the daemon there is a status of its own")
def monitor(bed: Bed) -> None:
    address = bed.addr("nic")
    Caller(bed).call("ListDevices")
    text = bed.guest.start(["pcireset", "monitor"], user="bob")
    lines = bed.guest.start(["pcireset", "--json", "monitor"], user="bob")
    bed.defer(text.kill)
    bed.defer(lines.kill)

    def both_told() -> bool:
        # They do not say when they have begun to listen.
        run(bed, "alice", "reset", address, "pm")
        return address in text.stdout and "done" in text.stdout.lower() and "done" in lines.stdout.lower()
    bed.wait_until(both_told, 30, "the monitors to tell the end")
    whole = lines.stdout[:lines.stdout.rfind("\n") + 1].splitlines()
    assert whole and all(isinstance(json.loads(line), dict) for line in whole), lines.stdout
    bed.defer(lambda: bed.guest.run(f"systemctl unmask {UNIT}", check=True))
    bed.guest.run(f"systemctl mask --now {UNIT}", timeout=60, check=True)
    run(bed, "alice", "list", rc=UNREACHABLE)
    run(bed, "alice", "reset", address, rc=UNREACHABLE)
