# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that do not answer any more, and what the program says about them.

A kernel that resets such a device waits for it, a minute or two, and nothing
shortens that: cases start all of it at once, and look at it when it is over.
"""

from __future__ import annotations

from typing import Any

from .bed import DEVICE, Bed, DBusError
from .caller import Caller

ERROR = "org.pciresetd1.Error."
DEAD, QUARANTINED = ERROR + "DeviceDead", ERROR + "Quarantined"


def cut_off(bed: Bed, port: str) -> None:
    """Let the port forward to no bus: everything below reads all-ones from now on.

    This is done past the kernel, because newer ones let nobody at the port
    while they reset a device below it.
    """
    address = bed.addr(port)
    direct = ["setpci", "-A", "intel-conf1", "-s", address]
    before = bed.guest.run([*direct, "SECONDARY_BUS.B"], check=True).stdout.strip()
    bed.defer(lambda: bed.guest.run(["setpci", "-s", address, f"SECONDARY_BUS.B={before}"], check=True))
    bed.guest.run([*direct, "SECONDARY_BUS.B=0"], check=True)


def cut_off_for_good(bed: Bed, port: str) -> None:
    """The same for a machine that dies with it, where others go on: the range of buses is empty, so that none of theirs is
    taken away."""
    bed.guest.run(["setpci", "-A", "intel-conf1", "-s", bed.addr(port), "SECONDARY_BUS.B=0", "SUBORDINATE_BUS.B=0"], check=True)


def kill_tree(bed: Bed, upstream: str) -> None:
    """What root can do past the program: reset the upstream port of a switch. The kernel says that all is well, and the
    bus numbers are gone, so that nothing below answers."""
    bed.guest.poke(f"{bed.path(upstream)}/reset_method", "flr")
    bed.guest.poke(f"{bed.path(upstream)}/reset", "1")


def release(bed: Bed, *addresses: str) -> None:
    """Let devices out of quarantine, so that the next case finds them as they were."""
    root = Caller(bed, "root")
    for address in addresses:
        if root.property(address, "State") == "quarantined":
            root.call("ReleaseQuarantine", "a{sv}", [{"reason": ["s", "the case is over"]}],
                      path=bed.device_path(address), interface=DEVICE)
    root.leave()


def deaths(caller: Caller, address: str) -> list[dict[str, Any]]:
    """The rows of the history about attempts that have found the device dead, the last one first."""
    return caller.call("GetHistory", "a{sv}", [{"address": ["s", address], "verdict": ["s", "dead"]}])


def check_died(error: DBusError, address: str) -> None:
    """The reset was refused or carried out, and has proved that the device is dead."""
    assert error.name == DEAD and address in error.text, error
    assert error.evidence["verdict"] == "dead", error.evidence
    failed = [c["check"] for c in error.evidence["checks"] if c["result"] == "failed"]
    assert "answers" in failed, error.evidence


def check_kept_away(bed: Bed, caller: Caller, address: str) -> None:
    """It is in quarantine with the evidence, and the caller, who may reset everything else, gets it in no way."""
    quarantine = caller.property(address, "Quarantine")
    assert caller.property(address, "State") == "quarantined", (address, quarantine)
    assert quarantine["cause"] == "dead" and "does not answer" in quarantine["reason"], quarantine
    assert ("answers", "failed") in [(c["check"], c["result"]) for c in quarantine["checks"]], quarantine
    for error in (caller.reset_refused(address), caller.acquire_start(address).error()):
        assert error.name == QUARANTINED and address in error.text and "ReleaseQuarantine" in error.text, error
