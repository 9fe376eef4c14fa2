# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's machine protocol.

Theory of operation: lines of JSON over a socket. A thread reads them and sorts
replies from events; a command waits for the reply with its id, so commands may
come from several threads. Events are kept until somebody asks for them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any


class QmpError(RuntimeError):
    pass


class Qmp:
    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._socket = _connect(path, timeout)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._changed = threading.Condition()
        self._replies: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._closed = False
        self._next = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.command("qmp_capabilities")

    def command(self, name: str, timeout: float = 60.0, **arguments: Any) -> Any:
        with self._changed:
            self._next += 1
            number = self._next
        message = {"execute": name, "id": number}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{name}: QEMU has gone ({error})") from error
        deadline = time.monotonic() + timeout
        with self._changed:
            while number not in self._replies:
                if self._closed:
                    raise QmpError(f"{name}: QEMU has gone")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise QmpError(f"{name}: no answer in {timeout:.0f} s")
            reply = self._replies.pop(number)
        if "error" in reply:
            raise QmpError(f"{name}: {reply['error']['desc']}")
        return reply["return"]

    def hmp(self, line: str) -> str:
        return self.command("human-monitor-command", **{"command-line": line})

    def wait_event(self, name: str, timeout: float, **data: Any) -> dict[str, Any]:
        """Take the first event of that name whose data has these values."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self._events:
                    if event["event"] == name and data.items() <= event.get("data", {}).items():
                        self._events.remove(event)
                        return event
                left = deadline - time.monotonic()
                if self._closed or left <= 0 or not self._changed.wait(left):
                    raise QmpError(f"no event {name} {data} within {timeout:.0f} s")

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _read(self) -> None:
        try:
            for line in self._lines:
                message = json.loads(line)
                with self._changed:
                    if "event" in message:
                        self._events.append(message)
                    elif "id" in message:
                        self._replies[message["id"]] = message
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _connect(path: Path, timeout: float) -> socket.socket:
    deadline = time.monotonic() + timeout
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(path))
            return sock
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
