# SPDX-License-Identifier: GPL-2.0-or-later
"""SR-IOV: virtual functions made and taken away in the guest."""

from __future__ import annotations

from .bed import DEVICES, Bed


def make_functions(bed: Bed, physical: str, number: int) -> list[str]:
    """Virtual functions without a driver, for as long as the case runs; their addresses."""
    bed.guest.poke(f"{DEVICES}/{physical}/sriov_drivers_autoprobe", "0")
    bed.guest.poke(f"{DEVICES}/{physical}/sriov_numvfs", str(number))
    bed.defer(lambda: remove_functions(bed, physical))
    return [bed.guest.readlink(f"{DEVICES}/{physical}/virtfn{n}").rsplit("/", 1)[1] for n in range(number)]


def remove_functions(bed: Bed, physical: str) -> None:
    if bed.guest.exists(f"{DEVICES}/{physical}/sriov_numvfs"):
        bed.guest.poke(f"{DEVICES}/{physical}/sriov_numvfs", "0")
