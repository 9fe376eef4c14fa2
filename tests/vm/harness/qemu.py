# SPDX-License-Identifier: GPL-2.0-or-later
"""Which QEMU is run: the installed one, or one that was only unpacked.

Theory of operation: an unpacked QEMU is started through the dynamic loader of
the C library that came with it, and told where its libraries and its firmware
are. Nothing is installed, nothing of it is found by another program, and this
machine may run another release than the one the packages are from.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
FIRMWARE = ("usr/share/qemu", "usr/share/seabios")


@dataclass(frozen=True)
class Qemu:
    """The beginning of its command line."""

    argv: tuple[str, ...]

    def version(self) -> str:
        out = subprocess.run([*self.argv, "--version"], check=True, capture_output=True, text=True)
        return out.stdout.splitlines()[0]


INSTALLED = Qemu(("qemu-system-x86_64",))


def unpacked(tree: Path) -> Qemu:
    """The QEMU in a tree that holds its packages and all they depend on."""
    loader = tree / LIBRARIES[0] / "ld-linux-x86-64.so.2"
    libraries = ":".join(str(tree / name) for name in LIBRARIES)
    firmware = [part for name in FIRMWARE for part in ("-L", str(tree / name))]
    return Qemu((str(loader), "--library-path", libraries, str(tree / "usr/bin/qemu-system-x86_64"), *firmware))
