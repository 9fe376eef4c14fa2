# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on the bus: started on demand, callable with plain busctl, and true to sysfs."""

import json
import re
import shlex
from typing import Any

from harness.bed import DEVICE, MANAGER, NAME, ROOT, Bed
from harness.caller import PROPERTIES, Caller
from harness.registry import case
from harness.service import UNIT, main_pid

INTERACTION = (None, "yes", "no")
DEVICE_PROPERTIES = {
    "Address": "s", "VendorId": "q", "DeviceId": "q", "SubsystemVendorId": "q", "SubsystemDeviceId": "q",
    "Class": "u", "Revision": "y", "VendorName": "s", "DeviceName": "s", "Driver": "s", "IommuGroup": "s",
    "Parent": "o", "PhysicalFunction": "o", "Methods": "as", "State": "s", "Cleanliness": "s", "Owner": "s",
    "Lease": "s", "LastReset": "a{sv}", "Generation": "t", "ErrorState": "s",
}

# The kernel's side of every property, for all devices at once.
READ_SYSFS = r"""
import json, os
top, devices = "/sys/bus/pci/devices", {}
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
    devices[address]["parent"] = os.path.basename(os.path.dirname(os.path.realpath(path)))
print(json.dumps(devices))
"""


def sysfs(bed: Bed) -> dict[str, dict[str, Any]]:
    return json.loads(bed.guest.run(["python3", "-c", READ_SYSFS], check=True).stdout)


def names(bed: Bed) -> dict[str, tuple[str, str, str]]:
    """Class, vendor and device in words, by lspci; "" for what pci.ids does not know."""
    found = {}
    for block in bed.guest.run(["lspci", "-D", "-vmm", "-nn"], check=True).stdout.strip().split("\n\n"):
        fields = dict(line.split(":\t", 1) for line in block.splitlines())
        words = [re.sub(r" ?\[[0-9a-f]{4}\]$", "", fields[key]) for key in ("Class", "Vendor", "Device")]
        found[fields["Slot"]] = (words[0], "" if words[1] == "Vendor" else words[1],
                                 "" if words[2] == "Device" else words[2])
    return found


def check_sysfs(bed: Bed, caller: Caller) -> None:
    """Everything the daemon says about every device is what sysfs says."""
    truth, called = sysfs(bed), names(bed)
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
            "State": "idle", "Cleanliness": "unknown", "Owner": "", "Lease": "",
        }
        assert {key: seen.get(key) for key in wanted} == wanted, (address, seen, wanted)
        # Methods is read live, and only for those who ask for it by name.
        assert set(seen) == set(DEVICE_PROPERTIES) - {"Methods"}, set(seen) ^ set(DEVICE_PROPERTIES)
        assert caller.property(address, "Methods") == facts["reset_method"], address
        description = f"{class_name}: {vendor_name} {device_name or 'Device ' + format(facts['device'], '04x')}"
        assert rows[address] == [address, path, facts["driver"], "idle", "", description], rows[address]
        assert caller.call("GetDevice", "s", [address]) == path
        assert list(caller.methods(address)) == facts["reset_method"], address


