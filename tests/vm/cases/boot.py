# SPDX-License-Identifier: GPL-2.0-or-later
"""What is stored is there after the next boot, however the last one ended."""

import json
import time

from harness.bed import DEVICE, Bed
from harness.caller import Caller
from harness.disk import STATE, mount_state, state_on_disk, take_out
from harness.registry import case
from harness.service import Journal, start

RULES = f"{STATE}/policy.json"
UNDER_WAY = f"{STATE}/under-way.json"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def set_policy(caller: Caller, match: str, methods: list[str], **options: bool) -> str:
    settings = {"methods": ["as", methods], "kernel_order": ["b", True]}
    return caller.call("SetPolicy", "sa{sv}a{sv}", [match, settings, {key: ["b", value] for key, value in options.items()}])


def reset_without_end(bed: Bed, caller: Caller, address: str) -> None:
    """The kernel is at it for longer than this machine will live, and the daemon has it on disk that it is."""
    trace = bed.trace()
    bed.set_slow_reset(25)
    caller.reset_start(address, "acpi")
    bed.wait_until(lambda: bool(trace.resets(address)), 20, "the reset to begin")
    bed.wait_until(lambda: bed.guest.exists(UNDER_WAY), 10, "the reset to be noted")
    # It is there before it is on the disk.
    bed.guest.run("sleep 2", check=True)
    assert trace.resets(address)[0].ended is None, trace.events()


def check_interrupted(bed: Bed, root: Caller, journal: Journal, address: str) -> None:
    """What was under way is told, and the device was looked at and is as good as any."""
    told = journal.wait("interrupted", PCIRESETD_DEVICE=address)
    assert (told["PCIRESETD_METHOD"], told["PCIRESETD_UID"]) == ("acpi", "1001"), told
    bed.wait_until(lambda: not root.jobs() and not bed.guest.exists(UNDER_WAY), 30, "the device to be looked at")
    row, = root.call("GetHistory", "a{sv}", [{"address": ["s", address]}])
    assert (row["method"], row["outcome"], row["why"], row["verdict"], row["uid"]) == (
        "acpi", "failed", "machine-stopped", "unverified", 1001), row
    assert row["boot_id"] == bed.guest.read_text(BOOT_ID).replace("-", ""), row
    assert {c["check"]: c["result"] for c in row["checks"]}["answers"] == "ok", row
    assert root.property(address, "State") == "idle" and root.property(address, "LastReset")["verdict"] == "unverified"
    bed.unbind(address)
    bed.wait_until(lambda: root.property(address, "Driver") == "", 10, "the driver to be gone")
    trace = bed.trace()
    assert Caller(bed).reset(address, "acpi")["verdict"] == "ok"
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("acpi", 0)], trace.events()


@case("the power fails in a reset and comes back: it is told, and the device looked at; reset_method reads what was set before, and "
      "not what was set until then; rows and quarantine are there", fresh=True, timeout=400, beside=True)
def reboot(bed: Bed) -> None:
    roles = ("nic", "nic2", "virtio", "slow2")
    nic, other, broken, interrupted = (bed.addr(role) for role in roles)
    state_on_disk(bed)
    start(bed)
    root = Caller(bed, "root")
    listed, others = bed.reset_methods(nic), bed.reset_methods(other)
    wanted = listed[::-1]
    assert len(listed) > 1, listed
    rule = set_policy(root, nic, wanted)
    set_policy(root, other, others[:1], runtime=True)
    for address, order in ((nic, wanted), (other, others[:1])):
        bed.wait_until(lambda: bed.reset_methods(address) == order, 15, "the kernel to be told")
    row = root.reset(nic)["history_id"]
    root.call("Quarantine", "sa{sv}", ["smokes", {}], path=bed.device_path(broken), interface=DEVICE)
    before = bed.guest.read_text(BOOT_ID)
    reset_without_end(bed, Caller(bed), interrupted)

    bed.power_cycle()
    assert bed.guest.read_text(BOOT_ID) != before
    assert [bed.addr(role) for role in roles] == [nic, other, broken, interrupted], "the firmware has given other numbers"
    assert bed.reset_methods(nic) == listed, "the kernel has begun anew"
    mount_state(bed)
    journal = Journal(bed)
    start(bed)
    bed.wait_until(lambda: bed.reset_methods(nic) == wanted, 15, "the kernel to be told again")
    root = Caller(bed, "root")
    assert root.call("GetPolicy", "sa{sv}", [nic, {}])["methods"] == [wanted, rule, RULES]
    assert root.call("GetPolicy", "sa{sv}", [other, {}])["methods"][0] == []
    assert bed.reset_methods(other) == others
    rows = {entry["id"]: entry for entry in root.call("GetHistory", "a{sv}", [{"address": ["s", nic]}])}
    assert rows[row]["boot_id"] == before.replace("-", ""), rows
    assert root.property(broken, "Quarantine")["reason"] == "smokes", root.property(broken, "Quarantine")
    bed.unbind(nic)
    bed.wait_until(lambda: root.property(nic, "Driver") == "", 10, "the driver to be gone")
    assert root.reset(nic)["method"] == wanted[0]
    check_interrupted(bed, root, journal, interrupted)


@case("the power fails while SetPolicy writes: each rule that a reply has named is there, and the file is one of those written",
      fresh=True, timeout=180)
def power(bed: Bed) -> None:
    state_on_disk(bed)
    start(bed)
    callers = [Caller(bed, "root") for _ in range(2)]
    started: list[tuple[str, object]] = []

    def ask(number: int) -> None:
        match = f"0000:{number:02x}:1f.7"
        started.append((match, callers[number % 2].start(
            "SetPolicy", "sa{sv}a{sv}", [match, {"settle_usec": ["t", 1000 + number]}, {}])))
    # So that the file is longer than what a disk writes at once.
    for number in range(0x20, 0x50):
        ask(number)
        started[-1][1].result()
    for number in range(0x50, 0x56):
        ask(number)
    deadline = time.monotonic() + 60
    while sum(pending.answered() for _, pending in started[-6:]) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    bed.lose_power()
    stored = {match: pending.result() for match, pending in started if pending.answered()}
    assert len(stored) >= 0x32, stored
    rules = {rule["id"]: rule for rule in json.loads((take_out(bed) / "policy.json").read_text())["rules"]}
    for match, name in stored.items():
        assert rules[name]["match"] == {"address": match}, (name, rules)
        assert rules[name]["settings"] == {"settle_usec": 1000 + int(match[5:7], 16)}, rules[name]
    assert {rule["match"]["address"] for rule in rules.values()} <= {match for match, _ in started}, rules
