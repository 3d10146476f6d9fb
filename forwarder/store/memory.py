"""What connectors still know after a restart: short texts, by connector and key."""

from __future__ import annotations

import threading
from collections import Counter
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
    """The side of the store that the connectors write.

    What a connector keeps is read once, and anew after each write and each claim of its deliveries: a delivery that is
    claimed after a rename, by whatever process, knows what was handed over.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._forgotten: Counter[str] = Counter()
        self._kept: dict[str, Mapping[str, str]] = {}

    def forget(self, connector: str) -> None:
        """Has the next ``get`` read anew what ``connector`` keeps: others may have written it."""
        with self._lock:
            self._forgotten[connector] += 1
            self._kept.pop(connector, None)

    def of(self, connector: str) -> Mapping[str, str]:
        """All that ``connector`` keeps, by key."""
        rows = self._engine.find("SELECT key, value FROM connector_memory WHERE connector = ?", (connector,))
        return {key: value for key, value in rows}  # noqa: C416 - a row is no pair

    def get(self, connector: str, key: str) -> str:
        """What ``connector`` keeps under ``key``, as it was at its last ``forget`` or later; empty where nothing is."""
        with self._lock:
            known, forgotten = self._kept.get(connector), self._forgotten[connector]
        if known is None:
            known = self.of(connector)
            with self._lock:
                # What was written meanwhile may be missing in what was read.
                if self._forgotten[connector] == forgotten:
                    self._kept[connector] = known
        return known.get(key, "")

    def put(self, connector: str, key: str, value: str) -> None:
        """Keeps ``value``; an empty one forgets the key."""
        try:
            self._engine.write(lambda connection: _put(connection, connector, key, value))
        finally:
            # A write that is told as failed may stand all the same.
            self.forget(connector)


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
