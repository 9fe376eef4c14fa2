#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make-sysfs.py FOLDER: a /sys with a root port and a card below it that has all that a report shows, and all that it
must not show."""

import os
import struct
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
PORT, CARD, LOST = "0000:00:1c.0", "0000:01:00.0", "0000:01:00.1"
SERIAL = bytes.fromhex("0011223344556677")  # as lspci shows it


def put(config: bytearray, offset: int, form: str, *values: int) -> None:
    struct.pack_into("<" + form, config, offset, *values)


def header(vendor: int, device: int, klass: int, kind: int) -> bytearray:
    config = bytearray(4096)
    put(config, 0, "HHHHBBHBBBB", vendor, device, 0x0006, 0x0011, 3, 0, klass, 0, 0, kind, 0)
    config[0x34] = 0x40
    return config


def port() -> bytearray:
    config = header(0x8086, 0xA110, 0x0604, 1)
    # PCI Express: a root port with a slot that has a power controller and is hot-plug capable.
    put(config, 0x40, "BBH", 0x10, 0x00, 0x0142)
    put(config, 0x44, "I", 0x8000)
    put(config, 0x4C, "I", 0x00100043)
    put(config, 0x52, "H", 0x2043)
    put(config, 0x54, "I", 7 << 19 | 0x42)
    # Access control services.
    put(config, 0x100, "I", 0x0001000D)
    put(config, 0x104, "HH", 0x001F, 0x001D)
    return config


def card() -> bytearray:
    config = header(0x15B3, 0x1017, 0x0200, 0)
    put(config, 0x40, "BBHHH", 0x01, 0x50, 0x0003, 0x0008, 0)  # power management, NoSoftRst
    put(config, 0x50, "BBHI", 0x03, 0x60, 0x8000, 0x534E3939)  # vital product data, with `99NS` as last read
    put(config, 0x60, "BBBB", 0x13, 0x70, 6, 0x03)  # advanced features: FLR
    put(config, 0x70, "BBH", 0x10, 0x00, 0x0002)  # PCI Express endpoint
    put(config, 0x74, "I", 0x10008000)  # FLReset
    put(config, 0x7A, "H", 0x0028)  # UnsupReq, TransPend
    put(config, 0x7C, "I", 0x00000043)
    put(config, 0x82, "H", 0x0043)
    put(config, 0x100, "I", 0x14010001)  # advanced error reporting
    put(config, 0x104, "I", 0x00004000)
    put(config, 0x140, "I", 0x18010003)  # device serial number
    config[0x144:0x14C] = SERIAL[::-1]
    put(config, 0x180, "I", 0x00010010)  # single root I/O virtualisation
    put(config, 0x188, "H", 0x0001)
    put(config, 0x18C, "HHH", 4, 4, 2)
    return config


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def function(path: Path, config: bytes, attributes: dict[str, str]) -> None:
    write(path / "config", config)
    for name, value in attributes.items():
        write(path / name, value + "\n")
    link = ROOT / "bus/pci/devices" / path.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(path, link.parent))


def main() -> None:
    top = ROOT / "devices/pci0000:00" / PORT
    function(top, bytes(port()), {"vendor": "0x8086", "device": "0xa110", "class": "0x060400", "reset_subordinate": "",
                                  "current_link_speed": "8.0 GT/s PCIe"})
    function(top / CARD, bytes(card()), {
        "vendor": "0x15b3", "device": "0x1017", "class": "0x020000", "reset_method": "flr bus",
        "serial_number": "00-11-22-33-44-55-66-77", "aer_dev_fatal": "DLP 1\nTOTAL_ERR_FATAL 1",
        "net/eth7/address": "52:54:00:de:ad:01", "nvme/nvme3/serial": "NVMESERIAL77"})
    write(top / CARD / "vpd", b"\x82\x05\x00Cards\x90\x09\x00SN\x06VPD123\x78")
    # What a process without privileges is shown, and a device that is off the bus.
    function(top / LOST, b"\xff" * 64, {"vendor": "0x15b3"})
    os.truncate(top / LOST / "config", 64)
    write(ROOT / "bus/pci/slots/7/address", "0000:01:00\n")
    write(ROOT / "bus/pci/slots/7/power", "1\n")


main()
