# SPDX-License-Identifier: GPL-2.0-or-later
"""Between two users: what the kernel is seen to reset once somebody has let go, who gets nothing before, and how far it reaches."""

from harness import service
from harness.bed import Bed, DBusError
from harness.caller import Caller
from harness.registry import case
from harness.rules import say
from harness.trace import Event, KernelTrace

CARD = ("multi0", "multi1")
ERROR = "org.pciresetd1.Error."
OURS = "pcireset-w"


def bare(bed: Bed, caller: Caller, *roles: str) -> list[str]:
    """Devices without a driver, and the daemon knows."""
    return [bound(bed, caller, role, "") for role in roles]


def bound(bed: Bed, caller: Caller, role: str, driver: str) -> str:
    address = bed.addr(role)
    bed.unbind(address)
    if driver:
        bed.bind(address, driver)
        bed.defer(lambda: bed.unbind(address))
    bed.wait_until(lambda: caller.property(address, "Driver") == driver, 10, f"{address} to have {driver or 'no driver'}")
    return address


def group_node(bed: Bed, address: str) -> str:
    return "/dev/vfio/" + bed.guest.readlink(f"/sys/bus/pci/devices/{address}/iommu_group").rsplit("/", 1)[1]


def ours(trace: KernelTrace) -> list[Event]:
    """What our workers have had reset, in order; VFIO resets by itself as well."""
    return [event for event in trace.writes() if OURS in event.task and event.what in ("reset", "subordinate")]


def wait_clean(bed: Bed, caller: Caller, *addresses: str) -> None:
    for address in addresses:
        bed.wait_until(lambda address=address: caller.property(address, "Cleanliness") == "clean", 30, f"{address} to be clean")


def acquire_at_last(bed: Bed, caller: Caller, *addresses: str) -> tuple[dict[str, int], list[DBusError]]:
    """Ask for a lease until there is one; returns its descriptor, and the errors until then."""
    errors: list[DBusError] = []
    descriptors: list[dict[str, int]] = []

    def ask() -> bool:
        try:
            descriptors.append(caller.acquire(*addresses)[0])
        except DBusError as error:
            errors.append(error)
            return False
        return True
    bed.wait_until(ask, 30, f"{addresses} to be given to the next user")
    return descriptors[0], errors


@case("a hypervisor that has a device open is killed: it is reset, and clean, before the next user gets it", timeout=120)
def hypervisor_killed(bed: Bed) -> None:
    root, alice, vmm = Caller(bed, "root"), Caller(bed), Caller(bed, "bob")
    address = bound(bed, root, "nic2", "vfio-pci")
    group = group_node(bed, address)
    bed.guest.run(f"chown bob {group}; chmod 0666 /dev/vfio/vfio", check=True)
    rule = say(root, bed, address, on_release="reset", require_clean=True)
    error = vmm.acquire_start(address).error()
    assert error.name == ERROR + "PolicyDenied" and rule in error.text and address in error.text, error
    # What many devices keep their state over proves nothing.
    assert root.reset(address, "pm")["verdict"] == "ok" and root.property(address, "Cleanliness") != "clean"
    assert root.reset(address, "bus")["verdict"] == "ok" and root.property(address, "Cleanliness") == "clean"
    vmm.acquire(address)
    vmm.use_vfio(group, address)
    bed.wait_until(lambda: root.property(address, "InUse"), 10, "the hypervisor to be seen")
    assert root.property(address, "Cleanliness") == "dirty"
    poison, trace = bed.poison(address), bed.trace()
    bed.guest.run(f"kill -9 {vmm.process.pid}", check=True)
    _, errors = acquire_at_last(bed, alice, address)
    assert {error.name for error in errors} <= {ERROR + "Leased", ERROR + "InUse"}, errors
    assert not bed.poisoned(poison), (trace.events(), errors)
    assert [(event.address, event.what) for event in ours(trace)] == [(address, "reset")], trace.events()
    assert [e.what for e in trace.resets() if OURS in e.task and e.returned == 0] == ["bus"], trace.events()
    row = root.call("GetHistory", "a{sv}", [{"address": ["s", address]}])[0]
    assert row["rule"] == rule and row["verdict"] == "ok" and row["uid"] == 1002, row


