# SPDX-License-Identifier: GPL-2.0-or-later
"""What a site writes down about resets holds: files, stored rules, and what `reset_method` reads."""

import json

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case
from harness.service import UNIT, Journal, restart

DROPIN = "/etc/pciresetd/policy.d/50-bed.json"
STORED = "/var/lib/pciresetd/policy.json"
DENIED = "org.pciresetd1.Error.PolicyDenied"


def write_policy(bed: Bed, rules: list[dict], path: str = DROPIN) -> None:
    """Not yet read by the daemon."""
    bed.guest.run(f"mkdir -p {path.rsplit('/', 1)[0]}", check=True)
    bed.guest.write(path, json.dumps({"rules": rules}, indent=2))


def clear_policy(bed: Bed) -> None:
    bed.guest.run(f"rm -f {DROPIN} {STORED} /run/pciresetd/policy.json; systemctl restart {UNIT}", timeout=60, check=True)


def reload(bed: Bed) -> None:
    bed.guest.run(f"systemctl reload {UNIT}", timeout=30, check=True)


def set_policy(caller: Caller, match: str, runtime: bool = False, **settings: object) -> str:
    kinds = {list: "as", bool: "b", int: "t", str: "s"}
    typed = {key: [kinds[type(value)], value] for key, value in settings.items()}
    return caller.call("SetPolicy", "sa{sv}a{sv}", [match, typed, {"runtime": ["b", runtime]}])


@case("systemctl reload: a new rule holds; a broken file fails the reload, with its place, and changes nothing", timeout=90)
def reloaded(bed: Bed) -> None:
    root, journal, address, trace = Caller(bed, "root"), Journal(bed), bed.addr("nic"), bed.trace()
    bed.defer(lambda: clear_policy(bed))
    pid = bed.guest.run(f"systemctl show -P MainPID {UNIT}", check=True).stdout
    write_policy(bed, [{"id": "no-pm", "match": {"address": address}, "settings": {"forbid": ["pm"]}}])
    reload(bed)
    journal.wait("policy-loaded")
    refused = root.reset_refused(address, "pm")
    assert refused.name == DENIED and "no-pm" in refused.text and DROPIN in refused.text, refused
    assert trace.writes() == [], trace.events()
    bed.guest.write(DROPIN, '{"rules": [\n  {"id": "no-pm", "match": {}, "settings": {"forbid": "pm"}}\n]}\n')
    broken = bed.guest.run(f"systemctl reload {UNIT}", timeout=30)
    assert broken.rc != 0, broken
    told = journal.explained()
    assert f"{DROPIN}: line 2, column 58" in told, told[-2000:]
    assert root.reset_refused(address, "pm").name == DENIED
    assert bed.guest.run(f"systemctl is-active {UNIT}").stdout.strip() == "active"
    assert bed.guest.run(f"systemctl show -P MainPID {UNIT}", check=True).stdout == pid
    bed.guest.run(f"rm {DROPIN}", check=True)
    reload(bed)
    bed.wait_until(lambda: root.methods(address)["pm"]["enabled"], 10, "the rule to go")
    assert root.reset(address, "pm")["verdict"] == "ok"


@case("an order that is set survives a restart of the service, and is what a reset by `any` does", timeout=90)
def stored(bed: Bed) -> None:
    root, address, trace = Caller(bed, "root"), bed.addr("nic"), bed.trace()
    bed.defer(lambda: clear_policy(bed))
    listed = bed.reset_methods(address)
    assert len(listed) > 1, listed
    last = listed[-1]
    rule = set_policy(root, address, methods=[last])
    restart(bed)
    root = Caller(bed, "root")
    value, origin, path = root.call("GetPolicy", "sa{sv}", [address, {}])["methods"]
    assert (value, origin, path) == ([last], rule, STORED), (value, origin, path)
    result = root.reset(address)
    assert (result["method"], result["verdict"]) == (last, "ok"), result
    assert [e.address for e in trace.resets()] == [address], trace.events()
    root.call("UnsetPolicy", "sa{sv}", [rule, {}])
    assert root.plan(address)[0]["method"] == listed[0]
    assert bed.guest.run(f"test -e {STORED}").rc != 0
