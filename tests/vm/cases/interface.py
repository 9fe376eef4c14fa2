# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on the bus: started on demand, callable with plain busctl, and true to sysfs."""

import re
import shlex

from harness.bed import DEVICE, MANAGER, NAME, ROOT, Bed
from harness.caller import PROPERTIES, Caller
from harness.registry import case
from harness.service import UNIT, main_pid
from harness.sysfs import DEVICE_PROPERTIES, check_sysfs, offered_by, sysfs

INTERACTION = (None, "yes", "no")


@case("a first call starts the daemon, which only root may be")
def activation(bed: Bed) -> None:
    assert main_pid(bed) == 0, "it runs already"
    stolen = bed.busctl("alice", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", NAME, "0")
    assert stolen.rc and "denied" in stolen.stderr.lower(), stolen
    assert main_pid(bed) == 0, "it was started by that"
    reply = bed.busctl("alice", "--timeout=30", "call", NAME, ROOT, MANAGER, "GetDevice", "s", bed.addr("nic"), check=True)
    assert reply.stdout == f'o "{bed.device_path(bed.addr("nic"))}"\n', reply
    pid = main_pid(bed)
    assert pid, "it does not run"
    assert str(pid) in bed.busctl("root", "status", NAME).stdout
    assert bed.guest.readlink(f"/proc/{pid}/exe") == "/usr/libexec/pciresetd"


@case("the list and every property of every device are what sysfs and pci.ids say")
def equal_to_sysfs(bed: Bed) -> None:
    caller = Caller(bed, "bob")
    check_sysfs(bed, caller)
    kinds = sysfs(bed)
    assert any(d["driver"] for d in kinds.values()) and any(d["iommu_group"] for d in kinds.values())
    assert caller.call("Get", "ss", [MANAGER, "Version"], interface=PROPERTIES)


def _calls(bed: Bed, address: str) -> list[tuple[str, str]]:
    """Arguments of busctl, and how its output begins."""
    offered = offered_by(bed, "nic")
    # What takes the device away is run only by name.
    n_any = len(offered) - offered.count("rescan")
    n_link = n_any - offered.count("pm")
    device = f"{NAME} {bed.device_path(address)}"
    manager = f"{NAME} {ROOT}"
    properties = [(f"get-property {device} {DEVICE} {name}", kind + " ") for name, kind in DEVICE_PROPERTIES.items()]
    return [
        (f"call {manager} {MANAGER} ListDevices", "a(sossss) "),
        (f"call {manager} {MANAGER} GetDevice s {address}", f'o "{bed.device_path(address)}"'),
        (f"call {manager} {MANAGER} GetMethods 'sa{{sv}}' {address} 0", f'a(sa{{sv}}) {len(offered)} "pm" '),
        (f"call {manager} {MANAGER} GetMethods 'sa{{sv}}' {address} 1 in_use b true", f'a(sa{{sv}}) {len(offered)} "pm" '),
        (f"call {manager} {MANAGER} Plan 'ssa{{sv}}' {address} any 0", f'a{{sv}} 2 "rungs" aa{{sv}} {n_any} '),
        *((f"call {manager} {MANAGER} {member} 'a{{sv}}' 0", "aa{sv} 0") for member in ("ListJobs", "ListLeases", "ListInhibitors")),
        (f"call {manager} {MANAGER} GetHistory 'a{{sv}}' 1 verdict s dead", "aa{sv} "),
        (f"call {device} {DEVICE} GetHistory 'a{{sv}}' 1 limit t 1", "aa{sv} "),
        (f"get-property {manager} {MANAGER} Version", 's "'),
        (f"call {device} {DEVICE} GetMethods 'a{{sv}}' 0", f'a(sa{{sv}}) {len(offered)} "pm" '),
        (f"call {device} {DEVICE} Plan 'sa{{sv}}' link 0", f'a{{sv}} 2 "rungs" aa{{sv}} {n_link} '),
        (f"call {device} {DEVICE} GetHolders 'a{{sv}}' 0", "aa{sv} 0"),
        (f"call {manager} org.freedesktop.DBus.ObjectManager GetManagedObjects", "a{oa{sa{sv}}} "),
        (f"call {device} {PROPERTIES} GetAll s {DEVICE}", f"a{{sv}} {len(DEVICE_PROPERTIES) - 1} "),
        (f"call {manager} org.freedesktop.DBus.Peer Ping", ""),
        (f"call {manager} org.freedesktop.DBus.Introspectable Introspect", 's "<!DOCTYPE'),
        *properties,
    ]


@case("every read of Manager and Device by busctl, with its timeout, interactive or not, by alice and by bob")
def read_members(bed: Bed) -> None:
    calls = _calls(bed, bed.addr("nic"))
    script = ["failed() { echo \"$1\"; exit 1; }"]
    for number, (call, begins) in enumerate(calls):
        # All combinations are used, but not by all calls: a busctl takes its time here.
        mode = INTERACTION[number % 3]
        flag = f"--allow-interactive-authorization={mode} " if mode else ""
        script.append(f"out=$(busctl --timeout=30 {flag}{call} 2>&1) || failed {shlex.quote(call)}\"=$out\"")
        script.append(f"case \"$out\" in {shlex.quote(begins)}*) ;; *) failed {shlex.quote(call)}\"=$out\";; esac")
    runs = [bed.guest.start("\n".join(script), user=user) for user in ("alice", "bob")]
    for run in runs:
        result = run.wait(50)
        assert result.rc == 0, result.stdout


@case("Reset of Manager and of Device by busctl: alice does it, bob gets AccessDenied, however interaction is allowed")
def reset_members(bed: Bed) -> None:
    address, other = bed.addr("nic"), bed.addr("nic2")
    device = bed.device_path(other)
    trace = bed.trace()
    for mode in INTERACTION:
        flags = ["--timeout=60"] + ([f"--allow-interactive-authorization={mode}"] if mode else [])
        trace.clear()
        bed.busctl("alice", *flags, "call", NAME, ROOT, MANAGER, "Reset", "ssa{sv}", address, "pm", "0", check=True)
        bed.busctl("alice", *flags, "call", NAME, device, DEVICE, "Reset", "sa{sv}", "bus", "0", check=True)
        assert [(e.what, e.address) for e in trace.resets()] == [("pm", address), ("bus", other)], trace.events()
        trace.clear()
        for call in (["Reset", "ssa{sv}", address, "pm", "0"], ["Reset", "sa{sv}", "bus", "0"]):
            where = [ROOT, MANAGER] if len(call) == 5 else [device, DEVICE]
            result = bed.busctl("bob", *flags, "call", NAME, *where, *call)
            wanted = "authentication is required" if mode == "no" else "Access denied"
            assert result.rc == 1 and wanted in result.stderr, (mode, result)
        assert trace.writes() == [], trace.events()


@case("the tree and every interface can be looked at with busctl")
def tree(bed: Bed) -> None:
    listed = bed.busctl("bob", "--list", "tree", NAME, check=True).stdout.split()
    assert {bed.device_path(address) for address in sysfs(bed)} <= set(listed), listed
    for path, interface, members in ((ROOT, MANAGER, ("Reset", "JobNew", "Version")),
                                     (bed.device_path(bed.addr("nic")), DEVICE, ("Reset", "Methods", "State"))):
        shown = bed.busctl("bob", "introspect", NAME, path, interface, check=True).stdout
        assert all(re.search(rf"^\.{member}\s", shown, re.M) for member in members), shown
    caller = Caller(bed, "bob")
    objects = caller.call("GetManagedObjects", interface="org.freedesktop.DBus.ObjectManager")
    assert sorted(objects) == sorted(bed.device_path(address) for address in sysfs(bed))
    for path, interfaces in objects.items():
        alone = caller.call("GetAll", "s", [DEVICE], path=path, interface=PROPERTIES)
        # Who uses it may change at any time.
        assert {**interfaces[DEVICE], "InUse": alone["InUse"]} == alone, (interfaces, alone)


@case("no property can be written")
def read_only(bed: Bed) -> None:
    caller = Caller(bed)
    for path, interface, name in ((ROOT, MANAGER, "Version"), (bed.device_path(bed.addr("nic")), DEVICE, "Owner")):
        error = caller.refused("Set", "ssv", [interface, name, ["s", "me"]], path=path, interface=PROPERTIES)
        assert error.name in ("org.freedesktop.DBus.Error.PropertyReadOnly",
                              "org.freedesktop.DBus.Error.AccessDenied"), error


@case("the service is as it should be: its sandbox, its status, its files")
def service(bed: Bed) -> None:
    caller = Caller(bed)
    caller.call("ListDevices")
    status = bed.guest.run(f"systemctl status --no-pager {UNIT}").stdout
    assert "active (running)" in status and "/usr/libexec/pciresetd" in status, status
    pid = main_pid(bed)
    capabilities = {line.split(":")[0]: int(line.split()[1], 16)
                    for line in bed.guest.read_text(f"/proc/{pid}/status").splitlines() if line.startswith("Cap")}
    few = 1 << 21 | 1 << 19 | 1 << 2  # CAP_SYS_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH
    assert capabilities["CapBnd"] == capabilities["CapEff"] == few, capabilities
    assert "NoNewPrivs:\t1" in bed.guest.read_text(f"/proc/{pid}/status")
    # Seen from inside its mount namespace, only these may be written.
    mounts = bed.guest.read_text(f"/proc/{pid}/mounts").splitlines()
    writable = {line.split()[1] for line in mounts if "rw" in line.split()[3].split(",")}
    allowed = ("/sys/devices", "/sys/bus/pci", "/run/pciresetd", "/var/lib/pciresetd", "/tmp", "/var/tmp", "/dev",
               "/proc")
    assert all(place.startswith(allowed) for place in writable), writable
    assert "/" not in writable and "/sys" not in writable, writable
    readable = {line.split()[1] for line in mounts} - writable
    assert {"/sys/devices/system", "/sys/devices/virtual"} <= readable, mounts
    # The sandbox hides nothing from it that it wants to know.
    # (We speak with the guest through a character device of the console.)
    console, = [address for address, facts in sysfs(bed).items() if facts["class"] == 0x078000]
    bed.wait_until(lambda: caller.property(console, "InUse"), 15, "the console to be in use")
    assert "cannot be listened to" not in bed.journal("-u", UNIT), bed.journal("-u", UNIT)
    assert bed.guest.run("ls -A /run/pciresetd/jobs").stdout.split() in ([], ["next-id"])


@case("a daemon that is not asked sleeps", timeout=90)
def quiet(bed: Bed) -> None:
    caller = Caller(bed)
    caller.call("ListDevices")
    caller.leave()
    status = f"/proc/{main_pid(bed)}/status"

    def wakeups() -> int:
        return sum(int(line.split()[1]) for line in bed.guest.read_text(status).splitlines() if "ctxt_switches" in line)

    def slept() -> bool:
        before = wakeups()
        bed.guest.run("sleep 3")
        return wakeups() == before
    # It may still have had to look at devices that were in use before it began.
    bed.wait_until(slept, 45, "the daemon to do nothing for 3 s")
