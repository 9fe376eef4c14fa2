# SPDX-License-Identifier: GPL-2.0-or-later
"""The methods beside the kernel's own, each on a real card, and who has a say in them."""

from harness.bed import Bed
from harness.caller import Caller
from harness.guest import Process
from harness.registry import case
from harness.topology import DEVICES
from harness.trace import TRACEFS

CARD = ("multi0", "multi1")


def bare(bed: Bed, *roles: str) -> list[str]:
    """The devices without a driver, as they are left afterwards too."""
    for role in roles:
        bed.unbind(bed.addr(role))
    return [bed.addr(role) for role in roles]


def vfio(bed: Bed, *roles: str) -> list[str]:
    for role in roles:
        bed.bind(bed.addr(role), "vfio-pci")
        bed.defer(lambda address=bed.addr(role): bed.unbind(address))
    return [bed.addr(role) for role in roles]


def group_node(bed: Bed, address: str) -> str:
    return "/dev/vfio/" + bed.guest.readlink(f"/sys/bus/pci/devices/{address}/iommu_group").rsplit("/", 1)[1]


def wait_known(bed: Bed, caller: Caller, address: str, driver: str) -> None:
    """udev has told the daemon who is bound."""
    bed.wait_until(lambda: caller.property(address, "Driver") == driver, 10, f"{address} to have {driver or 'no driver'}")


@case("subordinate resets a card of two functions that alice has leased, and nothing that bob holds a part of")
def subordinate(bed: Bed) -> None:
    one, two = bare(bed, *CARD)
    alice, bob = Caller(bed), Caller(bed, "bob")
    for address in (one, two):
        wait_known(bed, alice, address, "")
    held = [alice.acquire(one)[0], bob.acquire(two)[0]]
    trace, poisons = bed.trace(), [bed.poison(one), bed.poison(two)]
    error = alice.reset_refused(one, "subordinate")
    assert error.name == "org.pciresetd1.Error.Leased" and two in error.text, error
    assert trace.writes() == [] and all(bed.poisoned(p) for p in poisons), trace.events()

    bob.close(held[1])
    bed.wait_until(lambda: not alice.property(two, "Lease"), 10, "bob's lease to end")
    held.append(alice.acquire(two)[0])
    result = alice.reset(one, "subordinate")
    assert sorted(result["reset_set"]) == sorted(bed.device_path(a) for a in (one, two)), result
    assert result["verdict"] == "ok" and not any(bed.poisoned(p) for p in poisons), result
    done = [e for e in trace.writes() if e.what == "subordinate"]
    assert [e.address for e in done] == [bed.addr("port-card")] and "pcireset-w" in done[0].task, trace.events()


@case("the plan of a method names every device it would disturb, and its owner")
def plan(bed: Bed) -> None:
    one, two = bare(bed, *CARD)
    alice = Caller(bed)
    _, lease = alice.acquire(one)
    rungs = {rung["method"]: rung for rung in alice.plan(one)}
    both = sorted(bed.device_path(a) for a in (one, two))
    assert sorted(rungs["subordinate"]["reset_set"]) == both and rungs["subordinate"]["usable"], rungs
    assert rungs["pm"]["reset_set"] == [bed.device_path(one)], rungs
    assert [o["lease"] for o in rungs["pm"]["owners"] if o["device"] == bed.device_path(one)] == [lease], rungs
    assert rungs["pm"]["actions"] == ["org.pciresetd1.reset-owned"], rungs
    assert rungs["subordinate"]["actions"] == ["org.pciresetd1.reset-shared"], rungs


@case("vfio_hot resets an idle pair that is bound to VFIO")
def vfio_hot_idle(bed: Bed) -> None:
    one, two = vfio(bed, *CARD)
    caller, trace = Caller(bed), bed.trace()
    for address in (one, two):
        wait_known(bed, caller, address, "vfio-pci")
    poisons = [bed.poison(one), bed.poison(two)]
    result = caller.reset(one, "vfio_hot")
    assert result["method"] == "vfio_hot" and result["verdict"] == "ok", result
    assert sorted(result["reset_set"]) == sorted(bed.device_path(a) for a in (one, two)), result
    assert not any(bed.poisoned(p) for p in poisons)
    assert bed.addr("port-card") in [e.address for e in trace.events() if e.what == "sbr"], trace.events()


