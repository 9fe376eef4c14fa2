# SPDX-License-Identifier: GPL-2.0-or-later
"""Who uses a device and who has it: what the kernel knows, the daemon knows, and it holds root to it."""

import json

from harness import service
from harness.bed import Bed
from harness.caller import Caller
from harness.guest import Process
from harness.plugging import plug_disk
from harness.registry import case

OPEN = "import os, sys, time; fd = os.open(sys.argv[1], os.O_RDONLY); print('open', flush=True); time.sleep(600)"
VIRSH = "virsh -q -c qemu:///system"
IN_USE = "org.pciresetd1.Error.InUse"


def quiet(bed: Bed, caller: Caller, address: str) -> None:
    """Neither udev nor the daemon looks at it any more."""
    bed.guest.run("udevadm settle", timeout=30)
    bed.wait_until(lambda: caller.property(address, "Driver") == "nvme" and not caller.property(address, "InUse"), 15,
                   f"{address} to be idle")


def refused_for(caller: Caller, address: str, kind: str, what: str, **options: bool) -> None:
    error = caller.reset_refused(address, "flr", **options)
    assert error.name == IN_USE and what in error.text, error
    assert any(h["kind"] == kind and what in h["what"] for h in error.evidence["holders"]), error.evidence


@case("a mounted file system is refused, even to root with in_use, and not after umount", timeout=120)
def mounted(bed: Bed) -> None:
    address, root, trace = plug_disk(bed), Caller(bed, "root"), bed.trace()
    quiet(bed, root, address)
    bed.guest.run("mkfs.ext4 -q /dev/nvme0n1 && mkdir -p /mnt/nvme && mount /dev/nvme0n1 /mnt/nvme", timeout=60, check=True)
    bed.defer(lambda: bed.guest.run("umount /mnt/nvme"))
    refused_for(root, address, "mount", "/mnt/nvme")
    refused_for(root, address, "mount", "/mnt/nvme", in_use=True)
    assert any(h["kind"] == "mount" and h["hard"] for h in Caller(bed, "bob").holders(address))
    bed.wait_until(lambda: root.property(address, "InUse"), 10, "the property to follow")
    assert trace.writes() == [], trace.events()
    bed.guest.run("umount /mnt/nvme", check=True)
    quiet(bed, root, address)
    result = root.reset(address, "flr")
    assert result["verdict"] == "ok" and [e.address for e in trace.resets()] == [address], result
    bed.guest.run("mount /dev/nvme0n1 /mnt/nvme && ls -d /mnt/nvme/lost+found", check=True)


@case("a mount that only another namespace sees, and swap, count too", timeout=120)
def hidden_use(bed: Bed) -> None:
    address, root, trace = plug_disk(bed), Caller(bed, "root"), bed.trace()
    quiet(bed, root, address)
    bed.guest.run("mkfs.ext4 -q /dev/nvme0n1 && mkdir -p /mnt/nvme", timeout=60, check=True)
    inside = bed.guest.start(["unshare", "-m", "--propagation", "private", "sh", "-c",
                              "mount /dev/nvme0n1 /mnt/nvme && echo mounted && sleep 600"])
    inside.wait_output("mounted\n", 20)
    assert "/mnt/nvme" not in bed.guest.read_text("/proc/1/mountinfo")
    refused_for(root, address, "mount", "/dev/nvme0n1 on /mnt/nvme", in_use=True)
    inside.kill()
    inside.wait(10)

    # A namespace outlives its last process for a moment, and the look that its end brings about has the disk for another.
    bed.guest.run("until mkswap -q /dev/nvme0n1; do sleep 0.2; done; until swapon /dev/nvme0n1; do sleep 0.2; done", timeout=30,
                  check=True)
    refused_for(root, address, "swap", "nvme0n1", in_use=True)
    bed.guest.run("swapoff /dev/nvme0n1", timeout=30, check=True)
    assert trace.writes() == [], trace.events()
    quiet(bed, root, address)
    assert root.reset(address, "flr")["verdict"] == "ok"


