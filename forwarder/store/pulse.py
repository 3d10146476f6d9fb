"""A sign of life beside the database, for a health check where no page can be asked: the time of the lock file."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

STILL: Final = 60.0
"""Seconds without a sign after which a daemon counts as stalled."""


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


def _lock_of(database: Path) -> Path:
    return Path(f"{os.path.realpath(database)}.lock")
