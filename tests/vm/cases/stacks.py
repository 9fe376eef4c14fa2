# SPDX-License-Identifier: GPL-2.0-or-later
"""A device is in use by what stands far above it: file systems and swap on block devices, addresses on interfaces."""

import struct

from harness.bed import DEVICES, Bed, DBusError
from harness.caller import Caller
from harness.plugging import unplug_all
from harness.registry import case
from harness.sysfs import sysfs

IN_USE = "org.pciresetd1.Error.InUse"
NOT_USABLE = "org.pciresetd1.Error.NotUsable"
SECTORS = 2048  # of a MiB


def told(caller: Caller, address: str) -> list[tuple[str, str]]:
    return sorted((h["kind"], h["what"]) for h in caller.holders(address))


def wait_told(bed: Bed, caller: Caller, address: str, *wanted: tuple[str, str]) -> None:
    """udev looks at everything new, too, for a moment."""
    seen: list[tuple[str, str]] = []

    def look() -> bool:
        seen[:] = told(caller, address)
        return seen == sorted(wanted)
    try:
        bed.wait_until(look, 30, f"{address} to be used by {wanted}")
    finally:
        assert seen == sorted(wanted), seen


def wait_use(bed: Bed, caller: Caller, address: str, used: bool) -> None:
    """The property follows, although nobody asks for a look."""
    bed.wait_until(lambda: caller.property(address, "InUse") == used, 30, f"InUse = {used} of {address}")


def refused(caller: Caller, address: str, method: str, *wanted: tuple[str, str]) -> DBusError:
    """Even to root, who allows devices in use to be reset; the error names what is in the way."""
    error = caller.reset_refused(address, method, in_use=True)
    assert error.name == IN_USE and all(what in error.text for _, what in wanted), error
    hard = sorted((h["kind"], h["what"]) for h in error.evidence["holders"] if h["hard"])
    assert hard == sorted(wanted), error.evidence
    return error


def plug_disks(bed: Bed, *disks: tuple[str, str]) -> list[tuple[str, str]]:
    """NVMe controllers (role, port) for the time of the case: the address and the disk of each."""
    bed.defer(lambda: unplug_all(bed, *(role for role, _ in disks if role in bed.machine.plugged)))
    found = []
    for role, port in disks:
        address = bed.plug_nvme(role, port)
        name = bed.guest.list(f"{DEVICES}/{address}/nvme")[0] + "n1"
        bed.wait_until(lambda name=name: bed.guest.exists(f"/dev/{name}"), 30, name)
        found.append((address, f"/dev/{name}"))
    bed.guest.run("udevadm settle", timeout=60)
    return found


def partition(bed: Bed, disk: str, *sizes: int) -> None:
    """A table of partitions of so many MiB each (the disk's first one stays free)."""
    entries, start = b"", SECTORS
    for size in sizes:
        entries += struct.pack("<B3xB3xII", 0, 0x83, start, size * SECTORS)
        start += size * SECTORS
    bed.guest.poke(disk, entries.ljust(64, b"\0") + b"\x55\xaa", offset=446)
    # udev reads it too; whoever comes second finds nothing to do.
    bed.guest.run(f"udevadm settle; partx -u {disk}; udevadm settle", timeout=60)
    for number in range(1, len(sizes) + 1):
        bed.wait_until(lambda number=number: bed.guest.exists(f"{disk}p{number}"), 30, f"{disk}p{number}")


# Whoever looks at a block device has it for himself for a moment: udev, and the daemon.
AGAIN = "again() { for i in 1 2 3 4; do \"$@\" && return; sleep 1; done; \"$@\"; }"


def commands(bed: Bed, *lines: str) -> None:
    bed.guest.run("\n".join(("set -e", AGAIN, *lines)), timeout=120, check=True)


@case("a file system on LVM on md on a partition, and swap on device-mapper over two disks, are refused until taken apart",
      timeout=300)
def block_stacks(bed: Bed) -> None:
    (one, disk), (two, other) = plug_disks(bed, ("nvme", "port-nvme"), ("second", "port-empty0"))
    root, trace = Caller(bed, "root"), bed.trace()
    partition(bed, disk, 8, 6)
    for address in (one, two):
        wait_use(bed, root, address, False)

    bed.defer(lambda: bed.guest.run("umount /mnt; swapoff -a; dmsetup remove wide; vgchange -qq -an stack; mdadm --stop /dev/md9",
                                    timeout=60))
    commands(bed, "modprobe -a raid1 dm-mod",
             f"again mdadm --create /dev/md9 --quiet --run --metadata=1.2 --level=1 --raid-devices=2 {disk}p1 missing",
             "again vgcreate -qq -s 1m stack /dev/md9", "lvcreate -qq -y -l 100%FREE -n top stack",
             "again mkfs.ext4 -q /dev/stack/top", "again mount /dev/stack/top /mnt",
             f"printf '0 8192 linear {disk}p2 0\\n8192 8192 linear {other} 0\\n' >/run/wide.table",
             "again dmsetup create wide /run/wide.table", "again mkswap -q /dev/mapper/wide", "again swapon /dev/mapper/wide")
    for address in (one, two):
        wait_use(bed, root, address, True)
    mount = ("mount", f"/dev/mapper/stack-top (on /dev/md9 (on {disk}p1)) on /mnt")
    swap, swap_too = (("swap", f"/dev/mapper/wide (on {place})") for place in (f"{disk}p2", other))
    wait_told(bed, root, one, mount, swap)
    wait_told(bed, root, two, swap_too)
    refused(root, one, "flr", mount, swap)
    refused(root, two, "flr", swap_too)

    # What is still there is told until the last layer is gone.
    commands(bed, "swapoff /dev/mapper/wide", "umount /mnt")
    array = ("block", f"{disk}p1 (under /dev/md9)")
    wide = [("block", f"{place} (under /dev/dm-1)") for place in (f"{disk}p2", other)]
    wait_told(bed, root, one, array, wide[0])
    wait_told(bed, root, two, wide[1])
    commands(bed, "dmsetup remove --retry wide")
    wait_use(bed, root, two, False)
    wait_told(bed, root, one, array)
    commands(bed, "vgchange -qq -an stack")
    wait_told(bed, root, one, array)
    refused(root, one, "flr", array)
    assert trace.writes() == [], trace.events()
    commands(bed, "again mdadm --quiet --stop /dev/md9")
    wait_use(bed, root, one, False)
    for address in (one, two):
        trace.clear()
        assert root.reset(address, "flr")["verdict"] == "ok" and len(trace.resets(address)) == 1, trace.events()
    # Nothing of it was lost.
    commands(bed, f"again mdadm --assemble --quiet --run /dev/md9 {disk}p1", "vgchange -qq -ay stack",
             "again mount /dev/stack/top /mnt", "test -d /mnt/lost+found", "umount /mnt", "vgchange -qq -an stack",
             "again mdadm --quiet --stop /dev/md9")


