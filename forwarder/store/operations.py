"""What people decide about what is owed: retry, discard, rename, replay, and when a paused connector is tried again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from forwarder.connector import Kind
from forwarder.store import memory
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue


class Operations:
    """The side of the store that commands and the status page write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def resume(self, connector: str) -> None:
        """Ends a pause."""
        self._engine.write(
            lambda connection: connection.execute("DELETE FROM pauses WHERE connector = ?", (connector,))
        )

    def probe_now(self, connector: str, *, now: float) -> bool:
        """Makes a paused connector's next probe due at once; whether it was paused."""
        return self._engine.write(
            lambda connection: bool(
                connection.execute("UPDATE pauses SET probe_at = ? WHERE connector = ?", (now, connector)).rowcount
            )
        )

    def retry(self, ids: Collection[int], *, now: float) -> int:
        """Makes dead letters ready again, and returns how many there were."""
        return self._engine.write(
            lambda connection: (
                connection.execute(
                    "UPDATE deliveries SET state = 'ready', due_at = 0, settled_at = NULL, failing_since = NULL,"
                    " lookups = 0, enqueued_at = min(enqueued_at, ?) WHERE state = 'dead'"
                    " AND id IN (SELECT value FROM json_each(?))",
                    (now, json.dumps(list(ids))),
                ).rowcount
            )
        )

    def discard(self, ids: Collection[int]) -> int:
        """Forgets deliveries that are not settled as delivered, and returns how many there were."""
        return self._engine.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM deliveries WHERE state IN ('dead', 'ready', 'uncertain')"
                    " AND id IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(ids)),),
                ).rowcount
            )
        )

    def rename(self, old: str, new: str) -> int:
        """Hands all deliveries of a connector that was renamed to its new name, and returns how many there were.

        What the connector remembers goes along.
        """

        def work(connection: sqlite3.Connection) -> int:
            memory.rename(connection, old, new)
            return connection.execute(
                "UPDATE OR IGNORE deliveries SET connector = ? WHERE connector = ?", (new, old)
            ).rowcount

        return self._engine.write(work)

    def replay(self, alert_ids: Collection[str], connectors: Collection[str], *, why: str, now: float) -> int:
        """Owes the alerts to the connectors once more, and returns how many deliveries that is."""

        def work(connection: sqlite3.Connection) -> int:
            return sum(
                _requeue(connection, alert_id, connector, why, now)
                for alert_id in alert_ids
                for connector in connectors
            )

        return self._engine.write(work)


_REQUEUE: Final = """
UPDATE deliveries SET state = 'ready', why = ?, enqueued_at = ?, due_at = 0, settled_at = NULL, failing_since = NULL,
  lookups = 0, receipt_id = NULL, receipt_url = NULL
WHERE alert_id = ? AND connector = ? AND kind = 'open' AND state IN ('delivered', 'dead')
"""


def _requeue(connection: sqlite3.Connection, alert_id: str, connector: str, why: str, now: float) -> bool:
    connection.execute("UPDATE alerts SET unrouted = 0 WHERE id = ?", (alert_id,))
    revived = connection.execute(_REQUEUE, (why, now, alert_id, connector)).rowcount
    return bool(revived) or enqueue(connection, alert_id, connector, Kind.OPEN, revision=1, why=why, now=now)
