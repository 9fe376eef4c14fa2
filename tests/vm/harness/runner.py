# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases in machines.

Theory of operation: one machine at a time, shared by the cases of a group. A
case that fails, or leaves the guest unable to answer, costs its machine: the
next one gets a new machine, so that no failure explains another. A case has a
deadline, kept by an alarm signal that raises in the main thread; all waiting
is done there or has an own deadline, so the alarm always gets through.

An emulated machine can stall by itself when its host is short of processors: its
kernel then says that its own timer did not fire, or that a processor of it
stood still, and nothing in it answers any more. That says nothing about the
program, so the case runs once more in a new machine, and the output says so. A
program that makes the kernel stall does so twice. A few cases of one run get
such a second try for other reasons too, since a machine without time misses
every deadline; where more fail, that is no noise. A machine that does not come
up is tried once more, since nothing of the case has happened; when several
cases in a row got none, there is no point in going on.

Installing the program takes an emulated systemd many seconds. It is done once:
that machine is saved, for this run only, and the others start from there.
"""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from . import snapshot
from .aside import Results
from .bed import Bed
from .cache import say
from .guest import Guest
from .machine import Machine, SerialFollower
from .registry import Case

# So many cases of a run may fail once without its failing.
SECOND_TRIES = 3

EVIDENCE = (
    ("kernel log of this case", "dmesg | awk '/bed: mark/ { text = \"\"; next } { text = text $0 \"\\n\" } END { printf \"%s\", text }' | tail -n 80"),
    ("journal of the daemon", "journalctl --no-pager -o short-monotonic -u pciresetd -t pciresetd -n 80"),
    ("journal of polkit", "journalctl --no-pager -o short-monotonic -u polkit -n 20"),
    ("service", "systemctl status --no-pager -n 0 pciresetd.service"),
    ("objects", "busctl --timeout=5 tree org.pciresetd1"),
    ("devices", "busctl --timeout=5 call org.pciresetd1 /org/pciresetd1 org.pciresetd1.Manager ListDevices"),
    ("jobs", "busctl --timeout=5 call org.pciresetd1 /org/pciresetd1 org.pciresetd1.Manager ListJobs 'a{sv}' 0"),
)

# What a kernel says whose timer was not served, or whose processors did not run.
STALLED = re.compile(r"rcu_\w+ kthread (timer wakeup didn't happen|starved)|rcu_\w+ (self-)?detected stall|soft lockup")

# So many cases in a row may get no machine.
NO_MACHINE_MAX = 3


class CaseTimeout(Exception):
    pass


class NoMachine(Exception):
    """It did not come up, twice."""


class Runner:
    # Restoring takes a second, but the first time the program is installed, and a state that is of no use is made anew.
    machine_timeout = 240.0
    evidence = EVIDENCE

    def __init__(self, bench: snapshot.Bench, stage: Path, rules: list[Path], verbose: bool) -> None:
        self._bench, self._stage, self._rules, self._verbose = bench, stage, rules, verbose
        self._machine: Machine | None = None
        self._guest: Guest | None = None
        self._follower: SerialFollower | None = None
        self._bed: Bed | None = None
        self._group = ""
        self._stalled = False
        self._without_machine = 0
        self._dir = Path(tempfile.mkdtemp(prefix="pciresetd-run-"))

    def run(self, cases: Iterable[Case], results: Results) -> None:
        second_tries = SECOND_TRIES
        try:
            for case in cases:
                started = time.monotonic()
                problem = self._run(case)
                if problem and not self._without_machine and (self._stalled or second_tries > 0):
                    second_tries -= not self._stalled
                    why = "the machine itself stalled" if self._stalled else "it failed"
                    results.note(f"{case.name}: {why}; once more, in a new one\n{problem}")
                    problem = self._run(case)
                results.result(not problem, case.name, time.monotonic() - started, problem)
                if self._without_machine >= NO_MACHINE_MAX:
                    raise NoMachine(f"{NO_MACHINE_MAX} cases in a row got no machine")
        finally:
            self._end_machine()
            shutil.rmtree(self._dir, ignore_errors=True)

    def _run(self, case: Case) -> str:
        """Run one case; returns what went wrong, or nothing."""
        self._stalled = False
        try:
            if case.fresh or case.group != self._group or not self._bed:
                self._ready_machine(case)
            assert self._bed
            with _deadline(case.timeout):
                if case.daemon:
                    self._bed.install()
                self._bed.mark()
                try:
                    case.function(self._bed)
                finally:
                    self._bed.clean_up()
        except Exception as error:
            problem = _explain(error) + self._evidence(case)
            self._stalled = bool(self._machine) and bool(STALLED.search(self._machine.serial_text()))
            self._end_machine()
            return problem
        if case.fresh:
            self._end_machine()
        return ""

    def _ready_machine(self, case: Case) -> None:
        self._without_machine += 1
        for last in (False, True):
            try:
                with _deadline(self.machine_timeout):
                    self._new_machine(case)
                self._without_machine = 0
                return
            except Exception as error:
                console = self._machine.serial_text()[-2000:] if self._machine else ""
                self._end_machine()
                if last:
                    raise NoMachine(f"no machine for this case: {error}\n{console}") from error
                say(f"{case.name}: the machine did not come up ({error}); once more")

    def _new_machine(self, case: Case) -> None:
        self._end_machine()
        self._start(case)
        assert self._machine and self._guest
        if self._verbose:
            self._follower = SerialFollower(self._machine)
        self._bed = Bed(self._machine, self._guest, self._stage, self._rules, delivered=case.daemon)
        self._group = case.group

    def _start(self, case: Case) -> None:
        """Get a machine, with the program installed if the case wants it."""
        if case.daemon:
            self._machine, self._guest = snapshot.restore(self._bench, self._installed())
        else:
            self._machine, self._guest = snapshot.start(self._bench)

    def _installed(self) -> Path:
        """The saved state of a machine with the program, made when it is first needed."""
        state = self._dir / "installed"
        if not state.exists():
            self._machine, self._guest = snapshot.start(self._bench)
            Bed(self._machine, self._guest, self._stage, self._rules).install()
            self._guest.close()
            unfinished = self._dir / "unfinished"
            self._machine.save(unfinished)
            unfinished.rename(state)
            self._end_machine()
        return state

    def _end_machine(self) -> None:
        if self._follower:
            self._follower.stop()
        if self._guest:
            self._guest.close()
        if self._machine:
            self._machine.stop()
        self._machine = self._guest = self._bed = self._follower = None

    def _evidence(self, case: Case) -> str:
        """What a reader needs who was not there; each part may fail for itself."""
        if not self._machine or not self._guest:
            return ""
        text = ""
        wanted = self.evidence if case.daemon else self.evidence[:1]
        for title, command in wanted:
            try:
                shown = self._guest.run(command, timeout=8)
                text += f"-- {title}\n{shown.stdout}{shown.stderr}"
            except Exception as error:
                text += f"-- {title}: not to be had ({type(error).__name__})\n"
                if "dmesg" in command:
                    text += "-- console instead\n" + self._machine.serial_text()[-3000:]
        log = self._machine.qemu_log()
        return text + (f"-- QEMU\n{log}" if log else "")


def _explain(error: Exception) -> str:
    """The message, and the lines of the case that led to it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/vm/cases" in f.filename]
    where = "".join(f"  {Path(f.filename).name}:{f.lineno}: {f.line}\n" for f in frames)
    if not frames and not isinstance(error, CaseTimeout):
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
    return f"{type(error).__name__}: {error}\n{where}"


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise CaseTimeout(f"not finished after {seconds:.0f} s")
    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
