# SPDX-License-Identifier: GPL-2.0-or-later
"""What newer kernels offer for all devices below a bridge, where these are dead."""

from harness.bed import Bed
from harness.caller import Caller
from harness.dead import check_died, check_kept_away, cut_off_for_good, deaths, kill_tree
from harness.registry import case


@case("subordinate on a tree that was killed and on a link that is gone: DeviceDead whatever the kernel says, quarantine and "
      "a row", fresh=True, timeout=480, beside=True)
def subordinate(bed: Bed) -> None:
    nic, below = bed.addr("nic"), bed.addr("sw-nic0")
    alice, trace = Caller(bed), bed.trace()
    kill_tree(bed, "sw-up")
    cut_off_for_good(bed, "port-nic")
    calls = {address: alice.reset_start(address, "subordinate") for address in (nic, below)}
    # Everything else goes on meanwhile.
    assert alice.reset(bed.addr("slow2"))["verdict"] == "ok"
    for address, call in calls.items():
        check_died(call.error(400), address)
        check_kept_away(bed, alice, address)
        row, = deaths(alice, address)
        assert row["method"] == "subordinate", row
    asked = [e for e in trace.events() if e.what == "subordinate"]
    assert len(asked) >= 2, trace.events()
