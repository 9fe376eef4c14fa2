# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shipped as known of methods is in force where it is installed, and says nothing of what it is not about."""

import json

from harness.bed import Bed
from harness.caller import Caller
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
