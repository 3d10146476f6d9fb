"""Which critical alert has waited the longest for a connector, whatever the reason. Nothing here writes."""

from __future__ import annotations

from typing import Any, Final

from forwarder.store.alarm_records import Line
from forwarder.store.connection import Connection, Row
from forwarder.store.failing import ANSWERED
from forwarder.store.records import AFTER_ALL_OPENS

LATE_AFTER: Final = 600.0
"""Seconds that a critical alert may wait for, whatever holds it up, its connector's ``max_rate`` included."""
LOOKED_AT: Final = 1000
"""Of how many lesser deliveries, the worst first, it is looked whether CISA's list has their alert."""

_WAITS: Final = "d.kind IN ('open', 'update') AND d.enqueued_at <= :before AND (d.id <> :besides OR :besides IS NULL)"
_COLUMNS: Final = "d.id, d.alert_id, d.enqueued_at, d.rank, d.last"

# What is on CISA's list counts as critical.
_OLDEST: Final = f"""
SELECT d.id, d.enqueued_at, d.rank, d.last, a.body AS facts, a.origin = 'alarm' AS own,
  {{kev}} AS kev,
  -- What was given up, and is owed again, is late from then on.
  (SELECT max(at) FROM attempts WHERE delivery_id = d.id AND outcome IN ('gave_up', 'rejected')) AS given_up_at
FROM (
  SELECT {_COLUMNS} FROM deliveries AS d
  WHERE d.connector = :connector AND d.state IN ('ready', 'uncertain') AND d.rank = 0 AND {_WAITS}
  UNION ALL
  SELECT {_COLUMNS} FROM (
    SELECT * FROM deliveries
    WHERE connector = :connector AND state IN ('ready', 'uncertain') AND rank > 0 AND rank < {AFTER_ALL_OPENS}
    ORDER BY rank LIMIT {LOOKED_AT}
  ) AS d WHERE {_WAITS}
  UNION ALL
  SELECT {_COLUMNS} FROM deliveries AS d
  WHERE d.connector = :connector AND d.state = 'sending' AND d.rank < {AFTER_ALL_OPENS} AND {_WAITS}
) AS d JOIN alerts AS a ON a.id = d.alert_id
WHERE d.rank = 0 OR {{kev}} = 1
ORDER BY own, d.enqueued_at, d.rank, d.id LIMIT 1
"""

_IN_LINE: Final = """
SELECT count(*) FROM deliveries WHERE connector = ? AND state IN ('ready', 'uncertain') AND rank <= ?
"""

# After an outage, or a night without alerts, what waits is given the time to go out from the first answer on.
_ANSWERS_SINCE: Final = f"""
SELECT settled_at FROM (
  SELECT settled_at, lag(settled_at) OVER (ORDER BY settled_at) AS previous FROM deliveries AS s
  WHERE connector = :connector AND settled_at > :since - {LATE_AFTER} AND settled_at <= :now AND {ANSWERED}
) AS answers
WHERE previous IS NULL OR settled_at - previous > {LATE_AFTER} ORDER BY settled_at DESC LIMIT 1
"""
_TRIED: Final = """
SELECT max(tried_at) FROM deliveries WHERE connector = :connector AND state IN ('ready', 'uncertain', 'sending')
"""
_LAST: Final = """
SELECT last FROM deliveries WHERE connector = :connector AND state IN ('ready', 'uncertain') AND last <> ''
ORDER BY tried_at DESC NULLS LAST LIMIT 1
"""


def oldest(
    connection: Connection, connector: str, *, kev: str, besides: int | None, now: float
) -> tuple[Row, Line] | None:
    """The critical that has waited the longest, for ``LATE_AFTER`` at least, and its line; None where none has.

    An alarm of our own is it only where nothing else is.

    ``kev`` is the SQL that tells whether the body of the alert ``a`` is on CISA's list; ``besides`` is a delivery of
    which something else is told.
    """
    values: dict[str, Any] = {"connector": connector, "besides": besides, "before": now - LATE_AFTER, "now": now}
    row = connection.execute(_OLDEST.format(kev=kev), values).fetchone()
    if row is None:
        return None
    values |= {"since": row["enqueued_at"]}
    answers = connection.execute(_ANSWERS_SINCE, values).fetchone()
    last = connection.execute(_LAST, values).fetchone()
    return row, Line(
        length=connection.execute(_IN_LINE, (connector, row["rank"])).fetchone()[0],
        since=max(row["given_up_at"] or 0.0, answers[0] if answers else 0.0),
        tried_at=connection.execute(_TRIED, values).fetchone()[0],
        own=bool(row["own"]),
        reason=row["last"] or ("" if last is None else last[0]),
    )
