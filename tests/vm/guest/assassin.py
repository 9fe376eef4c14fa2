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


def main() -> None:
    times, seed, one_in = (int(word) for word in sys.argv[1:])
    dice = random.Random(seed)
    killed, workers, last = 0, 0, 0
    deadline = time.monotonic() + 330
    while killed < times and time.monotonic() < deadline:
        running = [pid for pid in processes("pciresetd") if pid != last]
        if not running:
            time.sleep(0.02)
            continue
        # Often when it works, sometimes when it has just been started.
        time.sleep(dice.uniform(0.3, 1.2) if dice.random() < 0.7 else dice.uniform(0, 0.3))
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
