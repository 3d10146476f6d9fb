"""What people decide about what is owed: retry, discard, rename, replay, and when a paused connector is tried again."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Final

from forwarder.connector import Kind
from forwarder.store import memory
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue, enqueue_discarded
from forwarder.store.holds import release_alert
from forwarder.store.standing import OVER, catch_up


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
        """Owes dead letters once more, and returns how many.

        What may have reached its destination is looked for before it is sent. What tells of a trouble that is over is
        left alone; where it may have arrived, it is taken back there.
        """

        def work(connection: Connection) -> int:
            chosen = json.dumps(list(ids))
            # First, for a retry makes of an open what a withdrawal has to wait for.
            taken_back = connection.execute(_LEFT_BEHIND, (chosen,)).fetchall()
            count = owe_again(connection, ids, now=now)
            return count + sum(
                enqueue(connection, alert_id, connector, Kind.WITHDRAW, revision=1, why=OVER, now=now)
                for alert_id, connector in taken_back
            )

        return self._engine.write(work)

    def discard(self, ids: Collection[int]) -> int:
        """Gives up deliveries that are not settled as delivered, and returns how many there were.

        Only news for the worse, or a replay, sends the alert there after all. Of a repetition the message that it
        repeats stays.
        """

        def work(connection: Connection) -> int:
            chosen = (json.dumps(list(ids)),)
            kept = connection.execute(_KEEP_FORMER, chosen).rowcount
            connection.execute(_DISCARD_DIGESTS, chosen)
            connection.execute(_NOTE_DISCARDS, chosen)
            connection.execute(_FORGET_UPDATES, chosen)
            return kept + connection.execute(f"DELETE FROM deliveries WHERE {_UNDECIDED}", chosen).rowcount

        return self._engine.write(work)

    def rename(self, old: str, new: str, *, now: float | None = None) -> int:
        """Hands the deliveries of a connector that was renamed to its new name, and returns how many there were.

        All that is known of an alert moves together, or stays where the new name has its own: an update must not
        reach a message that has told it already. What the connector remembers goes along, and what was
        seen and heard of people there: what they did long ago is no news under another name. An alarm that ended, or
        changed, while neither name could be told is told to the new one, as of ``now``.
        """

        def work(connection: Connection) -> int:
            memory.rename(connection, old, new)
            connection.execute(_RENAME_DISCARDS, (new, old))
            connection.execute(_RENAME_NOTIFIED, (new, old))
            for statement in _RENAME_HEARD:
                connection.execute(statement, (new, old))
            moved = [alert_id for (alert_id,) in connection.execute(_RENAME, (new, old)).fetchall()]
            for alert_id in sorted(set(moved)):
                catch_up(connection, alert_id, new, now=time.time() if now is None else now)
            return len(moved)

        return self._engine.write(work)

    def replay(self, alert_ids: Collection[str], connectors: Collection[str], *, why: str, now: float) -> int:
        """Owes the alerts to the connectors once more, and returns how many deliveries that is.

        What arrived is repeated on purpose. What did not surely arrive is looked for first.
        """

        def work(connection: Connection) -> int:
            return sum(
                _requeue(connection, alert_id, connector, why, now)
                for alert_id in alert_ids
                for connector in connectors
            )

        return self._engine.write(work)


def owe_again(connection: Connection, ids: Collection[int], *, now: float) -> int:
    """Owes dead letters once more, looked for first where they may have arrived; returns how many."""
    return connection.execute(_RETRY, (now, json.dumps(list(ids)))).rowcount


# It may be there where an attempt since the last one that surely arrived ended in doubt. A delivery that was given up
# counts too: its last failure may have been one whose answer was lost.
_MAY_BE_THERE: Final = """
EXISTS (
  SELECT 1 FROM attempts AS a WHERE a.delivery_id = deliveries.id AND a.outcome IN ('uncertain', 'gave_up')
    AND a.number > (
      SELECT coalesce(max(b.number), 0) FROM attempts AS b
      WHERE b.delivery_id = deliveries.id AND b.outcome = 'delivered'
    )
)"""

_IS_OVER: Final = """
(kind <> 'withdraw' AND (
  EXISTS (SELECT 1 FROM deliveries AS w WHERE w.alert_id = deliveries.alert_id AND w.kind = 'withdraw')
  OR EXISTS (SELECT 1 FROM alerts AS o WHERE o.id = deliveries.alert_id AND o.origin = 'alarm'
    AND NOT EXISTS (SELECT 1 FROM alarms WHERE alarms.alert_id = o.id))
))"""

_RETRY: Final = f"""
UPDATE deliveries SET state = CASE WHEN {_MAY_BE_THERE} THEN 'uncertain' ELSE 'ready' END,
  due_at = 0, settled_at = NULL, failing_since = NULL, lookups = 0, enqueued_at = min(enqueued_at, ?)
WHERE state = 'dead' AND id IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND NOT {_IS_OVER}
"""

_LEFT_BEHIND: Final = f"""
SELECT alert_id, connector FROM deliveries
WHERE state = 'dead' AND kind = 'open' AND id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
  AND {_IS_OVER} AND {_MAY_BE_THERE}
"""

_UNDECIDED: Final = (
    "state IN ('dead', 'held', 'ready', 'uncertain') AND id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
)
_REPEATS: Final = "kind = 'open' AND receipt_id IS NOT NULL"

_KEEP_FORMER: Final = f"""
UPDATE deliveries SET state = 'delivered', failing_since = NULL, lookups = 0, last = '', settled_at = coalesce(
  (SELECT max(at) FROM attempts AS a WHERE a.delivery_id = deliveries.id AND a.outcome = 'delivered'), enqueued_at)
