# SPDX-License-Identifier: GPL-2.0-or-later
"""What each setting of a policy does to a reset, as the kernel sees it: when the device is looked at, how long a call waits, what
becomes of a bound driver, what is never done and what only some may do."""

import json

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case
from harness.rules import say
from harness.service import UNIT, Journal, polkit_rule
from harness.trace import KernelTrace

DROPIN = "/etc/pciresetd/policy.d/60-settings.json"
ERROR = "org.pciresetd1.Error."
REFUSED = ("org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")


def use_driver(bed: Bed, caller: Caller, address: str) -> int:
    """Bind the card's own driver, which does not know resets; returns the number of its interface, which is another one each
    time that the driver is bound."""
    bed.bind(address, "e1000e")
    bed.defer(lambda: bed.unbind(address))
    bed.wait_until(lambda: caller.property(address, "Driver") == "e1000e", 10, "the driver to be known")
    return interface(bed, address)


def interface(bed: Bed, address: str) -> int:
    name, = bed.guest.list(f"{bed.path('nic')}/net")
    return int(bed.attribute(address, f"net/{name}/ifindex"))


def done(trace: KernelTrace) -> list[tuple[str, int | None]]:
    return [(event.what, event.returned) for event in trace.resets()]


@case("settle_usec: the device is looked at so much later, and whoever waits for it sees that it is being verified")
def settle(bed: Bed) -> None:
    caller, root, address, trace = Caller(bed), Caller(bed, "root"), bed.addr("nic"), bed.trace()
    say(root, bed, address, settle_usec=3_000_000)
    pending = caller.reset_start(address, "pm")
    caller.wait_phase(address, "verifying")
    assert done(trace) == [("pm", 0)], trace.events()
    assert pending.result()["verdict"] == "ok"
    assert pending.done - trace.resets()[0].ended >= 3, (pending.done, trace.events())


@case("timeout_usec: a call that names no time ends after that, and the lane is taken until the kernel has let go")
def timeout(bed: Bed) -> None:
    one, two = bed.addr("slow0"), bed.addr("slow1")
    caller, root, trace = Caller(bed), Caller(bed, "root"), bed.trace()
    say(root, bed, one, timeout_usec=2_000_000)
    bed.defer(lambda: bed.set_slow_reset(0))
    bed.set_slow_reset(10)
    running = caller.reset_start(one, "acpi")
    bed.wait_until(lambda: bool(trace.resets(one)), 10, "the reset to begin")
    bed.set_slow_reset(0)
    behind = caller.reset_start(two, "pm")
    error = running.error()
    assert error.name == ERROR + "TimedOut" and running.done - running.sent >= 2, (error, running.sent, running.done)
    first, second = trace.asked()[0], behind
    assert first.ended is None and not second.answered(), trace.events()
    assert [job["phase"] for job in caller.jobs() if job["address"] == one] == ["resetting"], caller.jobs()
    assert behind.result()["verdict"] == "ok"
    first, second = trace.asked()
    assert (first.address, second.address) == (one, two) and first.ended <= second.time, trace.events()


@case("driver: refuse, rebind and keep, each as the kernel shows it, and none without reset-in-use", timeout=120)
def driver(bed: Bed) -> None:
    address, alice, bob, root = bed.addr("nic"), Caller(bed), Caller(bed, "bob"), Caller(bed, "root")
    number, trace = use_driver(bed, alice, address), bed.trace()

    say(root, bed, address, driver="refuse")
    error = alice.reset_refused(address)
    assert error.name == ERROR + "InUse" and trace.writes() == [], (error, trace.events())

    for choice in ("keep", "rebind"):
        say(root, bed, address, driver=choice)
        trace.clear()
        error = bob.reset_refused(address, "pm")
        assert error.name in REFUSED and "reset-in-use" in error.text and trace.writes() == [], (error, trace.events())
        mark = bed.mark()
        assert alice.reset(address, "pm")["verdict"] == "ok"
        assert done(trace) == [("pm", 0)] and bed.driver(address) == "e1000e", trace.events()
        probed = "e1000e" in bed.kernel_log_since(mark)
        kept = interface(bed, address) == number
        assert (kept, probed) == (choice == "keep", choice == "rebind"), (choice, bed.kernel_log_since(mark))


