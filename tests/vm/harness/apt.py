# SPDX-License-Identifier: GPL-2.0-or-later
"""Where packages come from: this machine's own Debian mirrors.

Theory of operation: apt already knows mirrors that work from here, so no host
name is written down in this repository. `apt-get indextargets` lists what is
configured together with what each mirror says of itself; only those that call
themselves Debian count (a vendor's repository has no business in the test
machine). From their sites the three lines of the release we test on are made,
which also works when this machine runs another Debian release.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .cache import say

RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NoMirror(RuntimeError):
    pass


def as_root(argv: list[str]) -> list[str]:
    return argv if os.geteuid() == 0 else ["sudo", *argv]


def _configured() -> dict[str, str]:
    """Map a Debian label ("Debian", "Debian-Security") to its site."""
    out = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)", "Created-By: Packages"],
        check=True, capture_output=True, text=True).stdout
    sites: dict[str, str] = {}
    for line in out.splitlines():
        origin, label, site = line.split("|", 2)
        if origin == "Debian" and label in ("Debian", "Debian-Security"):
            sites.setdefault(label, site)
    return sites


def sources() -> list[str]:
    """sources.list lines for the release under test."""
    sites = _configured()
    if "Debian" not in sites:
        say("asking the package mirrors what they have (apt-get update) …")
        subprocess.run(as_root(["apt-get", "-qq", "update"]), check=True)
        sites = _configured()
    if "Debian" not in sites:
        raise NoMirror("apt on this machine has no Debian mirror configured; add one to its sources")
    option = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = [f"deb {option}{sites['Debian']} {RELEASE} main",
             f"deb {option}{sites['Debian']} {RELEASE}-updates main"]
    if "Debian-Security" in sites:
        lines.append(f"deb {option}{sites['Debian-Security']} {RELEASE}-security main")
    return lines


def proxy_options() -> list[str]:
    """apt.conf lines for proxies; a fresh root file system would not know them."""
    out = subprocess.run(["apt-config", "dump", "--format", "%F %v;%n", "Acquire"],
                         check=True, capture_output=True, text=True).stdout
    options = []
    for line in out.splitlines():
        name, _, value = line.rstrip(";").partition(" ")
        if name.endswith("::Proxy") and value:
            options.append(f'{name} "{value}"')
    return options
