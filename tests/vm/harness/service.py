# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a service, and polkit beside it: started, stopped, held still.

Theory of operation: small functions over a `Bed`. What is held or changed here
is put right again when the case has ended.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .bed import Bed

UNIT = "pciresetd.service"
RUN = "/run/pciresetd/jobs"

MESSAGE_IDS = {
    "requested": "da6b14f0322f47eb93a58c608296bcd6",
    "authorized": "6a86fa99bee44a97895fd727aef3ea92",
    "denied": "c002b54d40f64c339f2dc425fed23f6a",
    "started": "8f199ce7b6cd437ca18113e79890b6d3",
    "finished": "1e0849b671b3456b990ae567c73187df",
    "noreply": "e29617eb02dc478b81997ffc2987e3ca",
    "events-lost": "849a3b49fe6a4f53b64920ebf4d06fe9",
    "adopted": "93c479026e6446059ef8777d515fd6e2",
    "left-behind": "4f49c178135c48ad92429a13181ed356",
    "worker-failed": "29337e5f079a408c9f03101fc44b4d65",
    "policy-refused": "a580cb2c7d0d4acabcee9be9f87e8250",
    "ordered": "c84d6e0f7a2b4d1596b3f0e8d7c5a219",
    "workaround": "0f6f3b7c4f5f4a0d8b7a5e0c9d2e6a18",
    "policy-loaded": "b3c7c31ad43a4c4a9f3a8b6f2d1f0c57",
    "quarantined": "71d08b3a45da4e729c6f8bc464b028a1",
    "device-error": "68c2c4cb30984ce695a859badc2c6041",
    "error-look": "a54e4ed28d50436782ddd0486fa4845f",
    "interrupted": "a7e0c1be5d0c4f83a6c13a1c31f7b6d4",
    "unquarantined": "ab6719a45dad47eeb13913bec72cf86b",
    "history-aside": "99a522d433ba401fbbc44ce5aa07a259",
    "history-unwritable": "c5eccfce8cac471898ec7112c8c5f7b0",
    "history-writable": "5f4f1e20ad1248e48f8e83e789b6b2f5",
}


def main_pid(bed: Bed, unit: str = UNIT) -> int:
    """0 if it does not run."""
    return int(bed.guest.run(f"systemctl show -P MainPID {unit}", check=True).stdout)


def start(bed: Bed) -> None:
    bed.guest.run(f"systemctl start {UNIT}", timeout=60, check=True)


def restart(bed: Bed) -> None:
    bed.guest.run(f"systemctl restart {UNIT}", timeout=60, check=True)


@contextmanager
def held(bed: Bed, unit: str) -> Iterator[None]:
    """The service is there but does nothing (SIGSTOP)."""
    pid = main_pid(bed, unit)
    assert pid, f"{unit} does not run"
    bed.guest.run(f"kill -STOP {pid}", check=True)
    go_on = f"kill -CONT {pid}"
    bed.defer(lambda: bed.guest.run(go_on))
    try:
        yield
    finally:
        bed.guest.run(go_on)


def polkit_rule(bed: Bed, text: str, name: str = "10-bed.rules") -> None:
    """Add a rule before all others for this case; polkitd is started anew, so that it is surely known."""
    path = f"/etc/polkit-1/rules.d/{name}"

    def reload() -> None:
        bed.guest.run("systemctl restart polkit", timeout=60, check=True)

    def remove() -> None:
        bed.guest.run(f"rm -f {path}")
        reload()
    bed.guest.write(path, text)
    bed.defer(remove)
    reload()


class Journal:
    """What the program logged since this object was made."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._since = bed, bed.guest.monotonic()

    def entries(self, kind: str | None = None, **fields: str) -> list[dict[str, Any]]:
        matches = [f"MESSAGE_ID={MESSAGE_IDS[kind]}"] if kind else []
        matches += [f"{key}={value}" for key, value in fields.items()]
        # (--after-cursor would be for this, but loses an entry when there are matches.)
        command = f"journalctl --sync; journalctl --no-pager -o json {shlex.join(matches or ['_COMM=pciresetd'])}"
        lines = self._bed.guest.run(command).stdout.splitlines()
        return [e for e in map(json.loads, lines) if int(e["__MONOTONIC_TIMESTAMP"]) >= self._since * 1e6]

    def explained(self) -> str:
        """All entries of the service, with the catalog's text."""
        return self._bed.guest.run(f"journalctl --sync; journalctl --no-pager -x -u {UNIT}").stdout

    def wait(self, kind: str, timeout: float = 10.0, **fields: str) -> dict[str, Any]:
        self._bed.wait_until(lambda: bool(self.entries(kind, **fields)), timeout, f"a journal entry '{kind}' {fields}")
        return self.entries(kind, **fields)[-1]
