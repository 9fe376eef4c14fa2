# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of methods: what is shipped is in force where it is installed, and what has never worked is tried last."""

import errno
import json

from harness.bed import Bed
from harness.caller import Caller
from harness.fault import Fault
from harness.registry import case

FILE = "/usr/share/pciresetd/policy.d/50-known-methods.json"


@case("the shipped knowledge is read, and a site can do without it")
def shipped(bed: Bed) -> None:
    caller = Caller(bed, "bob")
    ids = [rule["id"] for rule in json.loads(bed.guest.read_text(FILE))["rules"]]
    rules = caller.call("ListPolicies", "a{sv}", [{}])
    assert [rule["id"] for rule in rules if FILE in str(rule)] == ids, rules
    assert all(not method.get("known") for method in caller.methods(bed.addr("nic")).values()), caller.methods(bed.addr("nic"))

    mask = "/etc/pciresetd/policy.d/50-known-methods.json"

    def reload() -> None:
        bed.guest.run("systemctl reload pciresetd", timeout=60, check=True)

    def unmask() -> None:
        bed.guest.run(f"rm -f {mask}", check=True)
        reload()
    bed.defer(unmask)
    bed.guest.run(f"mkdir -p /etc/pciresetd/policy.d && ln -s /dev/null {mask}", check=True)
    reload()
    assert not [rule for rule in caller.call("ListPolicies", "a{sv}", [{}]) if FILE in str(rule)]


@case("a bus reset that the kernel lists and that never works: proven says so, and the ladder begins elsewhere", timeout=120)
def failing_bus(bed: Bed) -> None:
    address, caller, trace = bed.addr("nic"), Caller(bed), bed.trace()
    assert "bus" in bed.reset_methods(address)
    first, second = (rung["method"] for rung in caller.plan(address, "link")[:2])
    assert (first, second) == ("bus", "subordinate"), caller.plan(address, "link")
    with Fault(bed, "pci_reset_bus_function", -errno.ENOTTY) as fault:
        result = caller.reset(address, "link")
        assert [(a["method"], a["outcome"], a["errno"]) for a in result["attempts"]] == [
            ("bus", "failed", errno.ENOTTY), ("subordinate", "done", 0)], result
        assert fault.hits == 1 and [e.returned for e in trace.asked()] == [-errno.ENOTTY], trace.events()
        facts = caller.methods(address)["bus"]
        assert facts["advertised"] and facts["usable"] and facts["proven"]["failing"], facts
        assert (facts["proven"]["tries"], facts["proven"]["ok"]) == (1, 0), facts
        assert "bus" in bed.reset_methods(address), "the kernel has not learned anything"

        trace.clear()
        result = caller.reset(address, "link")
        assert [a["method"] for a in result["attempts"]] == ["subordinate"] and result["verdict"] == "ok", result
        assert fault.hits == 1 and trace.asked() == [], trace.events()
        row, *_ = caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "method": ["s", "bus"]}])
        assert (row["outcome"], row["errno"], row["verdict"]) == ("failed", errno.ENOTTY, "unverified"), row
    # Once it has worked it is as good as any.
    assert caller.reset(address, "bus")["verdict"] == "ok"
    assert not caller.methods(address)["bus"]["proven"]["failing"]
    assert caller.plan(address, "link")[0]["method"] == "bus"
