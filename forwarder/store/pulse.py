"""Signs beside the database, for who looks where no page can be asked: the lock file's time, and a note in it.

The time is a sign of life. The note says that the database takes no writes, which therefore cannot stand in it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forwarder.common.text import cut, one_line

STILL: Final = 60.0
"""Seconds without a sign after which a daemon counts as stalled."""
OWNER: Final = 20
"""Bytes at the beginning of the lock file that name the process; the note follows them."""
MOST: Final = 1000
"""Characters of a note: what fits into the file's first block needs no room on a full disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """That the database has refused writes ``since`` then, and why."""

    since: float
    reason: str


def beat(database: Path) -> None:
    """Says that the daemon on ``database`` turns; a file system that takes no writes is told of elsewhere."""
    with suppress(OSError):
        os.utime(_lock_of(database))


def silence(database: Path) -> float:
    """Seconds since the last sign of life; 0.0 where that cannot be told."""
    beaten_at = last(database)
    return 0.0 if beaten_at is None else time.time() - beaten_at


def last(database: Path) -> float | None:
    """When the last sign of life came; None where there is none."""
    try:
        return _lock_of(database).stat().st_mtime
    except OSError:
        return None


def note(database: Path, refusal: Refusal | None) -> None:
    """Leaves the note that the database refuses writes, or takes it away; only for who owns the database."""
    told = "" if refusal is None else f"{refusal.since:.0f} {cut(one_line(refusal.reason), MOST)}"
    with suppress(OSError):
        lock = os.open(_lock_of(database), os.O_RDWR | os.O_CLOEXEC)
        try:
            owner = os.pread(lock, OWNER, 0).ljust(OWNER)
            size = os.pwrite(lock, owner + told.encode(), 0)
            os.ftruncate(lock, size)
        finally:
            os.close(lock)


def noted(database: Path) -> Refusal | None:
    """The note that its owner left; None where there is none, or none that can be read."""
    try:
        since, _, reason = _lock_of(database).read_bytes()[OWNER:].decode(errors="replace").partition(" ")
        return Refusal(since=float(since), reason=reason)
    except (OSError, ValueError):
        return None


def _lock_of(database: Path) -> Path:
    return Path(f"{os.path.realpath(database)}.lock")