@case("on_release without a lease: VFIO lets go, be it after a moment, and the device is reset; not without the rule", timeout=120)
def vfio_alone(bed: Bed) -> None:
    root = Caller(bed, "root")
    address = bound(bed, root, "nic2", "vfio-pci")
    group = group_node(bed, address)
    # From now on the daemon listens to the node.
    assert root.holders(address) == []
    trace = bed.trace()
    bed.guest.run(f"exec 3<>{group}", check=True)
    bed.wait_until(lambda: root.property(address, "Cleanliness") == "dirty", 10, "the moment to be noticed")
    assert root.reset(address, "pm")["verdict"] == "ok"
    assert [event.address for event in ours(trace)] == [address], trace.events()
    rule = say(root, bed, address, on_release="reset")
    trace.clear()
    bed.guest.run(f"exec 3<>{group}", check=True)
    bed.wait_until(lambda: len(ours(trace)) > 0, 30, "the reset")
    wait_clean(bed, root, address)
    assert [(event.address, event.what) for event in ours(trace)] == [(address, "reset")], (rule, trace.events())


def siblings(bed: Bed, first: str, second: str) -> None:
    root, alice, bob, trace = Caller(bed, "root"), Caller(bed), Caller(bed, "bob"), bed.trace()
    for address in bare(bed, root, *CARD):
        say(root, bed, address, on_release="reset")
    one, two = alice.acquire(first)[0], bob.acquire(second)[0]
    poisons = [bed.poison(first), bed.poison(second)]
    alice.close(one)
    root.wait_phase(first, "waiting_idle")
    error = bob.acquire_start(first).error()
    assert error.name == ERROR + "InUse" and first in error.text, error
    assert ours(trace) == [] and all(bed.poisoned(p) for p in poisons), trace.events()
    bob.close(two)
    wait_clean(bed, root, first, second)
    bed.wait_until(lambda: root.jobs() == [], 10, "all to be over")
    assert not any(bed.poisoned(p) for p in poisons)
    # Nobody has asked for anything else either.
    assert [(e.address, e.what) for e in trace.writes()] == [(bed.addr("port-card"), "subordinate")], trace.events()
    acquire_at_last(bed, bob, first, second)


@case("two functions that only their link resets, let go one after the other: one reset of the link", timeout=120)
def siblings_in_order(bed: Bed) -> None:
    siblings(bed, bed.addr("multi0"), bed.addr("multi1"))


@case("the same, the second function let go first", timeout=120)
def siblings_in_reverse(bed: Bed) -> None:
    siblings(bed, bed.addr("multi1"), bed.addr("multi0"))


@case("the same through VFIO: a hypervisor that has the group of both functions is killed, VFIO leaves them as they are, and the "
      "next user gets both clean", timeout=120)
def siblings_through_vfio(bed: Bed) -> None:
    root, alice, vmm = Caller(bed, "root"), Caller(bed), Caller(bed, "bob")
    one, two = (bound(bed, root, role, "vfio-pci") for role in CARD)
    group = group_node(bed, one)
    bed.guest.run(f"chown bob {group}; chmod 0666 /dev/vfio/vfio", check=True)
    for address in (one, two):
        # So that a lease is the daemon's own word that it is clean.
        say(root, bed, address, on_release="reset", require_clean=True)
    vmm.use_vfio(group, one)
    for address in (one, two):
        bed.wait_until(lambda address=address: root.property(address, "InUse"), 10, f"the user of {address} to be seen")
    poisons, trace = [bed.poison(one), bed.poison(two)], bed.trace()
    bed.guest.run(f"kill -9 {vmm.process.pid}", check=True)
    _, errors = acquire_at_last(bed, alice, one, two)
    assert {error.name for error in errors} <= {ERROR + name for name in ("Leased", "InUse", "PolicyDenied")}, errors
    assert not any(bed.poisoned(p) for p in poisons), (trace.events(), errors)
    bed.wait_until(lambda: root.jobs() == [], 10, "all to be over")
    assert [(e.address, e.what) for e in ours(trace)] == [(bed.addr("port-card"), "subordinate")], trace.events()