@case("a VFIO group that a process holds open: named with its pid, and refused; through its own descriptors it goes")
def vfio_open(bed: Bed) -> None:
    one, two = vfio(bed, *CARD)
    group = group_node(bed, one)
    assert group == group_node(bed, two), "one group for both"
    bed.guest.run(f"chown alice {group}; chmod 0666 /dev/vfio/vfio", check=True)
    user, other, trace = Caller(bed), Caller(bed, "root"), bed.trace()
    for address in (one, two):
        wait_known(bed, user, address, "vfio-pci")
    user.use_vfio(group, one)
    trace.clear()
    for method in ("pm", "subordinate", "vfio_hot"):
        error = other.reset_refused(one, method)
        assert error.name == "org.pciresetd1.Error.InUse" and str(user.process.pid) in error.text, (method, error)
        holders = [h for h in error.evidence["holders"] if h["kind"] == "vfio"]
        assert holders and holders[0]["pid"] == user.process.pid and holders[0]["what"] == group, error.evidence
    assert user.reset_refused(one, "pm", fds=[group]).name == "org.pciresetd1.Error.InUse"
    assert trace.writes() == [], trace.events()
    poison = bed.poison(two)
    result = user.reset(one, "vfio_hot", fds=[group])
    assert result["verdict"] == "ok" and not bed.poisoned(poison), result
    user.leave()
    bed.wait_until(lambda: not other.property(one, "InUse"), 15, "the daemon to see the device idle")
    assert other.reset(one, "pm")["verdict"] == "ok"


@case("a slot's power is cycled: the device goes, comes back, and is the same; a lease on it stays")
def slot(bed: Bed) -> None:
    (address,) = bare(bed, "nic2")
    caller, listener = Caller(bed), Caller(bed)
    wait_known(bed, caller, address, "")
    descriptor, lease = caller.acquire(address)
    listener.listen()
    trace, mark = bed.trace(), bed.mark()
    generation, poison = caller.property(address, "Generation"), bed.poison(address)
    call = caller.reset_start(address, "slot")
    # With the power of its slot QEMU's device ends; one that is as fresh as after any power cycle takes its place.
    bed.machine.put_in_again("nic2", 30)
    result = call.result(60)
    assert result["method"] == "slot" and result["verdict"] == "ok", result
    assert trace.removed() == [address] and not bed.poisoned(poison), trace.events()
    log = bed.kernel_log_since(mark)
    assert f"pci {address}: [8086:10d3]" in log, log
    bed.wait_until(lambda: caller.property(address, "Generation") != generation, 10, "the new device on the bus")
    assert caller.property(address, "Lease") == lease
    assert caller.property(address, "LastReset")["method"] == "slot"
    caller.close(descriptor)
    bed.wait_until(lambda: lease not in caller.leases(), 10, "the lease to end")


@case("a slot without a power controller resets nothing, and is not used as if it did")
def slot_without_power(bed: Bed) -> None:
    (address,) = bare(bed, "nic")
    caller, trace = Caller(bed), bed.trace()
    wait_known(bed, caller, address, "")
    error = caller.reset_refused(address, "slot")
    assert error.name == "org.pciresetd1.Error.NotUsable" and "no power controller" in error.text, error
    assert trace.writes() == [] and trace.removed() == [], trace.events()


def during_reset(bed: Bed, role: str, commands: str) -> Process:
    """Does this while the link below the role's port is down, in its slot's folder. The kernel lets it wait until the reset is over,
    as it does its own driver for hotplug when that takes the reset for an unplugging, which QEMU cannot show. The write lasts a
    quarter of a second, so whoever waits for it is there before it begins and starts no process."""
    device, ready = DEVICES[DEVICES[role].bus], "/run/bed-waits-for-a-reset"
    wait = (f"open('{ready}', 'w').close()\n"
            f"while ' subordinate: ' not in open('{TRACEFS}/trace').read(): pass")
    process = bed.guest.start(f"cd /sys/bus/pci/slots/{device.options['slot']}; rm -f {ready}; python3 -c \"{wait}\"; {commands}")
    bed.wait_until(lambda: bed.guest.run(["test", "-e", ready]).rc == 0, 20, "somebody to wait for the reset")
    return process


@case("a hotplug port that takes subordinate for an unplugging: the device is followed, and is the same, with its driver and lease",
      kernel=False)
def unplugging(bed: Bed) -> None:
    (address,) = vfio(bed, "nic")
    caller = Caller(bed)
    wait_known(bed, caller, address, "vfio-pci")
    descriptor, lease = caller.acquire(address)
    trace, generation, poison = bed.trace(), caller.property(address, "Generation"), bed.poison(address)
    flap = during_reset(bed, "nic", "echo 0 >power; echo 1 >power")
    result = caller.reset(address, "subordinate")
    assert flap.wait(30).rc == 0
    assert result["method"] == "subordinate" and result["verdict"] == "ok", result
    assert trace.removed() == [address] and not bed.poisoned(poison), trace.events()
    assert bed.driver(address) == "vfio-pci"
    assert bed.guest.read_text(f"/sys/bus/pci/devices/{address}/driver_override") == "vfio-pci"
    assert caller.property(address, "Generation") != generation, "it is a new one for the kernel"
    assert caller.property(address, "Lease") == lease
    assert caller.property(address, "LastReset")["method"] == "subordinate"
    caller.close(descriptor)
    bed.wait_until(lambda: lease not in caller.leases(), 10, "the lease to end")


