"""How a delivery comes to be owed: the one statement that every reason for it goes through."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from forwarder.alert import Change
from forwarder.connector import Kind

_ENQUEUE: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at)
SELECT a.id, json_extract(owed.value, '$[1]'), :kind, :revision, 'ready',
  CASE a.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
  a.published_at, json_extract(owed.value, '$[2]'), :now, 0
FROM json_each(:owed) AS owed JOIN alerts AS a ON a.id = json_extract(owed.value, '$[0]')
WHERE true ORDER BY owed.key
ON CONFLICT DO NOTHING
"""


def enqueue(
    connection: sqlite3.Connection, alert_id: str, connector: str, kind: Kind, *, revision: int, why: str, now: float
) -> bool:
    """Owes one delivery, due at once; False where the very same one is or was owed already."""
    return _enqueue(connection, [(alert_id, connector, why)], kind, revision, now) > 0


def enqueue_all(connection: sqlite3.Connection, opens: Sequence[tuple[str, str, str]], *, now: float) -> None:
    """Owes new alerts: of each the id, the connector, and why."""
    _enqueue(connection, opens, Kind.OPEN, 1, now)


def _enqueue(
    connection: sqlite3.Connection, outstanding: Sequence[tuple[str, str, str]], kind: Kind, revision: int, now: float
) -> int:
    values = {"kind": kind.value, "revision": revision, "now": now, "owed": json.dumps(outstanding)}
    return connection.execute(_ENQUEUE, values).rowcount


def enqueue_discarded(
    connection: sqlite3.Connection, alert_id: str, connector: str, *, revision: int, why: str, now: float
) -> bool:
    """Owes after all what a person discarded, looked for first where it may have arrived; False where nobody did."""
    discard = connection.execute(
        "DELETE FROM discards WHERE alert_id = ? AND connector = ? RETURNING enqueued_at, uncertain, sent_as",
        (alert_id, connector),
    ).fetchone()
    if discard is None or not enqueue(connection, alert_id, connector, Kind.OPEN, revision=revision, why=why, now=now):
        return False
    if discard["uncertain"]:
        connection.execute(
            "UPDATE deliveries SET state = 'uncertain', enqueued_at = ?, sent_as = ?"
            " WHERE alert_id = ? AND connector = ? AND kind = 'open'",
            (discard["enqueued_at"], discard["sent_as"], alert_id, connector),
        )
    return True


def record_change(
    connection: sqlite3.Connection, alert_id: str, revision: int, changes: Sequence[Change], now: float
) -> None:
    told = json.dumps([{"field": change.field, "old": change.old, "new": change.new} for change in changes])
    connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (alert_id, revision, now, told))
