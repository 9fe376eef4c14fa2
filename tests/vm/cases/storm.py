# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything at once: clients, plugging, drivers, and kills of clients, workers and the daemon.

STORM_SECONDS says how long, and without it there is no storm: `./dev` sets it. SEED
repeats the choices of a run, though not the order in which they meet.
"""

import json
import os
import random
from pathlib import Path

from harness import storm
from harness.bed import DEVICE, DEVICES, Bed, DBusError
from harness.caller import SCRIPT, Caller
from harness.guest import GuestError, GuestTimeout, Process
from harness.plugging import GONE_SECONDS
from harness.registry import case
from harness.service import RUN, UNIT, main_pid, polkit_rule, start
from harness.trace import TRACEFS

SECONDS = int(os.environ.get("STORM_SECONDS") or 0)
# So many of the daemon in the short form, of 45 seconds; a longer one has more.
KILLS = max(5, SECONDS // 9)
FOLDER = "/run/bed/storm"
GUEST = Path(__file__).resolve().parent.parent / "guest/storm.py"
ROLES = ("multi0", "multi1", "sw-nic0", "sw-nic1", "nic", "nic2", "slow0", "slow1", "slow2", "virtio", "conv0", "conv1")
SIBLINGS = ("multi0", "multi1", "slow0", "slow1", "conv0", "conv1")
BOUND = ("sw-nic0", "sw-nic1", "nic", "slow2")
# So much must have succeeded, however long it takes ("clean": leases on what nobody gets unclean).
ENOUGH = {"Reset": 25, "Acquire": 10, "Inhibit": 1, "GetMethods": 1, "clean": 1}
CARRIER, REMOVED, PLUGGED, RELEASED = "nic2", "conv1", "storm0", "sw-nic1"
# Descriptors of a daemon that has much to do come and go; these are of nobody's job, lease or call.
KINDS = ("/sys/devices/", "/run/pciresetd/claims", "/run/pciresetd/jobs", "socket:", "anon_inode:[pidfd]")
# The example's rule is for alice alone.
RULE = """
polkit.addRule(function(action, subject) {
    if (subject.user == "bob" && ["org.pciresetd1.reset", "org.pciresetd1.reset-in-use"].indexOf(action.id) >= 0)
        return polkit.Result.YES;
});
"""


DROPIN = "/etc/pciresetd/policy.d/50-storm.json"


def write_policy(bed: Bed) -> None:
    """The emulator takes a device whose slot loses its power for one that was pulled out. One device is reset after each
    of its users, and given to nobody before."""
    rules = [{"id": "no-slot", "match": {}, "settings": {"forbid": ["slot"]}},
             {"id": "clean", "match": {"address": bed.addr(RELEASED)}, "settings": {"on_release": "reset", "require_clean": True}}]
    bed.guest.run(f"mkdir -p {DROPIN.rsplit('/', 1)[0]}", check=True)
    bed.guest.write(DROPIN, json.dumps({"rules": rules}, indent=2))
    start(bed)
    bed.guest.run(f"systemctl reload {UNIT}", timeout=60, check=True)


def settings(bed: Bed) -> dict[str, tuple[str, str, str | None]]:
    """What the storm must leave as it was."""
    found = {}
    for role in ROLES:
        address = bed.addr(role)
        try:
            methods = bed.reset_methods(address)
        except OSError:
            methods = []  # on a conventional bus there may be no way at all
        if role in SIBLINGS:
            # The kernel lists it for a function that it finds before the others, and never again.
            methods = [method for method in methods if method != "bus"]
        found[role] = (" ".join(methods), bed.attribute(address, "driver_override"), bed.driver(address))
    return found


def descriptors(bed: Bed) -> dict[str, int]:
    """How many of each kind the daemon has."""
    script = f"for fd in /proc/{main_pid(bed)}/fd/*; do readlink $fd; done"
    targets = bed.guest.run(script).stdout.splitlines()
    return {kind: sum(target.startswith(kind) for target in targets) for kind in KINDS}


def put_right(bed: Bed, before: dict[str, tuple[str, str, str | None]]) -> None:
    """Drivers as at first, and nothing in quarantine: what the storm has done itself."""
    root = Caller(bed, "root")
    bed.guest.poke("/sys/bus/pci/rescan", "1", timeout=60)
    bed.guest.run("udevadm settle", timeout=60)
    for name in bed.guest.list(DEVICES):
        try:
            if root.property(name, "State") == "quarantined":
                root.call("ReleaseQuarantine", "a{sv}", [{"reason": ["s", "the storm is over"]}], path=bed.device_path(name),
                          interface=DEVICE)
        except DBusError as error:
            print(f"# {name}: {error}", flush=True)
    for role in ROLES:
        address, driver = bed.addr(role), before[role][2]
        if driver is None:
            bed.unbind(address)
        elif bed.driver(address) != driver:
            bed.bind(address, driver)
    root.leave()


def changed(bed: Bed, before: dict[str, tuple[str, str, str | None]]) -> dict[str, tuple[object, object]]:
    after = settings(bed)
    return {role: (before[role], after[role]) for role in ROLES if before[role] != after[role]}


def is_right(bed: Bed, before: dict[str, tuple[str, str, str | None]]) -> bool:
    put_right(bed, before)
    try:
        bed.wait_until(lambda: not changed(bed, before), 10, "all settings to be as they were")
    except GuestError:
        return False
    return True


def is_over(process: Process, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except GuestTimeout:
        return False
    return True


def plug_and_unplug(bed: Bed, process: Process) -> int:
    """A device comes and goes as long as the storm lasts."""
    plugged = 0
    while not is_over(process, 1):
        bed.machine.plug("e1000e", "port-empty0", PLUGGED, romfile="")
        bed.wait_device(PLUGGED, timeout=60)
        plugged += 1
        is_over(process, 2)
        bed.machine.unplug(PLUGGED, GONE_SECONDS)
        bed.wait_device(PLUGGED, present=False, timeout=GONE_SECONDS)
    return plugged


def collect(bed: Bed) -> dict[str, str]:
    return {name.removesuffix(".log"): bed.guest.read_text(f"{FOLDER}/{name}", timeout=60) for name in bed.guest.list(FOLDER)}


def check_rest(bed: Bed) -> None:
    """Nobody is there any more, so nothing may be left."""
    root = Caller(bed, "root")
    bed.wait_until(lambda: root.jobs() == [], 60, "the last job to end")
    bed.wait_until(lambda: bed.guest.run(["pgrep", "-x", "pcireset-worker"]).rc != 0, 30, "the last worker to end")
    left = {what: root.call(what, "a{sv}", [{}]) for what in ("ListLeases", "ListInhibitors")}
    assert not any(left.values()), left
    stored = [rule for rule in root.call("ListPolicies", "a{sv}", [{}]) if rule["runtime"]]
    for rule in stored:
        # Of clients that were killed.
        root.call("UnsetPolicy", "sa{sv}", [rule["id"], {}])
    bed.wait_until(lambda: bed.guest.list(RUN) == ["next-id"], 20, f"the records to go: {bed.guest.list(RUN)}")
    bed.wait_until(lambda: bed.guest.list("/run/pciresetd/claims") == [], 20, "the records of claims to go")
    root.leave()


def everything(bed: Bed) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"# the storm of the test machine: SEED={seed}", flush=True)
    before = settings(bed)
    polkit_rule(bed, RULE)
    write_policy(bed)
    # A driver that is loaded takes all devices it knows, unless told not to.
    bed.guest.poke("/sys/bus/pci/drivers_autoprobe", "0")
    bed.guest.run("modprobe -a vfio-pci pci-stub e1000e", timeout=60, check=True)
    bed.guest.poke("/sys/bus/pci/drivers_autoprobe", "1")
    first = Caller(bed, "root")
    first.call("ListDevices")
    first.leave()
    bed.guest.run("udevadm settle", timeout=30)
    known = descriptors(bed)

    plan = {"seed": seed, "seconds": SECONDS, "kills": KILLS, "folder": FOLDER, "users": ["alice", "alice", "bob", "root"],
            "devices": [bed.addr(role) for role in ROLES], "bound": [bed.addr(role) for role in BOUND],
            "carrier": bed.addr(CARRIER), "removed": bed.addr(REMOVED), "released": bed.addr(RELEASED), "enough": ENOUGH}
    bed.guest.run(f"mkdir -p -m 1777 {FOLDER}", check=True)
    bed.guest.write("/run/bed-caller.py", SCRIPT.read_bytes())
    bed.guest.write("/run/bed-storm.py", GUEST.read_bytes())
    bed.guest.write("/run/bed-storm.json", json.dumps(plan))
    bed.bind(plan["carrier"], "e1000e")
    trace = bed.trace()
    bed.guest.poke(f"{TRACEFS}/buffer_size_kb", str(max(4096, 20 * SECONDS)))
    process = bed.guest.start(["python3", "/run/bed-storm.py", "/run/bed-storm.json"])
    plugged = plug_and_unplug(bed, process)
    result = process.wait(SECONDS + 200)
    bed.set_slow_reset(0)
    logs = collect(bed)
    if "STORM_LOGS" in os.environ:
        for name, text in {**logs, "trace": bed.guest.read_text(f"{TRACEFS}/trace", timeout=60)}.items():
            Path(os.environ["STORM_LOGS"], f"{seed}-{name}").write_text(text)
    record = storm.read(logs)
    assert result.rc == 0, result
    check_rest(bed)

    lost = bed.guest.run(f"cat {TRACEFS}/per_cpu/cpu*/stats | grep -c '^overrun: [1-9]'").stdout.strip()
    assert lost == "0", "the kernel's trace did not hold all of it"
    events = trace.events()
    resets, clean = storm.resets(record, events, bed.guest.monotonic()), storm.handed_out(record, plan["released"])
    summary = f"{storm.summary(record, resets)}, plugged {plugged} times, a device handed out clean {len(clean)} times"
    print(f"# SEED={seed}: {summary}", flush=True)
    wrong = [line for check in (storm.overlaps(resets), storm.leased(record, resets), storm.in_use(record, resets),
                                storm.dirty(record, events, plan["released"]), storm.answers(record), storm.done(record, resets))
             for line in check[:8]]
    assert not wrong, f"SEED={seed}: " + "\n".join(wrong)
    assert len(record.killed("daemon")) >= KILLS and record.killed("worker") and record.killed("client"), summary
    assert len(resets) >= ENOUGH["Reset"] // 3 and len(clean) >= ENOUGH["clean"] and record.used and plugged, summary
    # What leaves quarantine, or its last user, is seen to by the daemon meanwhile.
    assert any(is_right(bed, before) for _ in range(3)), f"SEED={seed}: {changed(bed, before)}"
    bed.wait_until(lambda: all(n <= known[kind] for kind, n in descriptors(bed).items()), 20,
                   f"descriptors to be closed: {descriptors(bed)}, and {known} at first")


if SECONDS > 0:
    case(f"a storm of {SECONDS} s with {KILLS} kills of the daemon: no promise is broken, and nothing is left over",
         fresh=True, timeout=4 * SECONDS + 400, kernel=False, beside=True)(everything)
