# SPDX-License-Identifier: GPL-2.0-or-later
"""All devices as sysfs and pci.ids have them, and the daemon held against that.

Theory of operation: one script in the guest reads the attributes of all
devices, none of which waits for a reset; `names` reads configuration space and
does wait, so a case that checks during a reset asks for them before.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .bed import DEVICE, Bed
from .caller import PROPERTIES, Caller

DEVICE_PROPERTIES = {
    "Address": "s", "VendorId": "q", "DeviceId": "q", "SubsystemVendorId": "q", "SubsystemDeviceId": "q",
    "Class": "u", "Revision": "y", "VendorName": "s", "DeviceName": "s", "Driver": "s", "IommuGroup": "s",
    "Parent": "o", "PhysicalFunction": "o", "Methods": "as", "State": "s", "Cleanliness": "s", "Owner": "s",
    "Lease": "s", "InUse": "b", "LastReset": "a{sv}", "Generation": "t", "ErrorState": "s",
    "Quarantine": "a{sv}",
}

# The kernel's side of every property, for all devices at once.
READ_SYSFS = r"""
import json, os
top, slots, devices = "/sys/bus/pci/devices", "/sys/bus/pci/slots", {}
powered = [open(f"{slots}/{name}/address").read().strip() for name in os.listdir(slots)
           if os.path.exists(f"{slots}/{name}/power")]
for address in sorted(os.listdir(top)):
    path = f"{top}/{address}"
    def text(name):
        try:
            return open(f"{path}/{name}").read().strip()
        except FileNotFoundError:
            return None
    def link(name):
        return os.path.basename(os.readlink(f"{path}/{name}")) if os.path.islink(f"{path}/{name}") else ""
    numbers = ("vendor", "device", "subsystem_vendor", "subsystem_device", "class", "revision")
    devices[address] = {name: int(text(name), 16) for name in numbers}
    devices[address]["reset_method"] = (text("reset_method") or "").split()
    devices[address].update({name: link(name) for name in ("driver", "iommu_group", "physfn")})
    above = os.path.dirname(os.path.realpath(path))
    devices[address]["parent"] = os.path.basename(above)
    devices[address]["bridge"] = os.path.exists(f"{path}/secondary_bus_number")
    devices[address]["subordinate"] = os.path.exists(f"{above}/reset_subordinate")
    devices[address]["slot"] = address.rsplit(".", 1)[0] in powered or address[:7] in powered
    devices[address]["removable"] = os.path.exists(f"{path}/remove")
print(json.dumps(devices))
"""


def sysfs(bed: Bed) -> dict[str, dict[str, Any]]:
    return json.loads(bed.guest.run(["python3", "-c", READ_SYSFS], check=True).stdout)


def offered(facts: dict[str, Any], parent_known: bool) -> list[str]:
    """Every method that the daemon has to name: the kernel's, and those that it adds to them."""
    ours = []
    if parent_known and not facts["bridge"]:
        ours = [name for name, there in (
            ("subordinate", facts["subordinate"]), ("vfio_hot", facts["driver"] == "vfio-pci" and facts["iommu_group"]),
            ("slot", facts["slot"] and not facts["physfn"]), ("rescan", facts["removable"])) if there]
    return facts["reset_method"] + ours


def offered_by(bed: Bed, role: str) -> list[str]:
    """The same of one device that has a bridge above it."""
    truth = sysfs(bed)
    facts = truth[bed.addr(role)]
    return offered(facts, facts["parent"] in truth)


def names(bed: Bed) -> dict[str, tuple[str, str, str]]:
    """Class, vendor and device in words, by lspci; "" for what pci.ids does not know."""
    found = {}
    for block in bed.guest.run(["lspci", "-D", "-vmm", "-nn"], check=True).stdout.strip().split("\n\n"):
        fields = dict(line.split(":\t", 1) for line in block.splitlines())
        words = [re.sub(r" ?\[[0-9a-f]{4}\]$", "", fields[key]) for key in ("Class", "Vendor", "Device")]
        found[fields["Slot"]] = (words[0], "" if words[1] == "Vendor" else words[1],
                                 "" if words[2] == "Device" else words[2])
    return found


def check_sysfs(bed: Bed, caller: Caller, called: dict[str, tuple[str, str, str]] | None = None,
                states: dict[str, str] | None = None) -> None:
    """Everything the daemon says about every device is what sysfs says; `states` are those that are not idle."""
    truth, states = sysfs(bed), states or {}
    called = called or names(bed)
    rows = {row[0]: row for row in caller.call("ListDevices")}
    assert list(rows) == sorted(truth), (list(rows), sorted(truth))
    for address, facts in truth.items():
        path = bed.device_path(address)
        seen = caller.call("GetAll", "s", [DEVICE], path=path, interface=PROPERTIES)
        class_name, vendor_name, device_name = called[address]
        parent = bed.device_path(facts["parent"]) if facts["parent"] in truth else "/"
        wanted = {
            "Address": address, "VendorId": facts["vendor"], "DeviceId": facts["device"],
            "SubsystemVendorId": facts["subsystem_vendor"], "SubsystemDeviceId": facts["subsystem_device"],
            "Class": facts["class"], "Revision": facts["revision"], "VendorName": vendor_name,
            "DeviceName": device_name, "Driver": facts["driver"], "IommuGroup": facts["iommu_group"],
            "Parent": parent, "PhysicalFunction": bed.device_path(facts["physfn"]) if facts["physfn"] else "/",
            "State": states.get(address, "idle"), "Owner": "", "Lease": "",
        }
        assert {key: seen.get(key) for key in wanted} == wanted, (address, seen, wanted)
        # Depends on what was done to it before.
        assert seen["Cleanliness"] in ["unknown"] + ["dirty", "clean"] * (not facts["bridge"]), (address, seen)
        # Methods is read live, and only for those who ask for it by name.
        assert set(seen) == set(DEVICE_PROPERTIES) - {"Methods"}, set(seen) ^ set(DEVICE_PROPERTIES)
        methods = caller.property(address, "Methods")
        listed = facts["reset_method"]
        if wanted["State"] == "resetting":
            # The worker has narrowed it down; the daemon goes on showing what was there before.
            assert set(listed) <= set(methods), (address, methods, facts)
            listed = methods
        assert methods == listed, (address, methods, facts)
        description = f"{class_name}: {vendor_name} {device_name or 'Device ' + format(facts['device'], '04x')}"
        assert rows[address] == [address, path, facts["driver"], wanted["State"], "", description], rows[address]
        assert caller.call("GetDevice", "s", [address]) == path
        named = list(caller.methods(address))
        assert named == offered({**facts, "reset_method": listed}, facts["parent"] in truth), (address, named, facts)
