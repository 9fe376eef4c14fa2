# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon stops, starts, crashes and misses events, while resets run."""

from harness.bed import Bed
from harness.caller import Caller
from harness.guest import GuestTimeout
from harness.registry import case
from harness.service import RUN, UNIT, Journal, held, main_pid, restart, start
from harness.sysfs import check_sysfs, names
from harness.trace import KernelTrace


def begin_slow(bed: Bed, role: str, trace: KernelTrace, seconds: float) -> tuple[Caller, dict, float]:
    """A reset inside the kernel: its caller, its job, and when it began."""
    address, caller = bed.addr(role), Caller(bed)
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(seconds)
    caller.reset_start(address, "acpi")
    job = caller.wait_phase(address, "resetting")
    bed.wait_until(lambda: bool(trace.resets(address)), 10, "the reset to begin")
    return caller, job, trace.resets(address)[0].time


def worker_runs(bed: Bed) -> bool:
    return bed.guest.run(["pgrep", "-x", "pcireset-worker"[:15]]).rc == 0


def wait_ended(bed: Bed, trace: KernelTrace, address: str, timeout: float = 40) -> float:
    bed.wait_until(lambda: trace.resets(address)[0].ended is not None, timeout, "the reset to end")
    return trace.resets(address)[0].ended or 0.0


def lose_events(bed: Bed, spared: list[str]) -> None:
    """More uevents than the daemon's socket holds; not of `spared`, whose uevent cannot be read now."""
    script = """
        dropped() { awk -v pid=$PID '$2 == 15 && $3 == pid && $9 > 0 { found = 1 } END { exit !found }' /proc/net/netlink; }
        i=0; until dropped; do i=$((i + 1)); [ $i -lt 60 ] || exit 1
            for device in /sys/bus/pci/devices/*; do
                case " $SPARED " in *" ${device##*/} "*) ;; *) echo change >$device/uevent;; esac
            done
            udevadm settle --timeout=20
        done"""
    env = {"SPARED": " ".join(spared), "PID": str(main_pid(bed))}
    bed.guest.run(["sh", "-c", script], env=env, timeout=40, check=True)


# So many uevents, of these devices in turn.
WRITE_CHANGES = """
import os, sys
files = [os.open(f"/sys/bus/pci/devices/{address}/uevent", os.O_WRONLY) for address in sys.argv[2:]]
for n in range(int(sys.argv[1])):
    os.pwrite(files[n % len(files)], b"change", 0)
print("written .")
"""


def drops(bed: Bed) -> int:
    """How many events the kernel has dropped because the daemon's socket was full."""
    pid = main_pid(bed)
    rows = [line.split() for line in bed.guest.read_text("/proc/net/netlink").splitlines()[1:]]
    return sum(int(row[8]) for row in rows if (row[1], row[2]) == ("15", str(pid)))


def forget_events(bed: Bed) -> None:
    """What udev has not yet passed on will never be: it would take minutes."""
    units = "systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udevd.service"
    bed.guest.run(f"systemctl stop {units} 2>&1; systemctl start {units}", timeout=60, check=True)


def wait_quiet(bed: Bed) -> None:
    """Until the daemon has used no processor for half a second."""
    script = "used() { cut -d' ' -f14,15 /proc/$0/stat; }; before=$(used); sleep 0.5; [ \"$(used)\" = \"$before\" ]"
    bed.wait_until(lambda: bed.guest.run(["sh", "-c", script, str(main_pid(bed))]).rc == 0, 20, "the daemon to be quiet")


def read_all(bed: Bed, busy: list[str]) -> None:
    """Many reads, about devices in a reset and others. Who calls this looks whether that reset still runs."""
    reader = Caller(bed, "bob")
    for address in [*busy, bed.addr("nic"), bed.addr("sw-nic0")]:
        for member, signature, arguments in (("GetDevice", "s", [address]), ("GetMethods", "sa{sv}", [address, {}]),
                                             ("Plan", "ssa{sv}", [address, "any", {}]), ("ListDevices", "", [])):
            reader.start(member, signature, arguments).result(20)


