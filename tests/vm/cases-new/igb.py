# SPDX-License-Identifier: GPL-2.0-or-later
"""A card whose functions have IOMMU groups of their own, and virtual functions that outlive a reset."""

from harness.bed import Bed
from harness.caller import Caller
from harness.guest import Process
from harness.registry import case
from harness.virtual import make_functions

IN_USE = "org.pciresetd1.Error.InUse"
NOT_USABLE = "org.pciresetd1.Error.NotUsable"
CARD = ("igb0", "igb1")
HOLD = "import os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR); print('open', flush=True); time.sleep(600)"


def driven(bed: Bed, caller: Caller, driver: str, *addresses: str) -> None:
    """These have this driver until the case ends, and the daemon has heard of it."""
    for address in addresses:
        bed.defer(lambda address=address: bed.unbind(address))
        bed.bind(address, driver)
        bed.wait_until(lambda: caller.property(address, "Driver") == driver, 10, f"news of {driver} on {address}")


def group_node(bed: Bed, address: str) -> str:
    return "/dev/vfio/" + bed.guest.readlink(f"/sys/bus/pci/devices/{address}/iommu_group").rsplit("/", 1)[1]


def hold(bed: Bed, node: str) -> Process:
    process = bed.guest.start(["python3", "-c", HOLD, node])
    bed.defer(process.kill)
    process.wait_output("open\n", 10)
    return process


def paths(bed: Bed, addresses: list[str]) -> list[str]:
    return sorted(bed.device_path(address) for address in addresses)


@case("FLR of one function leaves its sibling alone; bus would reset both, and is refused")
def function(bed: Bed) -> None:
    one, two = (bed.addr(role) for role in CARD)
    caller, trace = Caller(bed), bed.trace()
    mine, other = bed.poison(one), bed.poison(two)
    result = caller.reset(one, "flr")
    assert (result["verdict"], result["reset_set"]) == ("ok", [bed.device_path(one)]), result
    assert not bed.poisoned(mine) and bed.poisoned(other)
    assert [(e.what, e.address, e.returned) for e in trace.resets()] == [("flr", one, 0)], trace.events()
    assert caller.reset(two, "flr")["verdict"] == "ok" and not bed.poisoned(other)

    trace.clear()
    rung, = caller.call("Plan", "ssa{sv}", [one, "bus", {}])["rungs"]
    assert not rung["usable"] and "siblings" in rung["why"] and sorted(rung["reset_set"]) == paths(bed, [one, two]), rung
    assert caller.reset_refused(one, "bus").name == "org.pciresetd1.Error.NotUsable"
    assert trace.writes() == [], trace.events()


@case("subordinate resets both functions of the card, and says so before")
def subordinate(bed: Bed) -> None:
    both = [bed.addr(role) for role in CARD]
    caller, trace = Caller(bed), bed.trace()
    rung, = caller.call("Plan", "ssa{sv}", [both[0], "subordinate", {}])["rungs"]
    assert rung["usable"] and sorted(rung["reset_set"]) == paths(bed, both), rung
    poisons = [bed.poison(address) for address in both]
    result = caller.reset(both[1], "subordinate")
    assert result["verdict"] == "ok" and sorted(result["reset_set"]) == paths(bed, both), result
    assert not any(bed.poisoned(poison) for poison in poisons)
    done = [e for e in trace.writes() if e.what == "sbr"]
    assert [e.address for e in done] == [bed.addr("port-igb")] and "pcireset-w" in done[0].task, trace.events()


@case("vfio_hot over two IOMMU groups: both are taken when idle; one that is open elsewhere forbids it, with the pid",
      timeout=90)
def vfio_hot(bed: Bed) -> None:
    one, two = (bed.addr(role) for role in CARD)
    root, trace = Caller(bed, "root"), bed.trace()
    driven(bed, root, "vfio-pci", one, two)
    nodes = [group_node(bed, address) for address in (one, two)]
    assert nodes[0] != nodes[1], nodes
    trace.clear()
    process = hold(bed, nodes[1])
    error = root.reset_refused(one, "vfio_hot")
    assert error.name == IN_USE and str(process.pid) in error.text and two in error.text, error
    assert trace.writes() == [], trace.events()
    process.kill()
    process.wait(10)

    poisons = [bed.poison(one), bed.poison(two)]
    result = root.reset(one, "vfio_hot")
    assert (result["method"], result["verdict"]) == ("vfio_hot", "ok"), result
    assert sorted(result["reset_set"]) == paths(bed, [one, two]), result
    assert not any(bed.poisoned(poison) for poison in poisons)
    done = [e for e in trace.writes() if e.what == "sbr"]
    assert done and {e.address for e in done} == {bed.addr("port-igb")}, trace.events()
    for node in nodes:
        # It can be opened by one process at a time: the worker has let go.
        hold(bed, node).kill()


