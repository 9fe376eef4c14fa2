# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may: polkit asked, polkit slow, polkit gone, and what changes while it thinks."""

from harness.bed import DEVICE, Bed
from harness.caller import INTERACTIVE, NO_REPLY, Caller
from harness.guest import Process
from harness.registry import case
from harness.service import Journal, held, polkit_rule
from harness.sysfs import offered_by
from harness.trace import KernelTrace

DENIED = "org.freedesktop.DBus.Error.AccessDenied"
CHALLENGE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
IN_USE = "org.pciresetd1.Error.InUse"
GONE = "org.pciresetd1.Error.DeviceGone"
POLKIT = "polkit.service"

# Opens a device through VFIO, as a virtual machine monitor would, and keeps it open.
OPEN_VFIO = """
import fcntl, os, sys, time
address = sys.argv[1]
group = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{address}/iommu_group"))
container, group = os.open("/dev/vfio/vfio", os.O_RDWR), os.open(f"/dev/vfio/{group}", os.O_RDWR)
fcntl.ioctl(group, 0x3b68, container.to_bytes(4, sys.byteorder))
fcntl.ioctl(container, 0x3b66, 1)
device = fcntl.ioctl(group, 0x3b6a, address.encode() + b"\\0")
print("open", flush=True)
time.sleep(600)
"""


def open_vfio(bed: Bed, address: str) -> Process:
    process = bed.guest.start(["python3", "-c", OPEN_VFIO, address])
    bed.defer(process.kill)
    process.wait_output("open\n", 20)
    return process


def bind(bed: Bed, address: str, driver: str) -> None:
    bed.defer(lambda: bed.unbind(address))
    bed.bind(address, driver)


def known_driver(bed: Bed, caller: Caller, address: str) -> None:
    """Until the daemon has heard which driver is bound."""
    wanted = bed.driver(address) or ""
    bed.wait_until(lambda: caller.property(address, "Driver") == wanted, 10, f"{address} to have driver '{wanted}'")


def unwritten(trace: KernelTrace) -> bool:
    assert trace.writes() == [] and trace.resets() == [], trace.events()
    return True


@case("bob is refused with AccessDenied, told what he would need, and nothing is written")
def refused(bed: Bed) -> None:
    address = bed.plug_nvme(driver=False)
    caller, trace, journal = Caller(bed, "bob"), bed.trace(), Journal(bed)
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    poison = bed.poison(address)
    for flags, name in ((INTERACTIVE, DENIED), (0, CHALLENGE)):
        for method in ("flr", "bus", "any", "function"):
            error = caller.reset_start(address, method, flags).error()
            assert error.name == name and address in error.text and "org.pciresetd1.reset" in error.text, error
            assert {a["outcome"] for a in error.evidence["attempts"]} == {"denied"}, error.evidence
    assert bed.poisoned(poison) and unwritten(trace)
    # `any` asks for each of its methods; what takes the device away is none of them.
    whole = [name for name in offered_by(bed, "nvme") if name != "rescan"]
    assert whole[:2] == ["flr", "bus"] and len(whole) > 2, whole
    denied = [e["PCIRESETD_METHOD"] for e in journal.entries("denied", PCIRESETD_UID="1002", PCIRESETD_DEVICE=address)]
    assert denied == ["flr", "bus", *whole, "flr"] * 2, denied
    assert journal.entries("started") == []