@case("allow_link=false: nothing but the function is reset, of this device and of those whose link is the same")
def no_link(bed: Bed) -> None:
    address, root, trace = bed.addr("nic"), Caller(bed, "root"), bed.trace()
    rule = say(root, bed, address, allow_link=False)
    for method in ("bus", "subordinate", "link"):
        error = root.reset_refused(address, method)
        assert error.name == ERROR + "PolicyDenied" and rule in error.text, error
    assert trace.writes() == [], trace.events()
    result = root.reset(address)
    assert (result["method"], [a["method"] for a in result["attempts"]]) == ("pm", ["pm"]), result
    assert [event.what for event in trace.writes() if event.what != "reset_method"] == ["reset"], trace.events()

    one, two = bed.addr("multi0"), bed.addr("multi1")
    rule = say(root, bed, two, allow_link=False)
    trace.clear()
    error = root.reset_refused(one, "subordinate")
    assert error.name == ERROR + "PolicyDenied" and rule in error.text, error
    assert trace.writes() == [], trace.events()
    assert root.reset(one, "pm")["verdict"] == "ok"


@case("known_bad: left out of the ladder, and by name only for whom polkit allows reset-known-bad")
def known_bad(bed: Bed) -> None:
    address, alice, trace = bed.addr("nic"), Caller(bed), bed.trace()

    def put(rules: list[dict]) -> None:
        bed.guest.run(f"mkdir -p {DROPIN.rsplit('/', 1)[0]}", check=True)
        bed.guest.write(DROPIN, json.dumps({"rules": rules}))
        bed.guest.run(f"systemctl start {UNIT} && systemctl reload {UNIT}", timeout=60, check=True)
    bed.defer(lambda: put([]))
    put([{"id": "harmful", "match": {"address": address},
          "settings": {"known_bad": [{"method": "pm", "source": "https://example.org/a-thread"}]}}])
    facts = alice.methods(address)["pm"]
    assert facts["known"] == "bad" and facts["left_out"] == ["known-bad"] and "harmful" in facts["rule"], facts
    result = alice.reset(address)
    assert result["method"] == "bus" and "pm" not in [event.what for event in trace.resets()], (result, trace.events())
    trace.clear()
    error = alice.reset_refused(address, "pm")
    assert error.name in REFUSED and "reset-known-bad" in error.text, error
    assert trace.writes() == [], trace.events()
    polkit_rule(bed, """
        polkit.addRule(function(action, subject) {
            if (action.id == "org.pciresetd1.reset-known-bad" && subject.user == "alice" &&
                action.lookup("device") == "%s" && action.lookup("method") == "pm")
                return polkit.Result.YES;
        });""" % address)
    result = alice.reset(address, "pm")
    assert (result["method"], result["verdict"]) == ("pm", "ok"), result
    assert done(trace) == [("pm", 0)], trace.events()


@case("an order that works around what the device advertises is told in the journal, by rule and file, at each reset")
def workaround(bed: Bed) -> None:
    address, caller, root, journal = bed.addr("nic"), Caller(bed), Caller(bed, "root"), Journal(bed)
    assert caller.reset(address)["verdict"] == "ok"
    assert journal.entries("workaround") == [], journal.entries()
    rule = say(root, bed, address, methods=["bus", "pm"])
    assert caller.reset(address)["method"] == "bus"
    entry = journal.wait("workaround", PCIRESETD_DEVICE=address, PRIORITY="4")
    assert entry["PCIRESETD_RULE"] == rule and rule in entry["MESSAGE"], entry
    # What is asked for by name follows no order.
    assert caller.reset(address, "pm")["verdict"] == "ok"
    assert len(journal.entries("workaround")) == 1, journal.entries("workaround")
