# SPDX-License-Identifier: GPL-2.0-or-later
"""What a storm has left: the logs of its clients, held against what the kernel did.

Theory of operation: guest/storm.py writes down what clients asked and heard and
who was killed when; the kernel's probes tell which resets really ran, and
sysfs where each device hangs. From these alone, without a word of the daemon's,
follow the promises: resets that disturb each other do not overlap, whoever has
a lease is not reset by others, an interface that is used is left alone, and
every call is answered unless its daemon was killed, and what rules want to be
clean was reset since its last user got it. Each finding is a line of
text; none is good.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .trace import METHODS, Event

# The first bytes of its name, as the kernel keeps it.
WORKER = "pcireset-worke"
# After a kill the bus may answer in the daemon's place, or wait until there is a new one.
AFTERMATH = 15.0
# A reset that nobody waits for any more may begin so late.
LATE = 60.0
# A worker that looked before an interface got its address may still write for so long.
GRACE = 5.0
BUS_ERRORS = ("org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown",
              "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.Spawn",
              "org.freedesktop.DBus.Error.TimedOut", "org.freedesktop.systemd1.")
FAILED = "org.freedesktop.DBus.Error.Failed"
REFUSALS = ("org.pciresetd1.Error.", "org.freedesktop.DBus.Error.AccessDenied",
            "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.DBus.Error.InvalidArgs",
            "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod")


@dataclass
class Call:
    client: str
    uid: int
    member: str
    arguments: list[Any]
    sent: float
    done: float | None = None
    error: str | None = None
    text: str = ""
    reply: Any = None
    killed: float | None = None


@dataclass
class Lease:
    uid: int
    addresses: list[str]
    asked: float
    since: float
    until: float


@dataclass
class Record:
    """All that was written down."""

    calls: list[Call] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    used: list[tuple[str, float, float]] = field(default_factory=list)
    kills: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, list[str]] = field(default_factory=dict)

    def killed(self, what: str) -> list[float]:
        return [kill["t"] for kill in self.kills if kill["what"] == what]


def read(logs: dict[str, str]) -> Record:
    """`logs`: the text of each, by its name."""
    record = Record()
    lines = {name: [json.loads(line) for line in text.splitlines()] for name, text in logs.items()}
    record.kills = [line for line in lines.get("storm", []) if line["kind"] == "kill"]
    deaths = {kill["name"]: kill["t"] for kill in record.kills if kill["what"] == "client"}
    for name, written in lines.items():
        if name.startswith("client-"):
            _read_client(record, name, written, deaths.get(name))
    for line in lines.get("carrier_is_used", []):
        if line["kind"] == "used":
            record.used.append((line["address"], line["since"] + GRACE, line["t"]))
    for line in lines.get("places_are_noted", []):
        # The root bus comes first, and is no device.
        record.places[line["address"]] = line["path"].split("/")[4:]
    return record


def _read_client(record: Record, name: str, written: list[dict[str, Any]], death: float | None) -> None:
    uid, calls, held = -1, {}, {}
    for line in written:
        if line["kind"] == "client":
            uid = line["uid"]
        elif line["kind"] == "call":
            calls[line["n"]] = Call(name, uid, line["member"], line["arguments"], line["t"], killed=death)
        elif line["kind"] == "done":
            call = calls[line["n"]]
            call.done, call.error, call.text, call.reply = line["t"], line["error"], line["text"], line["reply"]
        elif line["kind"] == "lease":
            held[line["fd"]] = Lease(uid, line["addresses"], calls[line["n"]].sent, line["t"], death or float("inf"))
            record.leases.append(held[line["fd"]])
        elif line["kind"] == "release" and line["fd"] in held:
            held.pop(line["fd"]).until = line["t"]
    record.calls += calls.values()


# -- resets ----------------------------------------------------------------

@dataclass(frozen=True)
class Reset:
    """One write of a worker's, from its beginning to its end, and what it touches."""

    event: Event
    ended: float
    members: frozenset[str]
    bridge: str
    above: frozenset[str]

    def disturbs(self, other: Reset) -> bool:
        return bool(self.members & other.members) or self._reaches(other) or other._reaches(self) or \
            self.bridge == other.bridge or self.bridge in other.above or other.bridge in self.above

    def _reaches(self, other: Reset) -> bool:
        return bool(self.members & {other.bridge, *other.above})

    def __str__(self) -> str:
        return f"{self.event.what} of {self.event.address} by {self.event.task} from {self.event.time:.3f} to {self.ended:.3f}"


def resets(record: Record, events: list[Event], end: float) -> list[Reset]:
    """What workers did. One that is still in the kernel at the end lasts until then."""
    found = []
    for event in events:
        if event.what not in ("reset", "subordinate") or not event.task.startswith(WORKER):
            continue
        place = record.places.get(event.address, [event.address])
        if event.what == "subordinate":
            members = {a for a, p in record.places.items() if event.address in p[:-1]}
            bridges = place
        else:
            members = {event.address}
            bridges = place[:-1]
        found.append(Reset(event, event.ended or end, frozenset(members), bridges[-1] if bridges else "",
                           frozenset(bridges[:-1])))
    return found


def overlaps(found: list[Reset]) -> list[str]:
    wrong = []
    for i, one in enumerate(found):
        for other in found[i + 1:]:
            if other.event.time >= one.ended:
                continue
            if other.ended > one.event.time and one.event.task != other.event.task and one.disturbs(other):
                wrong.append(f"{other} in the middle of {one}")
    return wrong