@case("an explicit no is AccessDenied for everybody; the details of the question narrow a yes down")
def details(bed: Bed) -> None:
    allowed, other = bed.addr("virtio"), bed.addr("nic2")
    polkit_rule(bed, """
        polkit.addRule(function(action, subject) {
            if (action.id.indexOf("org.pciresetd1.") != 0)
                return polkit.Result.NOT_HANDLED;
            function is(key, value) { return action.lookup(key) == value; }
            if (subject.user == "bob" && action.id == "org.pciresetd1.reset" && is("device", "%s") &&
                is("vendor_id", "0x1af4") && is("device_id", "0x1041") && is("class", "0x020000") && is("driver", "") &&
                is("method", "flr") && is("scope", "function") && is("reset_set", "%s") && is("in_use", "false") &&
                is("owner", ""))
                return polkit.Result.YES;
            return polkit.Result.NO;
        });""" % (allowed, allowed))
    bob, alice, trace = Caller(bed, "bob"), Caller(bed), bed.trace()
    assert bob.reset(allowed, "flr")["method"] == "flr"
    assert [(e.what, e.address) for e in trace.resets()] == [("flr", allowed)], trace.events()
    trace.clear()
    for address, method in ((allowed, "pm"), (allowed, "bus"), (other, "pm")):
        assert bob.reset_refused(address, method).name == DENIED
    assert alice.reset_refused(allowed, "flr").name == DENIED
    assert unwritten(trace)
    # Each method is a question of its own: what is refused is noted, what is allowed is done.
    result = bob.reset(allowed, "any")
    assert [(a["method"], a["outcome"]) for a in result["attempts"]] == [("flr", "done")], result
    trace.clear()
    error = bob.reset_refused(allowed, "link")
    link = [name for name in offered_by(bed, "virtio") if name not in ("flr", "pm", "rescan")]
    assert link[0] == "bus" and [(a["method"], a["why"], a["error"]) for a in error.evidence["attempts"]] == [
        (name, "not-authorized", "PolicyDenied") for name in link], error.evidence
    assert unwritten(trace)


@case("a host driver is use: refused, allowed with in_use by its own action, refused for bob")
def host_driver(bed: Bed) -> None:
    alice, bob, address = Caller(bed), Caller(bed, "bob"), bed.addr("nic")
    bind(bed, address, "e1000e")
    known_driver(bed, alice, address)
    trace, journal = bed.trace(), Journal(bed)
    for caller in (alice, bob):
        error = caller.reset_refused(address)
        assert error.name == IN_USE and address in error.text and "in_use" in error.text, error
        assert all("driver-bound" in a["why"] for a in error.evidence["attempts"]), error.evidence
    facts = alice.methods(address)
    assert all(not f["usable"] and f["why"] == ["driver-bound"] for f in facts.values()), facts
    assert all(f["usable"] for f in alice.methods(address, in_use=True).values())
    rung = bob.call("Plan", "ssa{sv}", [address, "pm", {"in_use": ["b", True]}])["rungs"][0]
    assert rung["actions"] == ["org.pciresetd1.reset-in-use"] and rung["lost"] == [f"{address} e1000e"], rung
    assert bob.reset_start(address, "pm", INTERACTIVE, in_use=True).error().name == DENIED
    assert unwritten(trace)
    result = alice.reset(address, "pm", in_use=True)
    assert [(e.what, e.address) for e in trace.resets()] == [("pm", address)], trace.events()
    assert result["verdict"] == "ok" and bed.driver(address) == "e1000e", result
    actions = [entry["PCIRESETD_ACTION"] for entry in journal.entries("authorized")]
    assert actions == ["org.pciresetd1.reset-in-use"], actions


