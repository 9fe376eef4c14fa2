# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases that take minutes, in a process and machines of their own while the others run.

Theory of operation: a kernel that resets a dead device waits for minutes, in
which its machine uses no processor, and one machine rarely keeps two of them
busy. A child process runs such cases with a
runner of its own and writes what became of them into a pipe, a line of JSON
each; the parent tells it when its own cases are over. The child ends with its
parent, and its machine with it.

The others lie on a pile from which both take a group at a time, since the cases
of a group share a machine; so neither waits long for the other in the end.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, Protocol, TextIO

from .registry import Case


class Results(Protocol):
    def result(self, ok: bool, name: str, seconds: float, diagnostics: str = "") -> None: ...

    def note(self, text: str) -> None: ...


class _Recorder:
    """What a runner tells, on its way to the parent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def result(self, ok: bool, name: str, seconds: float, diagnostics: str = "") -> None:
        self._write("result", ok, name, seconds, diagnostics)

    def note(self, text: str) -> None:
        self._write("note", text)

    def _write(self, kind: str, *arguments: Any) -> None:
        self._stream.write(json.dumps([kind, *arguments]) + "\n")
        self._stream.flush()


class Pile:
    """Each group of cases is taken once, by whichever process asks first."""

    def __init__(self, cases: list[Case]) -> None:
        self._groups = [list(group) for _, group in groupby(cases, key=lambda case: case.group)]
        # A byte of a pipe is read by one process only, and all were read once there is an end.
        self._reader, writer = os.pipe()
        os.write(writer, bytes(range(len(self._groups))))
        os.close(writer)

    def take(self) -> Iterator[Case]:
        while number := os.read(self._reader, 1):
            yield from self._groups[number[0]]


class Aside:
    def __init__(self, cases: Iterable[Case], run: Callable[[Iterable[Case], Results], None]) -> None:
        """Begin with these cases; `run` does what the parent does with its own."""
        parent = os.getpid()
        reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reader)
            self._be_child(parent, os.fdopen(writer, "w"), lambda results: run(cases, results))
        os.close(writer)
        self._stream = os.fdopen(reader)

    def finish(self, results: Results) -> None:
        """Wait until all are over, and tell. A case of which nothing is told has not run."""
        with self._stream:
            for line in self._stream:
                kind, *arguments = json.loads(line)
                getattr(results, kind)(*arguments)
        os.waitpid(self._pid, 0)

    @staticmethod
    def _be_child(parent: int, stream: TextIO, run: Callable[[Results], None]) -> None:
        status = 1
        recorder = _Recorder(stream)
        try:
            # SIGTERM is an exception here (cli.py), so that `finally` ends the machine.
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            if os.getppid() == parent:
                run(recorder)
                status = 0
        except Exception:
            recorder.note(traceback.format_exc())
        except BaseException:
            # Told to end.
            status = 2
        finally:
            sys.stderr.flush()
            os._exit(status)
