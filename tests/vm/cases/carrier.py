# SPDX-License-Identifier: GPL-2.0-or-later
"""A network card with a cable in it: a reset is done when the driver has its carrier back."""

from harness.bed import Bed
from harness.caller import Caller
from harness.registry import case

# As `ethtool -r` does it, again and again: no carrier meanwhile, for it takes a link seconds to come up.
NEGOTIATE = """import array, fcntl, select, socket, struct, sys
command = array.array("B", struct.pack("I", 9))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    fcntl.ioctl(s, 0x8946, struct.pack("16sP", sys.argv[1].encode(), command.buffer_info()[0]))
    print("again .", flush=True)
    select.select([], [], [], 0.3)"""


@case("an interface that had carrier is waited for until it has it again, and the probe says so", timeout=120)
def comes_back(bed: Bed) -> None:
    # A hub of its own, with nothing else in it, is a link partner.
    bed.machine.qmp("netdev_add", type="hubport", id="cable", hubid=7)
    bed.machine.plug("e1000e", "port-empty0", "wired", romfile="", netdev="cable")
    bed.wait_device("wired")
    address, caller, root, trace = bed.addr("wired"), Caller(bed), Caller(bed, "root"), bed.trace()
    if bed.driver(address) != "e1000e":
        bed.bind(address, "e1000e")
    name, = bed.guest.list(f"{bed.path('wired')}/net")

    def carrier() -> str:
        return bed.attribute(address, f"net/{name}/carrier").strip()
    # Up, which is use that alice may disturb; an address would be use that nobody may.
    bed.guest.run(f"ip link set {name} addrgenmode none up", check=True)
    bed.wait_until(lambda: carrier() == "1", 20, "the carrier")
    bed.wait_until(lambda: caller.property(address, "Driver") == "e1000e", 10, "the driver to be known")
    # How soon the first look is: time enough for the carrier to be lost before.
    rule = root.call("SetPolicy", "sa{sv}a{sv}", [address, {"driver": ["s", "keep"], "settle_usec": ["t", 8_000_000]},
                                                  {"runtime": ["b", True]}])
    bed.defer(lambda: root.call("UnsetPolicy", "sa{sv}", [rule, {}]))

    pending = caller.reset_start(address, "pm", in_use=True)
    bed.wait_until(lambda: [e.returned for e in trace.resets(address)] == [0] or pending.answered(), 15, "the reset to be over")
    assert not pending.answered(), pending.result()
    negotiation = bed.guest.start(["python3", "-c", NEGOTIATE, name])
    bed.defer(negotiation.kill)
    bed.wait_until(lambda: carrier() == "0", 10, "the carrier to be lost")
    ended = trace.resets(address)[0].ended
    assert ended is not None
    bed.wait_until(lambda: bed.guest.monotonic() > ended + 12, 30, "the first look at it")
    assert carrier() == "0" and not pending.answered() and caller.jobs()[0]["phase"] == "verifying", pending.answer()
    negotiation.kill()
    negotiation.wait(5)
    result = pending.result()
    probe, = [check for check in result["checks"] if check["check"] == "probe"]
    assert (result["verdict"], probe["result"]) == ("ok", "ok"), result
    assert probe["after"] == f"{name} carrier" and carrier() == "1", probe
    assert pending.done >= ended + 12, (pending.done, trace.events())
