# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases: functions with a title, found in tests/vm/cases/*.py and beside it.

Theory of operation: importing a file of cases registers them in the order they
are written. A file is a group, and a group shares one machine, so a case leaves
the machine as it found it, or asks for a fresh one. The flavour of the bed
says which files are its own.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .bed import Bed
from .flavour import Flavour

VM = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Case:
    group: str
    title: str
    function: Callable[[Bed], None]
    fresh: bool
    timeout: float
    daemon: bool
    kernel: bool
    beside: bool

    @property
    def name(self) -> str:
        return f"{self.group}: {self.title}"


_registered: list[Case] = []


def case(title: str, *, fresh: bool = False, timeout: float = 60.0, daemon: bool = True, kernel: bool = True,
         beside: bool = False) -> Callable[[Callable[[Bed], None]], Callable[[Bed], None]]:
    """Register a case. `fresh`: a machine of its own. `daemon`: the program is installed. `kernel`: what is seen depends on
    the kernel; what does not is not worth its time with a second one. `beside`: it takes minutes, so it runs
    while others do."""
    def register(function: Callable[[Bed], None]) -> Callable[[Bed], None]:
        group = function.__module__.rsplit(".", 1)[-1].removeprefix("cases_").replace("_", "-")
        _registered.append(Case(group, title, function, fresh, timeout, daemon, kernel, beside))
        return function
    return register


def load(patterns: list[str], flavour: Flavour) -> list[Case]:
    """All cases of this bed, or those whose group or name matches one of the patterns."""
    if not _registered:
        # Cases say `from harness.registry import case`.
        for path in flavour.files(VM):
            spec = importlib.util.spec_from_file_location(f"cases_{path.stem}", path)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
    wanted = [c for c in _registered if c.kernel or flavour.common is None]
    return [c for c in wanted if not patterns or any(_matches(c, p) for p in patterns)]


def _matches(case_: Case, pattern: str) -> bool:
    return case_.group == pattern or fnmatch.fnmatchcase(case_.name.lower(), f"*{pattern.lower()}*")
