# SPDX-License-Identifier: GPL-2.0-or-later
"""The beds there are, and what makes them different.

Theory of operation: `stock` is the release's own kernel and QEMU, and all cases
run there. `new` has both from the release's backports, more devices that only
the newer QEMU has, cases for those, and the common cases in which the kernel has
a part: newer kernels lock, report and show users in other ways. Everything else, from the
root file system to the program, is the same. `xen` is the image of `stock`
started as a Xen host, another machine (xen.py), with cases of its own. `wide` is
`stock` with many more devices, for measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import topology


@dataclass(frozen=True)
class Flavour:
    name: str
    # The name of the tests.
    tier: str
    # Kernel and QEMU from the backports instead of the release.
    backports: bool = False
    # QEMU arguments that come before all devices.
    machine: tuple[str, ...] = ()
    # What to define in the ACPI tables.
    acpi_symbols: tuple[str, ...] = ()
    # Devices that are there beyond the common ones.
    additions: tuple[topology.Device, ...] = ()
    # Directories with cases of this bed, and the files of cases/ that it runs too (None: all). Of these it leaves out the
    # cases that say of themselves that the kernel has no part in them.
    cases: tuple[str, ...] = ()
    common: tuple[str, ...] | None = None

    def kind(self, kind: str) -> str:
        """The name of a kind of cache entry; each bed has its own, so that none pushes another out, of all that
        is not the same."""
        return f"{self.name}-{kind}" if self.backports or (kind == "state" and self != STOCK) else kind

    def files(self, vm: Path) -> list[Path]:
        own = [path for directory in self.cases for path in sorted((vm / directory).glob("*.py"))]
        if self.common is None:
            return own + sorted((vm / "cases").glob("*.py"))
        return own + [vm / "cases" / f"{name}.py" for name in self.common]


STOCK = Flavour("stock", "vm")
NEW = Flavour("new", "vm-new", backports=True, machine=topology.NEWER_MACHINE, acpi_symbols=("ADD_TO_NODES",),
              additions=topology.NEWER, cases=("cases-new",),
              common=("bed", "reset", "methods", "ownership", "holders", "lanes", "hotplug", "failure"))
XEN = Flavour("xen", "xen", additions=topology.XEN, cases=("cases-xen",), common=())
# Not for cases: tests/bench measures in it.
WIDE = Flavour("wide", "bench", additions=topology.WIDE)
FLAVOURS = {flavour.name: flavour for flavour in (STOCK, NEW, XEN)}
