"""What connectors still know after a restart: short texts, by connector and key."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from forwarder.connector import RENAMED
from forwarder.store.engine import Engine


class MemoryStore:
    """The side of the store that the connectors write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[str, tuple[int, Mapping[str, str]]] = {}
        """What was read of each connector, and how many changes the engine had seen by then.

        What another process wrote is noticed by our next write: every claim is one, so a delivery that is claimed after
        a rename knows what was handed over.
        """

    def of(self, connector: str) -> Mapping[str, str]:
        """All that ``connector`` keeps, by key."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT key, value FROM connector_memory WHERE connector = ?", (connector,))
            return {key: value for key, value in rows}  # noqa: C416 - a row is no pair

    def get(self, connector: str, key: str) -> str:
        """What ``connector`` keeps under ``key``; empty where that is nothing."""
        # Read first: what changes while the rest is read is read once more.
        changes = self._engine.changes
        seen, known = self._kept.get(connector, (-1, {}))
        if seen != changes or not self._engine.exclusive:
            known = self.of(connector)
            self._kept[connector] = changes, known
        return known.get(key, "")

    def put(self, connector: str, key: str, value: str) -> None:
        """Keeps ``value``; an empty one forgets the key."""
        self._engine.write(lambda connection: _put(connection, connector, key, value))
        self._engine.changed()


def _put(connection: sqlite3.Connection, connector: str, key: str, value: str) -> None:
    if value:
        connection.execute("INSERT OR REPLACE INTO connector_memory VALUES (?, ?, ?)", (connector, key, value))
    else:
        connection.execute("DELETE FROM connector_memory WHERE connector = ? AND key = ?", (connector, key))


def rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Hands over what ``old`` keeps. What ``new`` found out for itself is the newer truth; the other is kept beside."""
    connection.execute("UPDATE OR IGNORE connector_memory SET connector = ? WHERE connector = ?", (new, old))
    beside = "UPDATE OR REPLACE connector_memory SET connector = ?, key = ? || key WHERE connector = ?"
    connection.execute(beside, (new, RENAMED, old))
