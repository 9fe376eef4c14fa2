# SPDX-License-Identifier: GPL-2.0-or-later
"""pcireset report: its registers are those that lspci decodes, and nothing in it identifies the machine's own card."""

import json
import os
import re
from typing import Any

from harness.bed import DEVICES, Bed
from harness.caller import Caller
from harness.registry import case


def report(bed: Bed, user: str, *arguments: str) -> dict[str, Any]:
    result = bed.guest.run(["pcireset", "--json", "report", *arguments], user=user, timeout=60, check=True)
    assert not result.stderr, result
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def bridges_above(bed: Bed, address: str) -> list[str]:
    path = bed.guest.run(["readlink", "-f", f"{DEVICES}/{address}"], check=True).stdout.strip()
    return [part for part in reversed(path.split("/")[:-1]) if re.fullmatch(r"[0-9a-f]{4,}:..:..\..", part)]


def capabilities(bed: Bed, address: str) -> list[str]:
    """Their offsets, by lspci."""
    text = bed.guest.run(["lspci", "-vv", "-s", address], check=True).stdout
    return sorted(f"{int(offset, 16):03x}" for offset in re.findall(r"Capabilities: \[([0-9a-f]+)", text))


@case("a report has what lspci and the daemon say, and what identifies the card only when asked for", timeout=120)
def everything(bed: Bed) -> None:
    address = bed.addr("nic")
    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, "e1000e")
    bed.wait_until(lambda: bool(bed.guest.run(f"ls {DEVICES}/{address}/net").stdout), 15, "the interface")
    mac = bed.guest.run(f"cat {DEVICES}/{address}/net/*/address", check=True).stdout.strip()
    bed.guest.run(f"echo 'a test says that {address} has the serial number AB12345 and MAC {mac}' >/dev/kmsg", check=True)
    told = report(bed, "root", address)
    assert sorted(c["offset"] for c in told["capabilities"]) == capabilities(bed, address), told["capabilities"]
    names = {c["name"]: c["facts"] for c in told["capabilities"]}
    lspci = bed.guest.run(["lspci", "-vv", "-s", address], check=True).stdout
    for flag in ("FLReset", "NoSoftRst", "TransPend"):
        wanted, = set(re.findall(rf"{flag}[+-]", lspci))
        assert wanted in str(names), (wanted, names)
    assert "Device Serial Number" in names and told["config"]["bytes"] == told["config"]["of"] == 4096, told["config"]
    assert [bridge["address"] for bridge in told["topology"]] == bridges_above(bed, address) != [], told["topology"]
    assert {m.pop("name"): m for m in told["methods"]} == Caller(bed, "root").methods(address), told["methods"]
    log = "\n".join(told["kernel_log"])
    assert "a test says that" in log and address in log, log

    text = bed.guest.run(["pcireset", "report", address], timeout=60, check=True).stdout
    serial, = re.findall(r"Device Serial Number (\S+)", lspci)
    for secret in (mac, "AB12345", serial, mac.replace(":", "")):
        assert secret not in json.dumps(told) + text, f"{secret} is told"
    whole = json.dumps(report(bed, "root", "--with-serials", address))
    for secret in (mac, "AB12345", serial):
        assert secret in whole, f"{secret} is not told"

    plain = report(bed, "bob", address)
    assert plain["config"]["bytes"] == 64 and "root" in plain["config"]["note"] and not plain["capabilities"], plain
    assert "kernel_log" not in plain and any("systemd-journal" in note for note in plain["notes"]), plain["notes"]
    assert os.path.basename(plain["function"]["driver"]) == "e1000e", plain["function"]
