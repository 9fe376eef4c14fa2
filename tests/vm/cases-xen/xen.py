# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that belong to Xen's guests, on a real Xen host.

What takes long is made by the first case that needs it and left to the next ones: the toolstack, and the guest.
"""

from typing import Any

from harness import xen
from harness.bed import DEVICE, Bed
from harness.caller import Caller
from harness.registry import case

IN_USE = "org.pciresetd1.Error.InUse"
NOT_USABLE = "org.pciresetd1.Error.NotUsable"
FAILED = "org.pciresetd1.Error.ResetFailed"
UNKNOWN = "unknown"
# Emulated below a hypervisor, all takes its time.
LONG = 240.0


def holders(bed: Bed, caller: Caller, address: str) -> list[dict[str, Any]]:
    return caller.call("GetHolders", "a{sv}", [{}], path=bed.device_path(address), interface=DEVICE)


def check_owner(caller: Caller, address: str, owner: str) -> None:
    """As the last look found it."""
    assert (found := caller.property(address, "Owner")) == owner, found


def check_held(bed: Bed, caller: Caller, address: str, domain: str) -> None:
    """It is told that this guest has the device."""
    held = {"device": bed.device_path(address), "kind": "guest", "hard": True, "what": domain}
    assert (found := holders(bed, caller, address)) == [held], found
    rungs = caller.call("Plan", "ssa{sv}", [address, "any", {}])["rungs"]
    assert rungs, rungs
    # Nobody known is no owner.
    owner = "" if domain == UNKNOWN else f"domain:{domain}"
    owners = [{"device": bed.device_path(address), "owner": owner}] if owner else []
    check_owner(caller, address, owner)
    for rung in rungs:
        assert [o for o in rung["owners"] if o["device"] == bed.device_path(address)] == owners, rung
        assert not rung["usable"] and "guest" in rung["why"] and held in rung["holders"], rung


def check_refused(bed: Bed, caller: Caller, address: str, method: str, holder: str, domain: str, **options: Any) -> None:
    error = caller.reset_refused(address, method, **options)
    assert error.name == IN_USE and address in error.text and f"guest {domain} has it" in error.text, error
    held = {"device": bed.device_path(holder), "kind": "guest", "hard": True, "what": domain}
    assert error.evidence["holders"] == [held], error.evidence


def check_resets(bed: Bed, caller: Caller, address: str) -> None:
    """FLR is carried out and verified, and pciback stays."""
    trace = bed.trace()
    result = caller.reset(address, "flr")
    assert (result["method"], result["verdict"]) == ("flr", "ok"), result
    assert [(e.what, e.address, e.returned) for e in trace.resets()] == [("flr", address, 0)], trace.events()
    assert bed.driver(address) == "pciback"


def held_nvme(bed: Bed) -> tuple[str, str]:
    """The controller in the hands of a guest that reads from it, and what that guest is called."""
    address = bed.addr("nvme")
    xen.start_toolstack(bed)
    if address not in xen.guest_devices(bed):
        # A guest that had it does not get it again: the toolstack stumbles over its interrupt.
        xen.destroy_guest(bed)
        xen.bind_pciback(bed, address)
        xen.create_guest(bed, address)
    xen.wait_guest_reads(bed)
    return address, f"{xen.GUEST} (domid {xen.domid(bed)})"


@case("this is the first domain of a real hypervisor", timeout=LONG)
def dom0(bed: Bed) -> None:
    assert bed.guest.read_text("/sys/hypervisor/type") == "xen"
    assert bed.guest.read_text("/sys/hypervisor/guest_type") == "PV"
    bed.guest.run("mountpoint -q /proc/xen || mount -t xenfs xenfs /proc/xen", check=True)
    assert "control_d" in bed.guest.read_text("/proc/xen/capabilities")


@case("where xenstore does not run, a device of pciback's counts as in use, for root too", timeout=LONG)
def no_xenstore(bed: Bed) -> None:
    address, caller, root = bed.addr("nvme"), Caller(bed), Caller(bed, "root")
    assert not bed.guest.exists("/run/xenstored/socket")
    xen.bind_pciback(bed, address)
    trace = bed.trace()
    check_held(bed, caller, address, UNKNOWN)
    check_refused(bed, caller, address, "flr", address, UNKNOWN)
    check_refused(bed, root, address, "any", address, UNKNOWN, in_use=True)
    assert trace.writes() == [], trace.events()


@case("a device that no guest has is reset, and stays bound to pciback", timeout=LONG)
def idle(bed: Bed) -> None:
    address, caller = bed.addr("nvme"), Caller(bed)
    xen.start_toolstack(bed)
    xen.bind_pciback(bed, address)
    assert (found := holders(bed, caller, address)) == [], found
    check_resets(bed, caller, address)
    assert xen.xl(bed, "pci-assignable-list").split() == [address]


@case("a device that a guest uses is refused, naming the guest, which reads on from its disk", timeout=LONG)
def in_guest(bed: Bed) -> None:
    caller, root = Caller(bed), Caller(bed, "root")
    address, domain = held_nvme(bed)
    trace = bed.trace()
    check_held(bed, caller, address, domain)
    for method in ("any", "flr", "bus", "subordinate"):
        check_refused(bed, caller, address, method, address, domain)
    check_refused(bed, root, address, "flr", address, domain, in_use=True)
    assert trace.writes() == [], trace.events()
    xen.wait_guest_reads(bed)
    assert "failed" not in xen.guest_console(bed)


@case("after xl pci-detach the device is reset", timeout=LONG)
def detached(bed: Bed) -> None:
    caller = Caller(bed)
    address, domain = held_nvme(bed)
    check_held(bed, caller, address, domain)
    xen.detach(bed, address)
    assert (found := holders(bed, caller, address)) == [], found
    check_owner(caller, address, "")
    check_resets(bed, caller, address)


@case("a link reset is for a card that no guest has a part of: refused, then the guest is destroyed", timeout=LONG)
def card(bed: Bed) -> None:
    first, second, caller = bed.addr("multi0"), bed.addr("multi1"), Caller(bed)
    xen.start_toolstack(bed)
    if not xen.domid(bed):
        held_nvme(bed)
    domain = f"{xen.GUEST} (domid {xen.domid(bed)})"
    for address in (first, second):
        xen.bind_pciback(bed, address)
    # The toolstack resets what it gives away, which is none of ours.
    xen.xl(bed, "pci-attach", xen.GUEST, second)
    trace = bed.trace()
    check_refused(bed, caller, first, "subordinate", second, domain)
    assert trace.writes() == [], trace.events()
    # What ends at the function disturbs nobody, but of that there is only `pm`, which proves nothing.
    error = caller.reset_refused(first)
    assert error.name == FAILED and "pm: done, but" in error.text, error
    assert error.evidence["verdict"] == "unverified", error.evidence
    assert [(e.what, e.address, e.returned) for e in trace.resets()] == [("pm", first, 0)], trace.events()
    assert not [e for e in trace.writes() if e.what in ("sbr", "subordinate")], trace.events()
    assert caller.reset(first, "pm")["verdict"] == "ok"
    xen.destroy_guest(bed)

    bed.unbind(second)
    trace.clear()
    error = caller.reset_refused(first, "subordinate", in_use=True)
    assert error.name == NOT_USABLE and f"not {second}" in error.text, error
    assert trace.writes() == [], trace.events()
    xen.bind_pciback(bed, second)

    trace.clear()
    # The slot would be first, but an emulated one does not give back what was in it.
    ladder = [rung["method"] for rung in caller.plan(first) if rung["usable"]]
    assert ladder == ["slot", "subordinate", "pm"], ladder
    result = caller.reset(first, "subordinate")
    assert (result["method"], result["verdict"]) == ("subordinate", "ok"), result
    assert sorted(result["reset_set"]) == [bed.device_path(first), bed.device_path(second)], result
    done = [(e.what, e.address) for e in trace.writes()]
    assert done == [("subordinate", bed.addr("port-card"))], trace.events()
    assert [bed.driver(address) for address in (first, second)] == ["pciback", "pciback"]


@case("a xenstored that does not answer makes nobody wait, and the device counts as in use", timeout=LONG)
def stopped(bed: Bed) -> None:
    address, caller = bed.addr("nvme"), Caller(bed)
    xen.start_toolstack(bed)
    xen.destroy_guest(bed)
    xen.bind_pciback(bed, address)
    go_on = "pkill -CONT -x oxenstored"
    bed.defer(lambda: bed.guest.run(go_on))
    bed.guest.run("pkill -STOP -x oxenstored", check=True)
    trace = bed.trace()
    check_held(bed, caller, address, UNKNOWN)
    check_refused(bed, caller, address, "flr", address, UNKNOWN)
    assert trace.writes() == [], trace.events()
    trace.stop()
    bed.guest.run(go_on, check=True)
    check_resets(bed, caller, address)
