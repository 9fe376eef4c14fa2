# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds what the machine boots: root image, kernel, initramfs.

Theory of operation: two cache entries, because they change at different rates.
`base` is what the distribution gives (mmdebstrap's root as a tar, the kernel
package); it is keyed by the list of packages and the scripts that shape it,
and takes most of a minute. `image` adds our files and the kernel modules and
makes a file system of it in a few seconds; it is keyed by `base` and those
files. Package files are kept, so a changed list downloads only what is new.
The beds share `base`; a bed with another kernel has an `image` of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from . import apt, backports, kernel
from .cache import Cache, digest, digest_files
from .flavour import Flavour

VM = Path(__file__).resolve().parent.parent
GUEST = VM / "guest"
HARNESS = VM / "harness"
# Documentation is of no use to a test and doubles the size of the image.
EXCLUDE = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Image:
    """Files to boot from, and the key that identifies their contents."""

    key: str
    root: Path
    vmlinux: Path
    initramfs: Path
    hypervisor: Path


def packages() -> list[str]:
    lines = (GUEST / "packages").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def base_key() -> str:
    return digest(apt.RELEASE, " ".join(packages()), *EXCLUDE,
                  digest_files(GUEST / "fetch-kernel.sh", GUEST / "customize.sh"))


def image_key(flavour: Flavour) -> str:
    guest = sorted(p for p in GUEST.rglob("*") if p.is_file() and p.name != "packages")
    names = " ".join(str(p.relative_to(GUEST)) for p in guest)
    recipe = digest_files(HARNESS / "image.py", HARNESS / "kernel.py", HARNESS / "cpio.py")
    newer = (backports.key(),) if flavour.backports else ()
    return digest(base_key(), names, digest_files(*guest), recipe, *newer)


def prepare(cache: Cache, flavour: Flavour) -> Image:
    kind, key = flavour.kind("image"), image_key(flavour)
    if not cache.has(kind, key):
        base = cache.get("base", base_key(), "fetching Debian packages and unpacking them (about a minute)",
                         lambda work: _build_base(cache, work))
        linux = backports.prepare(cache) / "kernel.deb" if flavour.backports else base / "kernel.deb"
        cache.get(kind, key, "making the disk image", lambda work: _build_image(base, linux, work))
    entry = cache.get(kind, key, "", lambda work: None)
    return Image(key, entry / "root.img", entry / "vmlinux", entry / "initramfs.cpio", entry / "xen")


def _build_base(cache: Cache, work: Path) -> None:
    debs = shlex.quote(str(cache.shared("debs")))
    argv = ["env", f"BED_OUT={work}", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
            "--skip=essential/unlink,cleanup/apt", f"--include={','.join(packages())}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDE),
            *(f"--aptopt={option}" for option in apt.reach_options()),
            '--setup-hook=mkdir -p "$1/var/cache/apt/archives"',
            f"--setup-hook=sync-in {debs} /var/cache/apt/archives",
            f"--customize-hook=sync-out /var/cache/apt/archives {debs}",
            '--customize-hook=rm -rf "$1"/var/cache/apt/archives/*',
            f"--customize-hook={GUEST / 'fetch-kernel.sh'}",
            f"--customize-hook={GUEST / 'customize.sh'}",
            apt.RELEASE, str(work / "rootfs.tar"), *apt.sources()]
    try:
        apt.again("making the root file system", lambda: subprocess.run(
            apt.as_root(argv), stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True))
    finally:
        _give_back(work)
        _give_back(cache.shared("debs"))


def _give_back(path: Path) -> None:
    """What sudo made belongs to root; the cache is ours."""
    if os.geteuid() != 0:
        subprocess.run(["sudo", "chown", "-R", f"{os.getuid()}:{os.getgid()}", path], check=True)


def _build_image(base: Path, package: Path, work: Path) -> None:
    lists = kernel.read_module_list(GUEST / "modules")
    linux = kernel.Kernel.unpack(package, work / "kernel")
    linux.write_vmlinux(work / "vmlinux")
    index = kernel.ModuleIndex(linux)
    early, inner, wanted = (linux.expand(index.closure(names)) for names in (
        lists["initramfs"], lists["inner"], lists["initramfs"] + lists["root"]))

    subprocess.run(["dpkg", "-x", base / "busybox.deb", work / "busybox"], check=True)
    kernel.write_initramfs(work / "initramfs.cpio", linux, early,
                           work / "busybox/bin/busybox", GUEST / "init")
    kernel.write_initramfs(work / "inner.cpio", linux, inner,
                           work / "busybox/bin/busybox", GUEST / "inner-init")
    kernel.write_hypervisor(base / "hypervisor.deb", work / "xen", work / "hypervisor")

    _overlay(work, linux, wanted)
    _make_filesystem(base / "rootfs.tar", work / "overlay.tar", work)
    for leftover in ("kernel", "busybox", "hypervisor"):
        shutil.rmtree(work / leftover)
    for leftover in ("overlay.tar", "inner.cpio"):
        (work / leftover).unlink()


def _overlay(work: Path, linux: kernel.Kernel, modules: list[str]) -> None:
    """Our own files and the modules, as a tar with root as the owner of all."""
    with tarfile.open(work / "overlay.tar", "w") as tar:
        def add(source: Path, name: str, mode: int = 0o644) -> None:
            info = tar.gettarinfo(source, arcname=name)
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mode = mode
            with open(source, "rb") as data:
                tar.addfile(info, data)

        add(GUEST / "agent.py", "usr/libexec/bed-agent", 0o755)
        add(GUEST / "dbus-call.py", "usr/bin/bed-dbus", 0o755)
        for source in sorted((GUEST / "etc").rglob("*")):
            if source.is_file():
                add(source, f"etc/{source.relative_to(GUEST / 'etc')}")
        # What a guest of this machine boots, if this machine is a Xen host.
        add(linux.vmlinuz, "usr/lib/bed/inner-vmlinuz")
        add(work / "inner.cpio", "usr/lib/bed/inner.cpio")
        link = tarfile.TarInfo("etc/systemd/system/multi-user.target.wants/bed-agent.service")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/systemd/system/bed-agent.service"
        tar.addfile(link)

        where = f"usr/lib/modules/{linux.version}"
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            add(linux.modules / name, f"{where}/{name}")
        for module in modules:
            add(linux.modules / module, f"{where}/{module}")


def _make_filesystem(rootfs: Path, overlay: Path, work: Path) -> None:
    """Unpack both as root (owners matter) and let mke2fs copy the tree."""
    tree, image = work / "tree", work / "root.img"
    script = """
        set -eu
        mkdir "$1"
        tar -C "$1" --numeric-owner --xattrs-include='*' -xpf "$2"
        tar -C "$1" --numeric-owner --no-overwrite-dir --keep-directory-symlink -xpf "$3"
        /sbin/depmod -b "$1" "$(ls "$1/usr/lib/modules")"
        size=$(du -sm "$1" | cut -f1)
        truncate -s "$((size * 5 / 4 + 64))M" "$4"
        /sbin/mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$1" "$4"
        rm -rf "$1"
    """
    subprocess.run(apt.as_root(["sh", "-c", script, "sh", str(tree), str(rootfs), str(overlay), str(image)]),
                   check=True)
    _give_back(work)