@case("a process with a device node open is named to whom it concerns, and only counted to others", timeout=120)
def named(bed: Bed) -> None:
    address, root, alice, bob = plug_disk(bed), Caller(bed, "root"), Caller(bed), Caller(bed, "bob")
    quiet(bed, root, address)
    process = bed.guest.start(["python3", "-c", OPEN, "/dev/nvme0"])
    process.wait_output("open\n", 10)
    bed.wait_until(lambda: root.property(address, "InUse"), 15, "the daemon to see that it was opened")
    (holder,) = root.holders(address)
    assert (holder["kind"], holder["pid"], holder["what"]) == ("process", process.pid, "/dev/nvme0"), holder
    assert holder["command"] == "python3" and holder["uid"] == 0 and holder["hard"] is False, holder
    for other in (alice, bob):
        (seen,) = other.holders(address)
        assert seen["kind"] == "process" and seen["count"] == 1 and "pid" not in seen, seen
    error = alice.reset_refused(address, "flr")
    assert error.name == IN_USE and str(process.pid) not in error.text, error
    assert alice.reset(address, "flr", in_use=True)["verdict"] == "ok"
    process.kill()
    bed.wait_until(lambda: not root.property(address, "InUse"), 15, "the daemon to see that it was closed")


@case("an interface that is up with an address is refused; one that was moved elsewhere, too", timeout=90)
def network(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    name = bed.guest.list(f"{bed.path('nic')}/net")[0]
    root, trace = Caller(bed, "root"), bed.trace()
    bed.wait_until(lambda: root.property(address, "Driver") == "e1000e", 10, "the driver on the bus")
    bed.guest.run(f"ip addr add 192.0.2.1/24 dev {name} && ip link set {name} up", check=True)
    error = root.reset_refused(address, "bus", in_use=True)
    assert error.name == IN_USE and "192.0.2.1" in error.text, error
    bed.guest.run(f"ip addr flush dev {name}; ip link add br0 type bridge; ip link set {name} master br0; "
                  f"ip addr add 192.0.2.2/24 dev br0; ip link set br0 up", check=True)
    bed.defer(lambda: bed.guest.run("ip link del br0"))
    error = root.reset_refused(address, "bus", in_use=True)
    assert error.name == IN_USE and "br0" in error.text, error
    bed.guest.run("ip link del br0; ip netns add away", check=True)
    bed.defer(lambda: bed.guest.run("ip netns del away"))
    bed.guest.run(f"ip link set {name} netns away && ip -n away addr add 192.0.2.3/24 dev {name} && "
                  f"ip -n away link set {name} up", check=True)
    error = root.reset_refused(address, "bus", in_use=True)
    assert error.name == IN_USE and "192.0.2.3" in error.text, error
    assert trace.writes() == [], trace.events()


@case("a user or a lease that comes while a reset waits for its turn: refused then, and nothing is written",
      timeout=150, kernel=False)
def race(bed: Bed) -> None:
    address, alice, bob = bed.addr("slow2"), Caller(bed), Caller(bed, "bob")
    bed.bind(address, "vfio-pci")
    bed.defer(lambda: bed.unbind(address))
    group = "/dev/vfio/" + bed.guest.readlink(f"{bed.path('slow2')}/iommu_group").rsplit("/", 1)[1]
    bed.wait_until(lambda: alice.property(address, "Driver") == "vfio-pci", 10, "the driver on the bus")
    bed.set_slow_reset(20)
    trace = bed.trace()

    first = alice.reset_start(address, "acpi")
    alice.wait_phase(address, "resetting")
    second = alice.reset_start(address, "bus")
    alice.wait_phase(address, "queued")
    user = bed.guest.start(["python3", "-c", OPEN, group])
    user.wait_output("open\n", 10)
    assert not first.answered(), "the turn has come too early to see anything"
    assert first.result()["verdict"] == "ok"
    error = second.error()
    assert error.name == IN_USE and [(h["kind"], h["count"]) for h in error.evidence["holders"]] == [("vfio", 1)], error.evidence
    user.kill()
    bed.wait_until(lambda: not alice.property(address, "InUse"), 15, "the group to be free")

    bed.set_slow_reset(10)
    one, two = (bed.addr(role) for role in ("slow0", "slow1"))
    bed.unbind(one)
    bed.unbind(two)
    first = alice.reset_start(one, "acpi")
    alice.wait_phase(one, "resetting")
    second = alice.reset_start(one, "subordinate")
    alice.wait_phase(one, "queued")
    descriptor, lease = bob.acquire(two)
    assert not first.answered(), "the turn has come too early to see anything"
    assert first.result()["verdict"] == "ok"
    error = second.error()
    assert error.name == "org.pciresetd1.Error.Leased" and two in error.text, error
    assert [(e.what, e.address) for e in trace.resets()] == [("acpi", address), ("acpi", one)], trace.events()
    assert not {"sbr", "subordinate"} & {e.what for e in trace.writes()}, trace.events()
    bob.close(descriptor)
    bed.wait_until(lambda: lease not in alice.leases(), 10, "the lease to end")


@case("when_idle starts when the holder dies, and nothing is polled meanwhile", timeout=120)
def when_idle(bed: Bed) -> None:
    address, root, alice, trace = plug_disk(bed), Caller(bed, "root"), Caller(bed), bed.trace()
    quiet(bed, root, address)
    process = bed.guest.start(["python3", "-c", OPEN, "/dev/nvme0"])
    process.wait_output("open\n", 10)
    call = alice.reset_start(address, "flr", when_idle=True)
    alice.wait_phase(address, "waiting_idle")
    pid = service.main_pid(bed)

    def switches() -> int:
        status = bed.guest.read_text(f"/proc/{pid}/status")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt")))
    def sleeps() -> bool:
        before = switches()
        bed.guest.run("sleep 5")
        return switches() == before
    bed.wait_until(sleeps, 40, "the daemon to sleep while it waits")
    assert not call.answered() and trace.writes() == [], trace.events()
    process.kill()
    result = call.result(20)
    assert result["verdict"] == "ok" and len(trace.resets(address)) == 1, result


@case("leases outlive the daemon, and end with the last copy of their descriptor", timeout=90, kernel=False)
def leases(bed: Bed) -> None:
    one, two = bed.addr("multi0"), bed.addr("nic2")
    for address in (one, two):
        bed.unbind(address)
    alice, bob = Caller(bed), Caller(bed, "bob")
    descriptor, kept = alice.acquire(one)
    _, orphaned = bob.acquire(two)
    assert set(alice.leases()) == {kept, orphaned}
    bed.guest.run("systemctl stop pciresetd", timeout=30, check=True)
    bob.leave()
    service.start(bed)
    bed.wait_until(lambda: set(alice.leases()) == {kept}, 10, "the orphan to be released")
    row = alice.leases()[kept]
    assert row["uid"] == 1001 and row["devices"] == [one] and alice.property(one, "Lease") == kept, row
    root = Caller(bed, "root")
    error = root.start("Acquire", "asssa{sv}", [[two, one], "root", "", {}]).error()
    assert error.name == "org.pciresetd1.Error.Leased" and one in error.text, error
    assert alice.property(two, "Lease") == "", "all or none"
    alice.close(descriptor)
    bed.wait_until(lambda: alice.leases() == {}, 10, "the lease to end")


@case("pcireset run holds a lease while its command runs, and the command's child keeps it", kernel=False)
def run(bed: Bed) -> None:
    address = bed.addr("nic2")
    bed.unbind(address)
    alice = Caller(bed)
    done = bed.guest.run(f"pcireset run {address} -- sh -c 'pcireset leases; sleep 900 >/dev/null 2>&1 & exit 7'", user="alice", timeout=30)
    assert done.rc == 7 and address in done.stdout, done
    assert len(alice.leases()) == 1, "the child holds it"
    bed.guest.run("pkill -u alice -x sleep", check=True)
    bed.wait_until(lambda: alice.leases() == {}, 10, "the lease to end with the child")


@case("a delay inhibitor is told before, and has its time; a blocking one forbids", kernel=False)
def inhibitors(bed: Bed) -> None:
    address = bed.addr("nic2")
    bed.unbind(address)
    alice, root, trace = Caller(bed), Caller(bed, "root"), bed.trace()
    root.listen()
    descriptor = root.start("Inhibit", "assssa{sv}", [[address], "a monitor", "to let go", "delay", {}]).result()
    call = alice.reset_start(address, "pm")
    bed.wait_until(lambda: bool(root.signals("PrepareForReset")), 10, "the signal")
    told = root.signals("PrepareForReset")[0]
    job, devices, begins = told.arguments
    assert devices == [bed.device_path(address)] and begins is True
    (added,) = [s.arguments for s in root.signals("InterfacesAdded") if s.arguments[0].endswith(f"/job/{job}")]
    assert added[1]["org.pciresetd1.Job"]["Phase"] == "inhibited", added
    closed = bed.guest.monotonic()
    root.close(descriptor)
    assert call.result(30)["verdict"] == "ok"
    # It waits five seconds and no longer, which a slow machine may need for less.
    (reset,) = trace.resets()
    assert reset.time > min(closed, told.time + 2), (trace.events(), told, closed)
    bed.wait_until(lambda: [s.arguments[2] for s in root.signals("PrepareForReset")] == [True, False], 10, "the end")
    descriptor = root.start("Inhibit", "assssa{sv}", [[address], "a flasher", "writes firmware", "block", {}]).result()
    trace.clear()
    error = alice.reset_refused(address, "pm")
    assert error.name == "org.pciresetd1.Error.Inhibited" and trace.writes() == [], error
    root.close(descriptor)
    bed.wait_until(lambda: alice.call("ListInhibitors", "a{sv}", [{}]) == [], 10, "the inhibitor to end")


@case("devices that /etc declares to go together do, and with a declaration that is broken there is no daemon",
      timeout=120, kernel=False)
def edges(bed: Bed) -> None:
    one, two, folder = bed.addr("nic"), bed.addr("nic2"), "/etc/pciresetd/policy.d"
    bed.guest.run(f"mkdir -p {folder}", check=True)
    # Started anew without the file, also if the case ends in between.
    bed.defer(lambda: service.restart(bed))
    bed.defer(lambda: bed.guest.run(f"rm -rf /etc/pciresetd; systemctl reset-failed {service.UNIT}"))
    bed.guest.write(f"{folder}/50-rail.json", json.dumps({"edges": [{"devices": [one, two], "reason": "a rail"}]}))
    service.restart(bed)
    alice, bob, trace = Caller(bed), Caller(bed, "bob"), bed.trace()
    for rung in alice.plan(one, "pm"):
        assert rung["reset_set"] == [bed.device_path(one), bed.device_path(two)], rung
    lease, name = bob.acquire(two)
    error = alice.reset_refused(one, "pm")
    assert error.name == "org.pciresetd1.Error.Leased" and name in error.text and trace.writes() == [], error
    bob.close(lease)
    bed.wait_until(lambda: alice.leases() == {}, 10, "the lease to end")
    assert alice.reset(one, "pm")["verdict"] == "ok" and [e.address for e in trace.resets()] == [one], trace.events()

    journal = service.Journal(bed)
    bed.guest.write(f"{folder}/60-broken.json", '{"edges": [\n')
    assert bed.guest.run(f"systemctl restart {service.UNIT}", timeout=60).rc != 0
    entry = journal.wait("policy-refused")
    assert f"{folder}/60-broken.json: line 2" in entry["MESSAGE"] and entry["PRIORITY"] == "3", entry
    bed.guest.run(f"ln -sf /dev/null {folder}/60-broken.json; systemctl reset-failed {service.UNIT}", check=True)
    service.restart(bed)
    assert [rung["reset_set"][1] for rung in alice.plan(two, "pm")] == [bed.device_path(one)]


def libvirtd(bed: Bed) -> None:
    """The daemon as it is packaged; the package with its units and its user is not here. It tells what it does to devices."""
    bed.guest.run("groupadd -f -r kvm && groupadd -f -r libvirt-qemu && useradd -r -g libvirt-qemu libvirt-qemu", check=True)
    bed.guest.run("modprobe vfio-pci && systemd-run --quiet --unit=libvirtd -p Type=notify -p KillMode=process "
                  "-E LIBVIRT_LOG_FILTERS=1:util.pci -E LIBVIRT_LOG_OUTPUTS=1:stderr libvirtd", timeout=120, check=True)
    bed.defer(lambda: bed.guest.run("systemctl stop libvirtd", timeout=60))


def libvirt_events(bed: Bed) -> Process:
    """What libvirtd tells of devices from now on."""
    events = bed.guest.start(["stdbuf", "-oL", *VIRSH.split(), "nodedev-event", "--event", "lifecycle", "--loop"])
    bed.defer(events.kill)

    def listens() -> bool:
        bed.guest.run("ip link add canary type dummy; sleep 1; ip link del canary; sleep 1", timeout=30)
        return "canary" in events.stdout
    bed.wait_until(listens, 60, "libvirtd to tell what happens")
    return events


@case("libvirtd detaches, resets and reattaches a device beside the daemon; each notices the other", timeout=300)
def libvirt(bed: Bed) -> None:
    address = bed.addr("nic")
    node = "pci_" + address.replace(":", "_").replace(".", "_")
    bed.bind(address, "e1000e")
    bed.guest.poke(f"/sys/bus/pci/devices/{address}/driver_override", "\n")
    bed.defer(lambda: bed.unbind(address))
    alice, trace = Caller(bed), bed.trace()

    def driver_is(name: str) -> None:
        bed.wait_until(lambda: alice.property(address, "Driver") == name, 15, f"the daemon to see {name or 'no driver'}")

    def virsh(command: str) -> str:
        return bed.guest.run(f"{VIRSH} {command} {node}", timeout=60, check=True).stdout

    driver_is("e1000e")
    assert alice.reset_refused(address, "bus").name == IN_USE
    libvirtd(bed)
    events = libvirt_events(bed)
    virsh("nodedev-detach")
    driver_is("vfio-pci")
    assert alice.reset(address, "bus")["verdict"] == "ok" and len(trace.resets(address)) == 1, trace.events()
    assert alice.reset(address, "rescan")["verdict"] == "ok" and trace.removed() == [address], trace.events()
    events.wait_output(f"{node}: Deleted\n", 30)
    events.wait_output(f"{node}: Created\n", 30)
    bed.wait_until(lambda: "<name>vfio-pci</name>" in virsh("nodedev-dumpxml"), 30, "libvirtd to see the driver")

    # Its own reset leaves a device that is bound to VFIO to the kernel.
    bed.unbind(address)
    driver_is("")
    virsh("nodedev-reset")
    log = bed.journal("-u", "libvirtd")
    assert f"{address}: doing a power management reset" in log, log
    assert alice.reset(address, "pm")["verdict"] == "ok", trace.events()
    virsh("nodedev-detach")
    driver_is("vfio-pci")
    virsh("nodedev-reattach")
    driver_is("e1000e")
    trace.clear()
    assert alice.reset_refused(address, "bus").name == IN_USE and trace.writes() == [], trace.events()
