# SPDX-License-Identifier: GPL-2.0-or-later
"""A reset that somebody else makes, through sysfs, and that holds the kernel's locks.

What a case wants to see during such a reset can come too late on a busy host.
So it asks afterwards whether the reset was still under way, and if not, tries
again with one that takes longer:

    for seconds in LONGER:
        foreign = ForeignReset(bed, trace, "slow0", seconds)
        ...
        if foreign.under_way():
            break
"""

from __future__ import annotations

from .bed import Bed
from .trace import Event, KernelTrace

# Seconds; a byte of tenths is the most that can be asked for.
LONGER = (5, 12, 25)


class ForeignReset:
    """Begun when this returns. Only for devices whose reset takes as long as it is told to."""

    def __init__(self, bed: Bed, trace: KernelTrace, role: str, seconds: float) -> None:
        self._trace, self._address = trace, bed.addr(role)
        bed.defer(lambda: bed.set_slow_reset(0))
        bed.set_slow_reset(seconds)
        trace.clear()
        self._process = bed.guest.start(f"echo 1 >{bed.path(role)}/reset")
        bed.defer(lambda: self._process.wait(60))
        bed.wait_until(lambda: bool(trace.resets(self._address)), 20, "the reset to begin")

    def event(self) -> Event:
        return self._trace.resets(self._address)[0]

    def under_way(self) -> bool:
        return self.event().ended is None

    def finish(self) -> Event:
        """As the kernel saw it."""
        ended = self._process.wait(60)
        assert ended.rc == 0, ended
        return self.event()
