# SPDX-License-Identifier: GPL-2.0-or-later
"""A device becomes busy and free when somebody opens and closes a node of it, and nobody has to ask."""

from harness.bed import Bed
from harness.caller import Caller
from harness.plugging import plug_disk
from harness.registry import case

# Opens a node for each line that it is sent, and closes it again for the next one.
IN_TURNS = """
import os, sys
for n, line in enumerate(sys.stdin):
    if n % 2 == 0:
        fd = os.open(sys.argv[1], os.O_RDONLY)
    else:
        os.close(fd)
"""


def follows(bed: Bed, address: str, node: str) -> None:
    bob = Caller(bed, "bob")
    bed.wait_until(lambda: not bob.property(address, "InUse"), 15, f"{address} to be free")
    bed.guest.write("/run/turns", "")
    process = bed.guest.start(["sh", "-c", 'exec tail -n +1 -f /run/turns | python3 -c "$0" "$1"', IN_TURNS, node])
    bed.defer(process.kill)
    for _ in range(3):
        for busy in (True, False):
            bed.guest.run("echo >>/run/turns", check=True)
            bed.wait_until(lambda busy=busy: bob.property(address, "InUse") == busy, 15, f"InUse = {busy} after {node}")
    assert process.poll() is None


@case("InUse follows a character and a block node being opened and closed, without anybody asking", timeout=120)
def nodes(bed: Bed) -> None:
    address = plug_disk(bed)
    bed.guest.run("udevadm settle", timeout=30)
    follows(bed, address, "/dev/nvme0")
    follows(bed, address, "/dev/nvme0n1")
    journal = bed.guest.run("journalctl -b -o cat -u pciresetd", timeout=30, check=True).stdout
    assert "cannot be listened to" not in journal, journal
