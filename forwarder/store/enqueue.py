"""How a delivery comes to be owed: the one statement that every reason for it goes through."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Final

from forwarder.alert import Alert, Change
from forwarder.connector import Kind, Origin
from forwarder.store.connection import Connection, Row
from forwarder.store.life_records import Hold
from forwarder.store.links import STANDS
from forwarder.store.many import in_parts, places
from forwarder.store.records import AFTER_ALL_OPENS, LINKS_ONLY

_ENQUEUE: Final = """
INSERT INTO deliveries (
  alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at, worse, held_until, held_for
)
SELECT a.id, owed.column2, ?1, ?2, CASE WHEN owed.column4 IS NULL THEN 'ready' ELSE 'held' END,
  CASE a.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,
  -- Among equals the oldest goes first, and worse news and what people wait for before all of them.
  CASE WHEN ?3 = 1 OR ?4 = 1 THEN 0 ELSE a.published_at END, owed.column3, ?5, 0,
  ?3, CAST(owed.column4 AS DOUBLE PRECISION), owed.column5
FROM (VALUES {rows}) AS owed JOIN alerts AS a ON a.id = owed.column1
WHERE true ORDER BY owed.column6
ON CONFLICT DO NOTHING
"""


def enqueue(
    connection: Connection,
    alert_id: str,
    connector: str,
    kind: Kind,
    *,
    revision: int,
    why: str,
    now: float,
    worse: bool = False,
    hold: Hold | None = None,
) -> bool:
    """Owes one delivery, due at once or held; False where the very same one is or was owed already.

    ``worse`` says that an update carries worse news: it waits for no earlier update of the same alert, nor for others
    of its severity.
    """
    return _enqueue(connection, [_owed(alert_id, connector, why, hold)], kind, revision, now, worse=worse) > 0


def enqueue_all(connection: Connection, opens: Sequence[tuple[str, str, str, Hold | None]], *, now: float) -> None:
    """Owes new alerts: of each the id, the connector, why, and for what it is held."""
    _enqueue(connection, [_owed(*one) for one in opens], Kind.OPEN, 1, now)


_Owed = tuple[str, str, str, float | None, str | None]


def _owed(alert_id: str, connector: str, why: str, hold: Hold | None) -> _Owed:
    return (alert_id, connector, why, hold.until if hold else None, hold.reason if hold else None)


def _enqueue(
    connection: Connection,
    outstanding: Sequence[_Owed],
    kind: Kind,
    revision: int,
    now: float,
    *,
    worse: bool = False,
) -> int:
    given = (kind.value, revision, int(worse), int(kind.responds), now)
    numbered = [(*one, number) for number, one in enumerate(outstanding)]
    return sum(
        connection.execute(_ENQUEUE.format(rows=places(rows, after=len(given))), (*given, *chain(*rows))).rowcount
        for rows in in_parts(numbered)
    )


def enqueue_withdrawal(
    connection: Connection, alert_id: str, *, why: str, now: float, among: Collection[str] | None = None
) -> frozenset[str]:
    """Owes a withdrawal to each connector that was sent the alert, and returns these; forgets what was not sent yet.

    ``among`` leaves out all others, such as connectors that the config does not name any more.
    """
    connection.execute(
        "DELETE FROM deliveries WHERE alert_id = ? AND (state = 'held' OR state = 'ready' AND attempts = 0)",
        (alert_id,),
    )
    rows = connection.execute(
        "SELECT DISTINCT connector FROM deliveries WHERE alert_id = ? AND state <> 'dead'", (alert_id,)
    ).fetchall()
    sent = frozenset(name for (name,) in rows if among is None or name in among)
    for name in sorted(sent):
        enqueue(connection, alert_id, name, Kind.WITHDRAW, revision=1, why=why, now=now)
    return sent


def enqueue_discarded(
    connection: Connection, alert_id: str, connector: str, *, revision: int, why: str, now: float
) -> bool:
    """Owes after all what a person discarded, looked for first where it may have arrived; False where nobody did.

    The note of it is there until the delivery is: where another one stands in its place, it stays.
    """
    discard = connection.execute(
        "SELECT enqueued_at, uncertain, sent_as FROM discards WHERE alert_id = ? AND connector = ?",
        (alert_id, connector),
    ).fetchone()
    if discard is None or not enqueue(connection, alert_id, connector, Kind.OPEN, revision=revision, why=why, now=now):
        return False
    connection.execute("DELETE FROM discards WHERE alert_id = ? AND connector = ?", (alert_id, connector))
    if discard["uncertain"]:
        connection.execute(
            "UPDATE deliveries SET state = 'uncertain', enqueued_at = ?, sent_as = ?"
            " WHERE alert_id = ? AND connector = ? AND kind = 'open'",
            (discard["enqueued_at"], discard["sent_as"], alert_id, connector),
        )
    return True


def enqueue_links(connection: Connection, settled: Row, followers: Collection[str], now: float, due_at: float) -> None:
    """Owes the new link to messages about the same alert that went out without it.

    What is held brings it along once it goes out, and what a digest told has no message that could show it.
    """
    for follower in followers:
        if follower != settled["connector"]:
            connection.execute(
                "INSERT INTO deliveries"
                " (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at)"
                " SELECT alert_id, connector, 'update', ?1, 'ready', rank % ?2 + ?2, published_at, ?3, ?4, ?5"
                f" FROM deliveries AS o WHERE alert_id = ?6 AND connector = ?7 AND kind = 'open' AND {STANDS}"
                "   AND NOT (state = 'ready' AND attempts = 0)"
                " ON CONFLICT (alert_id, connector, kind, revision) DO UPDATE SET"
                "   state = 'ready', why = excluded.why, due_at = excluded.due_at, settled_at = NULL"
                " WHERE deliveries.state IN ('delivered', 'dead')",
                (
                    LINKS_ONLY,
                    AFTER_ALL_OPENS,
                    f"{settled['connector']} has a link now",
                    now,
                    due_at,
                    settled["alert_id"],
                    follower,
                ),
            )


def record_change(connection: Connection, alert_id: str, revision: int, changes: Sequence[Change], now: float) -> None:
    told = json.dumps([{"field": change.field, "old": change.old, "new": change.new} for change in changes])
    connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (alert_id, revision, now, told))


def keep_own(connection: Connection, own: Alert, origin: Origin, *, now: float) -> None:
    """Keeps what the forwarder tells of its own accord, as an alert of that origin."""
    connection.execute(
        "INSERT INTO alerts (id, origin, severity, published_at, body, seen_at, trail, unrouted)"
        " VALUES (?, ?, ?, ?, ?, ?, '[]', 0)",
        (
            own.id,
            origin.value,
            own.severity.value,
            own.published_at.timestamp(),
            json.dumps(dict(own.raw), sort_keys=True, separators=(",", ":")),
            now,
        ),
    )
