# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that do not answer, methods that fail, workers that die."""

import errno
import signal

from harness.bed import DEVICE, Bed, DBusError
from harness.caller import Caller, Pending
from harness.dead import DEAD, QUARANTINED, check_kept_away, cut_off, release
from harness.registry import case
from harness.rules import say
from harness.service import RUN, Journal, main_pid, start
from harness.topology import DEVICES
from harness.trace import KernelTrace

ERROR = "org.pciresetd1.Error."
FAILED, LEASED, IN_USE = ERROR + "ResetFailed", ERROR + "Leased", ERROR + "InUse"


def begin_slow(bed: Bed, caller: Caller, trace: KernelTrace, address: str, method: str = "acpi",
               seconds: float = 6) -> tuple[Pending, int]:
    """A reset that is inside the kernel; the call, and the worker's pid."""
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(seconds)
    pending = caller.reset_start(address, method)
    bed.wait_until(lambda: bool(trace.resets(address)), 10, "the reset to begin")
    return pending, int(trace.resets(address)[0].task.rsplit("-", 1)[1])


@case("a device that does not answer is DeviceDead at once, and no function reset is written")
def dead_before(bed: Bed) -> None:
    address, root = bed.addr("virtio"), Caller(bed, "root")
    listed = bed.reset_methods(address)
    trace, journal = bed.trace(), Journal(bed)
    cut_off(bed, "port-virtio")
    assert bed.config(address)[:4] == b"\xff" * 4
    # From the second one on it takes the right to reset what is in quarantine.
    for caller, method in ((Caller(bed), "flr"), (root, "pm"), (root, "function")):
        pending = caller.reset_start(address, method)
        error = pending.error()
        assert error.name == DEAD and address in error.text, error
        assert error.evidence["verdict"] == "dead" and error.evidence["method"] == "", error.evidence
        assert {a["outcome"] for a in error.evidence["attempts"]} == {"refused"}, error.evidence
        assert [c["result"] for c in error.evidence["checks"] if c["check"] == "answers"] == ["failed"], error.evidence
    assert trace.writes() == [], trace.events()
    assert bed.reset_methods(address) == listed
    finished = journal.entries("finished")
    assert {(e["PCIRESETD_RESULT"], e["PCIRESETD_VERDICT"], e["PRIORITY"]) for e in finished} == {("DeviceDead", "dead", "3")}
    check_kept_away(bed, Caller(bed), address)


@case("and when it answers again, a reset that proves it lets it out of quarantine, for which not everybody has the right")
def alive_again(bed: Bed) -> None:
    caller, root, address = Caller(bed), Caller(bed, "root"), bed.addr("virtio")
    if caller.property(address, "State") != "quarantined":
        root.call("Quarantine", "sa{sv}", ["smokes", {}], path=bed.device_path(address), interface=DEVICE)
    poison = bed.poison(address)
    assert caller.reset_refused(address, "flr").name == QUARANTINED
    assert bed.poisoned(poison) and caller.property(address, "State") == "quarantined"
    assert root.reset(address, "flr")["verdict"] == "ok"
    assert not bed.poisoned(poison)
    assert (caller.property(address, "State"), caller.property(address, "Quarantine")) == ("idle", {})
    assert caller.reset(address, "flr")["verdict"] == "ok"


@case("a device that dies in its reset is DeviceDead, whatever the kernel returned")
def dead_after(bed: Bed) -> None:
    address, caller, trace = bed.addr("slow2"), Caller(bed), bed.trace()
    bed.defer(lambda: release(bed, address))
    # The kernel looks anew at what it is told to list, and a dead device has no power states.
    bed.defer(lambda: bed.guest.poke(f"{bed.path('slow2')}/reset_method", "default"))
    pending, _ = begin_slow(bed, caller, trace, address)
    cut_off(bed, "port-slow2")
    error = pending.error()
    assert error.name == DEAD and address in error.text, error
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("acpi", 0)], trace.events()
    attempt, = error.evidence["attempts"]
    assert (attempt["method"], attempt["outcome"], attempt["verdict"]) == ("acpi", "done", "dead"), attempt
    assert attempt["reset_method"] == "reduced", attempt
    answers = [c for c in error.evidence["checks"] if c["check"] == "answers"]
    assert [(c["result"], c["before"], c["after"]) for c in answers] == [("failed", "answers", "all ones")], answers
    assert caller.methods(address)["acpi"]["proven"]["dead"] == 1


