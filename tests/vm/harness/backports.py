# SPDX-License-Identifier: GPL-2.0-or-later
"""A newer kernel and a newer QEMU, from the release's backports.

Theory of operation: apt fetches into a directory of ours, with a configuration
of ours (apt.PrivateApt), and checks what it fetched against the signed lists.
It resolves for a machine on which nothing is installed, so QEMU comes with
every library it needs, whatever this machine has. The packages are unpacked
into a cache entry, and never installed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import apt
from .cache import Cache, digest

KERNEL = "linux-image-amd64"
QEMU = "qemu-system-x86"


def key() -> str:
    return digest(apt.RELEASE, apt.BACKPORTS, KERNEL, QEMU)


def prepare(cache: Cache) -> Path:
    """A directory with kernel.deb, and the unpacked QEMU in qemu/."""
    return cache.get("backports", key(), f"fetching a newer kernel and QEMU from {apt.BACKPORTS}",
                     _fetch)


def _fetch(work: Path) -> None:
    with apt.PrivateApt(work / "apt", [*apt.sources(), apt.backports()]) as private:
        private.update()
        image, = private.depends(KERNEL, apt.BACKPORTS)
        private.download(image, apt.BACKPORTS).rename(work / "kernel.deb")
        for package in private.download_closure(QEMU, apt.BACKPORTS):
            subprocess.run(["dpkg", "-x", package, work / "qemu"], check=True)
