# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that are there for one case only."""

from __future__ import annotations

from typing import Any

from .bed import Bed

# A guest takes five seconds to let go of a device, and more when it is busy.
GONE_SECONDS = 40.0


def unplug_all(bed: Bed, *roles: str) -> None:
    """All at once, since each takes long."""
    for role in roles:
        bed.machine.start_unplug(role)
    for role in roles:
        # QEMU keeps a display and a USB controller for ever, so nobody can wait for their end but in the guest; a medium
        # is free only with the device.
        if "drive" in bed.machine.plugged[role].options:
            bed.machine.finish_unplug(role, GONE_SECONDS)
        bed.wait_device(role, present=False, timeout=GONE_SECONDS)


def plug_all(bed: Bed, *devices: tuple[str, str, str, dict[str, Any]]) -> None:
    """Plug in devices (role, model, port, options) until the end of the case, and wait for their drivers."""
    bed.defer(lambda: unplug_all(bed, *(role for role, *_ in devices if role in bed.machine.plugged)))
    for role, model, port, options in devices:
        bed.machine.plug(model, port, role, **options)
    for role, *_ in devices:
        bed.wait_device(role, timeout=30)
        bed.wait_until(lambda role=role: bed.driver(bed.addr(role)) is not None, 60, f"a driver of {role}")


def plug_disk(bed: Bed) -> str:
    """An NVMe controller with its disk, /dev/nvme0n1, until the end of the case; returns its address."""
    address = bed.plug_nvme()

    def unplug() -> None:
        bed.machine.unplug("nvme")
        bed.wait_device("nvme", present=False)
    bed.defer(unplug)
    bed.wait_until(lambda: bed.guest.exists("/dev/nvme0n1"), 15, "/dev/nvme0n1")
    return address