@case("a device that comes back changed is degraded, also after a further method that leaves it as it found it")
def degraded(bed: Bed) -> None:
    address, caller, trace = bed.addr("slow2"), Caller(bed), bed.trace()
    before = int(bed.guest.run(["setpci", "-s", address, "COMMAND"], check=True).stdout, 16)
    bed.defer(lambda: bed.guest.run(["setpci", "-s", address, f"COMMAND={before:04x}"], check=True))
    # What has never worked would be tried last.
    assert caller.reset(address, "acpi")["verdict"] == "ok"
    for method in ("acpi", "function"):
        trace.clear()
        pending, worker = begin_slow(bed, caller, trace, address, method)
        # It stops when the kernel lets go of it: after the reset, before it looks.
        bed.guest.run(["kill", f"-{signal.SIGSTOP}", str(worker)], check=True)
        bed.wait_until(lambda: trace.resets(address)[0].ended is not None, 10, "the reset to end")
        bed.guest.run("sleep 0.3")
        bed.guest.run(["setpci", "-s", address, f"COMMAND={before ^ 2:04x}"], check=True)
        bed.guest.run(["kill", f"-{signal.SIGCONT}", str(worker)], check=True)
        error = pending.error()
        assert error.name == FAILED and error.evidence["verdict"] == "degraded", (error, error.evidence)
        # The kernel saves what it finds before each method, and puts that back; it is held against what was there at first.
        bad, = [c for c in error.evidence["checks"] if c["result"] == "failed"]
        assert (bad["check"], bad["before"], bad["after"]) == ("command", f"0x{before:04x}", f"0x{before ^ 2:04x}"), bad
        tries = [(a["method"], a["outcome"], a["verdict"]) for a in error.evidence["attempts"]]
        assert tries == [(m, "done", "degraded") for m in (["acpi"] if method == "acpi" else ["acpi", "pm"])], tries
        assert [e.what for e in trace.resets(address)] == [m for m, _, _ in tries], trace.events()
        bed.guest.run(["setpci", "-s", address, f"COMMAND={before:04x}"], check=True)
        quarantine = caller.property(address, "Quarantine")
        assert quarantine["cause"] == "degraded" and quarantine["checks"][0]["check"] == "command", quarantine
        assert caller.reset_refused(address).name == QUARANTINED
        release(bed, address)


@case("a method that fails is told with its errno, the next one is tried only when that was asked for; and what has never "
      "worked is tried last from then on", fresh=True)
def fails(bed: Bed) -> None:
    address, caller, trace, journal = bed.addr("slow2"), Caller(bed), bed.trace(), Journal(bed)
    listed = bed.reset_methods(address)
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.fail_slow_reset()
    result = caller.reset(address, "any")
    assert [(a["method"], a["outcome"], a["errno"]) for a in result["attempts"]] == [
        ("acpi", "failed", errno.ENOTTY), ("pm", "done", 0)], result
    assert (result["method"], result["verdict"]) == ("pm", "ok"), result
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("acpi", -errno.ENOTTY), ("pm", 0)], trace.events()
    trace.clear()
    error = caller.reset_refused(address, "acpi")
    assert error.name == FAILED and address in error.text, error
    attempt, = error.evidence["attempts"]
    assert (attempt["outcome"], attempt["errno"], attempt["verdict"]) == ("failed", errno.ENOTTY, "unverified"), attempt
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("acpi", -errno.ENOTTY)], trace.events()
    assert journal.wait("finished", PCIRESETD_RESULT="ResetFailed")["ERRNO"] == str(errno.ENOTTY)
    trace.clear()
    # The kernel still lists it first.
    result = caller.reset(address, "any")
    assert [a["method"] for a in result["attempts"]] == ["pm"], result
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("pm", 0)], trace.events()
    assert bed.reset_methods(address) == listed and listed[0] == "acpi", listed
    proven = {name: facts["proven"] for name, facts in caller.methods(address).items()}
    assert (proven["acpi"]["failing"], proven["acpi"]["tries"], proven["pm"]["failing"]) == (True, 2, False), proven
    bed.set_slow_reset(0)
    assert caller.reset(address, "acpi")["verdict"] == "ok"
    assert caller.plan(address)[0]["method"] == "acpi" and not caller.methods(address)["acpi"]["proven"]["failing"]


