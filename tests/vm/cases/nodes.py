# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever has a node of a device open is named: of a display, a sound card, USB, and input that is plugged into it."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.bed import Bed
from harness.caller import Caller
from harness.guest import Process
from harness.plugging import plug_all
from harness.registry import case

IN_USE = "org.pciresetd1.Error.InUse"

# Opens a node, and closes it when there is something in the pipe; it goes on then. (A pipe that is open for writing too
# has no end that could be read.)
USER = """exec 8<>"$1" 9<"$0" && echo open && read line <&8 && exec 9<&- && echo closed && read line <&8"""


@dataclass
class Node:
    """A node, and the process that has it open."""

    bed: Bed
    address: str
    path: str
    unit: str
    process: Process | None = None

    def pipe(self) -> str:
        return f"/run/{self.unit}.pipe"

    def start(self) -> None:
        self.bed.guest.run(f"mkfifo -m 666 {self.pipe()}", check=True)
        self.bed.defer(lambda: self.bed.guest.run(f"systemctl stop {self.unit}; systemctl reset-failed {self.unit}; rm -f {self.pipe()}"))
        self.process = self.bed.guest.start(
            ["systemd-run", "--quiet", "--pipe", f"--unit={self.unit}", "--uid=alice",
             "-p", "SupplementaryGroups=audio video input", "sh", "-c", USER, self.path, self.pipe()])

    def wait(self, line: str) -> None:
        assert self.process
        self.process.wait_output(line + "\n", 60)

    def close(self) -> None:
        self.bed.guest.poke(self.pipe(), "close\n")
        self.wait("closed")

    def pid(self) -> int:
        return int(self.bed.guest.run(f"systemctl show -P MainPID {self.unit}", check=True).stdout)

    def holder(self) -> tuple[object, ...]:
        """What is to be told of the process."""
        return "process", self.path, self.pid(), "sh", 1001, f"{self.unit}.service", False


def found(bed: Bed, command: str) -> str:
    """The one line that a command prints, as soon as it does."""
    lines: list[str] = []

    def look() -> bool:
        lines[:] = bed.guest.run(command).stdout.split()
        return len(lines) == 1
    bed.wait_until(look, 30, f"one answer of `{command}`")
    return lines[0]


def below(bed: Bed, role: str, kind: str) -> str:
    """The node of this kind below a device, by the kernel's own name for it."""
    return "/dev/" + found(bed, f"find {bed.path(role)} -type d -regex '.*/{kind}' -exec sed -n s/^DEVNAME=//p {{}}/uevent ';'")


def all_nodes(bed: Bed) -> list[Node]:
    display, sound, usb = (bed.addr(role) for role in ("display", "sound", "usb"))
    return [Node(bed, display, below(bed, "display", "drm/card[0-9]+"), "at-display"),
            Node(bed, sound, below(bed, "sound", "sound/card[0-9]+/controlC[0-9]+"), "at-sound"),
            Node(bed, usb, below(bed, "usb", "usb[0-9]+/[0-9]+-1"), "at-usb"),
            Node(bed, usb, below(bed, "usb", "input/input[0-9]+/event[0-9]+"), "at-input")]


def plugged(bed: Bed) -> list[Node]:
    plug_all(bed, ("display", "bochs-display", "port-empty0", {}), ("sound", "ES1370", "port-empty1", {"audiodev": "silence"}),
             ("usb", "qemu-xhci", "port-empty2", {}))
    bed.machine.qmp("device_add", driver="usb-tablet", id="tablet", bus="usb.0")
    nodes = all_nodes(bed)
    bed.guest.run("udevadm settle", timeout=60)
    return nodes


def in_use(bed: Bed, caller: Caller, nodes: list[Node], wanted: Callable[[Node], bool]) -> None:
    """The properties follow, although nobody asks for a look."""
    for node in nodes:
        bed.wait_until(lambda node=node: caller.property(node.address, "InUse") == wanted(node), 30,
                       f"InUse = {wanted(node)} of {node.path}")


@case("whoever has a display, sound card, USB or input device open is named with unit and user, until it is closed", timeout=240)
def named(bed: Bed) -> None:
    nodes, root, bob, trace = plugged(bed), Caller(bed, "root"), Caller(bed, "bob"), bed.trace()
    in_use(bed, root, nodes, lambda node: False)
    for node in nodes:
        node.start()
    for node in nodes:
        node.wait("open")
    in_use(bed, root, nodes, lambda node: True)
    for address in {node.address for node in nodes}:
        here = [node for node in nodes if node.address == address]
        told = [tuple(h[key] for key in ("kind", "what", "pid", "command", "uid", "unit", "hard")) for h in root.holders(address)]
        assert sorted(told) == sorted(node.holder() for node in here), (told, [node.holder() for node in here])
        assert [(h["kind"], h["count"], "pid" in h) for h in bob.holders(address)] == [("process", len(here), False)]
        error = root.reset_refused(address, "bus")
        assert error.name == IN_USE and all(node.path in error.text and str(node.pid()) in error.text for node in here), error
    assert trace.writes() == [], trace.events()

    # Two have the same device open: it is free when one has let go of it and the other has ended.
    *others, last = nodes
    for node in others:
        node.close()
    in_use(bed, root, nodes, lambda node: node.address == last.address)
    assert [h["what"] for h in root.holders(last.address)] == [last.path]
    bed.guest.run(f"systemctl kill -s KILL {last.unit}", check=True)
    in_use(bed, root, nodes, lambda node: False)
    for node in others:
        assert bed.guest.exists(f"/proc/{node.pid()}"), f"the process that had {node.path} open has ended"

    # None of these drivers knows resets: taken off and put back, nobody is in the way.
    for address in sorted({node.address for node in nodes}):
        driver = bed.driver(address)
        trace.clear()
        result = root.reset(address, "bus", in_use=True)
        assert result["verdict"] == "ok" and [(e.what, e.address) for e in trace.resets()] == [("bus", address)], result
        assert bed.driver(address) == driver, (address, driver)
