# SPDX-License-Identifier: GPL-2.0-or-later
"""Where packages come from: this machine's own Debian mirrors.

Theory of operation: apt already knows mirrors that work from here, so no host
name is written down in this repository. `apt-get indextargets` lists what is
configured together with what each mirror says of itself; only those that call
themselves Debian count (a vendor's repository has no business in the test
machine). From their sites the three lines of the release we test on are made,
which also works when this machine runs another Debian release.

What is only unpacked is fetched by a `PrivateApt`: apt with lists, archives and
a configuration of its own, so this machine's stays as it is. Only how to reach
a mirror (proxies, patience) is taken over from it. Such an apt needs no root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .cache import say

T = TypeVar("T")

RELEASE = "bookworm"
BACKPORTS = f"{RELEASE}-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# A mirror that is being updated, or a line that is down, is fine a little later.
TRIES, PAUSE_SECONDS = 3, 20
PATIENCE = ('Acquire::Retries "5"', 'Acquire::http::Timeout "30"')


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
    lines = [_line(sites["Debian"], RELEASE), _line(sites["Debian"], f"{RELEASE}-updates")]
    if "Debian-Security" in sites:
        lines.append(_line(sites["Debian-Security"], f"{RELEASE}-security"))
    return lines


def backports() -> str:
    """The line of the release's backports: they are beside the release itself."""
    return _line(_configured()["Debian"], BACKPORTS)


def _line(site: str, suite: str) -> str:
    option = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return f"deb {option}{site} {suite} main"


def reach_options() -> list[str]:
    """apt.conf lines for proxies and patience; a configuration from nothing would not know them."""
    out = subprocess.run(["apt-config", "dump", "--format", "%F %v;%n", "Acquire"],
                         check=True, capture_output=True, text=True).stdout
    options = list(PATIENCE)
    for line in out.splitlines():
        name, _, value = line.rstrip(";").partition(" ")
        if value and (name.endswith("::Proxy") or name.startswith("Acquire::Check-")):
            options.append(f'{name} "{value}"')
    return options


def again(what: str, attempt: Callable[[], T]) -> T:
    """Try something that needs a mirror more than once."""
    for left in range(TRIES - 1, 0, -1):
        try:
            return attempt()
        except subprocess.CalledProcessError as error:
            say(f"{what}: {_reason(error)}; trying again ({left} left) …")
            time.sleep(PAUSE_SECONDS)
    try:
        return attempt()
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{what}: {_reason(error)}") from error


def _reason(error: subprocess.CalledProcessError) -> str:
    lines = (error.stderr or error.stdout or "").strip().splitlines()
    return " / ".join(lines[-4:]) or str(error)


class PrivateApt:
    """An apt in a new directory, which knows these sources, no others, and no installed package."""

    def __init__(self, directory: Path, lines: list[str]) -> None:
        self._directory = directory
        self._archives = directory / "archives"
        self._lines = lines

    def __enter__(self) -> PrivateApt:
        for name in ("lists/partial", "archives/partial"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        (self._directory / "status").write_text("")
        (self._directory / "sources.list").write_text("".join(f"{line}\n" for line in self._lines))
        options = [*reach_options(),
                   *(f'Dir::{name} "/dev/null"' for name in (
                       "Etc::main", "Etc::Parts", "Etc::SourceParts", "Etc::Preferences", "Etc::PreferencesParts")),
                   f'Dir::Etc::SourceList "{self._directory}/sources.list"',
                   f'Dir::State "{self._directory}"', f'Dir::State::lists "{self._directory}/lists"',
                   f'Dir::State::status "{self._directory}/status"',
                   f'Dir::Cache "{self._directory}"', f'Dir::Cache::archives "{self._archives}"',
                   'Dir::Cache::pkgcache ""', 'Dir::Cache::srcpkgcache ""',
                   'Acquire::Languages "none"', 'APT::Update::Error-Mode "any"', 'APT::Architecture "amd64"',
                   # apt's own user may not enter our cache; as root there is nothing to drop to.
                   'APT::Sandbox::User "root"']
        (self._directory / "apt.conf").write_text("".join(f"{option};\n" for option in options))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def update(self) -> None:
        again("reading the package lists", lambda: self._run("apt-get", "-qq", "update"))

    def depends(self, package: str, release: str) -> list[str]:
        """What a package depends on directly."""
        out = self._run("apt-cache", "-t", release, "depends", package)
        return [line.split()[1] for line in out.splitlines() if line.split()[0] == "Depends:"]

    def download(self, package: str, release: str) -> Path:
        """Fetch this package alone."""
        again(f"fetching {package}", lambda: self._run("apt-get", "-qq", "-t", release, "download", package))
        path, = self._archives.glob(f"{package}_*.deb")
        return path

    def download_closure(self, package: str, release: str) -> list[Path]:
        """Fetch this package and all that it needs."""
        again(f"fetching {package}", lambda: self._run(
            "apt-get", "-qq", "-y", "-t", release, "--download-only", "--no-install-recommends", "install", package))
        return sorted(self._archives.glob("*.deb"))

    def _run(self, *argv: str) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._directory / "apt.conf"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(argv, check=True, capture_output=True, text=True, cwd=self._archives,
                              env=environment, stdin=subprocess.DEVNULL).stdout