@case("a device that is pulled during its reset: DeviceDead, and not as late as one that is slow to come back", timeout=90, kernel=False)
def pulled(bed: Bed) -> None:
    (address,) = bare(bed, "nic2")
    caller, trace = Caller(bed), bed.trace()
    wait_known(bed, caller, address, "")
    pull = during_reset(bed, "nic2", "echo 0 >power")
    error = caller.reset_refused(address, "subordinate")
    assert error.name == "org.pciresetd1.Error.DeviceDead", error
    assert pull.wait(30).rc == 0 and trace.removed() == [address], trace.events()
    assert not bed.present("nic2")
    bed.machine.put_in_again("nic2", 30)
    bed.wait_device("nic2")
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    assert caller.reset(address, "subordinate")["verdict"] == "ok"


@case("rescan takes a card away and finds it again")
def rescan(bed: Bed) -> None:
    one, two = bare(bed, *CARD)
    caller, trace = Caller(bed), bed.trace()
    result = caller.reset(one, "rescan")
    assert result["verdict"] == "ok", result
    assert trace.removed() == [one, two], trace.events()
    assert bed.present("multi0") and bed.present("multi1")
    assert "rescan" not in [rung["method"] for rung in caller.plan(one)], "a last resort runs by name only"
    bed.wait_until(lambda: caller.property(two, "State") == "idle", 10, "the card on the bus")


@case("a host driver that does not know resets is taken off and put back, if its user may be disturbed")
def rebind(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    caller, trace = Caller(bed), bed.trace()
    wait_known(bed, caller, address, "e1000e")
    rung = next(r for r in caller.plan(address) if r["method"] == "bus")
    assert not rung["usable"] and "driver-bound" in rung["why"] and f"{address} e1000e" in rung["lost"], rung
    assert caller.reset_refused(address, "bus").name == "org.pciresetd1.Error.InUse"
    assert trace.writes() == []
    mark = bed.mark()
    result = caller.reset(address, "bus", in_use=True)
    assert result["verdict"] == "ok" and bed.driver(address) == "e1000e", result
    assert "e1000e" in bed.kernel_log_since(mark), "the driver has been probed anew"


@case("SR-IOV: a virtual function by FLR; the physical one not while a virtual one is leased or open", timeout=120)
def sriov(bed: Bed) -> None:
    bed.machine.plug_sriov_nvme("pf", "port-empty0", 2)
    bed.wait_device("pf")
    pf = bed.addr("pf")
    bed.wait_until(lambda: bed.driver(pf) == "nvme", 20, "nvme to be bound")
    bed.guest.run(f"echo 0 >/sys/bus/pci/devices/{pf}/sriov_drivers_autoprobe; "
                  f"echo 2 >/sys/bus/pci/devices/{pf}/sriov_numvfs", timeout=30, check=True)
    vfs = [bed.guest.readlink(f"/sys/bus/pci/devices/{pf}/virtfn{n}").rsplit("/", 1)[1] for n in range(2)]
    alice, bob = Caller(bed), Caller(bed, "bob")
    bed.wait_until(lambda: set(vfs) <= {row[0] for row in alice.call("ListDevices")}, 10, "the functions on the bus")
    trace = bed.trace()
    assert alice.reset(vfs[0], "flr")["verdict"] == "ok"
    assert [e.address for e in trace.resets()] == [vfs[0]], trace.events()
    assert "vf" not in alice.plan(vfs[0], "flr")[0]["why"]

    descriptor, _ = bob.acquire(vfs[1])
    trace.clear()
    error = alice.reset_refused(pf, "flr")
    assert error.name == "org.pciresetd1.Error.Leased" and vfs[1] in error.text, error
    bob.close(descriptor)
    bed.wait_until(lambda: not alice.property(vfs[1], "Lease"), 10, "bob's lease to end")

    bed.bind(vfs[1], "vfio-pci")
    bed.defer(lambda: bed.unbind(vfs[1]))
    root = Caller(bed, "root")
    root.use_vfio(group_node(bed, vfs[1]), vfs[1])
    trace.clear()
    wait_known(bed, alice, vfs[1], "vfio-pci")
    error = alice.reset_refused(pf, "flr")
    assert error.name == "org.pciresetd1.Error.InUse", error
    assert trace.resets() == [], trace.events()
