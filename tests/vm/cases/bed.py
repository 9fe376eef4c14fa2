# SPDX-License-Identifier: GPL-2.0-or-later
"""The bed proves itself: what the other cases rely on is true of this kernel.

No daemon is involved. When one of these fails, do not look at the program.
"""

from harness import topology
from harness.bed import Bed
from harness.guest import GuestTimeout
from harness.registry import case

METHODS = {
    "multi0": ["pm", "bus"],  # `bus` is not true: its sibling was found later
    "multi1": ["pm"],
    "sw-nic0": ["pm", "bus"],
    "sw-nic1": ["pm", "bus"],
    "virtio": ["flr", "pm", "bus"],
    "nic": ["pm", "bus"],
    "nic2": ["pm", "bus"],
    "slow0": ["acpi", "pm", "bus"],
    "slow1": ["acpi", "pm"],
    "slow2": ["acpi", "pm", "bus"],
    "conv-bridge": ["pm"],
}


@case("systemd, udev, journal, D-Bus and polkit are up, and users are themselves", daemon=False)
def services(bed: Bed) -> None:
    units = "systemd-udevd systemd-journald dbus polkit"
    assert bed.guest.run(f"systemctl is-active {units}").stdout.split() == ["active"] * 4
    assert bed.guest.run("systemctl is-system-running").stdout.strip() == "running"
    assert bed.guest.run("id -u; id -G", user="alice").stdout.split() == ["1001", "1001"]
    assert bed.guest.run("id -u; echo $HOME", user="bob").stdout.split() == ["1002", "/home/bob"]
    bed.guest.run("systemd-cat -t bed-case echo hello from the case", check=True)
    bed.wait_until(lambda: "hello from the case" in bed.journal("-t", "bed-case"), 10, "the journal")
    assert bed.busctl("bob", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId").rc == 0
    assert not bed.guest.run("pkaction --action-id org.freedesktop.policykit.exec", user="alice").rc


@case("every device is in its place, without a driver, with the methods we count on", daemon=False)
def devices(bed: Bed) -> None:
    for device in topology.ENDPOINTS:
        address = bed.addr(device.role)
        assert bed.driver(address) is None, f"{device.role} has driver {bed.driver(address)}"
    for role, methods in METHODS.items():
        assert bed.reset_methods(bed.addr(role)) == methods, (role, bed.reset_methods(bed.addr(role)))
    for port in topology.EMPTY_PORTS:
        names = bed.guest.list(bed.path(port))
        assert not [n for n in names if len(n) == 12 and n.startswith("0000:")], f"{port} is not empty: {names}"
    for device in topology.PORTS:
        names = bed.guest.list(bed.path(device.role))
        assert "reset_subordinate" in names and "reset" not in names, device.role
    assert bed.guest.exists(f"{bed.path('nic')}/iommu_group")


def _reset_clears(bed: Bed, address: str, method: str) -> float:
    poison = bed.poison(address)
    assert bed.poisoned(poison)
    seconds = bed.kernel_reset(address, method)
    assert not bed.poisoned(poison), f"{method} left {poison.register} of {address} as it was"
    return seconds


@case("flr really resets: virtio", daemon=False)
def flr_virtio(bed: Bed) -> None:
    _reset_clears(bed, bed.addr("virtio"), "flr")


@case("flr really resets: NVMe, without a driver", daemon=False)
def flr_nvme(bed: Bed) -> None:
    address = bed.plug_nvme(driver=False)
    assert bed.driver(address) is None
    assert bed.reset_methods(address) == ["flr", "bus"]
    _reset_clears(bed, address, "flr")
    _reset_clears(bed, address, "bus")
    bed.machine.unplug("nvme")
    bed.wait_device("nvme", present=False)


@case("flr really resets: NVMe, with its driver, which the kernel log shows", daemon=False)
def flr_nvme_driver(bed: Bed) -> None:
    address = bed.plug_nvme()
    bed.wait_until(lambda: bed.guest.exists("/dev/nvme0n1"), 15, "/dev/nvme0n1")
    mark = bed.mark()
    trace = bed.trace()
    bed.kernel_reset(address, "flr")
    assert [(e.what, e.returned) for e in trace.resets(address)] == [("flr", 0)], trace.events()
    assert "nvme" in bed.kernel_log_since(mark), bed.kernel_log_since(mark)
    assert bed.driver(address) == "nvme"
    bed.machine.unplug("nvme")
    bed.wait_device("nvme", present=False)


@case("bus really resets: below a root port, and in over a second below a switch", daemon=False)
def bus(bed: Bed) -> None:
    assert _reset_clears(bed, bed.addr("nic"), "bus") < 1.0
    assert _reset_clears(bed, bed.addr("sw-nic0"), "bus") > 1.0


@case("bus on function 0 of the two-function card is listed, and refused", daemon=False)
def bus_multifunction(bed: Bed) -> None:
    address = bed.addr("multi0")
    try:
        bed.kernel_reset(address, "bus")
    except OSError as error:
        assert error.errno == 22, error
    else:
        raise AssertionError("the kernel took it")
    # Rewriting the list made the kernel see the truth; later cases want the lie.
    bed.machine.unplug("multi0")
    bed.machine.plug("e1000e", "port-card", "multi1", 0, 1, romfile="")
    bed.machine.plug("e1000e", "port-card", "multi0", 0, 0, romfile="", multifunction=True)
    bed.wait_device("multi1")
    assert bed.reset_methods(bed.addr("multi0")) == METHODS["multi0"]


@case("the probes see what the kernel does: pm, flr, bus, acpi, and nothing when nothing is done", daemon=False)
def probes(bed: Bed) -> None:
    trace = bed.trace()
    assert trace.writes() == []
    for role, method in (("nic", "pm"), ("virtio", "flr"), ("sw-nic1", "bus"), ("slow2", "acpi")):
        address = bed.addr(role)
        trace.clear()
        bed.set_slow_reset(0)
        bed.kernel_reset(address, method)
        seen = trace.resets()
        assert [(e.what, e.address, e.returned) for e in seen] == [(method, address, 0)], trace.events()
        written = [e.value for e in trace.writes() if e.what == "reset_method"]
        assert written == [method, "default"], trace.events()
        bridges = [e.address for e in trace.writes() if e.what == "sbr"]
        assert bridges == ([bed.addr("sw-down1")] if method == "bus" else []), trace.events()


@case("pm resets the card's functions, each for itself", daemon=False)
def pm(bed: Bed) -> None:
    trace = bed.trace()
    for role in ("multi0", "multi1"):
        bed.kernel_reset(bed.addr(role), "pm")
    assert [e.address for e in trace.resets()] == [bed.addr("multi0"), bed.addr("multi1")]


@case("an ACPI reset takes as long as it is told to, fails when told to, and falls through", daemon=False)
def slow(bed: Bed) -> None:
    address = bed.addr("slow2")
    for seconds in (0, 1, 3):
        bed.set_slow_reset(seconds)
        took = bed.kernel_reset(address, "acpi")
        assert seconds <= took, f"asked for {seconds} s, took {took:.2f} s"
    bed.fail_slow_reset()
    try:
        bed.kernel_reset(address, "acpi")
    except OSError as error:
        assert error.errno == 25, error
    else:
        raise AssertionError("a failing _RST was not reported")
    trace = bed.trace()
    bed.kernel_reset(address)
    assert [e.what for e in trace.resets()] == ["acpi", "pm"], trace.events()
    bed.set_slow_reset(0)


@case("ACPI resets under two ports run at the same time", daemon=False)
def slow_together(bed: Bed) -> None:
    bed.set_slow_reset(2)
    runs = [bed.guest.start(f"echo 1 >{bed.path(role)}/reset") for role in ("slow0", "slow2")]
    results = [run.wait(30) for run in runs]
    bed.set_slow_reset(0)
    assert all(r.rc == 0 and r.seconds >= 2 for r in results), results
    assert max(r.start for r in results) < min(r.end for r in results)


@case("while a long reset runs, reading config and some more hangs, other attributes answer", daemon=False)
def uevent_hangs(bed: Bed) -> None:
    path = bed.path("slow0")
    bed.set_slow_reset(8)
    reset = bed.guest.start(f"echo 1 >{path}/reset")
    reset.wait_started()
    bed.guest.run("sleep 0.5")
    # Newer kernels tell these two without the device's lock.
    locked = ["config", "sriov_numvfs"] + (["uevent", "driver_override"] if bed.kernel() < (6, 12) else [])
    for name in locked:
        if name not in bed.guest.list(path):
            continue
        try:
            bed.guest.read(f"{path}/{name}", timeout=1.0)
        except GuestTimeout:
            pass
        else:
            raise AssertionError(f"{name} was read during the reset")
    for name in {"vendor", "enable", "reset_method", "current_link_speed", "uevent", "driver_override"} - set(locked):
        bed.guest.read(f"{path}/{name}", timeout=2.0)
    result = reset.wait(40)
    bed.set_slow_reset(0)
    assert result.rc == 0 and result.seconds >= 8, result
    bed.guest.read(f"{path}/uevent")


@case("devices come and go while the machine runs, and clients of udev see it", daemon=False)
def hotplug(bed: Bed) -> None:
    monitor = bed.guest.start("udevadm monitor --kernel --subsystem-match=pci")
    bed.defer(monitor.kill)
    monitor.wait_output("KERNEL - the kernel uevent")
    bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
    bed.wait_device("guest0")
    address = bed.addr("guest0")
    monitor.wait_output("add ")
    bed.machine.unplug("guest0")
    bed.wait_device("guest0", present=False)
    assert address in monitor.wait_output("remove ")


@case("a device that is torn out reads all-ones", daemon=False, fresh=True)
def surprise(bed: Bed) -> None:
    address = bed.addr("nic2")
    bed.machine.surprise_remove("nic2")
    assert bed.config(address)[:4] == b"\xff\xff\xff\xff"


@case("vfio-pci and pci-stub bind, and an IOMMU group has its node", daemon=False)
def stubs(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.bind(address, "pci-stub")
    bed.bind(address, "vfio-pci")
    group = bed.guest.readlink(f"/sys/bus/pci/devices/{address}/iommu_group").rsplit("/", 1)[1]
    assert bed.guest.exists(f"/dev/vfio/{group}")
    bed.unbind(address)


@case("a command that sleeps in the kernel does not hold up the agent", daemon=False)
def agent(bed: Bed) -> None:
    bed.set_slow_reset(3)
    stuck = bed.guest.start(f"echo 1 >{bed.path('slow0')}/reset")
    stuck.wait_started()
    bed.guest.run("sleep 0.5")
    stuck.kill()
    assert bed.guest.run("echo alive", timeout=2.0).stdout == "alive\n"
    assert stuck.poll() is None, "SIGKILL took effect inside a reset"
    stuck.wait(20)
    bed.set_slow_reset(0)
    blob = bytes(range(256)) * 4096
    bed.guest.write("/tmp/blob", blob)
    assert bed.guest.read("/tmp/blob") == blob
