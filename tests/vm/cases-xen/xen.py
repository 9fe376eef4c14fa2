# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that belong to Xen's guests, on a real Xen host.

The cases go on from each other: first there is no toolstack, then there is.
"""

from harness.bed import Bed
from harness.registry import case
from harness.xen import GUEST, bind_pciback, create_guest, guest_console, start_toolstack, wait_guest_reads, xl


@case("this is the first domain of a real hypervisor", daemon=False)
def dom0(bed: Bed) -> None:
    assert bed.guest.read_text("/sys/hypervisor/type") == "xen"
    assert bed.guest.read_text("/sys/hypervisor/guest_type") == "PV"
    bed.guest.run("mountpoint -q /proc/xen || mount -t xenfs xenfs /proc/xen", check=True)
    assert "control_d" in bed.guest.read_text("/proc/xen/capabilities")


@case("a guest reads from the NVMe controller that it was given", daemon=False, timeout=240)
def guest_uses_disk(bed: Bed) -> None:
    nvme = bed.addr("nvme")
    bind_pciback(bed, nvme)
    start_toolstack(bed)
    create_guest(bed, nvme)
    wait_guest_reads(bed, 120)
    assert bed.driver(nvme) == "pciback"
    xl(bed, "pci-detach", GUEST, nvme)
    assert bed.driver(nvme) == "pciback"
    assert bed.guest.run(["xl", "pci-assignable-list"], check=True).stdout.split() == [nvme]
    bed.wait_until(lambda: guest_console(bed).endswith("inner: no disk"), 60, "the guest to miss its disk")
