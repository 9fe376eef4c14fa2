# SPDX-License-Identifier: GPL-2.0-or-later
"""A function of the guest's kernel that fails, as those of a broken device would.

Theory of operation: QEMU has a server for debuggers. It stops the machine where
the function begins, and this side of it returns in its place: the result into
RAX, the return address from the stack into RIP. The kernel knows nothing of
it, nothing has to be loaded, and it is the same with and without emulation. A
thread waits for the machine to stop, so that a case can go on meanwhile. Only
the few packets of the remote protocol that this takes are spoken.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from .bed import Bed

# Their numbers in the protocol; all that come before RIP are of eight bytes.
RAX, RSI, RSP, RIP = 0, 4, 7, 16
MASK = (1 << 64) - 1


class Debugger:
    """One connection; the machine stands still from its beginning until it is told to go on."""

    def __init__(self, path: str) -> None:
        deadline = time.monotonic() + 10
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._buffer = b""
        # That it stopped for us may be told, which nobody has asked for.
        while self.packet(0.5) is not None:
            pass
        # Registers are set one by one only by who has asked what they are.
        self.ask("qXfer:features:read:target.xml:0,ff0")

    def send(self, payload: str) -> None:
        self._socket.sendall(f"${payload}#{sum(payload.encode()) % 256:02x}".encode())

    def interrupt(self) -> None:
        """The machine stops, if it does not stand already."""
        self._socket.sendall(b"\x03")

    def packet(self, timeout: float) -> str | None:
        """The next one, or None if there is none in that time."""
        deadline = time.monotonic() + timeout
        while True:
            begin = self._buffer.find(b"$")
            end = self._buffer.find(b"#", begin)
            if begin >= 0 and 0 <= end <= len(self._buffer) - 3:
                payload, self._buffer = self._buffer[begin + 1:end], self._buffer[end + 3:]
                self._socket.sendall(b"+")
                return payload.decode()
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self._socket.recv(4096)
            except TimeoutError:
                return None
            if not chunk:
                raise ConnectionError("QEMU has gone")
            self._buffer += chunk

    def ask(self, payload: str) -> str:
        self.send(payload)
        answer = self.packet(10)
        if not answer or answer.startswith("E"):
            raise ConnectionError(f"QEMU answers {answer} to {payload}")
        return answer

    def registers(self) -> list[int]:
        text = self.ask("g")
        return [int.from_bytes(bytes.fromhex(text[n * 16:n * 16 + 16]), "little") for n in range(RIP + 1)]

    def set_register(self, number: int, value: int) -> None:
        self.ask(f"P{number:x}={(value & MASK).to_bytes(8, 'little').hex()}")

    def word(self, address: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},8")), "little")

    def close(self) -> None:
        self._socket.close()


class Fault:
    """As long as it is used (`with`), `function(device, probe)` of the kernel says that it could and returns `error` when it
    should, without doing anything. `hits` counts how often."""

    def __init__(self, bed: Bed, function: str, error: int) -> None:
        self._bed, self._error = bed, error
        where = bed.guest.run(["awk", f'$3 == "{function}" {{ print $1 }}', "/proc/kallsyms"], check=True).stdout.split()
        assert len(where) == 1, (function, where)
        self._address = int(where[0], 16)
        self._over = threading.Event()
        self._problem: BaseException | None = None
        self.hits = 0

    def __enter__(self) -> Fault:
        path = str(self._bed.machine.dir / "debugger")
        self._bed.machine.hmp(f"gdbserver unix:{path},server=on,wait=off")
        self._debugger = Debugger(path)
        self._debugger.ask(f"Z1,{self._address:x},1")
        self._debugger.send("c")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join(20)
        self._debugger.close()
        self._bed.machine.hmp("gdbserver none")
        self._bed.machine.resume()
        if self._problem:
            raise self._problem

    def _serve(self) -> None:
        try:
            while not self._over.is_set():
                if self._debugger.packet(0.1) is not None:
                    self._stopped()
                    self._debugger.send("c")
            self._debugger.interrupt()
            self._debugger.packet(10)
            # That takes the breakpoint away, and the machine goes on.
            self._debugger.ask("D")
        except BaseException as error:
            self._problem = error

    def _stopped(self) -> None:
        registers = self._debugger.registers()
        assert registers[RIP] == self._address, hex(registers[RIP])
        probe = registers[RSI] & 0xFF
        self.hits += not probe
        self._debugger.set_register(RAX, 0 if probe else self._error)
        self._debugger.set_register(RIP, self._debugger.word(registers[RSP]))
        self._debugger.set_register(RSP, registers[RSP] + 8)
        assert self._debugger.registers()[RSP] == registers[RSP] + 8