def _asked(call: Call, uid: int, reset: Reset) -> bool:
    """This user has asked for such a reset and was not told yet, or could not be told."""
    when = reset.event.time
    if call.member != "Reset" or call.uid != uid or call.sent > when or call.arguments[0] not in reset.members:
        return False
    if call.done is None or call.done >= when:
        return True
    # Whoever's time was over, or whose daemon was killed, may have a reset that goes on.
    return call.error is not None and call.error.endswith(("TimedOut", "NoReply")) and when < call.done + LATE


def leased(record: Record, found: list[Reset]) -> list[str]:
    """Devices that were reset in a lease of somebody who had not asked for it."""
    wrong = []
    for reset in found:
        for lease in record.leases:
            taken = reset.members & set(lease.addresses)
            if taken and lease.since <= reset.event.time < lease.until and \
                    not any(_asked(c, lease.uid, reset) for c in record.calls):
                wrong.append(f"{reset}, and uid {lease.uid} has {sorted(taken)} from {lease.since:.3f} to {lease.until:.3f}")
    return wrong


def in_use(record: Record, found: list[Reset]) -> list[str]:
    return [f"{reset}, and its interface is used from {since:.3f} to {until:.3f}" for reset in found
            for address, since, until in record.used if address in reset.members and since <= reset.event.time < until]


def _is_proof(event: Event, address: str, place: list[str]) -> bool:
    """A worker has had all of this device reset. Over `pm` many devices keep what they have."""
    if not event.task.startswith(WORKER):
        return False
    if event.what in METHODS:
        return event.address == address and event.what != "pm" and not event.probe and event.returned == 0
    # The kernel's compiler hides the one in the other, unless it is a slot that does it.
    return event.address in place[:-1] and (event.what == "sbr" or (event.what == "subordinate" and (event.returned or 0) > 0))


def handed_out(record: Record, address: str) -> list[Lease]:
    return sorted((lease for lease in record.leases if address in lease.addresses), key=lambda lease: lease.since)


def dirty(record: Record, events: list[Event], address: str) -> list[str]:
    """Leases on a device that rules want to be clean, and that was not reset since somebody else got it. What was
    before the storm is not known to the daemon either, so the first one needs a reset, too."""
    wrong, last = [], 0.0
    place = record.places.get(address, [address])
    for lease in handed_out(record, address):
        if not any(last < event.time and (event.ended or event.time) <= lease.since and _is_proof(event, address, place)
                   for event in events):
            wrong.append(f"uid {lease.uid} got {address} at {lease.since:.3f}, and it was not reset since {last:.3f}")
        last = lease.asked
    return wrong


# -- answers ---------------------------------------------------------------

def answers(record: Record) -> list[str]:
    """Calls without an answer, and answers that are none."""
    kills, wrong = record.killed("daemon"), []
    for call in record.calls:
        if call.done is None:
            if call.killed is None:
                wrong.append(f"{call.client}: {call.member}{call.arguments} of {call.sent:.3f} has no answer")
        elif call.error and call.error.startswith(BUS_ERRORS):
            if not any(call.sent - AFTERMATH <= kill <= call.done for kill in kills):
                wrong.append(f"{call.client}: {call.member}{call.arguments} of {call.sent:.3f}: {call.error}, and the "
                             f"daemon was not killed")
        elif call.error == FAILED and any(call.sent <= kill <= call.done for kill in record.killed("worker")):
            # Its worker had to look at something for it.
            continue
        elif call.error and not call.error.startswith(REFUSALS):
            wrong.append(f"{call.client}: {call.member}{call.arguments} of {call.sent:.3f}: {call.error}: {call.text}")
    return wrong


def done(record: Record, found: list[Reset]) -> list[str]:
    """Resets that were told to have been done by one of the kernel's methods, and that the kernel has not seen."""
    wrong = []
    for call in record.calls:
        attempts = call.reply[0].get("attempts", []) if call.member == "Reset" and call.reply else []
        for attempt in attempts:
            if attempt.get("outcome") != "done" or attempt.get("method") not in METHODS:
                continue
            since, until = attempt["started_usec"] / 1e6, attempt["finished_usec"] / 1e6
            if not any(r.event.address == call.arguments[0] and since - 0.001 <= r.event.time and r.ended <= until + 0.001
                       for r in found):
                wrong.append(f"{call.client}: {call.arguments[0]} was reset by {attempt['method']} from {since:.3f} to "
                             f"{until:.3f}, and the kernel knows nothing of it")
    return wrong


def summary(record: Record, found: list[Reset]) -> str:
    outcomes = Counter((c.error or "done").rsplit(".", 1)[-1] for c in record.calls if c.done is not None)
    members = Counter(c.member for c in record.calls)
    kills = Counter(kill["what"] for kill in record.kills)

    def listed(counter: Counter[str]) -> str:
        return ", ".join(f"{n} {name}" for name, n in counter.most_common())
    at_once = sum(1 for i, one in enumerate(found) for other in found[i + 1:] if other.event.time < one.ended)
    return (f"{len(record.calls)} calls ({listed(members)}); answers: {listed(outcomes)}; {len(record.leases)} leases, "
            f"{len(record.used)} times an interface in use, {len(found)} resets in the kernel, {at_once} pairs of them at once; "
            f"killed: {listed(kills)}")
