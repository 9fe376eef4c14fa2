# SPDX-License-Identifier: GPL-2.0-or-later
"""The bed proves itself: what is different with a newer kernel and a newer QEMU.

No daemon is involved. When one of these fails, do not look at the program.
"""

import errno
from collections.abc import Callable

from harness import topology
from harness.bed import Bed
from harness.foreign import LONGER, ForeignReset
from harness.registry import case
from harness.virtual import make_functions

METHODS = {
    "igb0": ["flr", "pm", "bus"],  # `bus` is not true: its sibling was found later
    "igb1": ["flr", "pm"],
    "igb2": ["flr", "pm", "bus"],
}


# Tells when the read has returned, by the clock of the traces.
READ = """import os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
print('reads', flush=True)
os.read(fd, 64)
print(time.monotonic())"""


def error_of(action: Callable[[], object]) -> int:
    """The errno with which the kernel refused, or 0."""
    try:
        action()
    except OSError as error:
        return error.errno or 0
    return 0


def group(bed: Bed, role: str) -> str:
    return bed.guest.readlink(f"{bed.path(role)}/iommu_group").rsplit("/", 1)[1]


@case("kernel and devices are those that this bed is for", daemon=False)
def devices(bed: Bed) -> None:
    assert bed.kernel() >= (6, 12), bed.kernel()
    for device in topology.NEWER:
        if device.is_endpoint():
            address = bed.addr(device.role)
            assert bed.driver(address) is None, f"{device.role} has driver {bed.driver(address)}"
    for role, methods in METHODS.items():
        assert bed.reset_methods(bed.addr(role)) == methods, (role, bed.reset_methods(bed.addr(role)))


@case("the functions of one card have IOMMU groups of their own", daemon=False)
def groups(bed: Bed) -> None:
    assert len({group(bed, role) for role in ("igb0", "igb1", "igb2")}) == 3
    assert group(bed, "multi0") == group(bed, "multi1"), "those of the common card share one"


@case("virtual functions live on when their physical one is reset: igb and NVMe", daemon=False, timeout=90)
def virtual(bed: Bed) -> None:
    bed.machine.plug_sriov_nvme("pf", "port-empty0", 2)
    bed.wait_device("pf")
    bed.bind(bed.addr("igb2"), "igb")
    bed.defer(lambda: bed.unbind(bed.addr("igb2")))
    bed.wait_until(lambda: bed.driver(bed.addr("pf")) == "nvme", 20, "nvme to be bound")
    for physical in (bed.addr("igb2"), bed.addr("pf")):
        for function in make_functions(bed, physical, 2):
            before = bed.config(function)[4:16]  # the ids of a VF read ffff, always
            assert before[4:8] != b"\xff" * 4, before
            bed.kernel_reset(physical, "flr")
            assert bed.config(function)[4:16] == before, function
            bed.kernel_reset(function, "flr")
            assert bed.config(function)[4:16] == before, function


@case("cxl_bus really resets a CXL device; bus is listed, and hidden from it", daemon=False)
def cxl(bed: Bed) -> None:
    address = bed.plug_cxl_memory()
    assert bed.reset_methods(address) == ["bus", "cxl_bus"]
    poison, trace = bed.poison(address), bed.trace()
    bed.kernel_reset(address, "cxl_bus")
    assert not bed.poisoned(poison)
    seen = [(e.what, e.address, e.returned) for e in trace.resets()]
    assert seen == [("cxl_bus", address, 0), ("bus", address, 0)], trace.events()
    assert [e.address for e in trace.writes() if e.what == "sbr"] == [bed.addr("port-cxl")], trace.events()
    trace.clear()
    poison = bed.poison(address)
    assert error_of(lambda: bed.kernel_reset(address, "bus")) == errno.ENOTTY
    assert bed.poisoned(poison) and not [e for e in trace.writes() if e.what == "sbr"], trace.events()


@case("during a reset the port above is locked too: a second reset waits, its config hangs, reset_subordinate is EAGAIN",
      daemon=False, timeout=240)
def bridge_lock(bed: Bed) -> None:
    one, two, port = bed.addr("slow0"), bed.addr("slow1"), bed.addr("port-slow")
    trace = bed.trace()
    for seconds in LONGER:
        foreign = ForeignReset(bed, trace, "slow0", seconds)
        second = bed.guest.start(f"echo 1 >{bed.path('slow1')}/reset")
        reader = bed.guest.start(["python3", "-c", READ, f"/sys/bus/pci/devices/{port}/config"])
        reader.wait_output("reads\n", 60)
        refused = error_of(lambda: bed.guest.poke(f"{bed.path('port-slow')}/reset_subordinate", "1", timeout=60))
        in_time = foreign.under_way()
        held = foreign.finish()
        assert second.wait(60).rc == 0 and reader.wait(60).rc == 0
        if in_time:
            break
    assert in_time, "nothing of it was before the reset's end"
    assert refused == errno.EAGAIN, errno.errorcode.get(refused, refused)
    begun, = trace.resets(two)
    assert held.ended <= begun.time, trace.events()
    assert float(reader.stdout.split()[1]) >= held.ended, "the port's config space was read during the reset"