@case("on_release stays inside of what was leased: a sibling that nobody had keeps its link from being reset", timeout=120)
def inside(bed: Bed) -> None:
    root, alice, trace = Caller(bed, "root"), Caller(bed), bed.trace()
    one, two = bare(bed, root, *CARD)
    for address in (one, two):
        say(root, bed, address, on_release="reset")
    descriptor, _ = alice.acquire(one)
    poison = bed.poison(two)
    alice.close(descriptor)
    wait_clean(bed, root, one)
    assert [(e.address, e.what) for e in ours(trace)] == [(one, "reset")], trace.events()
    assert [e.what for e in trace.resets()] == ["pm"] and bed.poisoned(poison), trace.events()

    # With nothing left but the link it is given to nobody any more.
    say(root, bed, one, on_release="reset", forbid=["pm"])
    descriptor, _ = acquire_at_last(bed, alice, one)
    trace.clear()
    alice.close(descriptor)
    bed.wait_until(lambda: root.property(one, "State") == "quarantined", 20, "the device to be put away")
    facts = root.property(one, "Quarantine")
    assert facts["cause"] == "unclean" and "not-released" in facts["reason"], facts
    assert ours(trace) == [] and bed.poisoned(poison), trace.events()
    assert alice.acquire_start(one).error().name == ERROR + "Quarantined"
    assert root.reset(one, "subordinate")["verdict"] == "ok"
    assert root.property(one, "State") == "idle" and root.property(one, "Cleanliness") == "clean"
    alice.acquire(one)


@case("let go while the daemon was killed: the next one resets the device before anybody gets it", timeout=120)
def daemon_killed(bed: Bed) -> None:
    root, alice, bob = Caller(bed, "root"), Caller(bed), Caller(bed, "bob")
    address, = bare(bed, root, "nic2")
    say(root, bed, address, on_release="reset")
    alice.acquire(address)
    poison, trace = bed.poison(address), bed.trace()
    with service.held(bed, service.UNIT):
        bed.guest.run(f"kill -9 {alice.process.pid}; kill -9 {service.main_pid(bed)}", check=True)
    service.restart(bed)
    _, errors = acquire_at_last(bed, bob, address)
    assert {error.name for error in errors} <= {ERROR + "InUse"}, errors
    assert not bed.poisoned(poison)
    assert [(event.address, event.what) for event in ours(trace)] == [(address, "reset")], trace.events()


@case("require_clean: nobody gets what is not clean, which a verified reset of the device or of its link makes it", timeout=120)
def only_clean(bed: Bed) -> None:
    root, alice, bob = Caller(bed, "root"), Caller(bed), Caller(bed, "bob")
    one, two = bare(bed, root, *CARD)
    rule = say(root, bed, two, require_clean=True)
    service.restart(bed)

    def refused(*addresses: str) -> None:
        error = bob.acquire_start(*addresses).error()
        assert error.name == ERROR + "PolicyDenied" and two in error.text and rule in error.text, error
    refused(two)
    refused(one, two)
    assert root.reset(one, "subordinate")["verdict"] == "ok"
    assert root.property(two, "Cleanliness") == "clean"
    descriptor, _ = alice.acquire(one, two)
    assert alice.reset(one, "pm")["verdict"] == "ok"
    alice.close(descriptor)
    bed.wait_until(lambda: root.leases() == {}, 10, "the lease to end")
    refused(two)
    assert root.property(one, "Cleanliness") == "dirty"
    assert root.reset(two, "pm")["verdict"] == "ok"
    refused(two)
    assert root.reset(two, "subordinate")["verdict"] == "ok"
    assert root.property(one, "Cleanliness") == "clean"
    bob.acquire(one, two)
