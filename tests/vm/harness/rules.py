# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of the policy, as SetPolicy takes them."""

from __future__ import annotations

from .bed import Bed
from .caller import Caller

RUNTIME = "/run/pciresetd/policy.json"


def set_policy(caller: Caller, match: str, runtime: bool = False, **settings: object) -> str:
    """Returns the rule's id."""
    kinds = {list: "as", bool: "b", int: "t", str: "s"}
    typed = {key: [kinds[type(value)], value] for key, value in settings.items()}
    rule = caller.call("SetPolicy", "sa{sv}a{sv}", [match, typed, {"runtime": ["b", runtime]}])
    assert isinstance(rule, str)
    return rule


def say(root: Caller, bed: Bed, address: str, **settings: object) -> str:
    """One rule about one device, in force until the case is over; returns how it is named."""
    rule = set_policy(root, address, runtime=True, **settings)

    def forget() -> None:
        # What was said twice about a device is one rule.
        if any(known["id"] == rule for known in root.call("ListPolicies", "a{sv}", [{}])):
            root.call("UnsetPolicy", "sa{sv}", [rule, {}])
    bed.defer(forget)
    return f"{rule} ({RUNTIME})"
