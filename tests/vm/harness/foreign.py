# SPDX-License-Identifier: GPL-2.0-or-later
"""A reset that somebody else makes, through sysfs, and that holds the kernel's locks.

What a case wants to see during such a reset can come too late on a busy host.
So it asks afterwards whether the reset was still under way, and if not, tries
again with one that takes longer (or, with resets one after the other, with other
gaps between them):

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
# Seconds between two resets, during which nothing is locked.
GAPS = (0.01, 0.003, 0.001, 0.03)

AGAIN = """import os, sys, time
while True:
    fd = os.open(sys.argv[1], os.O_WRONLY)
    os.write(fd, b"1")
    os.close(fd)
    time.sleep(float(sys.argv[2]))"""


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


class ForeignResets:
    """One after the other, until it is told to stop. Whoever waits for the locks gets them in between, for a moment; whoever
    only tries to get them does so hardly ever. The first has begun when this returns."""

    def __init__(self, bed: Bed, trace: KernelTrace, role: str, seconds: float, gap: float) -> None:
        self._bed, address = bed, bed.addr(role)
        bed.defer(lambda: bed.set_slow_reset(0))
        bed.set_slow_reset(seconds)
        trace.clear()
        self._process = bed.guest.start(["python3", "-c", AGAIN, f"{bed.path(role)}/reset", str(gap)])
        bed.defer(self.stop)
        bed.wait_until(lambda: bool(trace.resets(address)), 20, "the first reset to begin")

    def last_longer(self, seconds: float) -> None:
        """From the next one on."""
        self._bed.set_slow_reset(seconds)

    def stop(self) -> None:
        """Returns when the one that is under way has ended."""
        self._process.kill()
        self._process.wait(60)
