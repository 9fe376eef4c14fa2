# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is a Xen host.

Theory of operation: the same image, with Xen as the kernel that QEMU starts and
Linux as its first domain (a PV one: in a PVH one pciback cannot be bound). It
boots from cold, because an NVMe controller cannot be saved, and once for all
cases. In it `xl` makes a guest from a kernel and an initramfs that are in the
image; that guest reads from the disk it was given for as long as it lives, and
says so on its console.

It is always emulated: what is tested is what the toolstack does and says, and
Xen inside of a virtual machine is not what its virtualisation is made for. The
processor is QEMU's plain one, because the first domain does not survive the one
with everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import image, qemu, snapshot, topology
from .bed import DEVICES, Bed
from .cache import Cache, say
from .flavour import XEN as XEN_HOST
from .flavour import Flavour
from .guest import Guest, GuestError
from .machine import Machine
from .registry import Case
from .runner import EVIDENCE, Runner

# It takes some 20 s where nothing else runs, and has taken 120 where everything did.
BOOT_TIMEOUT = 240.0

HYPERVISOR = "console=com1 com1=115200,8n1 noreboot dom0_mem=704M,max:704M"
DOM0 = "console=hvc0 loglevel=4 panic=-1 systemd.show_status=false net.ifnames=0"

GUEST = "inner"
CONSOLE = f"/var/log/xen/guest-{GUEST}.log"



@dataclass(frozen=True)
class XenSetup:
    """What the machine is made of."""

    image: image.Image
    flavour: Flavour = XEN_HOST
    qemu: qemu.Qemu = qemu.INSTALLED

    def hardware(self) -> list[str]:
        return [
            "-M", "q35", "-accel", "tcg,thread=multi", "-m", "1536", "-smp", "2", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            # As in machine.py.
            "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            # Without one, Xen gives no device to a guest.
            "-device", "intel-iommu,intremap=on",
            "-drive", f"file={self.image.root},format=raw,if=none,id=root,readonly=on",
            "-device", "virtio-blk-pci,drive=root,addr=0x2",
            "-device", "virtio-serial-pci,id=channels,addr=0x3",
            "-device", "virtserialport,bus=channels.0,chardev=agent,name=bed.agent",
            "-serial", "chardev:console",
            "-drive", "driver=null-co,size=16M,read-zeroes=on,if=none,id=medium-nvme",
            *(part for device in (*topology.XEN_COMMON, *topology.XEN) for part in ("-device", device.argument())),
            "-kernel", str(self.image.hypervisor), "-append", HYPERVISOR,
            # A list of modules, each with its command line, in which a comma is written twice.
            "-initrd", f"{self.image.vmlinux} {DOM0.replace(',', ',,')},{self.image.initramfs}",
        ]


def prepare(cache: Cache) -> XenSetup:
    return XenSetup(image.prepare(cache, XEN_HOST))


def boot(setup: XenSetup) -> tuple[Machine, Guest]:
    machine = Machine(setup)
    try:
        guest = Guest(machine.agent_socket)
        guest.wait_ready(BOOT_TIMEOUT)
        snapshot.wait_running(guest)
        return machine, guest
    except BaseException:
        say("the Xen host did not come up; its console said:\n" + machine.serial_text()[-4000:])
        machine.stop()
        raise


class XenRunner(Runner):
    """Runs cases in such machines. Each boots from cold."""

    machine_timeout = BOOT_TIMEOUT + 120
    evidence = (*EVIDENCE, ("guests", "xl list; timeout 5 xenstore-ls -f | grep -E '/pci/'"),
                ("console of the guest", f"tail -n 20 {CONSOLE}"))

    def _start(self, case: Case) -> None:
        self._machine, self._guest = boot(self._bench)
        if case.daemon:
            Bed(self._machine, self._guest, self._stage, self._rules).install()


# -- what cases do with a Xen host ------------------------------------------------


def start_toolstack(bed: Bed) -> None:
    """Xenstored and its friends, as the distribution starts them."""
    bed.guest.run("systemctl start xen.service", timeout=120, check=True)


def xl(bed: Bed, *arguments: str, timeout: float = 60.0) -> str:
    return bed.guest.run(["xl", *arguments], timeout=timeout, check=True).stdout


def bind_pciback(bed: Bed, address: str) -> None:
    """What `xl pci-assignable-add` does, without the toolstack."""
    if bed.driver(address) == "pciback":
        return
    bed.unbind(address)
    bed.guest.run("modprobe xen-pciback", timeout=60, check=True)
    bed.guest.poke(f"{DEVICES}/{address}/driver_override", "pciback")
    bed.guest.poke("/sys/bus/pci/drivers_probe", address)
    if bed.driver(address) != "pciback":
        raise GuestError(f"{address} did not take pciback: it has {bed.driver(address)}")


def domid(bed: Bed) -> int:
    """The number of the guest, 0 if there is none."""
    result = bed.guest.run(["xl", "domid", GUEST])
    return 0 if result.rc else int(result.stdout)


def create_guest(bed: Bed, address: str) -> None:
    """Make the guest with this device."""
    bed.guest.run(["rm", "-f", CONSOLE])
    xl(bed, "create", f"/etc/xen/{GUEST}.cfg", f'pci=["{address}"]', timeout=120)


def detach(bed: Bed, address: str) -> None:
    """Take a device from the guest. The toolstack gives a guest ten seconds to let go, on a busy host too few,
    and does not say so."""
    for _ in range(6):
        xl(bed, "pci-detach", GUEST, address)
        if address not in guest_devices(bed):
            return
    raise GuestError(f"the guest does not let go of {address}")


def destroy_guest(bed: Bed) -> None:
    if domid(bed):
        xl(bed, "destroy", GUEST, timeout=120)


def guest_devices(bed: Bed) -> list[str]:
    """What the guest was given and has not lost again."""
    return re.findall(r"[0-9a-f:]+[.][0-7]$", xl(bed, "pci-list", GUEST), re.M) if domid(bed) else []


def guest_console(bed: Bed) -> str:
    return bed.guest.read_text(CONSOLE) if bed.guest.exists(CONSOLE) else ""


def wait_guest_reads(bed: Bed, timeout: float = 120.0) -> None:
    """Until the guest has read from its disk, from now on."""
    def reads() -> int:
        return guest_console(bed).count("inner: read ")
    before = reads()
    bed.wait_until(lambda: reads() > before, timeout, "the guest to read from its disk")
