# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI devices of the test machine, each known by its role.

Theory of operation: one table. A role is the name of a device in QEMU and in
the cases; its place is a chain of (slot.function) hops from the root bus. Bus
numbers are the firmware's business, so an address is never written down: the
guest is asked, by walking the chain (see bed.py).

    00:04.0  port-card     multi0, multi1      a card with two functions
    00:04.1  port-nvme     (nvme)              plugged in after a restore
    00:04.2  port-switch   sw-up ── sw-down0   sw-nic0
                                 ├─ sw-down1   sw-nic1
                                 ├─ sw-down2   empty
                                 └─ sw-down3   empty
    00:04.3  port-virtio   virtio              has FLR, and AER for injection
    00:04.4  port-nic      nic                 in a slot that cannot switch its power
    00:04.5  port-nic2     nic2                in a slot whose power can be switched off and on again
    00:04.6  port-empty0   empty
    00:04.7  port-empty1   empty
    00:05.0  port-empty2   empty
    00:05.1  port-slow     slow0, slow1        ACPI _RST of chosen duration
    00:05.2  port-slow2    slow2               the same, below another port
    00:10.0  conv-bridge   conv0, conv1        conventional PCI

The bed with the newer QEMU has these too:

    00:07.0  port-igb      igb0, igb1          a card whose functions have IOMMU groups of their own
    00:07.1  port-igb2     igb2                a card with one function, which can have VFs
    00:08.0  cxl                               a root bus of its own, for CXL
    40:00.0  port-cxl      (memory)            a CXL memory expander, plugged in after a restore

That of the measurements has 32 more ports, from 00:11.0 on, with a device each: wide0 to wide31.

An emulated NVMe controller cannot be saved with the machine, which is why it
is not there from the start. Nor can a CXL port: the kernel lets go of it before
it saves, and finds it again when a case wants it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

ROOT = "pcie.0"
# The bus numbers of further root buses are ours to choose.
CXL_BUS = 0x40
# What is no device to reset.
INFRASTRUCTURE = ("pcie-root-port", "x3130-upstream", "xio3130-downstream", "pcie-pci-bridge", "pxb-cxl", "cxl-rp")
# Its slot can be told to switch its power off, and cannot do it.
UNSWITCHED_PORT = "port-nic"


@dataclass(frozen=True)
class Device:
    role: str
    model: str
    bus: str
    slot: int
    function: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def is_endpoint(self) -> bool:
        return self.model not in INFRASTRUCTURE

    def argument(self) -> str:
        parts = [self.model, f"id={self.role}", f"bus={self.bus}", f"addr={self.slot:#x}.{self.function}"]
        return ",".join(parts + [f"{key}={value}" for key, value in self.options.items()])


def _port(role: str, slot: int, function: int) -> Device:
    number = slot * 8 + function
    options = {"chassis": str(number), "slot": str(number)}
    if function == 0:
        options["multifunction"] = "on"
    if role == UNSWITCHED_PORT:
        options["power_controller_present"] = "off"
    return Device(role, "pcie-root-port", ROOT, slot, function, options)


def _nic(role: str, bus: str, function: int = 0, **options: str) -> Device:
    return Device(role, "e1000e", bus, 0, function, {"romfile": "", **options})


def _downstream(number: int) -> Device:
    return Device(f"sw-down{number}", "xio3130-downstream", "sw-up", number, 0,
                  {"chassis": str(100 + number), "slot": str(100 + number)})


PORTS = [_port(role, slot, function) for role, slot, function in (
    ("port-card", 4, 0), ("port-nvme", 4, 1), ("port-switch", 4, 2), ("port-virtio", 4, 3),
    ("port-nic", 4, 4), ("port-nic2", 4, 5), ("port-empty0", 4, 6), ("port-empty1", 4, 7),
    ("port-empty2", 5, 0), ("port-slow", 5, 1), ("port-slow2", 5, 2))]

BRIDGES = [
    Device("sw-up", "x3130-upstream", "port-switch", 0),
    *(_downstream(number) for number in range(4)),
    Device("conv-bridge", "pcie-pci-bridge", ROOT, 0x10),
]