@case("a first call starts the daemon, which only root may be")
def activation(bed: Bed) -> None:
    assert main_pid(bed) == 0, "it runs already"
    stolen = bed.busctl("alice", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", NAME, "0")
    assert stolen.rc and "denied" in stolen.stderr.lower(), stolen
    assert main_pid(bed) == 0, "it was started by that"
    reply = bed.busctl("alice", "--timeout=30", "call", NAME, ROOT, MANAGER, "GetDevice", "s", bed.addr("nic"), check=True)
    assert reply.stdout == f'o "{bed.device_path(bed.addr("nic"))}"\n', reply
    pid = main_pid(bed)
    assert pid, "it does not run"
    assert str(pid) in bed.busctl("root", "status", NAME).stdout
    assert bed.guest.readlink(f"/proc/{pid}/exe") == "/usr/libexec/pciresetd"


@case("the list and every property of every device are what sysfs and pci.ids say")
def equal_to_sysfs(bed: Bed) -> None:
    caller = Caller(bed, "bob")
    check_sysfs(bed, caller)
    kinds = sysfs(bed)
    assert any(d["driver"] for d in kinds.values()) and any(d["iommu_group"] for d in kinds.values())
    assert caller.call("Get", "ss", [MANAGER, "Version"], interface=PROPERTIES)


def _calls(bed: Bed, address: str) -> list[tuple[str, str]]:
    """Arguments of busctl, and how its output begins."""
    device = f"{NAME} {bed.device_path(address)}"
    manager = f"{NAME} {ROOT}"
    properties = [(f"get-property {device} {DEVICE} {name}", kind + " ") for name, kind in DEVICE_PROPERTIES.items()]
    return [
        (f"call {manager} {MANAGER} ListDevices", "a(sossss) "),
        (f"call {manager} {MANAGER} GetDevice s {address}", f'o "{bed.device_path(address)}"'),
        (f"call {manager} {MANAGER} GetMethods 'sa{{sv}}' {address} 0", 'a(sa{sv}) 2 "pm" '),
        (f"call {manager} {MANAGER} GetMethods 'sa{{sv}}' {address} 1 in_use b true", 'a(sa{sv}) 2 "pm" '),
        (f"call {manager} {MANAGER} Plan 'ssa{{sv}}' {address} any 0", 'a{sv} 1 "rungs" aa{sv} 2 '),
        (f"call {manager} {MANAGER} ListJobs 'a{{sv}}' 0", "aa{sv} 0"),
        (f"get-property {manager} {MANAGER} Version", 's "'),
        (f"call {device} {DEVICE} GetMethods 'a{{sv}}' 0", 'a(sa{sv}) 2 "pm" '),
        (f"call {device} {DEVICE} Plan 'sa{{sv}}' link 0", 'a{sv} 1 "rungs" aa{sv} 1 '),
        (f"call {manager} org.freedesktop.DBus.ObjectManager GetManagedObjects", "a{oa{sa{sv}}} "),
        (f"call {device} {PROPERTIES} GetAll s {DEVICE}", f"a{{sv}} {len(DEVICE_PROPERTIES) - 1} "),
        (f"call {manager} org.freedesktop.DBus.Peer Ping", ""),
        (f"call {manager} org.freedesktop.DBus.Introspectable Introspect", 's "<!DOCTYPE'),
        *properties,
    ]


@case("every read of Manager and Device by busctl, with its timeout, interactive or not, by alice and by bob")
def read_members(bed: Bed) -> None:
    calls = _calls(bed, bed.addr("nic"))
    script = ["failed() { echo \"$1\"; exit 1; }"]
    for number, (call, begins) in enumerate(calls):
        # All combinations are used, but not by all calls: a busctl takes its time here.
        mode = INTERACTION[number % 3]
        flag = f"--allow-interactive-authorization={mode} " if mode else ""
        script.append(f"out=$(busctl --timeout=30 {flag}{call} 2>&1) || failed {shlex.quote(call)}\"=$out\"")
        script.append(f"case \"$out\" in {shlex.quote(begins)}*) ;; *) failed {shlex.quote(call)}\"=$out\";; esac")
    runs = [bed.guest.start("\n".join(script), user=user) for user in ("alice", "bob")]
    for run in runs:
        result = run.wait(50)
        assert result.rc == 0, result.stdout


@case("Reset of Manager and of Device by busctl: alice does it, bob gets AccessDenied, however interaction is allowed")
def reset_members(bed: Bed) -> None:
    address, other = bed.addr("nic"), bed.addr("nic2")
    device = bed.device_path(other)
    trace = bed.trace()
    for mode in INTERACTION:
        flags = ["--timeout=60"] + ([f"--allow-interactive-authorization={mode}"] if mode else [])
        trace.clear()
        bed.busctl("alice", *flags, "call", NAME, ROOT, MANAGER, "Reset", "ssa{sv}", address, "pm", "0", check=True)
        bed.busctl("alice", *flags, "call", NAME, device, DEVICE, "Reset", "sa{sv}", "bus", "0", check=True)
        assert [(e.what, e.address) for e in trace.resets()] == [("pm", address), ("bus", other)], trace.events()
        trace.clear()
        for call in (["Reset", "ssa{sv}", address, "pm", "0"], ["Reset", "sa{sv}", "bus", "0"]):
            where = [ROOT, MANAGER] if len(call) == 5 else [device, DEVICE]
            result = bed.busctl("bob", *flags, "call", NAME, *where, *call)
            wanted = "authentication is required" if mode == "no" else "Access denied"
            assert result.rc == 1 and wanted in result.stderr, (mode, result)
        assert trace.writes() == [], trace.events()


@case("the tree and every interface can be looked at with busctl")
def tree(bed: Bed) -> None:
    listed = bed.busctl("bob", "--list", "tree", NAME, check=True).stdout.split()
    assert {bed.device_path(address) for address in sysfs(bed)} <= set(listed), listed
    for path, interface, members in ((ROOT, MANAGER, ("Reset", "JobNew", "Version")),
                                     (bed.device_path(bed.addr("nic")), DEVICE, ("Reset", "Methods", "State"))):
        shown = bed.busctl("bob", "introspect", NAME, path, interface, check=True).stdout
        assert all(re.search(rf"^\.{member}\s", shown, re.M) for member in members), shown
    caller = Caller(bed, "bob")
    objects = caller.call("GetManagedObjects", interface="org.freedesktop.DBus.ObjectManager")
    assert sorted(objects) == sorted(bed.device_path(address) for address in sysfs(bed))
    for path, interfaces in objects.items():
        assert interfaces[DEVICE] == caller.call("GetAll", "s", [DEVICE], path=path, interface=PROPERTIES)


@case("no property can be written")
def read_only(bed: Bed) -> None:
    caller = Caller(bed)
    for path, interface, name in ((ROOT, MANAGER, "Version"), (bed.device_path(bed.addr("nic")), DEVICE, "Owner")):
        error = caller.refused("Set", "ssv", [interface, name, ["s", "me"]], path=path, interface=PROPERTIES)
        assert error.name in ("org.freedesktop.DBus.Error.PropertyReadOnly",
                              "org.freedesktop.DBus.Error.AccessDenied"), error


@case("the service is as it should be: its sandbox, its status, its files")
def service(bed: Bed) -> None:
    Caller(bed).call("ListDevices")
    status = bed.guest.run(f"systemctl status --no-pager {UNIT}").stdout
    assert "active (running)" in status and "/usr/libexec/pciresetd" in status, status
    pid = main_pid(bed)
    capabilities = {line.split(":")[0]: int(line.split()[1], 16)
                    for line in bed.guest.read_text(f"/proc/{pid}/status").splitlines() if line.startswith("Cap")}
    assert capabilities["CapBnd"] == capabilities["CapEff"] == 1 << 21, capabilities  # CAP_SYS_ADMIN alone
    assert "NoNewPrivs:\t1" in bed.guest.read_text(f"/proc/{pid}/status")
    # Seen from inside its mount namespace, only these may be written.
    mounts = bed.guest.read_text(f"/proc/{pid}/mounts").splitlines()
    writable = {line.split()[1] for line in mounts if "rw" in line.split()[3].split(",")}
    allowed = ("/sys/devices", "/run/pciresetd", "/tmp", "/var/tmp", "/dev", "/proc")
    assert all(place.startswith(allowed) for place in writable), writable
    assert "/" not in writable and "/sys" not in writable, writable
    assert bed.guest.run("ls -A /run/pciresetd/jobs").stdout.split() in ([], ["next-id"])