@case("the disk that the machine runs from is in use; one with a file system on / is refused to root too, and called the root",
      timeout=180)
def root_disk(bed: Bed) -> None:
    root, trace = Caller(bed, "root"), bed.trace()
    above, known = bed.guest.run("readlink -f /sys/class/block/vda", check=True).stdout.split("/"), sysfs(bed)
    address = next(part for part in reversed(above) if part in known)
    # The kernel says that it is claimed, although no mount point shows it: it is the lower layer of the root file system.
    wait_use(bed, root, address, True)
    wait_told(bed, root, address, ("block", "/dev/vda"))
    assert all(holder["hard"] for holder in root.holders(address))
    # This machine has it on its root bus, where the kernel has no method for it.
    methods = root.methods(address, in_use=True)
    assert not any(facts["usable"] for facts in methods.values()), methods
    for method in ("any", *methods):
        error = root.reset_refused(address, method, in_use=True)
        assert error.name in (IN_USE, NOT_USABLE), error

    ((other, node),) = plug_disks(bed, ("nvme", "port-nvme"))
    wait_use(bed, root, other, False)
    # It covers the root file system for whoever begins there anew, which is nobody.
    bed.defer(lambda: bed.guest.run(f"umount {node}"))
    commands(bed, f"again mkfs.ext4 -q {node}", f"again mount {node} /")
    wait_use(bed, root, other, True)
    wait_told(bed, root, other, ("root", node))
    refused(root, other, "flr", ("root", node))
    commands(bed, f"umount {node}")
    wait_use(bed, root, other, False)
    assert trace.writes() == [] and trace.removed() == [], trace.events()
    assert root.reset(other, "flr")["verdict"] == "ok" and len(trace.resets(other)) == 1, trace.events()


@case("interfaces in a bond in a bridge are in use by the bridge's address, both of them, until it is gone", timeout=180)
def bonded(bed: Bed) -> None:
    names, addresses, root, trace = [], [bed.addr("nic"), bed.addr("nic2")], Caller(bed, "root"), bed.trace()
    for address in addresses:
        bed.bind(address, "e1000e")
        bed.defer(lambda address=address: bed.unbind(address))
        names.append(bed.guest.list(f"{DEVICES}/{address}/net")[0])
    bed.guest.run("udevadm settle", timeout=60)
    for address in addresses:
        bed.wait_until(lambda address=address: root.property(address, "Driver") == "e1000e", 15, "the driver on the bus")
        wait_told(bed, root, address)
    bed.defer(lambda: bed.guest.run("ip link del br7; ip link del bond7; rmmod bonding"))
    commands(bed, "modprobe bonding max_bonds=0", "ip link add bond7 type bond mode active-backup",
             *(f"ip link set {name} master bond7" for name in names), "ip link set bond7 up")
    # A member of a bond is up with it, and is used by nobody as long as there is no address.
    for address, name in zip(addresses, names):
        wait_use(bed, root, address, True)
        wait_told(bed, root, address, ("interface", name))
    commands(bed, "ip addr add 192.0.2.7/24 dev bond7")
    for address, name in zip(addresses, names):
        wait_told(bed, root, address, ("network", f"{name} (in bond7 192.0.2.7/24)"))
        refused(root, address, "bus", ("network", f"{name} (in bond7 192.0.2.7/24)"))
    commands(bed, "ip addr flush dev bond7", "ip link add br7 type bridge", "ip link set bond7 master br7",
             "ip addr add 192.0.2.8/24 dev br7", "ip link set br7 up")
    for address, name in zip(addresses, names):
        wait_told(bed, root, address, ("network", f"{name} (in br7 192.0.2.8/24)"))
        refused(root, address, "bus", ("network", f"{name} (in br7 192.0.2.8/24)"))
    assert trace.writes() == [], trace.events()
    commands(bed, "ip link del br7", "ip link del bond7", *(f"ip link set {name} down" for name in names))
    for address in addresses:
        wait_use(bed, root, address, False)
    # e1000e knows no resets: it is taken off and put back.
    result = root.reset(addresses[0], "bus", in_use=True)
    assert result["verdict"] == "ok" and len(trace.resets(addresses[0])) == 1, (result, trace.events())
    assert bed.driver(addresses[0]) == "e1000e"
