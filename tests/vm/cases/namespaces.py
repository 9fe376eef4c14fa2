# SPDX-License-Identifier: GPL-2.0-or-later
"""Users in other namespaces: they are found and named, and their end, which nobody announces, is noticed."""

from harness.bed import DEVICES, Bed
from harness.caller import Caller
from harness.registry import case

IN_USE = "org.pciresetd1.Error.InUse"


def interface(bed: Bed, address: str, driver: str) -> str:
    """The function's only interface, down and without addresses."""
    bed.bind(address, driver)
    bed.defer(lambda: bed.unbind(address))

    def names() -> list[str]:
        return bed.guest.run(f"ls {DEVICES}/{address}/net || ls {DEVICES}/{address}/virtio*/net").stdout.split()
    bed.wait_until(lambda: bool(names()), 15, f"the interface of {address}")
    bed.guest.run("udevadm settle", timeout=30)
    return names()[0]


def told(caller: Caller, address: str) -> list[tuple[str, str, bool]]:
    return [(h["kind"], h["what"], h["hard"]) for h in caller.holders(address)]


@case("an interface in another network namespace is found there, with its name, state and addresses", timeout=120)
def network(bed: Bed) -> None:
    address, root, trace = bed.addr("nic"), Caller(bed, "root"), bed.trace()
    name = interface(bed, address, "e1000e")
    bed.guest.run(f"ip netns add away && ip link set {name} netns away", check=True)
    bed.defer(lambda: bed.guest.run("ip netns del away"))
    assert told(root, address) == []
    bed.guest.run(f"ip -n away link set {name} up", check=True)
    assert told(root, address) == [("interface", f"{name} in netns /run/netns/away", False)]
    bed.guest.run(f"ip -n away addr add 192.0.2.7/24 dev {name}", check=True)
    wanted = f"{name} 192.0.2.7/24 in netns /run/netns/away"
    assert told(root, address) == [("network", wanted, True)]
    error = root.reset_refused(address, "bus", in_use=True)
    assert error.name == IN_USE and wanted in error.text, error
    assert [(h["kind"], h["what"]) for h in error.evidence["holders"]] == [("network", wanted)], error.evidence

    # What it is a port of has the address.
    bed.guest.run(f"ip -n away addr flush dev {name} && ip -n away link add br0 type bridge && "
                  f"ip -n away link set {name} master br0 && ip -n away addr add 192.0.2.8/24 dev br0", check=True)
    assert told(root, address) == [("interface", f"{name} in netns /run/netns/away", False)]
    bed.guest.run("ip -n away link set br0 up", check=True)
    assert told(root, address) == [("network", f"{name} (in br0 192.0.2.8/24) in netns /run/netns/away", True)]
    bed.guest.run(f"ip -n away link set {name} down", check=True)
    assert told(root, address) == []
    assert trace.writes() == [], trace.events()


@case("an interface in a container names the container's process, and comes back with its end", timeout=120)
def container(bed: Bed) -> None:
    address, root, bob = bed.addr("virtio"), Caller(bed, "root"), Caller(bed, "bob")
    bed.guest.run("modprobe virtio_net", check=True)
    name = interface(bed, address, "virtio-pci")
    bed.wait_until(lambda: bob.property(address, "Driver") == "virtio-pci", 10, "the driver on the bus")
    # Its network namespace belongs to a user namespace of its own, as those of rootless containers do.
    process = bed.guest.start(["systemd-run", "--quiet", "--pipe", "--unit=container", "unshare", "-Urn", "sh", "-c",
                               "echo in; exec sleep 600"])
    bed.defer(lambda: bed.guest.run("systemctl stop container"))
    process.wait_output("in\n", 20)
    pid = int(bed.guest.run("systemctl show -P MainPID container").stdout)
    number = bed.guest.readlink(f"/proc/{pid}/ns/net").removeprefix("net:[").removesuffix("]")
    bed.guest.run(f"ip link set {name} netns {pid} && "
                  f"nsenter -t {pid} -n sh -c 'ip link set {name} up; ip addr add 192.0.2.9/24 dev {name}'", check=True)
    (holder,) = root.holders(address)
    assert (holder["kind"], holder["what"], holder["pid"], holder["unit"], holder["command"]) == (
        "network", f"{name} 192.0.2.9/24 in netns {number}", pid, "container.service", "sleep"), holder
    # Whose it is not is told no more than that there is somebody.
    (holder,) = bob.holders(address)
    assert holder["kind"] == "network" and holder["count"] == 1 and "what" not in holder, holder
    error = root.reset_refused(address, "flr", in_use=True)
    assert error.name == IN_USE and f"in the namespace of process {pid} (sleep, uid 0, container.service)" in error.text, error
    error = bob.reset_refused(address, "flr")
    assert error.name == IN_USE and "1 process of others has it in a namespace of its own" in error.text, error
    bed.wait_until(lambda: bob.property(address, "InUse"), 10, "the property to follow")
    bed.guest.run("systemctl stop container", check=True)
    bed.wait_until(lambda: not bob.property(address, "InUse"), 30, "the device to be free")


@case("a mount in another namespace is named, and its end, which nobody announces, is heard of by who waits", timeout=150)
def mount(bed: Bed) -> None:
    address, root, alice, trace = bed.plug_nvme(), Caller(bed, "root"), Caller(bed), bed.trace()

    def unplug() -> None:
        bed.machine.unplug("nvme")
        bed.wait_device("nvme", present=False)
    bed.defer(unplug)
    bed.wait_until(lambda: bed.guest.exists("/dev/nvme0n1"), 15, "/dev/nvme0n1")
    bed.guest.run("mkfs.ext4 -q /dev/nvme0n1 && mkdir -p /mnt/nvme && udevadm settle", timeout=60, check=True)
    mounting = "mount /dev/nvme0n1 /mnt/nvme && echo mounted"
    process = bed.guest.start(["unshare", "-m", "sh", "-c", f"{mounting} && exec sleep 600"])
    bed.defer(process.kill)
    process.wait_output("mounted\n", 20)
    (holder,) = root.holders(address)
    assert (holder["kind"], holder["what"], holder["pid"], holder["hard"]) == (
        "mount", "/dev/nvme0n1 on /mnt/nvme", process.pid, True), holder
    bed.wait_until(lambda: alice.property(address, "InUse"), 10, "the property to follow")
    process.kill()
    bed.wait_until(lambda: not alice.property(address, "InUse"), 20, "the device to be free with the process's end")

    bed.guest.run("mkfifo /run/go", check=True)
    bed.defer(lambda: bed.guest.run("rm /run/go"))
    process = bed.guest.start(["unshare", "-m", "sh", "-c", f"exec <>/run/go; {mounting} && read line && "
                               "umount /mnt/nvme && echo gone && sleep 600"])
    bed.defer(process.kill)
    process.wait_output("mounted\n", 20)
    call = alice.reset_start(address, "flr", when_idle=True)
    alice.wait_phase(address, "waiting_idle")
    bed.guest.run("echo >/run/go", check=True)
    process.wait_output("gone\n", 20)
    result = call.result(90)
    assert result["verdict"] == "ok" and len(trace.resets(address)) == 1, result
