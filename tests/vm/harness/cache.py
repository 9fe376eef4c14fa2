# SPDX-License-Identifier: GPL-2.0-or-later
"""A content-keyed store for everything that is expensive to make.

Theory of operation: an entry is a directory `<kind>-<key>`, where the key is
a hash of all that went into it. A builder fills a temporary directory beside
it, and one rename makes the entry appear, so an entry that exists is complete
and an interrupted build leaves nothing that could be mistaken for one. A lock
per kind makes two runs of the suite build once. When a recipe changes, its key
changes; the two newest entries of a kind stay (switching between two branches
is common), older ones are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEEP = 2


def say(text: str) -> None:
    """One line for the person who waits; stdout belongs to results."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


def digest(*parts: str | bytes) -> str:
    """Short stable hash; the parts are delimited so that they cannot run together."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()[:16]


def digest_files(*paths: Path) -> str:
    return digest(*(p.name.encode() + b"\0" + p.read_bytes() for p in paths))


def default_root() -> Path:
    override = os.environ.get("PCIRESETD_CACHE")
    if override:
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pciresetd"


class Cache:
    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, kind: str, key: str) -> Path:
        return self.root / f"{kind}-{key}"

    def has(self, kind: str, key: str) -> bool:
        return self.path(kind, key).is_dir()

    def shared(self, name: str) -> Path:
        """A directory which is not keyed, for downloads."""
        path = self.root / name
        path.mkdir(exist_ok=True)
        return path

    def get(self, kind: str, key: str, what: str, build: Callable[[Path], None]) -> Path:
        """Return the entry, building it first if it is missing."""
        final = self.path(kind, key)
        if not final.is_dir():
            with self._lock(kind):
                if not final.is_dir():
                    self._build(kind, final, what, build)
        os.utime(final)
        return final

    def drop(self, kind: str, key: str) -> None:
        shutil.rmtree(self.path(kind, key), ignore_errors=True)

    def _build(self, kind: str, final: Path, what: str, build: Callable[[Path], None]) -> None:
        say(f"{what} …")
        started = time.monotonic()
        self._remove_leftovers(kind)
        work = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=self.root))
        try:
            build(work)
            work.rename(final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        say(f"{what}: done in {time.monotonic() - started:.0f} s")
        self._prune(kind)

    def _remove_leftovers(self, kind: str) -> None:
        """A killed run could not clean up; its lock is free, so nobody uses these."""
        for path in self.root.glob(f".{kind}-*"):
            shutil.rmtree(path, ignore_errors=True)

    def _prune(self, kind: str) -> None:
        entries = [p for p in self.root.glob(f"{kind}-*") if p.is_dir()]
        entries.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for path in entries[KEEP:]:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _lock(self, kind: str) -> Iterator[None]:
        with open(self.root / f"lock-{kind}", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another run is building the {kind}; waiting for it …")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