@case("vfio_hot through the descriptors of all groups of the set; where one is not presented, it is named", timeout=90)
def vfio_hot_presented(bed: Bed) -> None:
    both = [bed.addr(role) for role in CARD]
    other = Caller(bed, "root")
    driven(bed, other, "vfio-pci", *both)
    user = Caller(bed)  # the drivers can be taken off when it has gone
    nodes = [group_node(bed, address) for address in both]
    bed.guest.run(f"chown alice {' '.join(nodes)}; chmod 0666 /dev/vfio/vfio", check=True)
    for node, address in zip(nodes, both):
        user.use_vfio(node, address)
    trace = bed.trace()
    for target in both:
        for presented, missing in (nodes, nodes[::-1]):
            error = user.reset_refused(target, "vfio_hot", fds=[presented])
            assert error.name in (IN_USE, NOT_USABLE) and missing in error.text, (target, missing, error)
    assert other.reset_refused(both[0], "vfio_hot", fds=[]).name == IN_USE
    assert trace.writes() == [], trace.events()

    for target in both:
        trace.clear()
        poisons = [bed.poison(address) for address in both]
        result = user.reset(target, "vfio_hot", fds=nodes)
        assert (result["method"], result["verdict"]) == ("vfio_hot", "ok"), result
        assert sorted(result["reset_set"]) == paths(bed, both), result
        assert not any(bed.poisoned(poison) for poison in poisons)
        assert {e.address for e in trace.writes() if e.what == "sbr"} == {bed.addr("port-igb")}, trace.events()


@case("vfio_hot needs the whole set: with the sibling on another driver it is not usable")
def vfio_hot_half(bed: Bed) -> None:
    one, two = (bed.addr(role) for role in CARD)
    caller, trace = Caller(bed), bed.trace()
    driven(bed, caller, "vfio-pci", one)
    driven(bed, caller, "pci-stub", two)
    trace.clear()
    rung, = caller.call("Plan", "ssa{sv}", [one, "vfio_hot", {}])["rungs"]
    assert not rung["usable"] and sorted(rung["reset_set"]) == paths(bed, [one, two]), rung
    error = caller.reset_refused(one, "vfio_hot")
    assert error.name == "org.pciresetd1.Error.NotUsable", error
    assert trace.writes() == [], trace.events()


@case("a physical function's FLR takes its virtual ones along: they are in the set, judged, and live on; theirs is their own",
      timeout=90)
def virtual(bed: Bed) -> None:
    physical, caller = bed.addr("igb2"), Caller(bed)
    driven(bed, caller, "pci-pf-stub", physical)
    functions = make_functions(bed, physical, 2)
    bed.wait_until(lambda: set(functions) <= {row[0] for row in caller.call("ListDevices")}, 10, "the functions on the bus")
    trace = bed.trace()
    result = caller.reset(functions[0], "flr")
    assert (result["verdict"], result["reset_set"]) == ("ok", [bed.device_path(functions[0])]), result
    assert [(e.what, e.address, e.returned) for e in trace.resets()] == [("flr", functions[0], 0)], trace.events()

    trace.clear()
    result = caller.reset(physical, "flr")
    assert result["verdict"] == "ok" and sorted(result["reset_set"]) == paths(bed, [physical, *functions]), result
    assert [(e.what, e.address, e.returned) for e in trace.resets()] == [("flr", physical, 0)], trace.events()
    for function in functions:
        about = {c["check"]: c["result"] for c in result["checks"] if c["device"] == bed.device_path(function)}
        assert about["answers"] == about["header"] == about["command"] == "ok", result
        assert bed.config(function)[8:12] != b"\xff" * 4
        assert caller.reset(function, "flr")["verdict"] == "ok"


@case("while VFIO has a virtual function open, the physical one is refused, and so are the others not", timeout=90)
def virtual_open(bed: Bed) -> None:
    physical, root = bed.addr("igb2"), Caller(bed, "root")
    driven(bed, root, "pci-pf-stub", physical)
    one, two = make_functions(bed, physical, 2)
    bed.wait_until(lambda: {one, two} <= {row[0] for row in root.call("ListDevices")}, 10, "the functions on the bus")
    driven(bed, root, "vfio-pci", one)
    process, trace = hold(bed, group_node(bed, one)), bed.trace()
    for address in (physical, one):
        error = root.reset_refused(address, "flr")
        assert error.name == IN_USE and str(process.pid) in error.text and one in error.text, (address, error)
    assert trace.writes() == [], trace.events()
    assert root.reset(two, "flr")["verdict"] == "ok"
    assert [e.address for e in trace.resets()] == [two], trace.events()
    process.kill()
    process.wait(10)
    assert root.reset(physical, "flr")["verdict"] == "ok"