@case("a worker that is killed in the middle: ResetFailed; all is put back and looked at before the next one begins")
def killed_worker(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    caller, trace, journal = Caller(bed), bed.trace(), Journal(bed)
    bed.defer(lambda: bed.guest.poke(f"{bed.path('slow0')}/reset_method", "default"))
    pending, worker = begin_slow(bed, caller, trace, one)
    bed.set_slow_reset(0)
    behind = caller.reset_start(two, "pm")
    caller.wait_phase(two, "queued")
    bed.guest.run(["kill", "-KILL", str(worker)], check=True)
    assert pending.error().name == FAILED
    assert behind.result()["verdict"] == "ok"
    first, second = trace.asked()
    assert (first.address, second.address) == (one, two) and first.ended <= second.time, trace.events()
    assert journal.entries("worker-failed"), journal.entries()
    # Before that somebody has put the list back, and has looked at the device.
    assert "it was: acpi pm" in journal.wait("left-behind", PCIRESETD_DEVICE=one)["MESSAGE"]
    # (`bus`, which the kernel listed at boot, it refuses for a card with several functions.)
    assert bed.reset_methods(one) == ["acpi", "pm"]
    back, = [e for e in trace.events() if (e.what, e.address) == ("reset_method", one) and e.value.split() == ["acpi", "pm"]]
    assert first.ended <= back.time <= second.time, trace.events()
    row, = [r for r in caller.call("GetHistory", "a{sv}", [{}]) if r["address"] == one]
    assert (row["outcome"], row["why"], row["verdict"]) == ("failed", "worker-died", "unverified"), row
    assert row["checks"][0]["check"] == "answers" and row["checks"][0]["result"] == "ok", row
    assert bed.guest.list(RUN) == ["next-id"], bed.guest.list(RUN)


@case("a worker that is killed while the host's driver is off, alone and with the daemon: the driver is back, and what was set",
      timeout=90)
def killed_without_driver(bed: Bed) -> None:
    address, root, trace = bed.addr("slow2"), Caller(bed, "root"), bed.trace()
    rule = root.call("SetPolicy", "sa{sv}a{sv}", [address, {"driver": ["s", "rebind"]}, {"runtime": ["b", True]}])
    bed.defer(lambda: Caller(bed, "root").call("UnsetPolicy", "sa{sv}", [rule, {}]))
    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, "e1000e")
    bed.wait_until(lambda: root.property(address, "Driver") == "e1000e", 10, "news of the driver")
    listed = bed.reset_methods(address)
    for with_daemon in (False, True):
        trace.clear()
        pending, worker = begin_slow(bed, root, trace, address, seconds=4)
        assert bed.driver(address) is None and bed.reset_methods(address) == ["acpi"]
        bed.guest.run(["kill", "-KILL", str(worker)] + [str(main_pid(bed))] * with_daemon, check=True)
        if with_daemon:
            start(bed)
            root = Caller(bed, "root")
        else:
            assert pending.error().name == FAILED
        bed.wait_until(lambda: root.jobs() == [], 30, "the job to end")
        assert (bed.driver(address), bed.attribute(address, "driver_override").strip()) == ("e1000e", "e1000e")
        assert bed.reset_methods(address) == listed and bed.guest.list(RUN) == ["next-id"]
        assert [e.returned for e in trace.resets(address)] == [0], trace.events()
        row = root.call("GetHistory", "a{sv}", [{"address": ["s", address], "limit": ["t", 1]}])[0]
        assert (row["outcome"], row["why"]) == ("failed", "worker-died"), row
        driver, = [c for c in row["checks"] if c["check"] == "driver"]
        assert (driver["result"], driver["after"]) == ("ok", "e1000e"), row
        bed.wait_until(lambda: root.property(address, "Driver") == "e1000e", 10, "the driver to be known again")


# Kills whoever has a job as soon as a device is gone.
KILL_BETWEEN = """
import glob, json, os, sys
print("ready .", flush=True)
while os.path.exists(sys.argv[1]):
    pass
for record in glob.glob("/run/pciresetd/jobs/*.json"):
    try:
        os.kill(json.load(open(record))["pid"], 9)
    except (FileNotFoundError, ProcessLookupError):
        pass
"""


@case("a worker that is killed while the device is removed: it is found again, with its driver, its settings and its lease",
      timeout=90)
def killed_without_device(bed: Bed) -> None:
    address, caller = bed.addr("nic2"), Caller(bed)
    bed.defer(lambda: bed.unbind(bed.addr("nic2")))
    bed.bind(address, "vfio-pci")
    bed.wait_until(lambda: caller.property(address, "Driver") == "vfio-pci", 10, "news of the driver")
    _, lease = caller.acquire(address)
    trace = bed.trace()
    # On a machine that is busy it may come too late.
    for _ in range(3):
        trace.clear()
        generation = caller.property(address, "Generation")
        killer = bed.guest.start(["python3", "-c", KILL_BETWEEN, f"/sys/bus/pci/devices/{address}"])
        killer.wait_output("ready .\n", 20)
        pending = caller.reset_start(address, "rescan")
        killer.wait(30)
        assert trace.removed() == [address], trace.events()
        if "error" in pending.answer():
            break
    error = pending.error()
    assert error.name == FAILED, error
    assert error.evidence["attempts"][0]["why"] == "worker-died", error.evidence
    assert (bed.driver(address), bed.attribute(address, "driver_override").strip()) == ("vfio-pci", "vfio-pci")
    bed.wait_until(lambda: caller.property(address, "Driver") == "vfio-pci", 10, "the driver to be known again")
    assert caller.property(address, "Generation") > generation and caller.property(address, "Lease") == lease
    assert caller.reset(address, "pm")["verdict"] == "ok"


