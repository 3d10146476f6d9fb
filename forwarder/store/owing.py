"""How a delivery comes to be owed: the one statement that every reason for it goes through."""

from __future__ import annotations

import sqlite3

from forwarder.connector import Kind

_OWE = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, owed_at, due_at)
SELECT id, :connector, :kind, :revision, 'ready',
  CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
  published_at, :why, :now, 0
FROM alerts WHERE id = :alert_id
ON CONFLICT DO NOTHING
"""


def owe(
    connection: sqlite3.Connection, alert_id: str, connector: str, kind: Kind, *, revision: int, why: str, now: float
) -> bool:
    """Owes one delivery, due at once; False where the very same one is or was owed already."""
    told = {"alert_id": alert_id, "connector": connector, "kind": kind.value, "revision": revision}
    return bool(connection.execute(_OWE, {**told, "why": why, "now": now}).rowcount)