@case("pci-stub is no user; vfio-pci is one only while the device is open")
def assigned(bed: Bed) -> None:
    caller, address, trace = Caller(bed), bed.addr("nic"), bed.trace()
    bind(bed, address, "pci-stub")
    known_driver(bed, caller, address)
    assert caller.reset(address, "pm")["verdict"] == "ok"
    bind(bed, address, "vfio-pci")
    known_driver(bed, caller, address)
    assert caller.reset(address, "bus")["verdict"] == "ok"
    assert [(e.what, e.returned) for e in trace.resets(address)][:2] == [("pm", 0), ("bus", 0)], trace.events()
    assert not caller.property(address, "InUse")
    holder = open_vfio(bed, address)
    assert bed.attribute(address, "enable") != "0"
    bed.wait_until(lambda: caller.property(address, "InUse"), 15, "the device to be in use")
    trace.clear()
    for options in ({}, {"in_use": True}):
        error = caller.reset_refused(address, **options)
        assert error.name == IN_USE and "VFIO" in error.text, error
    assert caller.methods(address)["pm"]["why"] == ["vfio-open"]
    assert unwritten(trace)
    holder.kill()
    bed.wait_until(lambda: bed.attribute(address, "enable") == "0", 10, "the device to be closed")
    bed.wait_until(lambda: not caller.property(address, "InUse"), 15, "the device to be idle")
    assert caller.reset(address, "pm")["verdict"] == "ok"


@case("a driver bound, or VFIO opened, while polkit thinks: not reset on an old answer")
def use_while_asked(bed: Bed) -> None:
    caller, address, other = Caller(bed), bed.addr("nic"), bed.addr("nic2")
    bind(bed, other, "vfio-pci")
    known_driver(bed, caller, other)
    journal = Journal(bed)
    with held(bed, POLKIT):
        trace = bed.trace()
        plain, opened = caller.reset_start(address, "pm"), caller.reset_start(other, "pm")
        willing = Caller(bed).reset_start(address, "pm", in_use=True)
        for device in (address, other):
            journal.wait("requested", PCIRESETD_DEVICE=device)
        bed.wait_until(lambda: len(journal.entries("requested")) == 3, 10, "three requests")
        bind(bed, address, "e1000e")
        open_vfio(bed, other)
        known_driver(bed, caller, address)
        trace.clear()  # VFIO resets what it opens
    assert plain.error().name == IN_USE
    assert opened.error().name == IN_USE
    # Who said in_use is asked again, for the other action.
    assert willing.result()["method"] == "pm"
    assert [(e.what, e.address) for e in trace.resets()] == [("pm", address)], trace.events()
    actions = [e["PCIRESETD_ACTION"] for e in journal.entries("authorized", PCIRESETD_JOB=str(willing.result()["job"]))]
    assert actions == ["org.pciresetd1.reset", "org.pciresetd1.reset-in-use"], actions


@case("unplugged while polkit thinks: DeviceGone, and its successor at the same address is not touched", timeout=90)
def replaced_while_asked(bed: Bed) -> None:
    # Else it would take what is plugged in; by itself nothing loads it here.
    bed.guest.run("modprobe -r e1000e", check=True)
    bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
    bed.wait_device("guest0")
    address, caller, journal = bed.addr("guest0"), Caller(bed), Journal(bed)
    bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the device on the bus")
    generation = caller.property(address, "Generation")
    trace = bed.trace()
    with held(bed, POLKIT):
        gone = caller.reset_start(address, "pm")
        through_device = caller.start("Reset", "sa{sv}", ["any", {}], path=bed.device_path(address), interface=DEVICE)
        bed.wait_until(lambda: len(journal.entries("requested")) == 2, 10, "two requests")
        bed.machine.unplug("guest0")
        bed.wait_device("guest0", present=False)
        bed.machine.plug("e1000e", "port-empty0", "guest0", romfile="")
        bed.wait_device("guest0")
        assert bed.addr("guest0") == address
        bed.wait_until(lambda: address in [row[0] for row in caller.call("ListDevices")], 10, "the successor")
        poison = bed.poison(address)
    for pending in (gone, through_device):
        error = pending.error()
        assert error.name == GONE and address in error.text, error
    assert bed.poisoned(poison) and unwritten(trace)
    assert caller.property(address, "Generation") != generation
    # The same for one that is not replaced.
    with held(bed, POLKIT):
        gone = caller.reset_start(address, "any")
        bed.wait_until(lambda: len(journal.entries("requested")) == 3, 10, "another request")
        bed.machine.unplug("guest0")
        bed.wait_device("guest0", present=False)
    assert gone.error().name == GONE
    assert unwritten(trace)
    assert caller.refused("GetDevice", "s", [address]).name == "org.pciresetd1.Error.NoSuchDevice"