WHERE {_UNDECIDED} AND {_REPEATS}
"""

# Of an alert that a damaged file has lost nothing can be noted, and its dead letter goes all the same.
_NOTE_DISCARDS: Final = f"""
INSERT INTO discards (alert_id, connector, enqueued_at, uncertain, sent_as)
SELECT alert_id, connector, enqueued_at, CASE WHEN state = 'uncertain' OR {_MAY_BE_THERE} THEN 1 ELSE 0 END, sent_as
FROM deliveries WHERE {_UNDECIDED} AND kind = 'open' AND alert_id IN (SELECT id FROM alerts)
ON CONFLICT (alert_id, connector) DO UPDATE
  SET enqueued_at = excluded.enqueued_at, uncertain = excluded.uncertain, sent_as = excluded.sent_as
"""

# With a digest goes what it would have told.
_DISCARD_DIGESTS: Final = f"""
DELETE FROM deliveries WHERE state = 'held' AND held_for IN (
  SELECT 'digest ' || alert_id FROM deliveries WHERE {_UNDECIDED} AND kind = 'open'
)
"""

# Each would bring the whole alert there, for it has nothing that it could change.
_FORGET_UPDATES: Final = f"""
DELETE FROM deliveries WHERE kind NOT IN ('open', 'withdraw') AND worse = 0 AND state IN ('ready', 'uncertain')
AND EXISTS (
  SELECT 1 FROM deliveries AS o WHERE o.alert_id = deliveries.alert_id AND o.connector = deliveries.connector
    AND o.kind = 'open' AND o.{_UNDECIDED}
) AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))
"""

# Chosen before any of them is moved: one that was would keep back the next one of its alert.
_RENAME: Final = """
UPDATE deliveries SET connector = ?1, sent_as = coalesce(sent_as, connector)
WHERE id IN (
  SELECT old.id FROM deliveries AS old WHERE old.connector = ?2 AND NOT EXISTS (
    SELECT 1 FROM deliveries AS has WHERE has.alert_id = old.alert_id AND has.connector = ?1
  )
) RETURNING alert_id
"""

_RENAME_NOTIFIED: Final = """
UPDATE alarms SET notified = (
  SELECT json_group_array(CASE WHEN value = ?2 THEN ?1 ELSE value END) FROM json_each(notified)
)
WHERE ?2 IN (SELECT value FROM json_each(notified))
"""

_RENAME_DISCARDS: Final = """
UPDATE discards SET connector = ?1, sent_as = coalesce(sent_as, connector)
WHERE connector = ?2 AND alert_id NOT IN (SELECT alert_id FROM discards WHERE connector = ?1)
"""

# What the new name found where it already had alerts of its own is the newer truth. Otherwise it has looked without
# knowing any, and begins where the old one ended.
_RENAME_HEARD: Final = (
    "UPDATE missed SET connector = ?1 WHERE connector = ?2 AND NOT EXISTS ("
    "  SELECT 1 FROM deliveries AS has WHERE has.alert_id = missed.alert_id AND has.connector = ?1)",
    "UPDATE sightings SET connector = ?1 WHERE connector = ?2"
    " AND alert_id NOT IN (SELECT alert_id FROM sightings WHERE connector = ?1) AND NOT EXISTS ("
    "  SELECT 1 FROM deliveries AS has WHERE has.alert_id = sightings.alert_id AND has.connector = ?1)",
    "UPDATE heard SET connector = ?1 WHERE connector = ?2 AND key NOT IN (SELECT key FROM heard WHERE connector = ?1)",
    "DELETE FROM looks WHERE connector = ?1 AND EXISTS (SELECT 1 FROM looks WHERE connector = ?2)"
    " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE connector = ?1)",
    "UPDATE looks SET connector = ?1 WHERE connector = ?2 AND NOT EXISTS (SELECT 1 FROM looks WHERE connector = ?1)",
)

# What arrived is sent again on purpose: its receipt stays, so that a look for the repetition does not take the one for
# the other. What died is sent for the first time, and may be there for all that.
_REPEAT: Final = """
UPDATE deliveries SET state = 'ready', why = ?, enqueued_at = ?, due_at = 0, settled_at = NULL, failing_since = NULL,
  lookups = 0
WHERE alert_id = ? AND connector = ? AND kind = 'open' AND state = 'delivered'
"""
_REVIVE: Final = f"""
UPDATE deliveries SET state = CASE WHEN {_MAY_BE_THERE} THEN 'uncertain' ELSE 'ready' END, why = ?1,
  enqueued_at = CASE WHEN {_MAY_BE_THERE} THEN min(enqueued_at, ?2) ELSE ?2 END,
  due_at = 0, settled_at = NULL, failing_since = NULL, lookups = 0
WHERE alert_id = ?3 AND connector = ?4 AND kind = 'open' AND state = 'dead'
"""


def _requeue(connection: Connection, alert_id: str, connector: str, why: str, now: float) -> bool:
    connection.execute("UPDATE alerts SET unrouted = 0 WHERE id = ?", (alert_id,))
    if release_alert(connection, alert_id, now=now, connector=connector):
        return True
    for statement in (_REPEAT, _REVIVE):
        if connection.execute(statement, (why, now, alert_id, connector)).rowcount:
            return True
    return enqueue_discarded(connection, alert_id, connector, revision=1, why=why, now=now) or enqueue(
        connection, alert_id, connector, Kind.OPEN, revision=1, why=why, now=now
    )
