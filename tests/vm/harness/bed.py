# SPDX-License-Identifier: GPL-2.0-or-later
"""What a case sees: a machine, its guest, and the devices by role.

Theory of operation: a `Bed` wraps one running machine. It turns roles into
addresses by asking the guest, offers the few operations that every case needs
(bind, poison, slow reset, kernel log, D-Bus calls), and nothing that would
hide from a case what the kernel says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import delivery, topology
from .guest import Guest, GuestError, GuestOSError, Process, Result
from .machine import Machine
from .trace import KernelTrace

NAME = "org.pciresetd1"
ROOT = "/org/pciresetd1"
MANAGER = "org.pciresetd1.Manager"
DEVICE = "org.pciresetd1.Device"
DEVICES = "/sys/bus/pci/devices"


class DBusError(RuntimeError):
    """A call was answered with an error; `name`, and the body after the text."""

    def __init__(self, name: str, body: list[Any]) -> None:
        super().__init__(f"{name}: {body[0] if body else ''}")
        self.name = name
        self.text = body[0] if body else ""
        self.evidence = body[1] if len(body) > 1 else {}


@dataclass(frozen=True)
class Poison:
    """A config register that was changed by hand and that a reset puts back."""

    address: str
    register: str
    before: str
    after: str


class Bed:
    def __init__(self, machine: Machine, guest: Guest, stage: Path, rules: list[Path],
                 delivered: bool = False) -> None:
        self.machine = machine
        self.guest = guest
        self._stage, self._rules = stage, rules
        self._delivered = delivered
        self._marks = 0
        self._cleanups: list[Callable[[], Any]] = []

    # -- devices -----------------------------------------------------------

    def path(self, role: str) -> str:
        """The device's directory, found by walking down from the root bus."""
        path = topology.root(role, self.machine.plugged)
        for hop in topology.chain(role, self.machine.plugged):
            names = [n for n in self.guest.list(path) if len(n) == 12 and n.endswith(":" + hop)]
            if len(names) != 1:
                raise GuestError(f"{role}: no device {hop} below {path}")
            path = f"{path}/{names[0]}"
        return path

    def addr(self, role: str) -> str:
        return self.path(role).rsplit("/", 1)[1]

    def present(self, role: str) -> bool:
        try:
            self.path(role)
        except (KeyError, GuestError, GuestOSError):  # a role that nobody has plugged in yet is not there
            return False
        return True

    def wait_device(self, role: str, present: bool = True, timeout: float = 15.0) -> None:
        self.wait_until(lambda: self.present(role) == present, timeout,
                        f"{role} to {'appear' if present else 'go'}")
        self.guest.run("udevadm settle", timeout=30)

    def plug_nvme(self, role: str = "nvme", port: str = topology.NVME_PORT, driver: bool = True) -> str:
        """Plug an NVMe controller in and return its address; without `driver` none is bound."""
        probe = "/sys/bus/pci/drivers_autoprobe"
        if not driver:
            self.guest.poke(probe, "0")
        try:
            self.machine.plug_nvme(role, port)
            self.wait_device(role)
            address = self.addr(role)
            if driver:
                self.wait_until(lambda: self.driver(address) == "nvme", 15, "nvme to be bound")
        finally:
            if not driver:
                self.guest.poke(probe, "1")
        return address

    def plug_cxl_memory(self, role: str = "memory", port: str = "port-cxl") -> str:
        """Plug a CXL memory expander in and return its address."""
        if not self.present(port):
            self.guest.poke("/sys/bus/pci/rescan", "1")
            self.wait_device(port)
        self.machine.plug_cxl_memory(role, port)
        self.wait_device(role)
        return self.addr(role)

    def attribute(self, address: str, name: str) -> str:
        return self.guest.read_text(f"{DEVICES}/{address}/{name}")

    def reset_methods(self, address: str) -> list[str]:
        return self.attribute(address, "reset_method").split()

    def driver(self, address: str) -> str | None:
        try:
            return self.guest.readlink(f"{DEVICES}/{address}/driver").rsplit("/", 1)[1]
        except OSError:
            return None

    def bind(self, address: str, driver: str) -> None:
        """Bind exactly this driver to exactly this device, whatever was bound before."""
        self.unbind(address)
        # A driver that is loaded takes all devices it knows, unless told not to.
        self.guest.poke("/sys/bus/pci/drivers_autoprobe", "0")
        self.guest.run(f"modprobe {driver}", timeout=60, check=True)
        self.guest.poke("/sys/bus/pci/drivers_autoprobe", "1")
        self.guest.poke(f"{DEVICES}/{address}/driver_override", driver)
        self.guest.poke("/sys/bus/pci/drivers_probe", address)
        if self.driver(address) != driver:
            raise GuestError(f"{address} did not take {driver}: it has {self.driver(address)}")

    def unbind(self, address: str) -> None:
        if self.driver(address):
            self.guest.poke(f"{DEVICES}/{address}/driver/unbind", address)
        self.guest.poke(f"{DEVICES}/{address}/driver_override", "\n")

    # -- what the kernel does ----------------------------------------------

    def config(self, address: str) -> bytes:
        """Config space; hangs (until the timeout) while the device is being reset."""
        return self.guest.read(f"{DEVICES}/{address}/config")

    def kernel_reset(self, address: str, method: str | None = None, timeout: float = 60.0) -> float:
        """Root's own reset through sysfs, no daemon involved; returns its seconds."""
        if method:
            self.guest.poke(f"{DEVICES}/{address}/reset_method", method)
        try:
            return self.guest.poke(f"{DEVICES}/{address}/reset", "1", timeout=timeout)
        finally:
            if method:
                self.guest.poke(f"{DEVICES}/{address}/reset_method", "default")

    def set_slow_reset(self, seconds: float) -> None:
        """How long the next `acpi` resets of the slow devices take (at most 25 s)."""
        self._scratch(round(seconds * 10))

    def fail_slow_reset(self) -> None:
        self._scratch(0xFF)

    def _scratch(self, value: int) -> None:
        self.guest.poke("/dev/port", bytes([value]), offset=0x2FF)

    def poison(self, address: str) -> Poison:
        """Change a register that the kernel does not save and a real reset clears.

        With an MSI capability it is the message address (the kernel restores it
        only while MSI is enabled), otherwise the function mask of MSI-X, which
        a driver that uses MSI-X would not survive. `pm` clears neither in an
        emulated device: see KernelTrace for that and for bound drivers.
        """
        register, value = "CAP_MSI+4.L", "5ac0ffe0"
        before = self.guest.run(["setpci", "-s", address, register])
        if before.rc:
            register = "CAP_MSIX+2.W"
            before = self.guest.run(["setpci", "-s", address, register])
            if before.rc:
                raise GuestError(f"{address} has no register that could be poisoned")
            if int(before.stdout, 16) & 0x8000:
                raise GuestError(f"{address} uses MSI-X: masking it would hang its driver")
            value = f"{int(before.stdout, 16) | 0x4000:04x}"
        self.guest.run(["setpci", "-s", address, f"{register}={value}"], check=True)
        after = self.guest.run(["setpci", "-s", address, register], check=True).stdout.strip()
        if after != value or after == before.stdout.strip():
            raise GuestError(f"{address} {register} did not take {value}: it has {after}")
        return Poison(address, register, before.stdout.strip(), after)

    def poisoned(self, poison: Poison) -> bool:
        """Whether the register still has the value written by hand."""
        now = self.guest.run(["setpci", "-s", poison.address, poison.register], check=True).stdout.strip()
        if now not in (poison.before, poison.after):
            raise GuestError(f"{poison.address} {poison.register} is {now}, neither {poison.before} nor {poison.after}")
        return now == poison.after

    def trace(self) -> KernelTrace:
        trace = KernelTrace(self.guest)
        self.defer(trace.stop)
        return trace

    def kernel(self) -> tuple[int, int]:
        """The version of the guest's kernel, for what changed between two of them."""
        major, minor = self.guest.read_text("/proc/sys/kernel/osrelease").split(".")[:2]
        return int(major), int(minor)

    def mark(self) -> str:
        """A line in the kernel log to find one's place again."""
        self._marks += 1
        text = f"bed: mark {self._marks}"
        self.guest.poke("/dev/kmsg", f"<6>{text}\n")
        return text

    def kernel_log_since(self, mark: str) -> str:
        log = self.guest.run(["dmesg"], check=True).stdout
        return log.split(mark + "\n", 1)[-1]

    # -- the program under test ----------------------------------------------

    def install(self) -> None:
        """Deliver the staged installation, once per machine."""
        if not self._delivered:
            delivery.deliver(self.guest, self._stage, self._rules)
            self._delivered = True

    def busctl(self, user: str, *args: str, timeout: float = 60.0, check: bool = False) -> Result:
        return self.guest.run(["busctl", "--system", *args], user=user, timeout=timeout, check=check)

    def call_start(self, user: str, member: str, signature: str = "", arguments: list[Any] | None = None,
                   path: str = ROOT, interface: str = MANAGER, options: tuple[str, ...] = ()) -> Process:
        """Start a call as a user; `finish_call` takes its answer."""
        argv = ["bed-dbus", path, interface, member, signature, json.dumps(arguments or []), *options]
        return self.guest.start(argv, user=user)

    def finish_call(self, process: Process, timeout: float = 60.0) -> Any:
        """The reply (a single value as it is, several as a list), or DBusError."""
        result = process.wait(timeout)
        try:
            answer = json.loads(result.stdout)
        except ValueError:
            raise GuestError(str(result)) from None
        if "error" in answer:
            raise DBusError(answer["error"], answer["body"])
        reply = answer["reply"]
        return reply[0] if reply and len(reply) == 1 else reply

    def call(self, user: str, member: str, signature: str = "", arguments: list[Any] | None = None,
             path: str = ROOT, interface: str = MANAGER, timeout: float = 60.0,
             options: tuple[str, ...] = ()) -> Any:
        return self.finish_call(self.call_start(user, member, signature, arguments, path, interface, options), timeout)

    def device_path(self, address: str) -> str:
        """sd_bus_path_encode: what is not a letter or a digit becomes _xx."""
        label = "".join(c if c.isalpha() or (c.isdigit() and i) else f"_{ord(c):02x}" for i, c in enumerate(address))
        return f"{ROOT}/device/{label}"

    def property(self, address: str, name: str, user: str = "alice") -> Any:
        return self.call(user, "Get", "ss", [DEVICE, name], self.device_path(address),
                         "org.freedesktop.DBus.Properties")

    def reset(self, user: str, address: str, method: str = "any", options: dict[str, Any] | None = None,
              timeout: float = 60.0) -> Any:
        """Manager.Reset; an option's value is [signature, value]."""
        return self.call(user, "Reset", "ssa{sv}", [address, method, options or {}], timeout=timeout)

    def reset_start(self, user: str, address: str, method: str = "any",
                    options: dict[str, Any] | None = None) -> Process:
        return self.call_start(user, "Reset", "ssa{sv}", [address, method, options or {}])

    def journal(self, *args: str) -> str:
        return self.guest.run(["journalctl", "--no-pager", "-o", "short-monotonic", *args]).stdout

    # -- small tools -----------------------------------------------------------

    def defer(self, action: Callable[[], Any]) -> None:
        """Do this when the case has ended, last first."""
        self._cleanups.append(action)

    def lose_power(self) -> None:
        """Nothing can be asked of this machine any more, nor put right in it: for cases with a machine of their own."""
        self.machine.lose_power()
        self._cleanups.clear()

    def power_cycle(self) -> None:
        """The power fails in the middle of everything and comes back, and the machine boots again, from firmware to services. The
        root file system is in memory, so that only what is on the media of NVMe controllers is what it was; drivers are bound
        as the kernel does it, and the program is installed anew. For cases with a machine of their own."""
        self._cleanups.clear()
        self.machine.power_cycle()
        self.guest.reconnect()
        self.guest.wait_ready(180)
        self.guest.run("systemctl is-system-running --wait", timeout=120)
        self.guest.run("udevadm settle && systemctl start polkit.service", timeout=60, check=True)
        self._delivered = False
        self.install()

    def clean_up(self) -> None:
        while self._cleanups:
            self._cleanups.pop()()

    def wait_until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise GuestError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(0.05)