@case("restarted during a reset of 20 s: the job is known, its lane is taken, its result is not lost", timeout=120)
def restarted(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    trace, journal = bed.trace(), Journal(bed)
    first, job, began = begin_slow(bed, "slow0", trace, 20)
    bed.set_slow_reset(0)
    try:
        bed.guest.read(f"{bed.path('slow0')}/uevent", timeout=1.0)
    except GuestTimeout:
        pass
    else:
        raise AssertionError("uevent can be read: this kernel proves nothing")
    restart(bed)
    caller = Caller(bed)
    listed, = caller.jobs()
    assert {k: listed[k] for k in ("id", "address", "method", "phase", "uid")} == {
        "id": job["id"], "address": one, "method": "acpi", "phase": "resetting", "uid": 1001}, listed
    assert caller.property(one, "State") == "resetting"
    assert journal.wait("adopted")["PCIRESETD_JOB"] == str(job["id"])
    assert first.lines()[-1].get("error", "").startswith("org.freedesktop.DBus.Error.NoReply"), first.lines()[-1]
    behind = caller.reset_start(two, "pm")
    caller.wait_phase(two, "queued")
    read_all(bed, [one, two])
    assert caller.reset(bed.addr("nic"), "pm")["verdict"] == "ok"
    assert trace.resets(one)[0].ended is None and not behind.answered()
    result = behind.result()
    ended = trace.asked(one)[0].ended
    assert ended and ended - began >= 20 and ended <= trace.asked(two)[0].time, trace.events()
    assert result["verdict"] == "ok" and result["job"] > job["id"], result
    finished = journal.wait("finished", PCIRESETD_JOB=str(job["id"]))
    assert (finished["PCIRESETD_RESULT"], finished["PCIRESETD_VERDICT"]) == ("done", "ok"), finished
    last = caller.property(one, "LastReset")
    assert (last["job"], last["verdict"]) == (job["id"], "ok"), last
    assert bed.reset_methods(one)[0] == "acpi" and len(bed.reset_methods(one)) > 1
    assert bed.guest.list(RUN) == ["next-id"], bed.guest.list(RUN)


@case("events lost during a reset of 24 s: said in the journal, all read again, and nobody waits", timeout=150)
def overflow(bed: Bed) -> None:
    address, reader, called = bed.addr("slow2"), Caller(bed, "bob"), names(bed)
    gone, bound = bed.addr("conv1"), bed.addr("nic2")
    # Less room for events than usual, so that the reset does not have to be even longer.
    room = bed.guest.read_text("/proc/sys/net/core/rmem_max")
    bed.defer(lambda: bed.guest.poke("/proc/sys/net/core/rmem_max", room))
    bed.guest.poke("/proc/sys/net/core/rmem_max", "32768")
    restart(bed)
    reader.call("ListDevices")
    reader.listen()
    bed.guest.run("modprobe pci-stub", check=True)
    bed.defer(lambda: bed.guest.poke("/sys/bus/pci/rescan", "1"))
    bed.defer(lambda: bed.unbind(bound))
    trace, journal = bed.trace(), Journal(bed)
    _, _, began = begin_slow(bed, "slow2", trace, 24)
    with held(bed, UNIT):
        lose_events(bed, [address])
        # These come when there is no room any more.
        bed.bind(bound, "pci-stub")
        bed.guest.poke(f"/sys/bus/pci/devices/{gone}/remove", "1")
        bed.guest.run("udevadm settle --timeout=5")
    journal.wait("events-lost")
    assert reader.call("GetDevice", "s", [bound])
    assert trace.resets(address)[0].ended is None, "the reset was over before the events had been lost"
    called.pop(gone)
    check_sysfs(bed, reader, called, {address: "resetting"})
    read_all(bed, [address])
    assert trace.resets(address)[0].ended is None, f"all that took more than {bed.guest.monotonic() - began:.0f} s"
    assert reader.property(bound, "Driver") == "pci-stub"
    assert [s.arguments[0] for s in reader.signals("InterfacesRemoved")] == [bed.device_path(gone)]
    wait_ended(bed, trace, address)
    bed.wait_until(lambda: reader.property(address, "State") == "idle", 10, "the job to end")


@case("stopped while 50,000 events are made, among them real changes: what was lost is said, and all is as sysfs has it", timeout=240)
def flooded(bed: Bed) -> None:
    reader, journal = Caller(bed, "bob"), Journal(bed)
    bound, freed, gone, replaced = (bed.addr(role) for role in ("nic2", "nic", "conv1", "conv0"))
    others = [bed.addr(role) for role in ("multi0", "multi1", "slow0", "slow1", "slow2", "sw-nic0", "sw-nic1", "virtio")]
    bed.guest.run("modprobe pci-stub", check=True)
    bed.bind(freed, "pci-stub")
    bed.defer(lambda: [bed.unbind(address) for address in (bound, freed)])
    bed.wait_until(lambda: reader.property(freed, "Driver") == "pci-stub", 10, "the driver to be known")
    generation = reader.property(replaced, "Generation")
    reader.listen()
    bed.defer(lambda: bed.guest.poke("/sys/bus/pci/rescan", "1"))
    bed.defer(lambda: forget_events(bed))
    with held(bed, UNIT):
        writer = bed.guest.start(["python3", "-c", WRITE_CHANGES, "50000", *others])
        bed.wait_until(lambda: drops(bed) > 0, 40, "events to be dropped")
        # There is no room for these.
        bed.bind(bound, "pci-stub")
        bed.unbind(freed)
        for address in (gone, replaced):
            bed.guest.poke(f"/sys/bus/pci/devices/{address}/remove", "1")
        bed.guest.poke("/sys/bus/pci/rescan", "1")
        bed.guest.poke(f"/sys/bus/pci/devices/{gone}/remove", "1")
        bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
        bed.wait_until(lambda: bed.present("guest0"), 20, "the device to be plugged in")
        new = bed.addr("guest0")
        writer.wait_output("written .\n", 120)
        forget_events(bed)
    journal.wait("events-lost", 30)
    wait_quiet(bed)
    check_sysfs(bed, reader)
    assert (reader.property(bound, "Driver"), reader.property(freed, "Driver")) == ("pci-stub", "")
    assert reader.property(replaced, "Generation") > generation
    told = {kind: {s.arguments[0] for s in reader.signals(kind)} for kind in ("InterfacesAdded", "InterfacesRemoved")}
    assert bed.device_path(gone) in told["InterfacesRemoved"] - told["InterfacesAdded"], told
    assert {bed.device_path(address) for address in (new, replaced)} <= told["InterfacesAdded"], told
    # And it hears what comes now.
    bed.machine.unplug("guest0")
    bed.wait_until(lambda: new not in [row[0] for row in reader.call("ListDevices")], 20, "the device to go")


@case("stopped during a reset of 20 s: at once; the worker goes on, and the next daemon knows how it ended", timeout=120)
def stopped(bed: Bed) -> None:
    address = bed.addr("slow2")
    listed, trace, journal = bed.reset_methods(address), bed.trace(), Journal(bed)
    _, job, began = begin_slow(bed, "slow2", trace, 20)
    bed.guest.run(f"systemctl stop {UNIT}", timeout=40, check=True)
    assert trace.resets(address)[0].ended is None, "systemctl stop waited for the reset"
    state = bed.guest.run(f"systemctl show -P ActiveState -P Result {UNIT}").stdout.split()
    assert set(state) == {"inactive", "success"}, state
    assert trace.resets(address)[0].ended is None and worker_runs(bed)
    assert bed.reset_methods(address) == ["acpi"]
    ended = wait_ended(bed, trace, address)
    assert ended - began >= 20
    bed.wait_until(lambda: not worker_runs(bed), 10, "the worker to end")
    assert bed.reset_methods(address) == listed
    assert f"{job['id']}.json" in bed.guest.list(RUN), bed.guest.list(RUN)
    assert main_pid(bed) == 0
    start(bed)
    left = journal.wait("left-behind", PCIRESETD_JOB=str(job["id"]))
    assert (left["PCIRESETD_VERDICT"], left["PCIRESETD_DEVICE"], left["PCIRESETD_METHOD"]) == ("ok", address, "acpi"), left
    caller = Caller(bed)
    assert caller.jobs() == []
    assert bed.guest.list(RUN) == ["next-id"], bed.guest.list(RUN)
    assert caller.reset(address, "pm")["job"] > job["id"]


@case("killed during a reset: started again by systemd, which leaves the worker alone")
def crashed(bed: Bed) -> None:
    address = bed.addr("slow2")
    trace, journal = bed.trace(), Journal(bed)
    _, job, _ = begin_slow(bed, "slow2", trace, 12)
    before = main_pid(bed)
    bed.guest.run(f"kill -KILL {before}", check=True)
    bed.wait_until(lambda: main_pid(bed) not in (0, before), 10, "a new daemon")
    caller = Caller(bed)
    assert [j["id"] for j in caller.jobs()] == [job["id"]]
    assert trace.resets(address)[0].ended is None
    bed.wait_until(lambda: caller.jobs() == [], 30, "the job to end")
    assert journal.entries("finished")[-1]["PCIRESETD_RESULT"] == "done"
    assert trace.resets(address)[0].returned == 0 and len(trace.resets(address)) == 1
    assert bed.guest.list(RUN) == ["next-id"]


@case("the journal tells the whole story with fields, and the catalog explains it")
def journal_entries(bed: Bed) -> None:
    alice, bob, address, journal = Caller(bed), Caller(bed, "bob"), bed.addr("nic"), Journal(bed)
    result = alice.reset(address, "pm")
    bob.reset_refused(address, "bus")
    story = [(kind, e) for kind in ("requested", "authorized", "started", "finished", "denied") for e in journal.entries(kind)]
    assert [(kind, e["PCIRESETD_UID"]) for kind, e in story] == [
        ("requested", "1001"), ("requested", "1002"), ("authorized", "1001"), ("started", "1001"), ("finished", "1001"),
        ("finished", "1002"), ("denied", "1002")], story
    assert all(e["PCIRESETD_DEVICE"] == address and e["_SYSTEMD_UNIT"] == UNIT for _, e in story), story
    assert all(e["PCIRESETD_JOB"] == str(result["job"]) for _, e in story if e["PCIRESETD_UID"] == "1001"), story
    fields = {kind: e for kind, e in story}
    assert fields["denied"]["PCIRESETD_ACTION"] == "org.pciresetd1.reset"
    assert fields["started"]["PCIRESETD_METHOD"] == "pm"
    assert (fields["finished"]["PCIRESETD_RESULT"], fields["finished"]["PCIRESETD_METHOD"]) == (
        "InteractiveAuthorizationRequired", "")
    text = journal.explained()
    for subject in ("requested", "authorized", "denied", "is being reset", "ended: done"):
        assert f"PCI device {address} {subject}" in text, (subject, text)
    assert "Documentation: man:pciresetd(8)" in text and "An administrator can allow it" in text
