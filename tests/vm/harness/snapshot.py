# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is up, in under a second: boot once, save, restore often.

Theory of operation: the first run boots the machine, waits until systemd has
started everything, brings the devices into the state the cases expect, and
writes the paused machine to a file in the cache. Its key covers the image, the
whole hardware, the accelerator, QEMU's version and this module, because a
state only fits the machine it was taken from. The program under test is not in
it: it is delivered afterwards, so a new build needs no new state.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import accel, backports, image, qemu, topology
from .cache import Cache, digest, digest_files, say
from .flavour import STOCK, Flavour
from .guest import Guest, GuestError
from .machine import Machine, MachineError, Setup

BOOT_TIMEOUT = 180.0
RESTORE_TIMEOUT = 30.0


@dataclass
class Bench:
    """All that is needed to get machines."""

    cache: Cache
    setup: Setup
    key: str

    @property
    def state(self) -> Path:
        return self.cache.path(self.setup.flavour.kind("state"), self.key) / "state"


def prepare(cache: Cache, flavour: Flavour = STOCK) -> Bench:
    """Fetch and build whatever is missing, except the saved state."""
    disk = image.prepare(cache, flavour)
    emulator = qemu.unpacked(backports.prepare(cache) / "qemu") if flavour.backports else qemu.INSTALLED
    source = image.VM / "acpi/slow-reset.asl"
    symbols = flavour.acpi_symbols
    ssdt = cache.get(flavour.kind("acpi"), digest(digest_files(source), *symbols), "compiling the ACPI table",
                     lambda work: _compile(source, symbols, work)) / "slow-reset.aml"
    setup = Setup(flavour, disk, emulator, accel.choose(cache, disk, emulator), ssdt)
    hardware = [part.replace(str(cache.root), "") for part in setup.hardware()]
    return Bench(cache, setup, digest(*hardware, setup.accelerator.key(), emulator.version(),
                                      digest_files(Path(__file__))))


def save_if_missing(bench: Bench) -> None:
    emulated = " under emulation" if bench.setup.accelerator == accel.TCG else ""
    bench.cache.get(bench.setup.flavour.kind("state"), bench.key, f"booting the machine once{emulated} and saving its state",
                    lambda work: _boot_and_save(bench, work / "state"))


def start(bench: Bench, interactive: bool = False) -> tuple[Machine, Guest]:
    """A running machine with an agent that answers."""
    save_if_missing(bench)
    for _ in range(2):
        try:
            return restore(bench, bench.state, interactive)
        except (MachineError, GuestError) as error:
            say(f"the saved state could not be restored ({error})")
    # Twice is no accident: there is something wrong with it.
    say("throwing the saved state away and booting from cold")
    bench.cache.drop(bench.setup.flavour.kind("state"), bench.key)
    return cold_boot(bench, interactive)


def cold_boot(bench: Bench, interactive: bool = False) -> tuple[Machine, Guest]:
    machine = Machine(bench.setup, interactive=interactive)
    try:
        guest = Guest(machine.agent_socket)
        guest.wait_ready(BOOT_TIMEOUT)
        _settle(bench, guest)
        return machine, guest
    except BaseException:
        say("the machine did not come up; its console said:\n" + machine.serial_text()[-4000:])
        machine.stop()
        raise


def restore(bench: Bench, state: Path, interactive: bool = False) -> tuple[Machine, Guest]:
    """A running machine from any state that was saved with this bench."""
    machine = Machine(bench.setup, state=state, interactive=interactive)
    try:
        guest = Guest(machine.agent_socket)
        machine.resume()
        guest.wait_ready(RESTORE_TIMEOUT)
        # Its clock stood still in the file.
        guest.set_clock()
        return machine, guest
    except BaseException:
        machine.stop()
        raise


def _compile(source: Path, symbols: tuple[str, ...], work: Path) -> None:
    # 3144: the division whose result nobody wants is there to fail.
    done = subprocess.run(["iasl", "-vw", "3144", *(part for symbol in symbols for part in ("-D", symbol)), "-p", str(work / source.stem), str(source)],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"iasl: {done.stdout}{done.stderr}")


def _boot_and_save(bench: Bench, path: Path) -> None:
    try:
        machine, guest = cold_boot(bench)
    except (MachineError, GuestError) as error:
        # An emulated machine stalls now and then on a busy host.
        say(f"once more ({error})")
        machine, guest = cold_boot(bench)
    try:
        guest.close()
        machine.save(path)
    finally:
        machine.stop()


def wait_running(guest: Guest) -> None:
    """Until systemd has started everything, and polkit, which waits to be called, runs."""
    state = guest.run("systemctl is-system-running --wait", timeout=BOOT_TIMEOUT).stdout.strip()
    if state != "running":
        failed = guest.run("systemctl --failed --no-legend; journalctl -b -p err --no-pager").stdout
        raise GuestError(f"the machine came up {state}:\n{failed}")
    guest.run("systemctl start polkit.service", timeout=60, check=True)


def _settle(bench: Bench, guest: Guest) -> None:
    """Bring a freshly booted machine into the state that all cases start from."""
    wait_running(guest)
    # The console's login is not a unit that anybody waits for.
    guest.run("until pgrep -x bash; do sleep 0.1; done", timeout=60, check=True)
    _release_endpoints(guest, bench.setup.flavour)
    _remove_forgetful(guest, bench.setup.flavour)
    guest.poke("/dev/port", b"\0", offset=0x2FF)
    guest.run("udevadm settle && sync", timeout=60, check=True)


def _release_endpoints(guest: Guest, flavour: Flavour) -> None:
    """No driver on any test device: what a case wants bound, it binds."""
    added = {device.role: device for device in flavour.additions}
    roles = [device.role for device in (*topology.ENDPOINTS, *flavour.additions) if device.is_endpoint()]
    endpoints = " ".join("/".join([topology.root(role, added), *(f"0000:??:{hop}" for hop in topology.chain(role, added))])
                         for role in roles)
    guest.run(f"""
        for device in {endpoints}; do
            test -d $device || {{ echo "no $device" >&2; exit 1; }}
            test ! -e $device/driver || basename $device >$device/driver/unbind
        done""", timeout=60, check=True)


def _remove_forgetful(guest: Guest, flavour: Flavour) -> None:
    """What would not be as it was after a restore is gone for the kernel, so that it starts from nothing."""
    added = {device.role: device for device in flavour.additions}
    for role in topology.FORGETFUL:
        if role in added:
            path = "/".join([topology.root(role, added), *(f"0000:*:{hop}" for hop in topology.chain(role, added))])
            guest.run(f"echo 1 >$(echo {path})/remove", timeout=60, check=True)
