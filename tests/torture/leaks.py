"""Looks for secrets in everything that a run left behind: logs, databases, pages, what commands print."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from forwarder.store.payloads import unpack


def leaks(folder: Path, secrets: Collection[str]) -> list[str]:
    """Where in a folder's files (logs, config, database, pages) one of ``secrets`` stands. Never shows it."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found += [name for name, content in _contents(path) if any(s.encode() in content for s in secrets)]
    return found


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    yield path.name, path.read_bytes()
    if path.suffix == ".db" and path.stat().st_size:
        # Payloads are kept compressed: a plain search passes over them.
        for number, payload in _payloads(path):
            yield f"{path.name}, payload of delivery {number}", json.dumps(unpack(payload)).encode()


def _payloads(path: Path) -> list[tuple[int, bytes]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT id, payload FROM deliveries WHERE payload IS NOT NULL").fetchall()
    finally:
        connection.close()
