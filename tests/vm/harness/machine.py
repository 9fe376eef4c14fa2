# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU process: started, talked to, ended.

Theory of operation: the command line is made from the image, the topology and
the accelerator only, so that a cold boot and a restore from a saved state get
the same machine. All sockets and logs are in a temporary directory that goes
away with the machine. QEMU dies with us whatever happens: it is told to quit,
then killed, and the kernel kills it if the harness itself is killed.
"""

from __future__ import annotations

import ctypes
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import topology
from .accel import Accelerator
from .flavour import Flavour
from .image import Image
from .qemu import Qemu
from .qmp import Qmp, QmpError

MEMORY = "768"
CMDLINE = "console=ttyS0 loglevel=4 panic=-1 intel_iommu=on systemd.show_status=false net.ifnames=0"


class MachineError(RuntimeError):
    pass


@dataclass(frozen=True)
class Setup:
    """What a machine is made of."""

    flavour: Flavour
    image: Image
    qemu: Qemu
    accelerator: Accelerator
    ssdt: Path

    def hardware(self) -> list[str]:
        """Everything that must be equal for a saved state to fit."""
        return [
            *self.accelerator.arguments(), *self.flavour.machine, "-m", MEMORY, "-smp", "2", "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot",
            # Without this line q35 hot-plugs through ACPI, the link-active bit of
            # a port is never set again after a secondary bus reset, and every
            # `bus` reset below a root port fails.
            "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            "-device", "intel-iommu,intremap=on",
            "-drive", f"file={self.image.root},format=raw,if=none,id=root,readonly=on",
            "-device", "virtio-blk-pci,drive=root,addr=0x2",
            "-device", "virtio-serial-pci,id=channels,addr=0x3",
            "-device", "virtserialport,bus=channels.0,chardev=agent,name=bed.agent",
            # A case paces itself with the second port's scratch register.
            "-serial", "chardev:console", "-serial", "null",
            # What a sound card plays is heard by nobody.
            "-audiodev", "none,id=silence",
            "-acpitable", f"file={self.ssdt}",
            *topology.arguments(self.flavour.additions),
            "-kernel", str(self.image.vmlinux), "-initrd", str(self.image.initramfs), "-append", CMDLINE,
        ]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    def __init__(self, setup: Setup, state: Path | None = None, interactive: bool = False) -> None:
        """Start QEMU; with a saved state it is loaded, and the machine left paused."""
        self.dir = Path(tempfile.mkdtemp(prefix="pciresetd-vm-"))
        self.serial_log = self.dir / "serial.log"
        # Devices beyond the table that all beds share.
        self.plugged: dict[str, topology.Device] = {device.role: device for device in setup.flavour.additions}
        self._numbers: dict[str, str] = {}
        backend = f"file,id=console,path={self.serial_log}"
        if interactive:
            backend = f"socket,id=console,path={self.dir / 'console'},server=on,wait=off,logfile={self.serial_log}"
        argv = [*setup.qemu.argv, "-chardev", backend,
                "-chardev", f"socket,id=agent,path={self.agent_socket},server=on,wait=off",
                "-qmp", f"unix:{self.dir / 'qmp'},server=on,wait=off", *setup.hardware()]
        if state:
            argv += ["-incoming", f"exec:cat {shlex.quote(str(state))}"]
        self._stderr = open(self.dir / "qemu.log", "w+")
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._stderr,
                                         stderr=self._stderr, preexec_fn=_die_with_parent,
                                         start_new_session=True)
        try:
            self._qmp = Qmp(self.dir / "qmp")
            if state:
                self._wait_restored()
        except BaseException as error:
            text = self.qemu_log()
            self.stop()
            if isinstance(error, (OSError, QmpError, MachineError)):
                raise MachineError(f"QEMU did not start: {error}\n{text}") from error
            raise

    @property
    def agent_socket(self) -> Path:
        return self.dir / "agent"

    def running(self) -> bool:
        return self._process.poll() is None

    def qemu_log(self) -> str:
        self._stderr.flush()
        lines = (self.dir / "qemu.log").read_text(errors="replace").splitlines(True)
        # The cards are there to be reset: no cable is plugged in, on purpose.
        return "".join(line for line in lines if "has no peer" not in line)

    def serial_text(self) -> str:
        return self.serial_log.read_text(errors="replace") if self.serial_log.exists() else ""

    def qmp(self, command: str, **arguments: Any) -> Any:
        return self._qmp.command(command, **arguments)

    def hmp(self, line: str) -> str:
        return self._qmp.hmp(line)

    def resume(self) -> None:
        self.qmp("cont")

    def save(self, path: Path) -> None:
        """Pause and write the whole state to a file; the machine is over then."""
        self.qmp("stop")
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(path))}")
        self._wait_migration("completed")

    def plug(self, model: str, port: str, role: str, slot: int = 0, function: int = 0, **options: Any) -> None:
        """Plug a device in; it is then known to the cases by its role.

        An option has the type that its property has: True, not "on"."""
        device = topology.Device(role, model, port, slot, function, options)
        self.qmp("device_add", driver=model, id=role, bus=port, addr=f"{slot:#x}.{function}", **options)
        self.plugged[role] = device

    def plug_nvme(self, role: str = "nvme", port: str = topology.NVME_PORT) -> None:
        """An NVMe controller with an empty medium, which keeps what is written to it."""
        medium = self.medium(role)
        with open(medium, "wb") as file:
            file.truncate(16 << 20)
        self.qmp("blockdev-add", driver="file", filename=str(medium), **{"node-name": f"medium-{role}"})
        self.plug("nvme", port, role, serial=role, drive=f"medium-{role}")

    def plug_sriov_nvme(self, role: str, port: str, functions: int) -> None:
        """An NVMe controller without a medium, which can have virtual functions."""
        self.plug("nvme", port, role, serial=role, subsys="subsystem", sriov_max_vfs=functions,
                  sriov_vq_flexible=2 * functions, sriov_vi_flexible=functions,
                  max_ioqpairs=2 * functions + 2, msix_qsize=2 * functions + 2)

    def plug_cxl_memory(self, role: str, port: str) -> None:
        """A CXL memory expander."""
        self.qmp("object-add", **{"qom-type": "memory-backend-ram", "id": f"backend-{role}", "size": 256 << 20})
        self.plug("cxl-type3", port, role, **{"volatile-memdev": f"backend-{role}"})

    def unplug(self, role: str, timeout: float = 20.0) -> None:
        """Press the attention button; returns when the guest has let go of the device."""
        self.start_unplug(role)
        self.finish_unplug(role, timeout)

    def start_unplug(self, role: str) -> None:
        self.qmp("device_del", id=role)

    def finish_unplug(self, role: str, timeout: float = 20.0) -> None:
        self._qmp.wait_event("DEVICE_DELETED", timeout, device=role)
        # Its place stays known, so that a case can wait until it is empty.
        device = self.plugged.get(role)
        if device and "drive" in device.options:
            self.qmp("blockdev-del", **{"node-name": f"medium-{role}"})

    def put_in_again(self, role: str, timeout: float = 20.0) -> None:
        """Wait until a device of the topology has lost the power of its slot, which ends it, and plug in a new one."""
        self._qmp.wait_event("DEVICE_DELETED", timeout, device=role)
        self.plug_again(role)

    def plug_again(self, role: str) -> None:
        """A device of the topology that is not there any more; a network card has the number that it had."""
        device = topology.DEVICES[role]
        number = {"mac": self._numbers[role]} if role in self._numbers else {}
        self.qmp("device_add", driver=device.model, id=f"{role}-again" if number else role, bus=device.bus,
                 addr=f"{device.slot:#x}.{device.function}", **device.options, **number)

    def surprise_remove(self, role: str) -> None:
        """The device vanishes without a word: every read gives all-ones."""
        # QEMU keeps what it knows of it, under its name.
        self._numbers[role] = self.qmp("qom-get", path=f"/machine/peripheral/{role}", property="mac")
        self.qmp("qom-set", path=f"/machine/peripheral/{role}", property="realized", value=False)

    def medium(self, role: str) -> Path:
        """What is on the medium of an NVMe controller that was plugged in; here as long as the machine is."""
        return self.dir / f"{role}.img"

    def lose_power(self) -> None:
        """Pull the plug: what the guest has not written to a medium is gone with its memory."""
        self._process.kill()
        self._process.wait()

    def power_cycle(self, timeout: float = 30.0) -> None:
        """The same, and the power comes back: returns at the beginning of the next boot."""
        # QEMU ends when the machine is reset, unless told otherwise.
        self.qmp("set-action", reboot="reset")
        self.qmp("system_reset")
        self._qmp.wait_event("RESET", timeout)

    def stop(self) -> None:
        if self.running() and hasattr(self, "_qmp"):
            try:
                self._qmp.command("quit", timeout=3)
                self._process.wait(3)
            except (QmpError, subprocess.TimeoutExpired):
                pass
        if self.running():
            self._process.kill()
        self._process.wait()
        if hasattr(self, "_qmp"):
            self._qmp.close()
        self._stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _wait_restored(self) -> None:
        self._wait_migration("completed")

    def _wait_migration(self, wanted: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.qmp("query-migrate").get("status")
            if status == wanted:
                return
            if status in ("failed", "cancelled"):
                break
            if not self.running():
                break
            time.sleep(0.01)
        raise MachineError(f"the state could not be moved: {self.hmp('info migrate')}")


class SerialFollower:
    """Copies the machine's console to stderr while it grows (--verbose)."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._done = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        self._done.set()

    def _follow(self) -> None:
        offset = 0
        while not self._done.wait(0.1):
            text = self._machine.serial_text()
            sys.stderr.write(text[offset:])
            sys.stderr.flush()
            offset = len(text)
