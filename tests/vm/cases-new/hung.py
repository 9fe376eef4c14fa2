# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that the kernel never lets go of.

Before a function reset a newer igbvf waits for something that only an
interface which is up would bring about: with the interface down it waits for
ever, and the worker with it, whatever signal it gets.
"""

import signal

from harness.bed import DEVICES, Bed
from harness.caller import Caller, Pending
from harness.registry import case
from harness.service import UNIT, main_pid, start
from harness.trace import Event, KernelTrace

ERROR = "org.pciresetd1.Error."
PEER = "org.freedesktop.DBus.Peer"
SHUTDOWN = "/run/systemd/system.conf.d/hung.conf"


def make_stuck(bed: Bed, caller: Caller) -> str:
    """A virtual function with its driver and with its interface down. Nothing of it can be taken back later."""
    physical = bed.addr("igb2")
    bed.bind(physical, "igb")
    bed.guest.poke(f"{DEVICES}/{physical}/sriov_drivers_autoprobe", "0")
    bed.guest.poke(f"{DEVICES}/{physical}/sriov_numvfs", "1")
    stuck = bed.guest.readlink(f"{DEVICES}/{physical}/virtfn0").rsplit("/", 1)[1]
    bed.bind(stuck, "igbvf")
    bed.wait_until(lambda: stuck in [row[0] for row in caller.call("ListDevices")] and
                   caller.property(stuck, "Driver") == "igbvf", 15, "the virtual function and its driver to be known")
    name, = bed.guest.list(f"{DEVICES}/{stuck}/net")
    assert not int(bed.attribute(stuck, f"net/{name}/flags"), 16) & 1, "the interface is up"
    return stuck


def begin(bed: Bed, caller: Caller, trace: KernelTrace, stuck: str) -> tuple[Pending, Event]:
    """A reset of it, of which the kernel was asked."""
    call = caller.reset_start(stuck, "flr", timeout_usec=30_000_000)
    bed.wait_until(lambda: bool(trace.asked(stuck)), 25, "the kernel to be asked")
    asked, = trace.asked(stuck)
    return call, asked


def check_hangs(bed: Bed, worker: int) -> None:
    """It sleeps in the kernel's reset, in a way in which no signal reaches it: the one that ends all others is pending. The
    kernel wakes it now and then, to let it sleep again."""
    proc = f"/proc/{worker}"

    def hangs() -> bool:
        state = bed.guest.read_text(f"{proc}/stat").rsplit(")", 1)[1].split()[0]
        pending = [int(line.split()[1], 16) for line in bed.guest.read_text(f"{proc}/status").splitlines()
                   if line.startswith(("SigPnd:", "ShdPnd:"))]
        return (state == "D" and "pci_reset_function" in bed.guest.read_text(f"{proc}/stack") and
                any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending))
    bed.wait_until(hangs, 15, "the worker to be seen asleep in the kernel, with SIGKILL pending")


def check_others(bed: Bed, caller: Caller, trace: KernelTrace, stuck: str) -> dict[str, object]:
    """All else goes on; returns the job that does not."""
    trace_before = len(trace.resets())
    for role, method in (("nic", "pm"), ("virtio", "flr"), ("sw-nic1", "bus")):
        assert caller.reset(bed.addr(role), method)["verdict"] == "ok"
    assert all(e.returned == 0 for e in trace.resets()[trace_before:] if e.address != stuck), trace.events()
    assert len(trace.resets()) >= trace_before + 3, trace.events()
    for member, signature, arguments in (("ListDevices", "", []), ("GetDevice", "s", [stuck]),
                                         ("GetMethods", "sa{sv}", [stuck, {}]), ("Plan", "ssa{sv}", [stuck, "any", {}])):
        caller.call(member, signature, arguments)
    caller.call("Ping", interface=PEER)
    assert caller.property(stuck, "State") == "resetting"
    job, = caller.jobs()
    assert (job["address"], job["phase"], job["method"]) == (stuck, "resetting", "flr"), job
    return job


def check_shut(bed: Bed, caller: Caller, trace: KernelTrace, stuck: str) -> None:
    """The lane stays taken: nobody gets in, neither the device itself nor the one whose reset would take it along, and who
    waits does so in vain."""
    job, = caller.jobs()
    in_the_way = f"(job {job['id']}, flr of {stuck})"
    for address in (stuck, bed.addr("igb2")):
        error = caller.reset_refused(address, "flr", no_wait=True, in_use=True)
        assert error.name == ERROR + "NotUsable" and error.evidence["attempts"][0]["why"] == "busy", (error, error.evidence)
        assert error.text.startswith(address) and in_the_way in error.text, error
    error = caller.reset_refused(stuck, "flr", timeout_usec=5_000_000)
    assert error.name == ERROR + "TimedOut" and "Nothing was written" in error.text and in_the_way in error.text, error
    asked, = trace.asked(stuck, bed.addr("igb2"))
    assert asked.address == stuck and asked.ended is None, trace.events()


def shut_down(bed: Bed) -> None:
    """Of the kernel's own part nobody can say whether it ends: it waits for the device's lock. All before it is over, and
    that has its end on the console. Nobody waits as long for processes that do not end as a real machine does."""
    bed.guest.run(f"mkdir -p {SHUTDOWN.rsplit('/', 1)[0]}", check=True)
    bed.guest.write(SHUTDOWN, "[Manager]\nDefaultTimeoutStopSec=5s\n")
    bed.guest.run("systemctl daemon-reload && dmesg -n 8", timeout=60, check=True)
    bed.guest.start("systemctl reboot")
    bed.wait_until(lambda: "systemd-shutdown[1]: Rebooting" in bed.machine.serial_text(), 240, "all but the kernel to be over")
    bed.lose_power()


@case("a worker that hangs in the kernel for ever: its call ends, its lane stays taken, the others go on, the service stops and "
      "starts, and the machine shuts down up to its kernel", fresh=True, timeout=420, beside=True)
def hung(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    stuck = make_stuck(bed, caller)
    call, asked = begin(bed, caller, trace, stuck)
    worker = int(asked.task.rsplit("-", 1)[1])
    bed.guest.run(f"kill -KILL {worker}", check=True)
    check_hangs(bed, worker)
    job = check_others(bed, caller, trace, stuck)
    error = call.error()
    assert error.name == ERROR + "TimedOut" and stuck in error.text and "goes on" in error.text, error
    check_shut(bed, caller, trace, stuck)

    before = main_pid(bed)
    bed.guest.run(f"systemctl stop {UNIT}", timeout=60, check=True)
    assert main_pid(bed) == 0
    assert bed.guest.run(f"systemctl show -P Result {UNIT}", check=True).stdout.strip() == "success"
    check_hangs(bed, worker)
    start(bed)
    assert main_pid(bed) not in (0, before)
    caller = Caller(bed)
    again = check_others(bed, caller, trace, stuck)
    assert all(again[key] == job[key] for key in ("id", "uid", "queued_at", "started_at")), (job, again)
    check_shut(bed, caller, trace, stuck)
    check_hangs(bed, worker)
    shut_down(bed)
