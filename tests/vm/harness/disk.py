# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program stores on a disk that outlives the guest: its reboot, and the loss of its power.

Theory of operation: /var/lib/pciresetd is a file system on an NVMe controller
whose medium is a file of the host's. QEMU hands each write of the guest to the
host's kernel at once (its cache mode is `writeback`), so killing QEMU loses
what the guest's kernel has only in memory and nothing else. The file is then
looked at from outside, after the journal of its file system was replayed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .bed import Bed

STATE = "/var/lib/pciresetd"
DISK = "/dev/nvme0n1"
ROLE = "store"
# Where administrators' programs are, also for users who do not have that in their path.
TOOLS = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def state_on_disk(bed: Bed) -> None:
    """A new disk for what is stored. The program must not run meanwhile."""
    bed.plug_nvme(ROLE)
    bed.guest.run(f"mkfs.ext4 -q {DISK}", timeout=60, check=True)
    mount_state(bed)


def mount_state(bed: Bed) -> None:
    """The disk in its place, as it has to be done after a reboot."""
    bed.wait_until(lambda: bed.guest.exists(DISK), 30, "the disk")
    bed.guest.run(f"mkdir -p {STATE} && mount {DISK} {STATE} && chmod 700 {STATE}", timeout=60, check=True)


def take_out(bed: Bed) -> Path:
    """A folder with what the next boot would find, of a machine that has lost its power."""
    medium, place = bed.machine.medium(ROLE), bed.machine.dir / "found"
    check = subprocess.run(["e2fsck", "-fy", medium], env=TOOLS, capture_output=True, text=True)
    assert check.returncode in (0, 1), check.stdout + check.stderr
    place.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {place}", medium], env=TOOLS, check=True, capture_output=True)
    return place
