# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input and bad manners: each a clear error, and nothing is written."""

from typing import Any

from harness.bed import DEVICE, MANAGER, ROOT, Bed
from harness.caller import NO_REPLY, PROPERTIES, Caller
from harness.registry import case
from harness.service import UNIT, Journal, held, main_pid

INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
NO_DEVICE = "org.pciresetd1.Error.NoSuchDevice"
NO_METHOD = "org.pciresetd1.Error.InvalidMethod"
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"

BAD_ADDRESSES = ("", "nonsense", "00:0a.0", "0000:0A:00.0", "0000:0a:00.8", "0000:0a:20.0", "-0000:0a:00.0",
                 "0000:0a:00.-1", "0000:0a:00.0 ", " 0000:0a:00.0", "0000:0a:00.0\n", "0x0000:0a:00.0",
                 "../../../../etc/passwd", "0000:0a:00.0/../0000:0b:00.0", "/sys/bus/pci/devices/0000:0a:00.0",
                 "0000:0a:00.0%s%n", "0000:0a:00.00", "9" * 4000, "\u0660000:0a:00.0", "0000;0a;00;0")
BAD_METHODS = ("", "FLR", "flr ", " pm", "pm bus", "default", "../pm", "pm\n", "any,pm", "p" * 31, "p" * 5000, "\u00e9", "none")


@case("malformed addresses, for every member that takes one")
def addresses(bed: Bed) -> None:
    caller, trace = Caller(bed), bed.trace()
    for address in BAD_ADDRESSES:
        for member, signature, rest in (("GetDevice", "s", []), ("GetMethods", "sa{sv}", [{}]),
                                        ("Plan", "ssa{sv}", ["any", {}]), ("Reset", "ssa{sv}", ["any", {}])):
            error = caller.refused(member, signature, [address, *rest])
            assert error.name == INVALID and len(error.text) < 300, (address, member, error)
    for member, signature, rest in (("GetDevice", "s", []), ("Reset", "ssa{sv}", ["any", {}])):
        error = caller.refused(member, signature, ["ffff:ff:1f.7", *rest])
        assert error.name == NO_DEVICE and "ffff:ff:1f.7" in error.text, error
    assert trace.writes() == [], trace.events()


@case("methods that are none, options of the wrong type, unknown, twice, or out of range")
def arguments(bed: Bed) -> None:
    caller, trace, address = Caller(bed), bed.trace(), bed.addr("nic")
    for method in BAD_METHODS:
        for member in ("Reset", "Plan"):
            error = caller.refused(member, "ssa{sv}", [address, method, {}])
            assert error.name == NO_METHOD and address in error.text and len(error.text) < 400, (method, member, error)
    options: tuple[dict[str, Any], ...] = (
        {"in_use": ["s", "yes"]}, {"in_use": ["u", 1]}, {"force": ["b", True]}, {"": ["b", True]}, {"In_use": ["b", True]},
        {"timeout_usec": ["u", 5000000]}, {"timeout_usec": ["x", -1]}, {"timeout_usec": ["t", 0]},
        {"timeout_usec": ["t", 2**64 - 1]}, {"no_wait": ["as", []]}, {"in_use": ["b", True], "x" * 1000: ["b", True]})
    for option in options:
        error = caller.refused("Reset", "ssa{sv}", [address, "pm", option])
        assert error.name == INVALID and len(error.text) < 500, (option, error)
    for member, signature in (("GetMethods", "sa{sv}"), ("Plan", "ssa{sv}")):
        values = [address, "pm", {"no_wait": ["b", True]}] if member == "Plan" else [address, {"no_wait": ["b", True]}]
        assert caller.refused(member, signature, values).name == INVALID
    assert caller.refused("ListJobs", "a{sv}", [{"all": ["b", True]}]).name == INVALID
    twice = caller.start("Reset", "ssa(sv)", [address, "pm", [["in_use", ["b", False]], ["in_use", ["b", True]]]]).error()
    assert twice.name in (INVALID, "org.freedesktop.DBus.Error.InvalidSignature"), twice
    assert trace.writes() == [], trace.events()


