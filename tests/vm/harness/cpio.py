# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the archive format which the kernel unpacks as its initramfs.

Theory of operation: "newc" is a 110-byte header of hexadecimal numbers, the
name, the contents, each padded to four bytes. Writing it here spares a tool
and root rights: owners are always 0 whoever builds the image.
"""

from __future__ import annotations

from pathlib import Path


class Archive:
    def __init__(self) -> None:
        self._out = bytearray()
        self._inode = 1
        self._dirs: set[str] = set()

    def add(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._parents(name)
        self._entry(name, 0o100000 | mode, data)

    def write(self, path: Path) -> None:
        self._entry("TRAILER!!!", 0, b"")
        path.write_bytes(self._out)

    def _parents(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in self._dirs:
                self._dirs.add(directory)
                self._entry(directory, 0o040755, b"")

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._inode += 1
        self._out += b"070701" + b"".join(b"%08X" % field for field in fields)
        self._out += name.encode() + b"\0"
        self._pad()
        self._out += data
        self._pad()

    def _pad(self) -> None:
        self._out += b"\0" * (-len(self._out) % 4)
