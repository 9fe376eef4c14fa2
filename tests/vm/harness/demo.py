# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of the README, played with real commands in the test machine.

Theory of operation: a line of explanation, a prompt, a command, and what that
command really said. Every step also states what must come of it; whatever
does not come true is pointed out where it happens and makes the exit status
non-zero, so that the story cannot drift away from the program.
"""

from __future__ import annotations

from .bed import Bed, Poison
from .guest import Result
from .trace import TRACEFS


class Play:
    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.wrong = 0

    def tell(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def do(self, user: str, command: str, rc: int | None = 0, says: str = "") -> Result:
        """Show a command and its output; `rc` None means any failure."""
        sign = "#" if user == "root" else "$"
        print(f"{user}@vm{sign} {command}", flush=True)
        result = self.bed.guest.run(command, user=user, timeout=120)
        print(result.stdout + result.stderr, end="", flush=True)
        if (result.rc == 0) if rc is None else (result.rc != rc):
            self.expect(False, f"exit status {'other than 0' if rc is None else rc}, but it was {result.rc}")
        if says:
            self.expect(says in result.stdout + result.stderr, f"the words “{says}”")
        return result

    def expect(self, true: bool, what: str) -> None:
        if not true:
            self.wrong += 1
            print(f"!! not as told: expected {what}", flush=True)

    def change(self, address: str) -> Poison:
        """Root changes a register; shown as the setpci commands that do it."""
        poison = self.bed.poison(address)
        self.do("root", f"setpci -s {address} {poison.register}", says=poison.after)
        return poison

    def compare(self, poison: Poison, was_reset: bool) -> None:
        self.do("root", f"setpci -s {poison.address} {poison.register}",
                says=poison.before if was_reset else poison.after)


def play(bed: Bed) -> int:
    story = Play(bed)
    nvme, card = bed.plug_nvme(driver=False), bed.addr("nic")
    bed.trace()
    _look(story, nvme)
    _reset(story, nvme, "flr", "alice resets an NVMe controller by a function level reset; polkit's rule lets her")
    _reset(story, card, "bus", "and a network card by a reset of the bus it is alone on")
    _kernel(story, nvme, card)
    _refusal(story, nvme)
    _in_use(story, nvme)
    bed.clean_up()
    if story.wrong:
        print(f"\n{story.wrong} things were not as told")
        return 1
    print("\nEverything happened as told.")
    return 0


def _look(story: Play, nvme: str) -> None:
    story.tell("A real Linux kernel in a virtual machine, with emulated PCI devices. alice has no privileges.")
    story.do("alice", "uname -sr; id -un")
    story.do("alice", "pcireset list", says=nvme)
    story.tell("How could the NVMe controller be reset, and would it work?")
    story.do("alice", f"pcireset methods {nvme}", says="flr")


def _reset(story: Play, address: str, method: str, text: str) -> None:
    story.tell("root leaves a mark in a config register which only a real reset clears: it now holds")
    poison = story.change(address)
    story.tell(text)
    story.do("alice", f"pcireset reset {address} {method}", says=method)
    story.tell(f"The mark is gone; after a reset this register holds {poison.before}.")
    story.compare(poison, was_reset=True)


def _kernel(story: Play, nvme: str, card: str) -> None:
    story.tell("Probes in the kernel's reset functions tell the same story: the worker did it.")
    command = f"grep 'probe=0' {TRACEFS}/trace | tr -s ' '"
    said = story.do("root", command).stdout
    story.expect("flr:" in said and "bus:" in said and "pcireset-w" in said, "a flr and a bus reset by pcireset-worker")


def _refusal(story: Play, nvme: str) -> None:
    story.tell("bob has no rule. root leaves the mark again, and bob tries.")
    poison = story.change(nvme)
    before = len(story.bed.guest.read(f"{TRACEFS}/trace"))
    story.do("bob", f"pcireset reset {nvme} flr", rc=3)
    story.do("bob", f"busctl call org.pciresetd1 /org/pciresetd1 org.pciresetd1.Manager Reset 'ssa{{sv}}' {nvme} flr 0",
             rc=1, says="Access denied")
    story.tell("The mark is still there, and the kernel was not asked for anything.")
    story.compare(poison, was_reset=False)
    story.expect(len(story.bed.guest.read(f"{TRACEFS}/trace")) == before, "no new line in the kernel's trace")
    story.bed.guest.run(["setpci", "-s", nvme, f"{poison.register}={poison.before}"], check=True)


def _in_use(story: Play, nvme: str) -> None:
    story.tell("Now the host's own driver takes the controller, and root mounts a file system from it.")
    story.do("root", f"modprobe nvme; echo {nvme} >/sys/bus/pci/drivers_probe; udevadm settle")
    story.bed.wait_until(lambda: story.bed.guest.exists("/dev/nvme0n1"), 20, "/dev/nvme0n1")
    story.do("root", "mkfs.ext4 -q /dev/nvme0n1 && mount /dev/nvme0n1 /mnt && udevadm settle")
    before = len(story.bed.guest.read(f"{TRACEFS}/trace"))
    story.do("root", f"pcireset reset {nvme} flr", rc=5, says="/mnt")
    story.tell("Not even root can pull a file system away. Once it is unmounted, alice may reset the controller.")
    story.expect(len(story.bed.guest.read(f"{TRACEFS}/trace")) == before, "no new line in the kernel's trace")
    story.do("root", "umount /mnt && udevadm settle")
    mark = story.bed.mark()
    story.do("alice", f"pcireset reset {nvme} flr", says="flr")
    story.tell("Its driver knows resets: it was told, starts the controller again, and the files are still there.")
    story.do("root", "dmesg | grep 'nvme nvme0' | tail -n 2")
    story.expect("nvme nvme0" in story.bed.kernel_log_since(mark), "a new line of the nvme driver")
    story.do("root", "mount /dev/nvme0n1 /mnt && ls -d /mnt/* && umount /mnt", says="lost+found")