def listed(caller: Caller) -> list[str]:
    return [row[0] for row in caller.call("ListDevices")]


@case("unplugged while its reset runs: DeviceDead once the kernel lets go of it; when it is back it has its lease, and is reset "
      "before anybody else gets it", timeout=120)
def unplugged_meanwhile(bed: Bed) -> None:
    address, alice, bob, root = bed.addr("slow2"), Caller(bed), Caller(bed, "bob"), Caller(bed, "root")
    bed.unbind(address)
    bed.wait_until(lambda: root.property(address, "Driver") == "", 10, "the driver to be gone")
    trace = bed.trace()
    # The removal waits for the device's lock, and comes before the worker's last look.
    say(root, bed, address, settle_usec=3_000_000, on_release="reset")
    descriptor, lease = alice.acquire(address)
    generation = alice.property(address, "Generation")
    pending, _ = begin_slow(bed, alice, trace, address, seconds=8)
    bed.machine.unplug("slow2", timeout=40)
    error = pending.error(40)
    assert error.name == DEAD and address in error.text and "has left the bus" in error.text, error
    asked, = trace.asked()
    assert asked.returned == 0 and pending.done >= asked.ended, (asked, pending.done)
    bed.wait_until(lambda: address not in listed(root), 10, "the device to go")
    assert root.jobs() == [] and lease in alice.leases()
    row = root.call("GetHistory", "a{sv}", [{"address": ["s", address]}])[0]
    assert (row["method"], row["outcome"], row["verdict"]) == ("acpi", "done", "dead"), row

    bed.set_slow_reset(0)
    bed.machine.plug_again("slow2")
    bed.wait_device("slow2")
    bed.wait_until(lambda: address in listed(root), 10, "the device to be back")
    bed.unbind(address)
    bed.wait_until(lambda: root.property(address, "Driver") == "", 10, "the driver to be gone")
    assert root.property(address, "Generation") != generation
    assert (root.property(address, "Lease"), root.property(address, "State")) == (lease, "idle")
    assert bob.acquire_start(address).error().name == LEASED
    trace.clear()
    alice.close(descriptor)
    given: list[str] = []

    def ask() -> bool:
        try:
            given.append(bob.acquire(address)[1])
        except DBusError as refused:
            assert refused.name in (LEASED, IN_USE), refused
        return bool(given)
    bed.wait_until(ask, 30, "the next user to get it")
    # By which method is the ladder's affair: the first one has not proved much.
    assert [e.returned for e in trace.resets(address)] == [0], trace.events()


@case("pulled out while its reset runs: DeviceDead, and in quarantine, also when it is plugged in again, as its serial number "
      "says; its lease stays", timeout=120)
def pulled_meanwhile(bed: Bed) -> None:
    address, alice, bob, root = bed.addr("slow2"), Caller(bed), Caller(bed, "bob"), Caller(bed, "root")
    bed.unbind(address)
    bed.wait_until(lambda: root.property(address, "Driver") == "", 10, "the driver to be gone")
    _, lease = alice.acquire(address)
    generation, trace = alice.property(address, "Generation"), bed.trace()
    pending, _ = begin_slow(bed, alice, trace, address, seconds=3)
    bed.machine.surprise_remove("slow2")
    error = pending.error(40)
    assert error.name == DEAD and address in error.text, error
    check_kept_away(bed, alice, address)
    assert root.property(address, "Quarantine")["known_by"] == "serial-number", root.property(address, "Quarantine")

    # QEMU's port does not see it go. Somebody switches its slot off before it is put in again.
    bed.guest.poke(f"/sys/bus/pci/slots/{DEVICES['port-slow2'].options['slot']}/power", "0")
    assert trace.removed() == [address], trace.events()
    bed.wait_until(lambda: address not in listed(root), 15, "the daemon to see that it is out")
    bed.set_slow_reset(0)
    bed.machine.plug_again("slow2")
    bed.wait_device("slow2")
    bed.wait_until(lambda: address in listed(root), 15, "the daemon to see that it is back")
    assert root.property(address, "Generation") != generation
    assert (root.property(address, "State"), root.property(address, "Lease")) == ("quarantined", lease)
    # The kernel lets its driver at what is plugged in, and that would be a reason of its own.
    bed.unbind(address)
    bed.wait_until(lambda: root.property(address, "Driver") == "", 10, "the driver to be gone")
    assert alice.reset_refused(address, "acpi").name == QUARANTINED
    assert bob.acquire_start(address).error().name in (LEASED, QUARANTINED)
