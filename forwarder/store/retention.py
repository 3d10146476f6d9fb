"""Keeping the database small: what is older than ``keep`` goes, a little at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Final

from forwarder.common.accounts import DEFAULT
from forwarder.connector import Origin
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine

BATCH: Final = 500
"""Alerts that one transaction removes: deliveries must not wait for a prune."""
DAY: Final = 86400
"""Seconds by which one whose date is a day alone may have been published later than the day's beginning."""
_OLD: Final = """
SELECT id FROM alerts AS a
WHERE seen_at < ?1 AND published_at < min(?2, (
    SELECT coalesce(min(cursor), ?2) FROM feed WHERE account IN (SELECT value FROM json_each(?5))
  ) - ?3)
  AND NOT EXISTS (
    SELECT 1 FROM deliveries AS d WHERE d.alert_id = a.id AND d.state <> 'delivered'
  )
  -- What a mute keeps from going out is still to go out.
  AND a.muted_by IS NULL
  -- By the alert of an alarm that stands people are told that it ended.
  AND NOT EXISTS (SELECT 1 FROM alarms WHERE alarms.alert_id = a.id)
ORDER BY seen_at LIMIT ?4
"""


class Retention:
    """The side of the store that forgets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prove_writable(self) -> None:
        """Writes something that changes nothing; raises StoreError where the database takes no writes."""
        self._engine.write(lambda connection: connection.execute("UPDATE feed SET id = id"))

    def prune(
        self,
        *,
        seen_before: float,
        published_before: float,
        overlap: float = 0.0,
        accounts: Collection[str] = (DEFAULT,),
    ) -> int:
        """Removes up to BATCH settled alerts that are old by both times, and returns how many there were.

        What is still owed or dead stays, and so does what the feed can show again. A feed that is quiet for long shows,
        ``overlap`` seconds behind its cursor, what is old by any other measure; and a clock of ours that is ahead makes
        everything look old. ``accounts`` are those whose feeds are read. Their floors rise to the newest time of
        publication that is forgotten.
        """

        def work(connection: Connection) -> int:
            removed = connection.execute(
                f"DELETE FROM alerts WHERE id IN ({_OLD}) RETURNING origin,"
                f" published_at + {DAY} * (1 - exact) AS published_by",
                (seen_before, published_before, overlap, BATCH, json.dumps(list(accounts))),
            ).fetchall()
            forgotten = [row["published_by"] for row in removed if row["origin"] == Origin.FEED.value]
            _raise_floors(connection, forgotten, accounts)
            connection.execute("DELETE FROM set_aside WHERE seen_at < ?", (seen_before,))
            connection.execute("DELETE FROM gaps WHERE noticed_at < ?", (seen_before,))
            return len(removed)

        removed = self._engine.write(work)
        self._engine.tidy(removed)
        return removed


def _raise_floors(connection: Connection, forgotten: list[float], accounts: Collection[str]) -> None:
    """Lets nothing that is forgotten come back as new, however much more of the past becomes readable later.

    Nor by another account, also one that is named only later.
    """
    if forgotten:
        just_after = math.nextafter(max(forgotten), math.inf)
        connection.execute(
            "UPDATE feed SET floor = max(coalesce(floor, ?1), ?1), forgotten = max(coalesce(forgotten, ?1), ?1)"
            " WHERE floor IS NOT NULL OR account IN (SELECT value FROM json_each(?2))",
            (just_after, json.dumps(list(accounts))),
        )
