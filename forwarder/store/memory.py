"""What connectors still know after a restart: short texts, by connector and key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from forwarder.connector import RENAMED
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine

_PUT: Final = """
INSERT INTO connector_memory VALUES (?, ?, ?) ON CONFLICT (connector, key) DO UPDATE SET value = excluded.value
"""
_HAND_OVER: Final = """
UPDATE connector_memory SET connector = ?1
WHERE connector = ?2 AND key NOT IN (SELECT key FROM connector_memory WHERE connector = ?1)
"""
_MAKE_ROOM: Final = """
DELETE FROM connector_memory
WHERE connector = ?1 AND key IN (SELECT ?3 || key FROM connector_memory WHERE connector = ?2)
"""
_KEEP_BESIDE: Final = "UPDATE connector_memory SET connector = ?1, key = ?3 || key WHERE connector = ?2"


class MemoryStore:
    """The side of the store that the connectors write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, connector: str) -> Mapping[str, str]:
        """All that ``connector`` keeps, by key."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT key, value FROM connector_memory WHERE connector = ?", (connector,))
            return {key: value for key, value in rows}  # noqa: C416 - a row is no pair

    def get(self, connector: str, key: str) -> str:
        """What ``connector`` keeps under ``key``; empty where that is nothing."""
        sql = "SELECT value FROM connector_memory WHERE connector = ? AND key = ?"
        with self._engine.read() as connection:
            row = connection.execute(sql, (connector, key)).fetchone()
        return "" if row is None else str(row[0])

    def put(self, connector: str, key: str, value: str) -> None:
        """Keeps ``value``; an empty one forgets the key."""
        self._engine.write(lambda connection: _put(connection, connector, key, value))


def _put(connection: Connection, connector: str, key: str, value: str) -> None:
    if value:
        connection.execute(_PUT, (connector, key, value))
    else:
        connection.execute("DELETE FROM connector_memory WHERE connector = ? AND key = ?", (connector, key))


def rename(connection: Connection, old: str, new: str) -> None:
    """Hands over what ``old`` keeps. What ``new`` found out for itself is the newer truth; the other is kept beside."""
    connection.execute(_HAND_OVER, (new, old))
    connection.execute(_MAKE_ROOM, (new, old, RENAMED))
    connection.execute(_KEEP_BESIDE, (new, old, RENAMED))
