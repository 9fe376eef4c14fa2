# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes results in TAP, the Test Anything Protocol."""

from __future__ import annotations


class Tap:
    def __init__(self, tier: str, planned: int) -> None:
        self._tier = tier
        self._planned = planned
        self.passed = self.failed = 0
        print("TAP version 13", flush=True)
        print(f"1..{planned}", flush=True)

    def result(self, ok: bool, name: str, seconds: float, diagnostics: str = "") -> None:
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        # A '#' in a name would begin a directive.
        name = name.replace("#", "")
        print(f"{'ok' if ok else 'not ok'} {self.passed + self.failed} - {name} # {seconds:.2f} s", flush=True)
        for line in diagnostics.splitlines():
            print(f"#   {line}", flush=True)

    def note(self, text: str) -> None:
        for line in text.splitlines():
            print(f"# {line}", flush=True)

    def bail_out(self, reason: str) -> None:
        print(f"Bail out! {reason}", flush=True)

    def summary(self) -> int:
        """The last line; the value is the exit status. A case that never ran has failed."""
        failed = self.failed + (self._planned - self.passed - self.failed)
        print(f"# {self._tier}: {self.passed} passed, {failed} failed, 0 skipped", flush=True)
        return 1 if failed or not self.passed else 0
