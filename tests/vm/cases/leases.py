# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases and inhibitors from outside: by plain busctl, and over a restart of the daemon."""

import re

from harness import service
from harness.bed import MANAGER, NAME, ROOT, Bed
from harness.caller import Caller
from harness.guest import Result
from harness.registry import case

LEASED = "org.pciresetd1.Error.Leased"
INTERACTION = (None, "yes", "no")


def calls(bed: Bed, user: str, mode: str | None, *arguments: str) -> Result:
    flags = ["--timeout=60"] + ([f"--allow-interactive-authorization={mode}"] if mode else [])
    # Not everybody has a home.
    return bed.guest.run(["busctl", "--system", *flags, "call", NAME, ROOT, MANAGER, *arguments], user=user, cwd="/", timeout=60)


def acquire(*addresses: str, who: str = "a case", options: tuple[str, ...] = ("0",)) -> list[str]:
    return ["Acquire", "asssa{sv}", str(len(addresses)), *addresses, who, "to see", *options]


def inhibit(*addresses: str, mode: str = "block", who: str = "a case", options: tuple[str, ...] = ("0",)) -> list[str]:
    return ["Inhibit", "assssa{sv}", str(len(addresses)), *addresses, who, "to see", mode, *options]


@case("Acquire and Inhibit by busctl: a descriptor each, and what they stand for ends with busctl", timeout=120)
def by_busctl(bed: Bed) -> None:
    address, other = bed.addr("nic"), bed.addr("nic2")
    for device in (address, other):
        bed.unbind(device)
    bob = Caller(bed, "bob")
    bob.listen()
    for mode in INTERACTION:
        taken = calls(bed, "alice", mode, *acquire(address, other))
        answer = re.fullmatch(r'hs \d+ "(\S+)"\n', taken.stdout)
        assert taken.rc == 0 and answer, (mode, taken)

        def seen(device: str, lease: str) -> list[str]:
            told = [s.arguments[1].get("Lease") for s in bob.signals("PropertiesChanged", bed.device_path(device))]
            return [name for name in told if name is not None][-2:] if lease in told else []
        for device in (address, other):
            bed.wait_until(lambda device=device: seen(device, answer[1]) == [answer[1], ""], 20,
                           f"the lease on {device} to come and go")
        assert bob.leases() == {}

        for kind in ("block", "delay"):
            taken = calls(bed, "alice", mode, *inhibit(address, mode=kind))
            assert taken.rc == 0 and re.fullmatch(r"h \d+\n", taken.stdout), (mode, taken)
        bed.wait_until(lambda: bob.call("ListInhibitors", "a{sv}", [{}]) == [], 20, "the inhibitors to end")
    assert Caller(bed).reset(address, "pm")["verdict"] == "ok"


@case("errors of Acquire and Inhibit by busctl say what is wrong, however interaction is allowed", timeout=180)
def errors_by_busctl(bed: Bed) -> None:
    address, other, root = bed.addr("nic"), bed.addr("nic2"), Caller(bed, "root")
    for device in (address, other):
        bed.unbind(device)
    _, lease = Caller(bed, "bob").acquire(other)
    option = ("1", "colour", "s", "red")
    wrong = [(acquire("0000:7e:1f.7"), "0000:7e:1f.7"), (acquire(), "No device is named"), (acquire(address, address), address),
             (acquire("nonsense"), "nonsense"), (acquire(address, options=option), "colour"), (acquire(other, address), lease),
             (inhibit("0000:7e:1f.7"), "0000:7e:1f.7"), (inhibit(address, mode="perhaps"), "perhaps"),
             (inhibit(address, address), address), (inhibit(address, options=option), "colour")]
    for number, (arguments, named) in enumerate(wrong):
        mode = INTERACTION[number % 3]
        result = calls(bed, "alice", mode, *arguments)
        assert result.rc == 1 and not result.stdout and named in result.stderr, (mode, result)
    # Nobody has said yes to this user, and nobody is there to be asked.
    for mode in INTERACTION:
        for arguments in (acquire(address), inhibit(address)):
            result = calls(bed, "nobody", mode, *arguments)
            wanted = "needs authentication" if mode == "no" else "Access denied"
            assert result.rc == 1 and not result.stdout and wanted in result.stderr, (mode, result)
    # What is about all devices is root's.
    assert calls(bed, "alice", None, *inhibit()).rc == 1 and calls(bed, "root", None, *inhibit()).rc == 0
    assert set(root.leases()) == {lease} and root.leases()[lease]["devices"] == [other], root.leases()
    bed.wait_until(lambda: root.call("ListInhibitors", "a{sv}", [{}]) == [], 20, "root's inhibitor to end")


@case("leases outlive a restart in one go, and are gone with the last copy of their descriptor", timeout=150)
def restart(bed: Bed) -> None:
    kept, gone = bed.addr("nic"), bed.addr("nic2")
    for device in (kept, gone):
        bed.unbind(device)
    alice, bob, root = Caller(bed), Caller(bed, "bob"), Caller(bed, "root")
    # Three have a copy: pcireset, the command, and what the command has started.
    holder = bed.guest.start(["pcireset", "run", kept, "--", "sh", "-c", "sleep 900 & echo $$ $! $PCIRESET_LEASE .; wait"],
                             user="alice")
    bed.defer(lambda: bed.guest.run("pkill -u alice -x sleep"))
    command, child, lease, _ = holder.wait_output(".\n", 30).split()
    _, orphan = bob.acquire(gone)
    assert set(root.leases()) == {lease, orphan}
    before = root.leases()[lease]

    # One copy goes, and somebody else with all he has, while the daemon is between its two lives.
    bed.guest.run(f"systemctl restart {service.UNIT} & kill -9 {holder.pid} {bob.process.pid}; wait", timeout=60, check=True)
    bed.wait_until(lambda: set(root.leases()) == {lease}, 30, "the orphan to be released, and nothing else")
    assert root.leases()[lease] == before and before["uid"] == 1001 and before["devices"] == [kept], (before, root.leases())
    assert alice.property(kept, "Lease") == lease and alice.property(gone, "Lease") == ""
    error = root.reset_refused(kept, "pm")
    assert error.name == LEASED and lease in error.text, error
    assert alice.reset(kept, "pm")["verdict"] == "ok"

    pid = service.main_pid(bed)
    bed.guest.run(f"kill -9 {command}", check=True)
    service.restart(bed)
    assert service.main_pid(bed) != pid and set(root.leases()) == {lease}, "the child still has it"
    bed.guest.run(f"kill -9 {child}", check=True)
    bed.wait_until(lambda: root.leases() == {} and root.property(kept, "Lease") == "", 30, "the lease to end")
    assert Caller(bed, "bob").acquire(kept)[1] != lease
