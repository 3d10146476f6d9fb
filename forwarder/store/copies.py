"""Copies of the database, before anybody relies on them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from forwarder.store.engine import StoreError


def seal(copy: Path) -> None:
    """Makes ``copy`` complete without a second file, and reads all of it; raises StoreError where it is not whole."""
    try:
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            # The log of the original's mode would stand beside it, and even reading would need a folder to write to.
            connection.execute("PRAGMA journal_mode = DELETE")
            found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise StoreError(f"The copy is damaged ({found}), so the database may be too: keep your older backups.")
