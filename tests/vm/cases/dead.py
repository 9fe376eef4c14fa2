# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that die, each in its own way, side by side in a machine that nothing else is asked of any more.

The machine is not shut down afterwards: what hangs in its kernel would keep it
from that. Like every machine of the bed it is cut off its power.
"""

from harness.bed import Bed
from harness.caller import Caller
from harness.dead import DEAD, check_died, check_kept_away, cut_off_for_good, deaths, kill_tree
from harness.registry import case
from harness.service import Journal, main_pid, start


@case("a link that does not come back, a tree that was killed, a device that dies in its reset: DeviceDead, quarantine and "
      "a row for each; the others go on, and another daemon knows", fresh=True, timeout=480, beside=True, kernel=False)
def side_by_side(bed: Bed) -> None:
    nic, below, slow, virtio = (bed.addr(role) for role in ("nic", "sw-nic0", "slow2", "virtio"))
    alice, root, trace, journal = Caller(bed), Caller(bed, "root"), bed.trace(), Journal(bed)

    kill_tree(bed, "sw-up")
    cut_off_for_good(bed, "port-nic")
    bed.set_slow_reset(6)
    calls = {
        nic: alice.reset_start(nic, "bus"),
        below: alice.reset_start(below, "bus"),
        slow: alice.reset_start(slow, "acpi"),
    }
    bed.wait_until(lambda: bool(trace.resets(slow)), 15, "the reset to begin")
    cut_off_for_good(bed, "port-slow2")
    cut_off_for_good(bed, "port-virtio")
    calls[virtio] = alice.reset_start(virtio, "flr")

    # None of them keeps others from theirs.
    check_died(calls[virtio].error(60), virtio)
    assert not trace.resets(virtio), trace.events()
    assert alice.reset(bed.addr("nic2"), "pm")["verdict"] == "ok"
    assert nic in {job["address"] for job in alice.jobs()}, alice.jobs()

    for address in (slow, nic, below):
        check_died(calls[address].error(400), address)
    assert [e.returned for e in trace.resets(slow)] == [0], "the kernel has noticed"
    for address in (nic, below):
        assert trace.resets(address), (address, trace.events())
    died = sorted(entry["PCIRESETD_DEVICE"] for entry in journal.entries("finished") if entry["PCIRESETD_RESULT"] == "DeviceDead")
    assert died == sorted([nic, below, slow, virtio]), died

    everything = (nic, below, slow, virtio)
    for again in (False, True):
        for address in everything:
            check_kept_away(bed, alice, address)
        if not again:
            for address in everything:
                row, = deaths(root, address)
                assert row["address"] == address and row["uid"] != 0, row
            bed.guest.run(f"kill -KILL {main_pid(bed)}", check=True)
            start(bed)
            alice, root = Caller(bed), Caller(bed, "root")
    # Root may try, and it does not help.
    error = root.reset_refused(virtio, "flr")
    assert error.name == DEAD, error
    check_kept_away(bed, alice, virtio)
