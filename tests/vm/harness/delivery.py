# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs the program under test in a running machine.

Theory of operation: the build's own `make install DESTDIR=` decides what goes
where; that tree is carried over as it is and unpacked over the guest's root.
The machine came from a saved state that never saw the program, so the services
which read their configuration at start are told to look again, as a package's
maintainer scripts would. Polkit notices new files by itself, in its own time.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .guest import Guest, GuestError

ACTION = "org.pciresetd1.reset"

INSTALL = """
set -e
tar -C / --no-overwrite-dir --keep-directory-symlink -xpf /run/stage.tar
rm /run/stage.tar
ldconfig
systemd-sysusers
systemd-tmpfiles --create
journalctl --update-catalog
udevadm control --reload
systemctl daemon-reload
# Not enabled: the first call starts it.
systemctl reload dbus
tries=0
until pkaction --action-id "$1" >/dev/null 2>&1; do
    tries=$((tries + 1))
    test $tries -lt 60 || { echo "polkit does not know $1" >&2; exit 1; }
    sleep 0.1
done
"""


def check_stage(stage: Path) -> str | None:
    """Why this tree cannot be installed, if so."""
    if not stage.is_dir():
        return f"there is no staged installation in {stage}: run `make install DESTDIR={stage}`"
    if not any(stage.rglob("pciresetd.service")):
        return f"{stage} holds no pciresetd.service: it is not a complete installation"
    return None


def deliver(guest: Guest, stage: Path, rules: list[Path]) -> None:
    reason = check_stage(stage)
    if reason:
        raise GuestError(reason)
    guest.write("/run/stage.tar", _pack(stage, rules))
    guest.run(["sh", "-c", INSTALL, "sh", ACTION], timeout=60, check=True)


def _pack(stage: Path, rules: list[Path]) -> bytes:
    buffer = io.BytesIO()

    def as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(stage.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(stage)), recursive=False, filter=as_root)
        for path in rules:
            tar.add(path, arcname=f"etc/polkit-1/rules.d/{path.name}", filter=as_root)
    return buffer.getvalue()