@case("wrong signatures, members, interfaces and objects")
def members(bed: Bed) -> None:
    caller, trace, address = Caller(bed), bed.trace(), bed.addr("nic")
    device = bed.device_path(address)
    for signature, values in (("", []), ("s", [address]), ("ssa{ss}", [address, "pm", {}]),
                              ("ssa{sv}s", [address, "pm", {}, "x"]), ("ss", [address, "pm"]), ("usa{sv}", [1, "pm", {}])):
        error = caller.refused("Reset", signature, values)
        assert error.name in (INVALID, "org.freedesktop.DBus.Error.InvalidSignature"), (signature, error)
    for member, interface in (("Recover", DEVICE), ("Quarantine", MANAGER), ("reset", MANAGER), ("Introspect", MANAGER),
                              ("Reset", "org.pciresetd1"), ("Reset", None), ("GetDevice", None)):
        error = caller.refused(member, "ssa{sv}", [address, "pm", {}], interface=interface)
        assert error.name == UNKNOWN_METHOD, (member, interface, error)
    for path in ("/", "/org/pciresetd1/device", "/org/pciresetd1/device/_2e_2e_2fetc", "/org/pciresetd1/device/nic",
                 device + "/x", f"{ROOT}/device/_30000_3a0A_3a00_2e0", f"{ROOT}/job/1", f"{ROOT}/job/_2d1",
                 f"{ROOT}/job/99999999999"):
        interface = "org.pciresetd1.Job" if "/job" in path else DEVICE
        member, signature, values = ("Cancel", "a{sv}", [{}]) if "/job" in path else ("Reset", "sa{sv}", ["pm", {}])
        error = caller.refused(member, signature, values, path=path, interface=interface)
        assert error.name in ("org.freedesktop.DBus.Error.UnknownObject", UNKNOWN_METHOD,
                              "org.freedesktop.DBus.Error.UnknownInterface"), (path, error)
    assert caller.refused("Get", "ss", [DEVICE, "Password"], path=device, interface=PROPERTIES).name == (
        "org.freedesktop.DBus.Error.UnknownProperty")
    assert trace.writes() == [], trace.events()


@case("a thousand resets that want no reply: nothing is done, nobody is asked, one journal entry")
def no_reply(bed: Bed) -> None:
    caller, trace, journal, address = Caller(bed), bed.trace(), Journal(bed), bed.addr("nic")
    caller.jobs()
    before = main_pid(bed)
    listed, poison = bed.reset_methods(address), bed.poison(address)
    caller.start("Reset", "ssa{sv}", [address, "bus", {}], flags=NO_REPLY, repeat=1000).answer()
    caller.start("Reset", "sa{sv}", ["bus", {}], path=bed.device_path(address), interface=DEVICE, flags=NO_REPLY).answer()
    # The same connection: what it sent before has been seen when this is answered.
    assert caller.jobs() == []
    entries = journal.entries("noreply")
    assert len(entries) == 1 and entries[0]["PCIRESETD_SENDER"].startswith(":"), entries
    assert journal.entries("requested") == []
    assert trace.writes() == [] and bed.poisoned(poison) and bed.reset_methods(address) == listed
    assert main_pid(bed) == before
    bed.guest.run(["setpci", "-s", address, f"{poison.register}={poison.before}"], check=True)


@case("a caller that is gone before anybody looks: nothing is written")
def vanished(bed: Bed) -> None:
    trace, journal, address = bed.trace(), Journal(bed), bed.addr("nic")
    watcher = Caller(bed, "bob")
    watcher.call("ListDevices")
    with held(bed, UNIT):
        for _ in range(2):
            caller = Caller(bed)
            caller.start("Reset", "ssa{sv}", [address, "bus", {}], repeat=50)
            bed.guest.run("sleep 0.3")
            caller.leave()
    watcher.call("ListDevices")
    bed.wait_until(lambda: watcher.jobs() == [], 10, "no jobs")
    assert trace.writes() == [], trace.events()
    assert not [e for e in journal.entries("finished") if e["PCIRESETD_RESULT"] == "done"]


@case("too many jobs of one user: LimitsExceeded, and none is lost", timeout=120)
def limits(bed: Bed) -> None:
    caller, trace, address = Caller(bed), bed.trace(), bed.addr("slow0")
    bed.set_slow_reset(5)
    bed.defer(lambda: bed.set_slow_reset(0))
    head = caller.reset_start(address, "acpi")
    caller.wait_phase(address, "resetting")
    many = []
    for _ in range(5):
        many.append(caller.start("Reset", "ssa{sv}", [address, "pm", {"timeout_usec": ["t", 6_000_000]}], repeat=28))
        bed.wait_until(lambda: not [j for j in caller.jobs() if j["phase"] == "authorizing"], 20, "polkit")
        bed.guest.run("sleep 0.2")
    numbers = {pending._number for pending in many}

    def answers() -> list[dict]:
        return [line for line in caller.lines() if line.get("n") in numbers]
    assert head.result(30)["verdict"] == "ok"
    bed.wait_until(lambda: len(answers()) == 140, 60, "140 answers")
    errors = [line.get("error", "") for line in answers()]
    assert "org.pciresetd1.Error.LimitsExceeded" in errors, set(errors)
    assert set(errors) <= {"", "org.pciresetd1.Error.LimitsExceeded", "org.pciresetd1.Error.TimedOut"}, set(errors)
    done = [e for e in trace.resets(address) if e.what == "pm"]
    assert len(done) >= errors.count(""), (len(done), len(errors))
    # The one that ran when its caller's time was over ends by itself.
    bed.wait_until(lambda: caller.jobs() == [], 30, "the last reset to end")
