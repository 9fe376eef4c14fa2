# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and drivers come and go, and clients hear of it."""

import json

from harness.bed import DEVICE, Bed
from harness.caller import Caller
from harness.registry import case


def _added(caller: Caller, path: str) -> list[dict]:
    return [s.arguments[1] for s in caller.signals("InterfacesAdded") if s.arguments[0] == path]


def _removed(caller: Caller, path: str) -> list[list[str]]:
    return [s.arguments[1] for s in caller.signals("InterfacesRemoved") if s.arguments[0] == path]


@case("hotplug of a device and its removal reach clients, on the bus and by pcireset monitor", timeout=90)
def add_and_remove(bed: Bed) -> None:
    caller = Caller(bed, "bob")
    caller.listen()
    monitor = bed.guest.start(["pcireset", "monitor"], user="bob")
    as_json = bed.guest.start(["pcireset", "--json", "monitor"], user="bob")
    for process in (monitor, as_json):
        bed.defer(process.kill)
    other, alice = bed.addr("nic"), Caller(bed)

    def both_listen() -> bool:
        # They say nothing until something happens.
        alice.reset(other, "pm")
        return other in monitor.stdout and other in as_json.stdout
    bed.wait_until(both_listen, 30, "the monitors to listen")
    bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
    bed.wait_device("guest0")
    address = bed.addr("guest0")
    path = bed.device_path(address)
    bed.wait_until(lambda: bool(_added(caller, path)), 10, "InterfacesAdded")
    properties = _added(caller, path)[0][DEVICE]
    assert (properties["Address"], properties["VendorId"], properties["DeviceId"]) == (address, 0x8086, 0x10d3), properties
    assert caller.call("GetDevice", "s", [address]) == path
    assert properties["Parent"] == bed.device_path(bed.addr("port-empty0")), properties
    monitor.wait_output(address)
    assert alice.reset(address, "pm")["verdict"] == "ok"
    bed.machine.unplug("guest0")
    bed.wait_device("guest0", present=False)
    bed.wait_until(lambda: bool(_removed(caller, path)), 10, "InterfacesRemoved")
    assert DEVICE in _removed(caller, path)[0]
    assert caller.refused("GetDevice", "s", [address]).name == "org.pciresetd1.Error.NoSuchDevice"
    error = caller.refused("GetMethods", "a{sv}", [{}], path=path, interface=DEVICE)
    assert error.name == "org.freedesktop.DBus.Error.UnknownObject", error
    for process in (monitor, as_json):
        bed.wait_until(lambda: "removed" in process.stdout.lower(), 10, f"{process.argv} to tell of the removal")
    lines = [json.loads(line) for line in as_json.stdout[:as_json.stdout.rfind("\n") + 1].splitlines()]
    assert len([line for line in lines if address in json.dumps(line)]) >= 2, lines


@case("a card with two functions, and a device below a switch", timeout=90)
def nested(bed: Bed) -> None:
    caller = Caller(bed, "bob")
    caller.listen()
    bed.machine.plug("e1000e", "sw-down2", "guest1", romfile="")
    bed.machine.plug("e1000e", "port-empty1", "guest3", 0, 1, romfile="")
    bed.machine.plug("e1000e", "port-empty1", "guest2", 0, 0, romfile="", multifunction=True)
    for role in ("guest1", "guest2", "guest3"):
        bed.wait_device(role)
        address = bed.addr(role)
        bed.wait_until(lambda: bool(_added(caller, bed.device_path(address))), 10, f"InterfacesAdded of {role}")
    parent = caller.property(bed.addr("guest1"), "Parent")
    assert parent == bed.device_path(bed.addr("sw-down2")), parent
    facts = caller.methods(bed.addr("guest2")).get("bus")
    assert facts is None or facts["why"] == ["siblings"], facts
    addresses = [bed.addr(role) for role in ("guest2", "guest3")]
    bed.machine.unplug("guest2")
    bed.machine.unplug("guest1")
    bed.wait_device("guest3", present=False)
    for address in addresses:
        bed.wait_until(lambda: bool(_removed(caller, bed.device_path(address))), 10, f"InterfacesRemoved of {address}")


@case("a driver bound and unbound: PropertiesChanged with Driver, and what it means for a reset")
def drivers(bed: Bed) -> None:
    caller, address = Caller(bed, "bob"), bed.addr("nic")
    caller.call("ListDevices")
    caller.listen()
    path = bed.device_path(address)

    def heard() -> list[str]:
        return [s.arguments[1]["Driver"] for s in caller.signals("PropertiesChanged", path) if "Driver" in s.arguments[1]]
    bed.defer(lambda: bed.unbind(address))
    for driver, usable in (("pci-stub", True), ("e1000e", False), ("vfio-pci", True)):
        bed.bind(address, driver)
        bed.wait_until(lambda: heard()[-1:] == [driver], 10, f"news of {driver}, not {heard()}")
        assert caller.property(address, "Driver") == driver
        assert caller.methods(address)["pm"]["usable"] == usable
    bed.unbind(address)
    bed.wait_until(lambda: heard()[-1:] == [""], 10, "news of the driver's going")
    row, = [row for row in caller.call("ListDevices") if row[0] == address]
    assert row[2] == "", row


@case("removed and found again by root: another object at the same path")
def rescan(bed: Bed) -> None:
    caller, address = Caller(bed, "bob"), bed.addr("conv1")
    caller.listen()
    generation, path = caller.property(address, "Generation"), bed.device_path(address)
    bed.guest.poke(f"{bed.path('conv1')}/remove", "1")
    bed.wait_until(lambda: bool(_removed(caller, path)), 10, "InterfacesRemoved")
    bed.guest.poke("/sys/bus/pci/rescan", "1")
    bed.wait_until(lambda: bool(_added(caller, path)), 10, "InterfacesAdded")
    assert _added(caller, path)[0][DEVICE]["Generation"] > generation
    assert caller.property(address, "State") == "idle"
