# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the agent's channel (guest/agent.py).

Theory of operation: messages go out with an id; a thread sorts what comes in by
that id. A command that runs in the guest is a `Process` which collects output
and exit as they arrive, so a case may have any number under way. Every wait
has a deadline: a guest that hangs turns into an exception.
"""

from __future__ import annotations

import errno
import json
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = struct.Struct(">II")


class GuestError(RuntimeError):
    """The guest did not answer, or a command that had to succeed did not."""


class GuestTimeout(GuestError):
    pass


class GuestOSError(OSError):
    """A file operation failed in the guest, with the guest's errno."""


@dataclass(frozen=True)
class Result:
    """A finished command; times are the guest's CLOCK_MONOTONIC, in seconds."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def __str__(self) -> str:
        return f"`{' '.join(self.argv)}` exited {self.rc}\n{self.stdout}{self.stderr}"


class Process:
    """A command under way in the guest."""

    def __init__(self, guest: Guest, argv: list[str]) -> None:
        self._guest = guest
        self._changed = threading.Condition()
        self._output = {1: b"", 2: b""}
        self._error: str | None = None
        self._exit: dict[str, Any] | None = None
        self.argv = tuple(argv)
        self.number = 0
        self.pid = 0
        self.started: float | None = None

    def feed(self, header: dict[str, Any], blob: bytes) -> None:
        with self._changed:
            if header["event"] == "started":
                self.pid, self.started = header["pid"], header["time"]
            elif header["event"] == "output":
                self._output[header["fd"]] += blob
            elif header["event"] == "exit":
                self._exit = header
            else:
                self._error = header.get("error", "the agent gave no reason")
            self._changed.notify_all()

    @property
    def stdout(self) -> str:
        return self._output[1].decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self._output[2].decode(errors="replace")

    def poll(self) -> int | None:
        return self._exit["rc"] if self._exit else None

    def wait_started(self, timeout: float = 10.0) -> None:
        self._wait_for(lambda: self.pid != 0 or self._exit is not None, timeout)

    def wait_output(self, text: str, timeout: float = 10.0) -> str:
        """Until `text` has appeared on stdout (or the command has ended)."""
        self._wait_for(lambda: text in self.stdout or self._exit is not None, timeout)
        if text not in self.stdout:
            raise GuestError(f"`{' '.join(self.argv)}` ended without saying {text!r}:\n{self.stdout}{self.stderr}")
        return self.stdout

    def wait(self, timeout: float = 30.0) -> Result:
        self._wait_for(lambda: self._exit is not None, timeout)
        assert self._exit is not None
        return Result(self.argv, self._exit["rc"], self.stdout, self.stderr, self._exit["start"], self._exit["end"])

    def signal(self, number: int = signal.SIGTERM, group: bool = False) -> None:
        self.wait_started()
        self._guest.call("signal", child=self.number, signal=int(number), group=group)

    def kill(self) -> None:
        """Kill it with all its children; no matter if it has ended already."""
        try:
            self.signal(signal.SIGKILL, group=True)
        except GuestOSError as error:
            if error.errno != errno.ESRCH:
                raise

    def _wait_for(self, condition: Any, timeout: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or self._error, timeout):
                raise GuestTimeout(f"`{' '.join(self.argv)}` is still running after {timeout:.0f} s\n"
                                   f"{self.stdout}{self.stderr}")
        if self._error:
            raise GuestError(f"`{' '.join(self.argv)}` could not be started: {self._error}")


class _Call:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.header: dict[str, Any] = {}
        self.blob = b""

    def feed(self, header: dict[str, Any], blob: bytes) -> None:
        self.header, self.blob = header, blob
        self.done.set()


class Guest:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._next = int(time.time() * 1000) % 10**9
        self._pending: dict[int, Process | _Call] = {}
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(self._path))
        threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()

    def reconnect(self) -> None:
        """Begin anew with a guest that has begun anew: what was half said is forgotten, and what ran has ended."""
        self.close()
        self._pending.clear()
        self._connect()

    def wait_ready(self, timeout: float) -> None:
        """Until the agent answers; before, it may not even have opened its port."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.call("ping", timeout=min(1.0, max(0.05, deadline - time.monotonic())))
                return
            except GuestTimeout:
                if time.monotonic() > deadline:
                    raise GuestTimeout(f"the agent in the guest did not answer within {timeout:.0f} s") from None

    def start(self, command: str | list[str], user: str = "root", stdin: bytes | str = b"",
              env: dict[str, str] | None = None, cwd: str | None = None) -> Process:
        """Start a command (a string goes to the shell) and return at once."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        process = Process(self, argv)
        request: dict[str, Any] = {"op": "start", "argv": argv, "user": user, "env": env or {}}
        if cwd:
            request["cwd"] = cwd
        process.number = self._send(process, request, stdin.encode() if isinstance(stdin, str) else stdin)
        return process

    def run(self, command: str | list[str], user: str = "root", timeout: float = 30.0, check: bool = False,
            stdin: bytes | str = b"", env: dict[str, str] | None = None, cwd: str | None = None) -> Result:
        """Run a command to its end; `check` makes a failure an exception."""
        process = self.start(command, user, stdin, env, cwd)
        try:
            result = process.wait(timeout)
        except GuestTimeout:
            process.kill()
            raise
        if check and result.rc:
            raise GuestError(str(result))
        return result

    def read(self, path: str, timeout: float = 10.0) -> bytes:
        return self._call("read", {"path": path}, timeout)[1]

    def read_text(self, path: str, timeout: float = 10.0) -> str:
        """A file's text without the newline at its end, as sysfs attributes have it."""
        return self.read(path, timeout).decode(errors="replace").rstrip("\n")

    def write(self, path: str, data: bytes | str, mode: int = 0o644, timeout: float = 30.0) -> None:
        blob = data.encode() if isinstance(data, str) else data
        self._call("write", {"path": path, "mode": mode}, timeout, blob)

    def poke(self, path: str, data: bytes | str, offset: int | None = None, timeout: float = 30.0) -> float:
        """Write to a file that must exist (sysfs, /dev/port); returns the seconds it took."""
        blob = data.encode() if isinstance(data, str) else data
        request: dict[str, Any] = {"path": path, "existing": True}
        if offset is not None:
            request["offset"] = offset
        header, _ = self._call("write", request, timeout, blob)
        return header["end"] - header["start"]

    def list(self, path: str) -> list[str]:
        return self.call("list", path=path)["names"]

    def exists(self, path: str) -> bool:
        try:
            self.call("stat", path=path)
        except OSError:
            return False
        return True

    def stat(self, path: str) -> dict[str, Any]:
        return self.call("stat", path=path)

    def readlink(self, path: str) -> str:
        return self.call("readlink", path=path)["target"]

    def monotonic(self) -> float:
        return self.call("ping")["time"]

    def set_clock(self) -> None:
        self.call("settime", time=time.time())

    def call(self, operation: str, timeout: float = 10.0, **arguments: Any) -> dict[str, Any]:
        return self._call(operation, arguments, timeout)[0]

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _call(self, operation: str, arguments: dict[str, Any], timeout: float,
              blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        call = _Call()
        self._send(call, {"op": operation, **arguments}, blob)
        if not call.done.wait(timeout):
            raise GuestTimeout(f"{operation} {arguments.get('path', '')}: no answer in {timeout:.1f} s")
        if "error" in call.header:
            raise GuestOSError(call.header["errno"], call.header["error"])
        return call.header, call.blob

    def _send(self, receiver: Process | _Call, request: dict[str, Any], blob: bytes) -> int:
        with self._lock:
            self._next += 1
            number = self._next
            self._pending[number] = receiver
            head = json.dumps({"id": number, **request}).encode()
            try:
                self._socket.sendall(HEAD.pack(len(head), len(blob)) + head + blob)
            except OSError as error:
                raise GuestError(f"the machine has gone ({error})") from error
        return number

    def _read(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            while head := stream.read(HEAD.size):
                head_size, blob_size = HEAD.unpack(head)
                header = json.loads(stream.read(head_size))
                blob = stream.read(blob_size)
                receiver = self._pending.get(header["id"])
                if receiver:
                    receiver.feed(header, blob)
                if header["event"] in ("reply", "exit"):
                    self._pending.pop(header["id"], None)
        except (OSError, ValueError, struct.error):
            pass
