# SPDX-License-Identifier: GPL-2.0-or-later
"""pcireset qualify: each method is run so often as is said and nothing else is, nobody gets the device in between, and a
death ends it, with the device in quarantine."""

import json
from typing import Any

from harness.bed import Bed
from harness.caller import Caller
from harness.dead import cut_off, release
from harness.registry import case

NOT_NOW, DEAD = 5, 7


def qualify(bed: Bed, user: str, address: str, rc: int, *options: str) -> dict[str, Any]:
    result = bed.guest.run(["pcireset", "--json", "--no-ask-password", "qualify", "--yes", *options, address], user=user,
                           timeout=200)
    assert result.rc == rc, result
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["address"] == address, document
    return document


@case("qualify runs every usable method so often as it is told, proves each, and leaves rows and no lease behind", timeout=200)
def matrix(bed: Bed) -> None:
    address, trace, root = bed.addr("nic"), bed.trace(), Caller(bed, "root")
    kernel_list = bed.guest.run(["cat", f"{bed.path('nic')}/reset_method"], check=True).stdout
    document = qualify(bed, "alice", address, NOT_NOW, "--count=2")
    entries = {entry["method"]: entry for entry in document["methods"]}
    assert document["stopped"] == "" and document["lease"], document
    assert [e["why"] for e in document["left_out"] if e["method"] == "rescan"] == [["last-resort"]], document
    # That the slot cannot be switched off is seen only when it is tried.
    slot = entries.pop("slot")
    assert (slot["refused"], len(slot["runs"])) == (1, 1), slot
    assert {"pm", "bus"} <= set(entries), document
    for entry in entries.values():
        assert entry["ok"] == 2 == len(entry["runs"]) and entry["median_usec"] > 0, entry
        assert entry["first_bad_check"] == "" and address in entry["reset_set"], entry
    asked = [event for event in trace.writes() if event.what in ("reset", "subordinate")]
    assert len(asked) == 2 * len(entries), (entries, trace.events())

    rows = root.call("GetHistory", "a{sv}", [{"address": ["s", address]}])
    known = {row["id"]: row for row in rows}
    for entry in document["methods"]:
        for run in entry["runs"]:
            assert run["history_id"] == 0 or known[run["history_id"]]["method"] == entry["method"], (run, rows)
    assert root.leases() == {} and root.jobs() == [], (root.leases(), root.jobs())
    assert bed.guest.run(["cat", f"{bed.path('nic')}/reset_method"], check=True).stdout == kernel_list


@case("qualify stops when the device dies, which is then in quarantine", timeout=300)
def stops(bed: Bed) -> None:
    address, root = bed.addr("virtio"), Caller(bed, "root")
    bed.defer(lambda: release(bed, address))
    cut_off(bed, "port-virtio")
    dead = qualify(bed, "alice", address, DEAD)
    entry, *others = dead["methods"]
    assert others and not any(other["runs"] for other in others), dead
    assert entry["dead"] == 1 == len(entry["runs"]) and entry["first_bad_check"], dead
    assert dead["stopped"] == "dead" and dead["quarantine"]["cause"] == "dead", dead
    assert root.property(address, "State") == "quarantined" and root.leases() == {}, root.leases()
