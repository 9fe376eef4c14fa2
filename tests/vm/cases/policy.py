# SPDX-License-Identifier: GPL-2.0-or-later
"""What a site writes down about resets holds: files, stored rules, and what `reset_method` reads."""

import json

from harness.bed import DEVICES, Bed
from harness.caller import Caller
from harness.registry import case
from harness.rules import set_policy
from harness.service import UNIT, Journal, restart, start

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


@case("systemctl reload: a new rule holds; a broken file fails the reload, with its place, and changes nothing", timeout=90)
def reloaded(bed: Bed) -> None:
    root, journal, address, trace = Caller(bed, "root"), Journal(bed), bed.addr("nic"), bed.trace()
    bed.defer(lambda: clear_policy(bed))
    start(bed)
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
    assert f"{DROPIN}: line 2, column 55" in told, told[-2000:]
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


# -- the kernel's own list ---------------------------------------------------


def reads(bed: Bed, address: str, methods: list[str]) -> bool:
    return bed.guest.exists(f"{DEVICES}/{address}/reset_method") and bed.reset_methods(address) == methods


def wait_reads(bed: Bed, address: str, methods: list[str]) -> None:
    bed.wait_until(lambda: reads(bed, address, methods), 15, f"reset_method of {address} to read {methods}")


@case("kernel_order: reset_method reads what is set; over a restart, a reset and a driver's change; and then what it was", timeout=120)
def kernel_order(bed: Bed) -> None:
    root, address = Caller(bed, "root"), bed.addr("nic")
    bed.defer(lambda: clear_policy(bed))
    listed = bed.reset_methods(address)
    assert len(listed) > 1, listed
    wanted = listed[::-1]
    bed.defer(lambda: bed.guest.poke(f"{DEVICES}/{address}/reset_method", "default"))
    rule = set_policy(root, address, methods=wanted, kernel_order=True)
    wait_reads(bed, address, wanted)
    result = root.reset(address)
    assert (result["method"], result["verdict"]) == (wanted[0], "ok"), result
    wait_reads(bed, address, wanted)
    restart(bed)
    root = Caller(bed, "root")
    root.call("ListDevices")
    assert reads(bed, address, wanted), bed.reset_methods(address)
    bed.defer(lambda: bed.unbind(address))
    guests = set_policy(root, f"address={address} assigned=true", methods=wanted[:1])
    bed.bind(address, "vfio-pci")
    wait_reads(bed, address, wanted[:1])
    bed.unbind(address)
    wait_reads(bed, address, wanted)
    for name in (guests, rule):
        root.call("UnsetPolicy", "sa{sv}", [name, {}])
    wait_reads(bed, address, listed)


def refusals(journal: Journal, address: str) -> list[str]:
    told = [entry["MESSAGE"] for entry in journal.entries("ordered", PCIRESETD_DEVICE=address)]
    return [message for message in told if "refuses cxl_bus" in message]


@case("kernel_order: a device that is pulled and plugged in again gets its order; what the kernel refuses is told once", timeout=120)
def replugged(bed: Bed) -> None:
    root, journal = Caller(bed, "root"), Journal(bed)
    bed.defer(lambda: clear_policy(bed))

    def plug() -> str:
        bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
        bed.wait_device("guest0")
        return bed.addr("guest0")

    def unplug() -> None:
        if bed.present("guest0"):
            bed.machine.unplug("guest0")
            bed.wait_device("guest0", present=False)
    bed.defer(unplug)
    address = plug()
    set_policy(root, address, methods=["cxl_bus", "pm"], kernel_order=True)
    wait_reads(bed, address, ["pm"])
    unplug()
    assert plug() == address
    wait_reads(bed, address, ["pm"])
    bed.wait_until(lambda: len(refusals(journal, address)) == 2, 10, "each of the two to be told of")
    policy = root.call("GetPolicy", "sa{sv}", [address, {}])
    assert (policy["kernel_wanted"], policy["kernel_refused"]) == (["cxl_bus", "pm"], ["cxl_bus"]), policy
    restart(bed)
    Caller(bed, "root").call("ListDevices")
    assert len(refusals(journal, address)) <= 3, refusals(journal, address)


@case("pcireset policy: set, show, edit and check, as people use them", timeout=60)
def command_line(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.defer(lambda: clear_policy(bed))

    def run(words: str, rc: int = 0) -> str:
        result = bed.guest.run(f"{words} 2>&1", timeout=30)
        assert result.rc == rc, (words, result)
        return result.stdout
    assert "holds" in run(f"pcireset policy set {address} methods=pm --runtime")
    shown = run(f"pcireset policy show {address}")
    assert "/run/pciresetd/policy.json" in shown and "pm" in shown, shown
    assert "1. pm" in run(f"pcireset plan {address}")
    run("pcireset policy unset set-1")
    edited = run("EDITOR='sed -i s/rules/edges/' pcireset policy edit /etc/pciresetd/policy.d/50-bed.json")
    assert "in its place" in edited, edited
    run(f"systemctl reload {UNIT}")
    bed.guest.write("/run/wrong.json", '{"rules": 1}')
    assert "line 1, column 11" in run("pcireset policy check /run/wrong.json", 1)
