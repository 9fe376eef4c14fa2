# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal on the machine's console.

Theory of operation: the console is a socket; our terminal is put into raw mode
and bytes go both ways until Ctrl-] is typed or the machine ends.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import termios
import tty

from .guest import Guest
from .machine import Machine

LEAVE = b"\x1d"
WELCOME = """
You are root on the test machine's console. Try: lspci -tv, pcireset list,
setpriv --reuid alice --regid alice --clear-groups pcireset list.
Everything is forgotten when you leave. To leave, type Ctrl-] (or poweroff).
"""


def interact(machine: Machine, guest: Guest) -> None:
    console = socket.socket(socket.AF_UNIX)
    console.connect(str(machine.dir / "console"))
    print(WELCOME, file=sys.stderr)
    size = shutil.get_terminal_size()
    guest.run(f"stty -F /dev/ttyS0 rows {size.lines} columns {size.columns}")
    console.sendall(b"\r")
    stdin = sys.stdin.fileno()
    if not os.isatty(stdin):
        _copy(console, stdin)
        return
    before = termios.tcgetattr(stdin)
    tty.setraw(stdin)
    try:
        _copy(console, stdin)
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        print(file=sys.stderr)


def _copy(console: socket.socket, stdin: int) -> None:
    while True:
        ready, _, _ = select.select([console, stdin], [], [])
        if console in ready:
            data = console.recv(65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if stdin in ready:
            data = os.read(stdin, 4096)
            if not data or LEAVE in data:
                return
            console.sendall(data)
