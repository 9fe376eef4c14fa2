# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes a stock kernel package apart: the image, its modules, an initramfs.

Theory of operation: the package is only unpacked. QEMU starts an ELF kernel
directly (PVH), which saves the guest from decompressing itself, so the payload
of the bzImage is decompressed here once. Of the modules only a listed few and
their dependencies are kept; those needed before the root file system is
mounted go into the initramfs in the order of loading, without modprobe.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .cpio import Archive


@dataclass
class Kernel:
    """An unpacked kernel package."""

    tree: Path
    version: str

    @classmethod
    def unpack(cls, package: Path, tree: Path) -> Kernel:
        subprocess.run(["dpkg", "-x", package, tree], check=True)
        (modules,) = (tree / "lib/modules").iterdir()
        subprocess.run(["/sbin/depmod", "-b", tree, modules.name], check=True)
        return cls(tree, modules.name)

    @property
    def modules(self) -> Path:
        return self.tree / "lib/modules" / self.version

    @property
    def vmlinuz(self) -> Path:
        return self.tree / f"boot/vmlinuz-{self.version}"

    def expand(self, names: list[str]) -> list[str]:
        """Decompress these modules where they are, if they were compressed; returns their new names."""
        expanded = []
        for name in names:
            if name.endswith(".xz"):
                (self.modules / name).with_suffix("").write_bytes(lzma.decompress((self.modules / name).read_bytes()))
            expanded.append(name.removesuffix(".xz"))
        return expanded

    def write_vmlinux(self, path: Path) -> None:
        path.write_bytes(_payload(self.vmlinuz.read_bytes()))


def write_hypervisor(package: Path, path: Path, work: Path) -> None:
    """Xen in the form that QEMU starts (multiboot): unpacked."""
    subprocess.run(["dpkg", "-x", package, work], check=True)
    (image,) = (work / "boot").glob("xen-*.gz")
    path.write_bytes(gzip.decompress(image.read_bytes()))


def _payload(image: bytes) -> bytes:
    """The compressed ELF image inside a bzImage (x86 boot protocol 2.08 and later)."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    # The last four bytes of the payload are its uncompressed size.
    payload = image[start:start + length - 4]
    if payload[:6] == b"\xfd7zXZ\x00":
        # The decompressor object, unlike the function, tolerates padding behind the stream.
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-q", "-d", "-c"], input=payload, check=True, stdout=subprocess.PIPE).stdout
    raise RuntimeError("this kernel is compressed in a way that harness/kernel.py does not know")


class ModuleIndex:
    """modules.dep, modules.softdep and modules.builtin in the form we need."""

    def __init__(self, kernel: Kernel) -> None:
        self._depends: dict[str, list[str]] = {}
        self._path: dict[str, str] = {}
        for line in (kernel.modules / "modules.dep").read_text().splitlines():
            path, _, depends = line.partition(":")
            self._depends[path] = depends.split()
            self._path[_name(path)] = path
        builtin = (kernel.modules / "modules.builtin").read_text().splitlines()
        self._builtin = {_name(path) for path in builtin}

    def closure(self, names: list[str]) -> list[str]:
        """Module files for these names, each after all that it needs."""
        order: list[str] = []
        for name in names:
            name = name.replace("-", "_")
            if name not in self._builtin:
                self._visit(self._path[name], order)
        return order

    def _visit(self, path: str, order: list[str]) -> None:
        if path in order:
            return
        # modules.dep lists the whole closure, the deepest dependency last.
        for dependency in reversed(self._depends[path]):
            self._visit(dependency, order)
        order.append(path)


def _name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def read_module_list(path: Path) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {"initramfs": [], "root": [], "inner": []}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            where, name = line.split()
            lists[where].append(name)
    return lists


def write_initramfs(path: Path, kernel: Kernel, modules: list[str], busybox: Path, init: Path) -> None:
    archive = Archive()
    archive.add("init", init.read_bytes(), 0o755)
    archive.add("bin/busybox", busybox.read_bytes(), 0o755)
    order = []
    for module in modules:
        order.append(Path(module).name)
        archive.add(f"modules/{order[-1]}", (kernel.modules / module).read_bytes())
    archive.add("modules/order", "".join(f"{name}\n" for name in order).encode())
    archive.write(path)
