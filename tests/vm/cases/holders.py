# SPDX-License-Identifier: GPL-2.0-or-later
"""Users of a device that hide: behind other devices, other interfaces, and other names."""

from typing import Any

from harness.bed import DEVICE, DEVICES, Bed
from harness.plugging import plug_disk
from harness.registry import case

# A node that has another name, in a file system that nobody else sees, and then no name at all.
ODD_NODE = """mount -t tmpfs odd /mnt && mknod /mnt/odd c {} {} && exec 9</mnt/odd && rm /mnt/odd && echo open
sleep 600"""


def holders(bed: Bed, address: str, user: str = "root") -> list[dict[str, Any]]:
    return bed.call(user, "GetHolders", "a{sv}", [{}], bed.device_path(address), DEVICE)


def told(bed: Bed, address: str) -> list[tuple[str, str]]:
    return sorted((h["kind"], h["what"]) for h in holders(bed, address))


def plug_idle(bed: Bed) -> str:
    address = plug_disk(bed)
    bed.guest.run("udevadm settle", timeout=30)
    return address


@case("a loop device on a disk is in use as long as it is there", timeout=90)
def loop(bed: Bed) -> None:
    address = plug_idle(bed)
    assert told(bed, address) == []
    loop_node = bed.guest.run("losetup -f --show /dev/nvme0n1", check=True).stdout.strip()
    bed.defer(lambda: bed.guest.run(f"losetup -d {loop_node}"))
    bed.wait_until(lambda: ("block", f"/dev/nvme0n1 (under {loop_node})") in told(bed, address), 10, "the loop device")
    assert all(h["hard"] == (h["kind"] == "block") for h in holders(bed, address))
    bed.guest.run(f"losetup -d {loop_node}", check=True)
    bed.wait_until(lambda: told(bed, address) == [], 10, "nobody to use the disk")


@case("a node with a strange name in a namespace of its own, and then with none, is the same device", timeout=90)
def odd_node(bed: Bed) -> None:
    address = plug_idle(bed)
    major, minor = bed.guest.read_text("/sys/class/nvme/nvme0/dev").strip().split(":")
    process = bed.guest.start(["systemd-run", "--quiet", "--pipe", "--unit=odd", "unshare", "-m", "sh", "-c",
                               ODD_NODE.format(major, minor)])
    bed.defer(lambda: bed.guest.run("systemctl stop odd"))
    process.wait_output("open\n", 20)
    found = holders(bed, address)
    assert [(h["kind"], h["what"], h["uid"], h["unit"], h["hard"]) for h in found if h["command"] == "sh"] == [
        ("process", "/dev/nvme0", 0, "odd.service", False)], found
    assert all(h["pid"] == int(bed.guest.run("systemctl show -P MainPID odd").stdout) or h["command"] == "sleep"
               for h in found), found
    bed.guest.run("systemctl stop odd", check=True)
    bed.wait_until(lambda: told(bed, address) == [], 10, "nobody to use the controller")


@case("an interface is in use by the address of the bridge above it", timeout=90)
def bridged(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    bed.guest.run("udevadm settle", timeout=30)
    name = bed.guest.list(f"{DEVICES}/{address}/net")[0]
    assert told(bed, address) == []
    bed.guest.run(f"ip link set {name} up", check=True)
    assert told(bed, address) == [("interface", name)]
    bed.guest.run(f"ip link add br9 type bridge && ip link set {name} master br9 && ip link set br9 up", check=True)
    bed.defer(lambda: bed.guest.run("ip link del br9"))
    assert told(bed, address) == [("interface", name)]
    bed.guest.run("ip addr add 192.0.2.9/24 dev br9", check=True)
    assert told(bed, address) == [("network", f"{name} (in br9 192.0.2.9/24)")]
    bed.guest.run("ip link set br9 down", check=True)
    assert told(bed, address) == [("interface", name)]
    bed.guest.run(f"ip link set {name} down", check=True)
    assert told(bed, address) == []
