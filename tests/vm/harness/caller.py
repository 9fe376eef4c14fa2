# SPDX-License-Identifier: GPL-2.0-or-later
"""A D-Bus client in the guest that a case holds on to.

Theory of operation: guest/caller.py runs as the user and keeps one connection;
requests go in through a FIFO, replies and signals come out on its standard
output. So a case has any number of calls under way from one caller, in the
order in which it started them, and knows by the guest's own clock when each
was sent and answered. Killing the process is leaving the bus.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bed import DEVICE, MANAGER, ROOT, Bed, DBusError

SCRIPT = Path(__file__).resolve().parent.parent / "guest/caller.py"
NO_REPLY, INTERACTIVE = 1, 4
PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass(frozen=True)
class Signal:
    name: str
    path: str
    interface: str
    arguments: list[Any]
    time: float


class Pending:
    """A call under way."""

    def __init__(self, caller: Caller, number: int) -> None:
        self._caller, self._number = caller, number
        self.sent = self.done = 0.0

    def answered(self) -> bool:
        return any(line.get("n") == self._number for line in self._caller.lines())

    def answer(self, timeout: float = 60.0) -> dict[str, Any]:
        """The line as it came: reply, or error and body."""
        self._caller.process.wait_output(f'"n": {self._number}}}\n', timeout)
        line = next(line for line in self._caller.lines() if line.get("n") == self._number)
        self.sent, self.done = line["sent"], line.get("done", line["sent"])
        return line

    def result(self, timeout: float = 60.0) -> Any:
        """The reply (a single value as it is), or DBusError."""
        line = self.answer(timeout)
        if "error" in line:
            raise DBusError(line["error"], line["body"])
        reply = line.get("reply", [])
        return reply[0] if len(reply) == 1 else reply

    def error(self, timeout: float = 60.0) -> DBusError:
        """The error; a success is a failure of the case."""
        try:
            reply = self.result(timeout)
        except DBusError as error:
            return error
        raise AssertionError(f"no error but {reply}")


class Caller:
    _count = 0

    def __init__(self, bed: Bed, user: str = "alice") -> None:
        self._bed, self._number = bed, 0
        Caller._count += 1
        self._fifo = f"/run/bed/caller-{Caller._count}"
        self._parsed: list[dict[str, Any]] = []
        self._offset = 0
        bed.guest.write("/run/bed-caller.py", SCRIPT.read_bytes())
        bed.guest.run(f"mkdir -p /run/bed; mkfifo {self._fifo}; chown {user} {self._fifo}", check=True)
        self.process = bed.guest.start(["python3", "/run/bed-caller.py", self._fifo], user=user)
        self.process.wait_output('"n": 0}\n', 20)
        bed.defer(self.leave)

    def lines(self) -> list[dict[str, Any]]:
        text = self.process.stdout
        end = text.rfind("\n") + 1
        self._parsed += [json.loads(line) for line in text[self._offset:end].splitlines()]
        self._offset = max(end, self._offset)
        return self._parsed

    def start(self, member: str, signature: str = "", arguments: list[Any] | None = None, *, path: str = ROOT,
              interface: str | None = MANAGER, flags: int = 0, repeat: int = 1, destination: str = "") -> Pending:
        self._number += 1
        request = {"n": self._number, "path": path, "interface": interface, "member": member, "signature": signature,
                   "arguments": arguments or [], "flags": flags, "repeat": repeat}
        if destination:
            request["destination"] = destination
        return self._send(request)

    def _send(self, request: dict[str, Any]) -> Pending:
        self._bed.guest.poke(self._fifo, json.dumps(request) + "\n")
        return Pending(self, self._number)

    def call(self, member: str, signature: str = "", arguments: list[Any] | None = None, *, timeout: float = 60.0,
             **where: Any) -> Any:
        return self.start(member, signature, arguments, **where).result(timeout)

    def refused(self, member: str, signature: str = "", arguments: list[Any] | None = None, **where: Any) -> DBusError:
        return self.start(member, signature, arguments, **where).error()

    def close(self, descriptor: dict[str, int]) -> None:
        """Close a descriptor that came in a reply."""
        self._number += 1
        self._send({"n": self._number, "close": descriptor["fd"]}).result()

    def use_vfio(self, group: str, address: str) -> dict[str, int]:
        """Open a device as a hypervisor does; returns its descriptor."""
        self._number += 1
        return self._send({"n": self._number, "vfio": group, "device": address}).result()

    def acquire_start(self, *addresses: str, who: str = "a case", why: str = "to see") -> Pending:
        return self.start("Acquire", "asssa{sv}", [list(addresses), who, why, {}])

    def acquire(self, *addresses: str) -> tuple[dict[str, int], str]:
        """A lease: its descriptor and its id."""
        descriptor, name = self.acquire_start(*addresses).result()
        return descriptor, name

    def leases(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.call("ListLeases", "a{sv}", [{}])}

    def plan(self, address: str, method: str = "any", **options: Any) -> list[dict[str, Any]]:
        typed = {key: ["b", value] for key, value in options.items()}
        return self.call("Plan", "ssa{sv}", [address, method, typed])["rungs"]

    def holders(self, address: str) -> list[dict[str, Any]]:
        return self.call("GetHolders", "a{sv}", [{}], path=self._bed.device_path(address), interface=DEVICE)

    def reset_start(self, address: str, method: str = "any", flags: int = 0, **options: Any) -> Pending:
        kinds = {bool: "b", int: "t", str: "s", dict: "h", list: "ah"}
        typed = {key: [kinds[type(value)], value] for key, value in options.items()}
        return self.start("Reset", "ssa{sv}", [address, method, typed], flags=flags)

    def reset(self, address: str, method: str = "any", **options: Any) -> dict[str, Any]:
        return self.reset_start(address, method, **options).result()

    def reset_refused(self, address: str, method: str = "any", **options: Any) -> DBusError:
        return self.reset_start(address, method, **options).error()

    def methods(self, address: str, **options: Any) -> dict[str, dict[str, Any]]:
        typed = {key: ["b", value] for key, value in options.items()}
        return dict(self.call("GetMethods", "sa{sv}", [address, typed]))

    def jobs(self) -> list[dict[str, Any]]:
        return self.call("ListJobs", "a{sv}", [{}])

    def property(self, address: str, name: str) -> Any:
        return self.call("Get", "ss", [DEVICE, name], path=self._bed.device_path(address), interface=PROPERTIES)

    def wait_phase(self, address: str, phase: str, timeout: float = 15.0) -> dict[str, Any]:
        """Until there is a job for this device in this phase; returns it."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [job for job in self.jobs() if job["address"] == address and job["phase"] == phase]
            return bool(found)
        self._bed.wait_until(look, timeout, f"a job of {address} to be {phase}")
        return found[0]

    def listen(self) -> None:
        """Collect every signal of the daemon from now on."""
        rule = "type='signal',sender='org.pciresetd1'"
        self.call("AddMatch", "s", [rule], path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
                  destination="org.freedesktop.DBus")

    def signals(self, name: str | None = None, path: str | None = None) -> list[Signal]:
        found = [Signal(line["signal"], line["path"], line["interface"], line["arguments"], line["time"])
                 for line in self.lines() if "signal" in line and not line["path"].startswith("/org/freedesktop")]
        return [s for s in found if name in (None, s.name) and path in (None, s.path)]

    def leave(self) -> None:
        """Leave the bus at once, whatever is under way."""
        self.process.kill()
        self.process.wait(5)
