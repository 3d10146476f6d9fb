"""How a delivery comes to be owed: the one statement that every reason for it goes through."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from forwarder.connector import Kind

_OWE: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, owed_at, due_at)
SELECT a.id, json_extract(owed.value, '$[1]'), :kind, :revision, 'ready',
  CASE a.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
  a.published_at, json_extract(owed.value, '$[2]'), :now, 0
FROM json_each(:owed) AS owed JOIN alerts AS a ON a.id = json_extract(owed.value, '$[0]')
WHERE true ORDER BY owed.key
ON CONFLICT DO NOTHING
"""


def owe(
    connection: sqlite3.Connection, alert_id: str, connector: str, kind: Kind, *, revision: int, why: str, now: float
) -> bool:
    """Owes one delivery, due at once; False where the very same one is or was owed already."""
    return _owe(connection, [(alert_id, connector, why)], kind, revision, now) > 0


def owe_all(connection: sqlite3.Connection, opens: Sequence[tuple[str, str, str]], *, now: float) -> None:
    """Owes new alerts: of each the id, the connector, and why."""
    _owe(connection, opens, Kind.OPEN, 1, now)


def _owe(
    connection: sqlite3.Connection, owed: Sequence[tuple[str, str, str]], kind: Kind, revision: int, now: float
) -> int:
    values = {"kind": kind.value, "revision": revision, "now": now, "owed": json.dumps(owed)}
    return connection.execute(_OWE, values).rowcount
