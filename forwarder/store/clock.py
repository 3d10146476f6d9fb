"""What is written down of troubles, when the clock by which it was is set."""

from __future__ import annotations

import math
from typing import Final

from forwarder.store.connection import Connection

_DAY: Final = 86400.0
_UNROUTED: Final = "unrouted = 1 AND origin = 'feed'"
_SHIFT: Final = (
    "UPDATE alarms SET since = since + :step, notified_at = notified_at + :step WHERE notified_at <= :until",
    "UPDATE alarms SET last_at = last_at + :step WHERE last_at <= :until",
    "UPDATE failures SET at = at + :step WHERE at BETWEEN :since AND :until",
    "UPDATE gaps SET noticed_at = noticed_at + :step WHERE noticed_at BETWEEN :since AND :until",
    "UPDATE set_aside SET seen_at = seen_at + :step WHERE seen_at BETWEEN :since AND :until",
    f"UPDATE alerts SET seen_at = seen_at + :step WHERE {_UNROUTED} AND seen_at BETWEEN :since AND :until",
    "UPDATE changes SET at = at + :step WHERE at BETWEEN :since AND :until"
    f" AND alert_id IN (SELECT id FROM alerts WHERE {_UNROUTED})",
)
"""An alarm ends a day after the last time, and is told again after a day: neither by a clock that jumped there.

What is older than that stays as it was written down, unless the step back would make it recent again.
"""


_FAILING: Final = """
SELECT connector, min(failing_since) FROM (
  SELECT connector, failing_since FROM deliveries WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL
  UNION ALL
  SELECT connector, failing_since FROM deliveries WHERE state = 'sending' AND failing_since IS NOT NULL
) AS failing GROUP BY connector
"""
_SETTLED_SINCE: Final = "connector = :connector AND settled_at IS NOT NULL AND settled_at BETWEEN :since AND :until"
_SHIFT_SETTLED: Final = (
    f"UPDATE attempts SET at = at + :step WHERE delivery_id IN (SELECT id FROM deliveries WHERE {_SETTLED_SINCE})",
    f"UPDATE deliveries SET settled_at = settled_at + :step WHERE {_SETTLED_SINCE}",
)


def shift_settled(connection: Connection, seconds: float, until: float) -> None:
    """Moves along what was settled since something that is owed to the same connector began to fail.

    Which of the two was first tells what fails by itself. What was settled before is history, and stays.
    """
    for connector, since in connection.execute(_FAILING).fetchall():
        values = {"connector": connector, "since": since, "until": until, "step": seconds}
        for statement in _SHIFT_SETTLED:
            connection.execute(statement, values)


def shift_troubles(connection: Connection, seconds: float, until: float) -> None:
    """Moves along what is dated no later than ``until``, the time before the clock was set by ``seconds``."""
    since = until - _DAY - abs(seconds) if until < math.inf else -math.inf
    for statement in _SHIFT:
        connection.execute(statement, {"step": seconds, "until": until, "since": since})
