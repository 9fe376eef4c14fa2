# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of the README, played with real commands in the test machine."""

from __future__ import annotations

from .bed import Bed


def play(bed: Bed) -> int:
    raise NotImplementedError
