# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel itself did: probes on its reset functions.

Theory of operation: kprobes on the functions behind each reset method record
the device, whether it was only asked if it could (a probe) or really reset,
and what came back. A method that leaves no mark in an emulated device (`pm`)
is proven this way, and so is that nothing at all was written. Device and bus
number are fetched at fixed offsets of the kernel structures; a case in
cases/bed.py checks them against known resets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .guest import Guest

TRACEFS = "/sys/kernel/tracing"
# struct pci_dev: bus at 16, devfn at 56; struct pci_bus: busn_res.start at 128.
PCI_DEV = "bus=+128(+16(%di)):u64 devfn=+56(%di):u32"
METHODS = {"acpi": "pci_dev_acpi_reset", "flr": "pcie_reset_flr", "af_flr": "pci_af_flr",
           "pm": "pci_pm_reset", "bus": "pci_reset_bus_function", "cxl_bus": "cxl_reset_bus_function"}
# struct device starts with its kobject, and that with the name.
DEVICE = "name=+0(+0(%di)):string"


@dataclass(frozen=True)
class Event:
    """`what` is a method's name, or "reset" (the attribute's own work), "sbr"
    (secondary bus reset of this bridge), "reset_method" (a write to it),
    "subordinate" (a write to reset_subordinate of this bridge, which returns the number of bytes) or "remove"."""

    time: float
    task: str
    what: str
    address: str
    probe: bool
    value: str
    returned: int | None = None
    ended: float | None = None


def _definitions() -> list[str]:
    lines = [f"p:bed/{name} {function} {PCI_DEV} probe=%si:u8" for name, function in METHODS.items()]
    lines += [f"r:bed/{name}_done {function} ret=$retval:s32" for name, function in METHODS.items()]
    lines += [f"p:bed/reset pci_reset_function {PCI_DEV}", "r:bed/reset_done pci_reset_function ret=$retval:s32",
              f"p:bed/sbr pci_bridge_secondary_bus_reset {PCI_DEV}",
              f"p:bed/remove pci_stop_and_remove_bus_device {PCI_DEV}",
              f"p:bed/remove_locked pci_stop_and_remove_bus_device_locked {PCI_DEV}",
              f"p:bed/subordinate reset_subordinate_store {DEVICE}",
              "r:bed/subordinate_done reset_subordinate_store ret=$retval:s32",
              f"p:bed/reset_method reset_method_store {DEVICE} value=+0(%dx):string"]
    return lines


LINE = re.compile(r"^\s*(?P<task>.+-\d+)\s+\[\d+\]\s+\S+\s+(?P<time>[\d.]+): (?P<event>\w+): \(.*?\) ?(?P<fields>.*)$")


class KernelTrace:
    """Records from creation on; `stop` removes the probes."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        guest.write("/run/bed-all-probes", "\n".join(_definitions()) + "\n")
        # An older kernel lacks a method or two.
        guest.run(f"""set -e; cd {TRACEFS}
            awk 'NR == FNR {{ known[$3] = 1; next }} $2 in known' /proc/kallsyms /run/bed-all-probes >/run/bed-probes
            echo 0 >tracing_on; echo mono >trace_clock; echo >trace
            cat /run/bed-probes >kprobe_events
            echo 1 >events/bed/enable; echo 1 >tracing_on""", check=True)

    def clear(self) -> None:
        self._guest.write(f"{TRACEFS}/trace", "\n")  # truncating it clears it

    def stop(self) -> None:
        self._guest.run(f"cd {TRACEFS}; echo 0 >tracing_on; echo 0 >events/bed/enable; echo >kprobe_events")

    def events(self) -> list[Event]:
        """In order of their beginning; a function still running has `returned` None."""
        events: list[Event] = []
        for line in self._guest.read_text(f"{TRACEFS}/trace", timeout=60).splitlines():
            match = LINE.match(line)
            if match:
                self._take(events, match)
        return events

    def resets(self, address: str | None = None) -> list[Event]:
        """Methods that were carried out, probes left out. `cxl_bus` does its work by `bus`."""
        return [e for e in self.events() if e.what in METHODS and not e.probe and address in (None, e.address)]

    def asked(self, *addresses: str) -> list[Event]:
        """Writes to `reset`, from their beginning to their end. The kernel has locks of its own, so a
        method that begins late does not tell that it was asked for late."""
        return [e for e in self.events() if e.what == "reset" and (not addresses or e.address in addresses)]

    def writes(self) -> list[Event]:
        """Everything a user's request could have caused: resets and writes of reset_method."""
        return [e for e in self.events() if e.what in ("reset", "reset_method", "sbr", "subordinate")]

    def removed(self) -> list[str]:
        """Devices that were taken away, by a slot or by hand."""
        return sorted({e.address for e in self.events() if e.what in ("remove", "remove_locked")})

    @staticmethod
    def _take(events: list[Event], match: re.Match[str]) -> None:
        fields = dict(re.findall(r'(\w+)="?([^"]*?)"?(?= \w+=|$)', match["fields"]))
        what, task = match["event"], match["task"]
        if what.endswith("_done"):
            for index in range(len(events) - 1, -1, -1):
                event = events[index]
                if (event.what, event.task, event.returned) == (what[:-5], task, None):
                    events[index] = replace(event, returned=int(fields["ret"]), ended=float(match["time"]))
                    return
            return
        if "name" in fields:
            address = fields["name"]
        else:
            devfn = int(fields["devfn"])
            address = f"0000:{int(fields['bus']):02x}:{devfn >> 3:02x}.{devfn & 7}"
        events.append(Event(float(match["time"]), task, what, address, fields.get("probe") == "1",
                            fields.get("value", "").strip()))
