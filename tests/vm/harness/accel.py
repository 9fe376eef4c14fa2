# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides between hardware virtualisation and emulation.

Theory of operation: /dev/kvm may exist, open and even run a few instructions
where virtualisation is nested and half supported, so the question is put to
the thing itself: the very kernel of the image, with the processor the tests
use, must print a line from its first process. A "no" may cost seconds and is
remembered until the next boot of this machine.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache, digest, say
from .image import Image
from .qemu import Qemu

PROBE_SECONDS = 8


@dataclass(frozen=True)
class Accelerator:
    name: str

    def arguments(self) -> list[str]:
        if self.name == "kvm":
            # Interrupt remapping needs the interrupt controller outside the kernel.
            return ["-M", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "max"]
        return ["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]

    def key(self) -> str:
        """A saved state holds the processor's registers, so it belongs to that processor."""
        if self.name == "kvm":
            return digest("kvm", Path("/proc/cpuinfo").read_text().split("\n\n")[0].split("flags")[-1])
        return "tcg"


TCG = Accelerator("tcg")
KVM = Accelerator("kvm")


def choose(cache: Cache, image: Image, qemu: Qemu) -> Accelerator:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    today = digest(boot)
    verdict = cache.shared("accel") / f"{today}-{digest(image.key, qemu.version())}"
    if not verdict.exists():
        works = _boots(KVM, image, qemu)
        if not works:
            say("/dev/kvm is there but does not run our kernel; emulating")
        for old in verdict.parent.iterdir():
            if not old.name.startswith(today):
                old.unlink()
        verdict.write_text("kvm" if works else "tcg")
    return KVM if verdict.read_text() == "kvm" else TCG


def _boots(accelerator: Accelerator, image: Image, qemu: Qemu) -> bool:
    argv = [*qemu.argv, *accelerator.arguments(), "-m", "512", "-smp", "2", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", str(image.vmlinux), "-initrd", str(image.initramfs),
            "-append", "console=ttyS0 quiet panic=-1 bed.probe"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return b"bed-probe-ok" in done.stdout
