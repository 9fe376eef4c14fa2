# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of resets is kept: over restarts, power loss and damage.

The history lies where it always does, /var/lib/pciresetd. For power loss that
is a file system on a disk of its own (harness/disk.py): what a row needs to be
there is that the guest was made to write it before the reply was sent.
"""

import sqlite3
import time
from pathlib import Path

from harness.bed import Bed
from harness.caller import Caller
from harness.disk import STATE, state_on_disk, take_out
from harness.registry import case
from harness.service import UNIT, Journal, restart, start

FILE = f"{STATE}/history.db"


def rows(caller: Caller, **wanted: str) -> list[dict]:
    return caller.call("GetHistory", "a{sv}", [{key: ["s", value] for key, value in wanted.items()}])


def stop(bed: Bed) -> None:
    bed.guest.run(f"systemctl stop {UNIT}", timeout=60, check=True)


@case("each reset is a row that says what the kernel did, and the next daemon knows it", timeout=90)
def kept(bed: Bed) -> None:
    address, caller, trace = bed.addr("nic"), Caller(bed), bed.trace()
    before = caller.methods(address)["pm"]["proven"]
    result = caller.reset(address, "pm")
    row, = [row for row in rows(caller, address=address) if row["id"] == result["history_id"]]
    done, = trace.resets(address)
    assert (row["method"], row["verdict"], row["outcome"], row["written"]) == ("pm", "ok", "done", True), row
    assert row["duration_usec"] == result["duration_usec"] and row["job"] == result["job"], (row, result)
    assert (row["errno"], row["set_size"]) == (done.returned, len(result["reset_set"])) == (0, 1), row
    assert row["kernel"] == bed.guest.read_text("/proc/sys/kernel/osrelease"), row
    assert row["boot_id"] == bed.guest.read_text("/proc/sys/kernel/random/boot_id").replace("-", ""), row
    assert row["port"] == "/".join(part for part in bed.path("nic").split("/")[:-1] if len(part) == 12), row
    for key, attribute in (("vendor_id", "vendor"), ("device_id", "device"), ("class", "class"),
                           ("subsystem_vendor_id", "subsystem_vendor"), ("revision", "revision")):
        assert row[key] == int(bed.attribute(address, attribute), 16), (key, row)
    assert len(row["checks"]) == len(result["checks"]), (row, result)
    for key in ("driver_before", "driver_after"):
        assert row[key] == (bed.driver(address) or ""), row
    restart(bed)
    again = Caller(bed, "bob")
    same, = [other for other in rows(again, address=address) if other["id"] == row["id"]]
    # Who asked is nobody else's business.
    assert {**same, "uid": row["uid"]} == row and "uid" not in same, (same, row)
    after = again.methods(address)["pm"]["proven"]
    assert (after["tries"], after["ok"]) == (before["tries"] + 1, before["ok"] + 1), (before, after)
    plan = again.plan(address, "pm")
    assert plan[0]["expected_usec"] == after["median_usec"] > 0, (plan, after)


@case("a device with its driver: its firmware is told, and the driver finds it at work again", timeout=90)
def firmware(bed: Bed) -> None:
    address = bed.addr("nvme") if bed.present("nvme") else bed.plug_nvme()
    if bed.driver(address) != "nvme":
        bed.bind(address, "nvme")
    caller = Caller(bed)
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    controller, = bed.guest.list(f"/sys/bus/pci/devices/{address}/nvme")
    told = bed.attribute(address, f"nvme/{controller}/firmware_rev").strip()
    bed.wait_until(lambda: not caller.property(address, "InUse"), 20, "nobody to use the controller")
    result = caller.reset(address, "flr")
    row, = [row for row in rows(caller, address=address) if row["id"] == result["history_id"]]
    assert told and row["firmware"] == told, (told, row)
    assert row["driver_before"] == row["driver_after"] == "nvme", row
    # The reply came once the driver had the controller at work again.
    probe, = [check for check in result["checks"] if check["check"] == "probe"]
    assert probe["result"] == "ok" and probe["after"] == f"{controller} live", probe
    assert bed.attribute(address, f"nvme/{controller}/state") == "live"


@case("a file that is damaged is put aside, loudly, and a new one is begun", timeout=90)
def damaged(bed: Bed) -> None:
    address, caller = bed.addr("nic"), Caller(bed)
    caller.reset(address, "pm")
    stop(bed)
    bed.guest.run(f"dd if=/dev/urandom of={FILE} bs=4096 count=4 conv=notrunc 2>/dev/null; rm -f {FILE}-*", check=True)
    journal = Journal(bed)
    start(bed)
    entry = journal.wait("history-aside", PRIORITY="3")
    assert bed.guest.exists(f"{STATE}/{entry['PCIRESETD_FILE']}"), entry
    caller = Caller(bed)
    result = caller.reset(address, "pm")
    assert [row["id"] for row in rows(caller)] == [result["history_id"]], rows(caller)


@case("a disk that is full: devices are reset as before, the journal says so, and rows are stored once there is room",
      timeout=120)
def full(bed: Bed) -> None:
    address = bed.addr("nic")
    stop(bed)
    bed.guest.run(f"mkdir -p {STATE} && mount -t tmpfs -o size=64k,mode=700 tmpfs {STATE} && "
                  f"{{ dd if=/dev/zero of={STATE}/ballast bs=4096 2>/dev/null; true; }}", check=True)
    bed.defer(lambda: bed.guest.run(f"systemctl stop {UNIT}; umount {STATE}", timeout=60))
    journal = Journal(bed)
    start(bed)
    journal.wait("history-unwritable", timeout=20, PRIORITY="3")
    caller = Caller(bed)
    result = caller.reset(address, "pm")
    assert (result["verdict"], result["history_id"]) == ("ok", 0), result
    assert caller.methods(address)["pm"]["proven"]["ok"] == 1
    # The daemon's view of the mount is the same file system: room in there is room for it.
    bed.guest.run(f"rm {STATE}/ballast && mount -o remount,size=4m {STATE}", check=True)
    journal.wait("history-writable", timeout=40)
    assert [(row["method"], row["verdict"]) for row in rows(caller)] == [("pm", "ok")], rows(caller)


def stored_rows(place: Path) -> list[int]:
    """The ids of the rows in what was on a medium."""
    database = sqlite3.connect(place / "history.db")
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [identifier for identifier, in database.execute("SELECT id FROM attempt")]
    finally:
        database.close()


@case("the power fails while rows are written: each one that a reply has named is there", fresh=True, timeout=180)
def power(bed: Bed) -> None:
    stop(bed)
    state_on_disk(bed)
    start(bed)
    one, two, denied = Caller(bed), Caller(bed), Caller(bed, "bob")
    targets = (one, bed.addr("nic")), (two, bed.addr("nic2"))
    stored: list[int] = []
    for _ in range(4):
        running = [caller.reset_start(address, "pm") for caller, address in targets]
        stored += [pending.result()["history_id"] for pending in running]
    # And now without a pause: what is refused is a row, too.
    running = [caller.reset_start(address, "pm") for caller, address in targets]
    running += [denied.reset_start(address, "pm") for _, address in targets for _ in range(6)]
    deadline = time.monotonic() + 60
    while sum(pending.answered() for pending in running) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    bed.lose_power()
    for pending in running:
        if pending.answered():
            answer = pending.answer()
            stored.append((answer["reply"][0] if "reply" in answer else answer["body"][1])["history_id"])
    assert len(stored) >= 11 and all(identifier > 0 for identifier in stored), stored
    found = stored_rows(take_out(bed))
    assert set(stored) <= set(found), (stored, found)
