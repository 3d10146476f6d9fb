"""Whether a connector keeps failing, and how many criticals wait for it: read from what is kept of each attempt."""

from __future__ import annotations

from typing import Any, Final

from forwarder.store.connection import Connection

_WAITING: Final = "connector = ?1 AND state IN ('ready', 'uncertain')"

ANSWERED: Final = """(state = 'delivered'
  -- A refusal is an answer, giving up is none.
  OR (SELECT outcome FROM attempts WHERE delivery_id = s.id ORDER BY number DESC LIMIT 1) = 'rejected')"""
"""Whether a settled delivery ``s`` shows that its destination answers."""

_CRITICALS: Final = f"""
SELECT count(*) AS criticals, min(d.enqueued_at) AS oldest_critical_at
FROM (
  SELECT alert_id, kind, enqueued_at FROM deliveries WHERE {_WAITING} AND rank = 0
  UNION ALL SELECT alert_id, kind, enqueued_at FROM deliveries WHERE connector = ?1 AND state = 'sending' AND rank = 0
) AS d JOIN alerts AS a ON a.id = d.alert_id
WHERE d.kind IN ('open', 'update') AND a.origin = 'feed'
"""

# What is being sent counts as well: while the one delivery that is tried again is under way, nothing has changed.
_FAILURES: Final = f"""
SELECT a.at + a.seconds AS ended_at, a.reason
FROM (
  SELECT id FROM deliveries WHERE {_WAITING} AND failing_since IS NOT NULL
  UNION ALL SELECT id FROM deliveries WHERE connector = ?1 AND state = 'sending' AND failing_since IS NOT NULL
) AS d JOIN attempts AS a ON a.delivery_id = d.id
WHERE a.outcome IN ('retry', 'uncertain') AND a.at + a.seconds > coalesce((
  SELECT settled_at FROM deliveries AS s
  WHERE connector = ?1 AND settled_at IS NOT NULL AND {ANSWERED}
  ORDER BY settled_at DESC LIMIT 1
), 0)
ORDER BY ended_at
"""


def of(connection: Connection, connector: str, *, last_error: str | None) -> dict[str, Any]:
    """The fields of a ``Queue`` that tell it; ``last_error`` is kept where the latest failure gave no reason."""
    told = dict(connection.execute(_CRITICALS, (connector,)).fetchone())
    failures = connection.execute(_FAILURES, (connector,)).fetchall()
    if not failures:
        return {**told, "last_error": last_error}
    return {
        **told,
        "failing_since": failures[0]["ended_at"],
        "failures": len(failures),
        "last_error": failures[-1]["reason"] or last_error,
    }