@case("while polkit hangs: reads go on, who leaves takes the request along, a limit holds, others still get in")
def polkit_hangs(bed: Bed) -> None:
    address, journal, trace = bed.addr("nic"), Journal(bed), bed.trace()
    reader, leaver, bob, alice = Caller(bed), Caller(bed), Caller(bed, "bob"), Caller(bed)

    def bob_heard() -> list[str]:
        return [line["error"] for line in bob.lines() if line.get("n") == 1]
    with held(bed, POLKIT):
        leaver.reset_start(address, "pm")
        journal.wait("requested", PCIRESETD_UID="1001")
        many = bob.start("Reset", "ssa{sv}", [address, "pm", {}], repeat=40)
        bed.wait_until(lambda: len(bob_heard()) >= 8, 15, "refusals")
        bed.guest.run("sleep 1")
        n_refused = len(bob_heard())
        assert set(bob_heard()) == {"org.pciresetd1.Error.LimitsExceeded"} and 8 <= n_refused < 40, bob_heard()
        assert address in many.error().text
        patient = alice.reset_start(address, "pm")
        reader.methods(address)
        assert len(reader.call("ListDevices")) > 30 and reader.jobs() == []
        assert reader.property(address, "State") == "idle"
        leaver.leave()
        ended = journal.wait("finished", PCIRESETD_UID="1001")
        assert ended["PCIRESETD_RESULT"] == "Cancelled" and ended["PCIRESETD_METHOD"] == "", ended
        assert not patient.answered() and unwritten(trace)
    assert patient.result()["verdict"] == "ok"
    bed.wait_until(lambda: len(bob_heard()) == 40, 20, "all answers")
    assert bob_heard().count(CHALLENGE) == 40 - n_refused, bob_heard()
    assert [(e.what, e.address) for e in trace.resets()] == [("pm", address)], trace.events()


@case("without polkit the answer is no, at once; a polkit that dies while asked is a no as well")
def no_polkit(bed: Bed) -> None:
    caller, address, trace, journal = Caller(bed), bed.addr("nic"), bed.trace(), Journal(bed)
    with held(bed, POLKIT):
        asked = caller.reset_start(address, "pm")
        journal.wait("requested")
        bed.guest.run("systemctl kill -s KILL polkit", check=True)
        error = asked.error()
        assert error.name == DENIED and "polkit" in error.text, error
    bed.defer(lambda: bed.guest.run("systemctl unmask --runtime polkit; systemctl start polkit", timeout=60, check=True))
    bed.guest.run("systemctl mask --runtime --now polkit", timeout=60, check=True)
    for flags in (0, INTERACTIVE):
        error = caller.reset_start(address, "pm", flags).error(20)
        assert error.name == DENIED and "polkit" in error.text, error
        assert error.evidence["attempts"][0]["why"] == "polkit-failed", error.evidence
    assert Caller(bed, "root").reset_refused(address, "pm").name == DENIED
    assert list(caller.methods(address)) == offered_by(bed, "nic")
    assert unwritten(trace)


@case("root is asked about as well, though polkit allows root all; a call that wants no reply is not asked about")
def root_and_noreply(bed: Bed) -> None:
    root, address, trace, journal = Caller(bed, "root"), bed.addr("nic"), bed.trace(), Journal(bed)
    root.reset_start(address, "bus", NO_REPLY).answer()
    assert root.reset(address, "pm")["verdict"] == "ok"
    assert [e["PCIRESETD_METHOD"] for e in journal.entries("requested")] == ["pm"]
    assert [e["PCIRESETD_UID"] for e in journal.entries("authorized")] == ["0"]
    assert [e.what for e in trace.resets()] == ["pm"], trace.events()
