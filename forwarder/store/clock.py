"""What is written down of troubles, when the clock by which it was is set."""

from __future__ import annotations

import math
import sqlite3
from typing import Final

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


def shift_troubles(connection: sqlite3.Connection, seconds: float, until: float) -> None:
    """Moves along what is dated no later than ``until``, the time before the clock was set by ``seconds``."""
    since = until - _DAY - abs(seconds) if until < math.inf else -math.inf
    for statement in _SHIFT:
        connection.execute(statement, {"step": seconds, "until": until, "since": since})