ENDPOINTS = [
    _nic("multi0", "port-card", 0, multifunction="on"),
    _nic("multi1", "port-card", 1),
    _nic("sw-nic0", "sw-down0"),
    _nic("sw-nic1", "sw-down1"),
    Device("virtio", "virtio-net-pci", "port-virtio", 0, 0, {"aer": "on", "romfile": ""}),
    _nic("nic", "port-nic"),
    _nic("nic2", "port-nic2"),
    _nic("slow0", "port-slow", 0, multifunction="on"),
    _nic("slow1", "port-slow", 1),
    _nic("slow2", "port-slow2"),
    Device("conv0", "e1000", "conv-bridge", 1, 0, {"romfile": ""}),
    Device("conv1", "e1000", "conv-bridge", 2, 0, {"romfile": ""}),
]

DEVICES: dict[str, Device] = {device.role: device for device in PORTS + BRIDGES + ENDPOINTS}

EMPTY_PORTS = ("port-empty0", "port-empty1", "port-empty2", "sw-down2", "sw-down3")
NVME_PORT = "port-nvme"


# Without nextfn the kernel does not look for the second function of a card that has ARI.
NEWER = (
    _port("port-igb", 7, 0), _port("port-igb2", 7, 1),
    Device("igb0", "igb", "port-igb", 0, 0, {"romfile": "", "multifunction": "on", "x-pcie-ari-nextfn-1": "on"}),
    Device("igb1", "igb", "port-igb", 0, 1, {"romfile": ""}),
    Device("igb2", "igb", "port-igb2", 0, 0, {"romfile": ""}),
    Device("cxl", "pxb-cxl", ROOT, 8, 0, {"bus_nr": str(CXL_BUS)}),
    Device("port-cxl", "cxl-rp", "cxl", 0, 0, {"port": "0", "chassis": "200", "slot": "200"}),
)
NEWER_MACHINE = ("-M", "cxl=on,cxl-fmw.0.targets.0=cxl,cxl-fmw.0.size=4G")
# Its state is not in a saved machine: it comes back as new.
FORGETFUL = ("port-cxl",)

def _wide_port(role: str, number: int) -> Device:
    port = _port(f"port-{role}", 0x11 + number // 8, number % 8)
    # There are no I/O ports for so many.
    return replace(port, options={**port.options, "io-reserve": "0"})


# Many to reset at once, for measurements: small devices without I/O ports, each below a port of its own. With power management
# they get the time that the kernel gives a device after its link was down; with FLR libvirt would leave them to the kernel.
WIDE_ROLES = tuple(f"wide{number}" for number in range(32))
WIDE = (*(_wide_port(role, number) for number, role in enumerate(WIDE_ROLES)),
        *(Device(role, "virtio-rng-pci", f"port-{role}", 0, 0, {"x-pcie-flr-init": "off"}) for role in WIDE_ROLES))

# A Xen host has the card, and is never saved, so that the controller can be there from the start.
XEN = (Device("nvme", "nvme", NVME_PORT, 0, 0, {"serial": "nvme", "drive": "medium-nvme"}),)
XEN_COMMON = tuple(DEVICES[role] for role in ("port-card", NVME_PORT, "multi0", "multi1"))

# A root bus has the name of its bridge.
ROOTS = {ROOT: "/sys/devices/pci0000:00", "cxl": f"/sys/devices/pci0000:{CXL_BUS:02x}"}


def root(role: str, extra: dict[str, Device] | None = None) -> str:
    """The directory of the root bus that a device is below of."""
    return ROOTS[_path(role, extra)[0]]


def chain(role: str, extra: dict[str, Device] | None = None) -> list[str]:
    """The hops from the root bus to a device, e.g. ["04.2", "00.0", "01.0", "00.0"]."""
    return _path(role, extra)[1:]


def _path(role: str, extra: dict[str, Device] | None) -> list[str]:
    """The root bus, and then the hops from there."""
    known = {**DEVICES, **(extra or {})}
    hops: list[str] = []
    while True:
        device = known[role]
        hops.insert(0, f"{device.slot:02x}.{device.function}")
        role = device.bus
        if role in ROOTS:
            return [role, *hops]


def arguments(additions: tuple[Device, ...] = ()) -> list[str]:
    """QEMU's command line for all of it; parents come first."""
    # What SR-IOV of a controller that is plugged in later needs; it cannot be plugged in itself.
    result = ["-device", "nvme-subsys,id=subsystem"]
    for device in (*DEVICES.values(), *additions):
        result += ["-device", device.argument()]
    return result
