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
    try:
        return time.time() - _lock_of(database).stat().st_mtime
    except OSError:
        return 0.0


def _lock_of(database: Path) -> Path:
    return Path(f"{os.path.realpath(database)}.lock")
