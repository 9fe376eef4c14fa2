# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of tests/vm/bed."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from itertools import chain
from pathlib import Path

from . import demo, flavour, registry, shell, snapshot, xen
from .aside import Aside, Pile
from .bed import Bed
from .cache import Cache, say
from .runner import Runner
from .tap import Tap

REPO = Path(__file__).resolve().parents[3]
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "iasl": "acpica-tools",
         "mke2fs": "e2fsprogs", "depmod": "kmod", "dpkg": "dpkg", "zstd": "zstd"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bed", description="A real kernel with emulated PCI devices to test on.")
    default = os.environ.get("PCIRESETD_STAGE") or REPO / "build/stage"
    parser.add_argument("--stage", type=Path, default=default, metavar="DIR",
                        help="tree made by `make install DESTDIR=DIR` (default: %(default)s)")
    parser.add_argument("--bed", choices=sorted(flavour.FLAVOURS), default="stock",
                        help="which machine: with the release's own kernel and QEMU, with newer ones, or a Xen host, "
                        "which can only be used for tests (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="fetch and build everything into the cache")
    commands.add_parser("snapshot", help="also boot the machine once and save its state")
    test = commands.add_parser("test", help="run the cases; TAP on standard output")
    test.add_argument("patterns", nargs="*", metavar="PATTERN", help="a group, or a part of a case's name")
    test.add_argument("--verbose", action="store_true", help="show the machine's console")
    test.add_argument("--list", action="store_true", help="only list the cases")
    commands.add_parser("shell", help="a root shell in the machine, with the program installed")
    commands.add_parser("demo", help="play the story of the README in the machine")
    return parser.parse_args()


def _check_tools() -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted(package for tool, package in TOOLS.items() if not shutil.which(tool, path=path))
    if missing:
        raise RuntimeError(f"missing packages: {' '.join(missing)} (./dev deps installs them)")


def _bench(args: argparse.Namespace) -> snapshot.Bench:
    _check_tools()
    return snapshot.prepare(Cache(), flavour.FLAVOURS[args.bed])


def _rules() -> list[Path]:
    return [*sorted((REPO / "policy/examples").glob("*.rules")), *sorted((REPO / "tests/vm/rules").glob("*.rules"))]


def _test(args: argparse.Namespace) -> int:
    cases = registry.load(args.patterns, flavour.FLAVOURS[args.bed])
    if args.list:
        print("\n".join(case.name for case in cases))
        return 0
    # A pattern that matches nothing must not look like success.
    tap = Tap(flavour.FLAVOURS[args.bed].tier, max(1, len(cases)))
    try:
        if not cases:
            tap.bail_out(f"no case matches {' '.join(args.patterns)}")
            return tap.summary()
        _run(args, cases, tap)
    except Exception as error:
        tap.bail_out(" ".join(str(error).split())[:500])
    return tap.summary()


def _run(args: argparse.Namespace, cases: list[registry.Case], tap: Tap) -> None:
    """Cases that take minutes have them beside the others, and whoever is done with them helps."""
    long_ones = [case for case in cases if case.beside]
    others = [case for case in cases if not case.beside]
    runner = _runner(args)
    if not long_ones or not others:
        runner.run(cases, tap)
        return
    pile = Pile(others)
    beside = Aside(chain(long_ones, pile.take()), lambda these, results: _runner(args).run(these, results))
    runner.run(pile.take(), tap)
    beside.finish(tap)


def _runner(args: argparse.Namespace) -> Runner:
    if args.bed == flavour.XEN.name:
        _check_tools()
        return xen.XenRunner(xen.prepare(Cache()), args.stage, _rules(), args.verbose)
    bench = _bench(args)
    snapshot.save_if_missing(bench)
    return Runner(bench, args.stage, _rules(), args.verbose)


def _with_machine(args: argparse.Namespace, interactive: bool) -> int:
    machine, guest = snapshot.start(_bench(args), interactive=interactive)
    try:
        bed = Bed(machine, guest, args.stage, _rules())
        bed.install()
        if interactive:
            bed.plug_nvme()
            shell.interact(machine, guest)
            return 0
        return demo.play(bed)
    finally:
        guest.close()
        machine.stop()


def _dispatch(args: argparse.Namespace) -> int:
    if args.command == "prepare":
        _bench(args)
        return 0
    if args.command == "snapshot" and args.bed != flavour.XEN.name:
        snapshot.save_if_missing(_bench(args))
        return 0
    if args.command == "test":
        return _test(args)
    if args.bed == flavour.XEN.name:
        raise RuntimeError("the Xen host can only be used for tests")
    return _with_machine(args, interactive=args.command == "shell")


def main() -> int:
    # So that `finally` ends QEMU when somebody ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    started = time.monotonic()
    args = _arguments()
    try:
        return _dispatch(args)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Exception as error:
        say(f"{args.command} failed after {time.monotonic() - started:.0f} s: {error}")
        return 1
