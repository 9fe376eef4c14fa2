# SPDX-License-Identifier: GPL-2.0-or-later
"""pcireset doctor: what it says holds, on devices that are free, used, taken, forbidden, or cannot be reset."""

import json
from typing import Any

from harness.bed import Bed
from harness.registry import case

READY, DENIED, NOT_NOW = 0, 3, 5


def doctor(bed: Bed, user: str, address: str, rc: int) -> dict[str, Any]:
    result = bed.guest.run(["pcireset", "--json", "--no-ask-password", "doctor", address], user=user, timeout=60)
    assert result.rc == rc, result
    diagnosis: dict[str, Any] = json.loads(result.stdout)
    assert diagnosis["address"] == address and diagnosis["sentence"].startswith(address), diagnosis
    return diagnosis


def wait_driver(bed: Bed, address: str, driver: str) -> None:
    """The daemon learns of it from udev, which takes its time."""
    bed.wait_until(lambda: bed.property(address, "Driver") == driver, 15, f"{address} to have the driver '{driver}'")


def advice(diagnosis: dict[str, Any]) -> str:
    assert diagnosis["next_steps"], diagnosis
    return " ".join(diagnosis["next_steps"])


@case("doctor tells why a device can or cannot be reset, and following it helps", timeout=120)
def next_steps(bed: Bed) -> None:
    address, trace = bed.addr("nic"), bed.trace()
    ready = doctor(bed, "alice", address, READY)
    assert (ready["status"], ready["why"], ready["authorization"]) == ("ready", [], "yes"), ready
    denied = doctor(bed, "bob", address, DENIED)
    assert denied["authorization"] == "password" and "org.pciresetd1.reset" in advice(denied), denied

    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, "e1000e")
    wait_driver(bed, address, "e1000e")
    bound = doctor(bed, "alice", address, NOT_NOW)
    assert bound["status"] == "not-now" and "driver-bound" in bound["why"], bound
    assert f"driver e1000e off {address}" in advice(bound) and "--in-use" in advice(bound), bound
    bed.unbind(address)
    wait_driver(bed, address, "")
    assert doctor(bed, "alice", address, READY)["method"] == ready["method"]

    taken = bed.guest.start(["pcireset", "run", "--who", "the VM", address, "--", "sh", "-c", "echo up; sleep 600"],
                            user="bob")
    bed.defer(taken.kill)
    taken.wait_output("up\n", 20)
    leased = doctor(bed, "alice", address, NOT_NOW)
    assert leased["why"] == ["leased"] and "the VM" in advice(leased) and "bob" in advice(leased), leased
    taken.kill()
    bed.wait_until(lambda: bed.call("root", "ListLeases", "a{sv}", [{}]) == [], 15, "the lease to end")

    forbids = bed.guest.start(["pcireset", "inhibit", "--why", "firmware", address, "--", "sh", "-c", "echo up; sleep 601"],
                              user="bob")
    bed.defer(forbids.kill)
    forbids.wait_output("up\n", 20)
    inhibited = doctor(bed, "alice", address, NOT_NOW)
    assert inhibited["why"] == ["inhibited"] and "firmware" in advice(inhibited), inhibited
    forbids.kill()
    bed.wait_until(lambda: bed.call("root", "ListInhibitors", "a{sv}", [{}]) == [], 15, "the inhibitor to end")

    assert trace.writes() == [], trace.events()
    assert "reset by " + ready["method"] in bed.guest.run(["pcireset", "reset", address], user="alice", check=True).stdout
    port = doctor(bed, "alice", bed.addr("port-nic"), NOT_NOW)
    assert port["status"] == "not-possible" and "bridge" in port["why"], port


@case("doctor without an address knows something to say of every device, and changes none", timeout=120)
def every_device(bed: Bed) -> None:
    trace = bed.trace()
    rows = json.loads(bed.guest.run(["pcireset", "--json", "list"], user="bob", check=True).stdout)
    result = bed.guest.run(["pcireset", "--json", "doctor"], user="bob", timeout=100)
    assert result.rc == READY and not result.stderr, result
    told = json.loads(result.stdout)
    assert [d["address"] for d in told] == [row["address"] for row in rows], told
    assert all(d["status"] != "unknown" and d["sentence"].endswith(".") and d["next_steps"] for d in told), told
    assert trace.writes() == [], trace.events()
