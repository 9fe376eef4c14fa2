# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills the daemon again and again, at random instants, and now and then its workers with it.

Arguments: how often, the seed, and out of how many times a worker is killed, too (0: never). Tells at the end how many of
each there were. Between two times the daemon is started by systemd.
"""

import os
import random
import signal
import sys
import time


def processes(name: str) -> list[int]:
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == name[:15]:
                        found.append(int(pid))
            except OSError:
                pass
    return found


def kill(pids: list[int]) -> int:
    done = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            done += 1
        except ProcessLookupError:
            pass
    return done


def wait_for_reset(seconds: float) -> None:
    """Until there is a worker's record."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(name.endswith(".json") for name in os.listdir("/run/pciresetd/jobs")):
            return
        time.sleep(0.01)


def main() -> None:
    times, seed, one_in = (int(word) for word in sys.argv[1:])
    dice = random.Random(seed)
    killed, workers, last = 0, 0, 0
    deadline = time.monotonic() + 450
    while killed < times and time.monotonic() < deadline:
        running = [pid for pid in processes("pciresetd") if pid != last]
        if not running:
            time.sleep(0.02)
            continue
        # Mostly in the middle of a reset, sometimes at any other time, also when it has just been started.
        if dice.random() < 0.7:
            wait_for_reset(2)
            time.sleep(dice.uniform(0, 0.2))
        else:
            time.sleep(dice.uniform(0, 1))
        first = one_in and dice.randrange(one_in) == 0
        if first and dice.random() < 0.5:
            workers += kill(processes("pcireset-worker"))
        killed += kill(running[:1])
        last = running[0]
        if first:
            workers += kill(processes("pcireset-worker"))
        if killed % 10 == 0:
            print(f"{killed} at {time.monotonic():.0f}", flush=True)
    print(f"killed {killed} {workers} .", flush=True)


main()
