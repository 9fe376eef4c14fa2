#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A storm of clients over the real bus, and of what happens to devices, workers and the daemon meanwhile.

usage: storm.py PLAN

Theory of operation: PLAN is a JSON file: seed, seconds, kills (of the daemon),
devices, bound (addresses whose drivers change), carrier (one whose network
interface gets addresses), removed (one that goes away and is found again),
released (one that is given to nobody who is not its first user since a reset),
enough (how often each method must have succeeded), users and the folder for
logs. On a machine that is slow or busy a storm lasts longer, until that much
has happened. Every client
is a process with a connection of its own (caller.py) and several calls under way; what it does and hears it writes down at once, one JSON object a line with
CLOCK_MONOTONIC times, so that nothing of it is lost when it is killed. The
case on the host (cases/storm.py) holds all that against what the kernel did.
"""

import collections
import importlib.util
import json
import os
import pwd
import random
import select
import signal
import subprocess
import sys
import time

DEVICES = "/sys/bus/pci/devices"
METHODS = ("any", "any", "any", "function", "flr", "pm", "acpi", "acpi", "bus", "link", "subordinate")
ROOT_METHODS = (*METHODS, "rescan", "recover")
CALLS_MAX = 3
# So many times as long as planned, until enough has happened.
LONGEST = 4
# How long answers are waited for when all is over.
LAST_ANSWERS = 90


def load(path):
    spec = importlib.util.spec_from_file_location("caller", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Log:
    def __init__(self, folder, name):
        self._fd = os.open(f"{folder}/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def __call__(self, kind, **what):
        os.write(self._fd, json.dumps({"kind": kind, "t": time.monotonic(), **what}, default=str).encode() + b"\n")


class Client:
    """Asks for this and that until it is told to stop, and then waits for all answers."""

    def __init__(self, plan, name, user, caller):
        self.log = Log(plan["folder"], name)
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        self.plan, self.uid, self.caller = plan, entry.pw_uid, caller
        self.random = random.Random(f"{plan['seed']} {name}")
        self.open, self.held, self.number, self.stopping = {}, [], 0, 0.0
        self.rules = []
        caller.say = self.heard
        self.bus = caller.Bus()
        stop_with(self.stop)
        self.log("client", uid=self.uid, pid=os.getpid())

    def stop(self, *_):
        self.stopping = self.stopping or time.monotonic()

    def run(self):
        wait = 0.0
        while not self.stopping or self.open:
            ready, _, _ = select.select([self.bus.socket], [], [], max(0.01, wait - time.monotonic()))
            if ready:
                self.bus.receive()
            now = time.monotonic()
            self.let_go(now)
            if self.stopping and now > self.stopping + LAST_ANSWERS:
                break
            if now >= wait and not self.stopping:
                wait = now + self.random.uniform(0.02, 0.6)
                if len(self.open) < CALLS_MAX:
                    self.act()
        self.log("end", open=list(self.open))

    def let_go(self, now):
        for entry in [e for e in self.held if self.stopping or e[0] <= now]:
            self.held.remove(entry)
            self.log("release", fd=entry[1])
            os.close(entry[1])
        for entry in [e for e in self.rules if self.stopping or e[0] <= now]:
            self.rules.remove(entry)
            self.call("UnsetPolicy", "sa{sv}", [entry[1], {}])

    # -- calls -------------------------------------------------------------

    def call(self, member, signature, arguments, path="/org/pciresetd1", interface="org.pciresetd1.Manager"):
        self.number += 1
        self.open[self.number] = (member, arguments)
        self.log("call", n=self.number, member=member, arguments=arguments)
        self.bus.call({"n": self.number, "path": path, "interface": interface, "member": member,
                       "signature": signature, "arguments": arguments})

    def heard(self, **what):
        if "gone" in what:
            raise RuntimeError(f"the bus has thrown this client out: {list(self.open.values())}")
        if "n" not in what or what["n"] not in self.open:
            return
        member, arguments = self.open.pop(what["n"])
        reply = what.get("reply")
        self.log("done", n=what["n"], member=member, error=what.get("error"), reply=reply,
                 text=str(what.get("body", [""])[:1])[:300])
        if not self.stopping:
            self.go_on(member, arguments, str(what.get("error")))
        if not reply:
            return
        if member in ("Acquire", "Inhibit"):
            fd = reply[0]["fd"]
            self.log("lease" if member == "Acquire" else "inhibitor", n=what["n"], fd=fd, addresses=arguments[0])
            self.held.append((time.monotonic() + self.random.choice((0.1, 2, 8)) * self.random.random(), fd))
        elif member == "SetPolicy":
            self.rules.append((time.monotonic() + self.random.uniform(0.5, 4), reply[0]))
        elif member == "ListJobs" and reply[0] and self.random.random() < 0.5:
            self.call("Cancel", "a{sv}", [{}], path=self.random.choice(reply[0])["job"],
                      interface="org.pciresetd1.Job")

    def go_on(self, member, arguments, error):
        """As somebody would who wants what he was refused."""
        if member == "Acquire" and error.endswith(".PolicyDenied"):
            # Given to nobody as it is.
            self.call("Reset", "ssa{sv}", [self.plan["released"], "any", {"timeout_usec": ["t", 40_000_000]}])
        elif member == "Reset" and error == "None" and arguments[0] == self.plan["released"]:
            self.call("Acquire", "asssa{sv}", [[arguments[0]], "storm", "clean", {}])
        elif member in ("Acquire", "Reset") and error.endswith(".Quarantined") and self.uid == 0:
            self.release(*([arguments[0]] if member == "Reset" else arguments[0]))

    def some(self):
        draw = self.random.random()
        if draw < 0.1:
            return self.random.choice([n for n in os.listdir(DEVICES) if is_network(n)])
        if draw < 0.2:
            return self.plan["released"]
        if draw < 0.3:
            return self.plan["carrier"]
        if draw < 0.65:
            # All want the same for a while, so that they meet.
            return random.Random(f"{self.plan['seed']} {time.monotonic() // 8}").choice(self.plan["devices"])
        return self.random.choice(self.plan["devices"])

    def act(self):
        address, draw = self.some(), self.random.random()
        on_device = {"path": device_path(address), "interface": "org.pciresetd1.Device"}
        if draw < 0.5:
            self.reset(address)
        elif draw < 0.63:
            addresses = sorted({address, *([self.some()] if self.random.random() < 0.3 else [])})
            self.call("Acquire", "asssa{sv}", [addresses, "storm", "to see", {}])
        elif draw < 0.68:
            self.call("Inhibit", "assssa{sv}", [[address], "storm", "to see", self.random.choice(("block", "delay")), {}])
        elif draw < 0.78:
            self.call("GetMethods", "sa{sv}", [address, {}])
        elif draw < 0.84:
            self.call("Plan", "ssa{sv}", [address, "any", {}])
        elif draw < 0.9:
            self.call("ListJobs", "a{sv}", [{}])
        elif draw < 0.93:
            self.call("GetHolders", "a{sv}", [{}], **on_device)
        elif self.uid == 0 and draw < 0.96:
            self.call("SetPolicy", "sa{sv}a{sv}", [address, {"forbid": ["as", ["slot", self.random.choice(("pm", "acpi", "bus"))]]},
                                                   {"runtime": ["b", True]}])
        elif self.uid == 0:
            self.release(address)
        else:
            self.call("ListDevices", "", [])

    def release(self, *addresses):
        for address in addresses:
            self.call("ReleaseQuarantine", "a{sv}", [{"reason": ["s", "to go on"]}], path=device_path(address),
                      interface="org.pciresetd1.Device")

    def reset(self, address):
        options, chosen = {}, self.random
        if chosen.random() < 0.4:
            options["in_use"] = ["b", True]
        if chosen.random() < 0.2:
            options["no_wait"] = ["b", True]
        elif chosen.random() < 0.3:
            options["when_idle"] = ["b", True]
        options["timeout_usec"] = ["t", chosen.randrange(1_000_000, chosen.choice((10_000_000, 40_000_000)))]
        method = chosen.choice(ROOT_METHODS if self.uid == 0 else METHODS)
        self.call("Reset", "ssa{sv}", [address, method, options])


# ---- what happens meanwhile ----

def device_path(address):
    """sd_bus_path_encode: what is not a letter or a digit becomes _xx."""
    label = "".join(c if c.isalpha() or (c.isdigit() and i) else f"_{ord(c):02x}" for i, c in enumerate(address))
    return "/org/pciresetd1/device/" + label


def is_network(name):
    """Those that are plugged in, too; but not the disk and the line to the host, which the machine lives by."""
    try:
        with open(f"{DEVICES}/{name}/class") as file:
            return file.read().startswith("0x02")
    except OSError:
        return False


def poke(path, text):
    """What is not there, or is busy, is so."""
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass


def drivers_change(plan, log, chosen):
    address, driver = chosen.choice(plan["bound"]), chosen.choice(("", "vfio-pci", "pci-stub", "e1000e"))
    log("bind", address=address, driver=driver)
    poke(f"{DEVICES}/{address}/driver/unbind", address)
    poke(f"{DEVICES}/{address}/driver_override", (driver or "none-at-all") + "\n")
    if driver:
        poke("/sys/bus/pci/drivers_probe", address)
    time.sleep(chosen.uniform(0.3, 3))


def carrier_is_used(plan, log, chosen):
    """Whoever has an interface up with an address may rely on it; what a worker has begun before may be over late."""
    try:
        name = os.listdir(f"{DEVICES}/{plan['carrier']}/net")[0]
    except (OSError, IndexError):
        time.sleep(0.5)
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", name], **quiet).returncode == 0 and \
            subprocess.run(["ip", "link", "set", name, "up"], **quiet).returncode == 0:
        began = time.monotonic()
        time.sleep(chosen.uniform(6, 14))
        log("used", address=plan["carrier"], since=began)
    subprocess.run(["ip", "addr", "flush", "dev", name], **quiet)
    subprocess.run(["ip", "link", "set", name, "down"], **quiet)
    time.sleep(chosen.uniform(0.5, 4))


def resets_take_time(_plan, log, chosen):
    tenths = chosen.choice((0, 0, 5, 10, 30))
    log("slow", tenths=tenths)
    with open("/dev/port", "r+b", buffering=0) as port:
        port.seek(0x2FF)
        port.write(bytes([tenths]))
    time.sleep(chosen.uniform(0.5, 3))


def devices_are_found_again(plan, log, chosen):
    time.sleep(chosen.uniform(2, 8))
    address = plan["removed"]
    log("remove", address=address)
    poke(f"{DEVICES}/{address}/remove", "1")
    time.sleep(chosen.uniform(0.1, 2))
    poke("/sys/bus/pci/rescan", "1")


def places_are_noted(plan, log, _chosen):
    for name in os.listdir(DEVICES):
        path = os.path.realpath(f"{DEVICES}/{name}")
        if plan.setdefault("seen", {}).get(name) != path:
            plan["seen"][name] = path
            log("place", address=name, path=path)
    time.sleep(0.5)


WEATHER = (drivers_change, carrier_is_used, resets_take_time, devices_are_found_again, places_are_noted)


def weather(plan, what):
    stopped = []
    stop_with(lambda *_: stopped.append(True))
    log, chosen = Log(plan["folder"], what.__name__), random.Random(f"{plan['seed']} {what.__name__}")
    while not stopped:
        what(plan, log, chosen)


# ---- those who kill ----

def stop_with(function):
    """SIGTERM is blocked until then, so that nobody dies of it who has just been born."""
    signal.signal(signal.SIGTERM, function)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def fork(function, *arguments):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function(*arguments)
        status = 0
    except BaseException as error:
        if not isinstance(error, SystemExit):
            sys.stderr.write(f"{function.__name__} {arguments[1:]}: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
    finally:
        os._exit(status)


def running(comm):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == comm:
                    found.append(int(pid))
        except OSError:
            pass
    return found


def be_client(plan, name, user, caller):
    Client(plan, name, user, caller).run()


class Storm:
    def __init__(self, plan):
        self.plan, self.log = plan, Log(plan["folder"], "storm")
        self.random = random.Random(f"{plan['seed']} storm")
        self.caller = load("/run/bed-caller.py")
        self.count, self.killed = 0, set()
        self.weather = [fork(weather, plan, what) for what in WEATHER]
        self.clients = {}
        for user in plan["users"]:
            self.add_client(user)

    def add_client(self, user):
        self.count += 1
        name = f"client-{self.count}-{user}"
        self.clients[fork(be_client, self.plan, name, user, self.caller)] = (name, user)

    def kill(self, what, pid, **more):
        self.log("kill", what=what, pid=pid, **more)
        self.killed.add(what)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def kill_client(self):
        pid = self.random.choice(list(self.clients))
        name, user = self.clients.pop(pid)
        self.kill("client", pid, name=name)
        os.waitpid(pid, 0)
        self.add_client(user)

    def has_seen_enough(self):
        """By what the clients have written down; what was killed has, too."""
        succeeded = collections.Counter()
        for name in os.listdir(self.plan["folder"]):
            if name.startswith("client-"):
                with open(f"{self.plan['folder']}/{name}") as file:
                    lines = [json.loads(line) for line in file.read().splitlines(True) if line.endswith("\n")]
                succeeded.update(line["member"] for line in lines if line["kind"] == "done" and not line["error"])
                succeeded["clean"] += sum(line["kind"] == "lease" and self.plan["released"] in line["addresses"] for line in lines)
        return all(succeeded[what] >= n for what, n in self.plan["enough"].items())

    def is_over(self, began):
        age = time.monotonic() - began
        if age < self.plan["seconds"]:
            return False
        return (len(self.killed) == 3 and self.has_seen_enough()) or age > LONGEST * self.plan["seconds"]

    def rage(self):
        """Kills until the time is over; the last part of it passes without any of the daemon. One that is due while there is
        none comes when there is one again. If it takes longer, what has to happen may."""
        seconds, kills = self.plan["seconds"], self.plan["kills"]
        began = time.monotonic()
        of_daemon = [began + seconds * 0.9 * (i + self.random.uniform(0.6, 1)) / kills for i in range(kills)]
        of_others = began + 3
        looked = began
        while True:
            now = time.monotonic()
            if now > looked + 1 and (not of_daemon or now > began + LONGEST * seconds):
                looked = now
                if self.is_over(began):
                    break
            if of_daemon and now >= of_daemon[0]:
                daemons = running("pciresetd")
                for pid in daemons:
                    self.kill("daemon", pid)
                if daemons:
                    # The next one has some time to do something.
                    of_daemon = [max(when, now + 3) for when in of_daemon[1:]]
            if now >= of_others and (of_daemon or now < began + seconds or len(self.killed) < 3):
                of_others = now + self.random.uniform(0.5, 4)
                workers = running("pcireset-worker")
                if workers and self.random.random() < 0.7:
                    self.kill("worker", self.random.choice(workers))
                elif self.random.random() < 0.5:
                    self.kill_client()
            time.sleep(0.05)

    def calm(self):
        for pid in [*self.weather, *self.clients]:
            os.kill(pid, signal.SIGTERM)
        statuses = [os.waitpid(pid, 0)[1] for pid in [*self.weather, *self.clients]]
        self.log("calm", statuses=statuses)
        if any(statuses):
            sys.stderr.write(f"{[what.__name__ for what in WEATHER]} {list(self.clients.values())}: {statuses}\n")
        return any(statuses)


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    storm = Storm(plan)
    storm.rage()
    sys.exit(storm.calm())


if __name__ == "__main__":
    main()
