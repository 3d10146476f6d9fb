"""Mutes that people set, what all of them keep quiet, and what becomes of that when one ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final

from forwarder.alert import Alert, got_worse
from forwarder.common.clock import instant
from forwarder.config import Mute
from forwarder.connector import MuteRequest
from forwarder.store import quiet, unreadable
from forwarder.store.accounts import owed_for, routed_anew
from forwarder.store.changes import enqueue_change
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.forms import trail_of
from forwarder.store.life_records import Heard
from forwarder.store.lifecycle import alert_at, heard_first
from forwarder.store.mute_records import Asked, MutedBy, MuteRow, RoutedAnew
from forwarder.store.records import RoutedAlert

BATCH: Final = 200
"""Alerts that one transaction judges: deliveries must not wait long for theirs."""

Route = Callable[[Alert, Sequence[str], Sequence[MuteRow], bool], RoutedAlert]
"""Where an alert goes now, or what mutes it, given the accounts for which it is owed, the mutes of people that stand,
and whether it has got worse."""
Muted = Callable[[Alert, Sequence[str], bool], MutedBy | None]
"""What mutes an alert, given the accounts for which it is owed, and whether it has got worse."""
MuteOf = Callable[[Alert], Mute | None]
"""The mute that somebody asked for, given the alert that they saw; None where it has nothing to go by."""

_OWN: Final = frozenset({"until", "reason", "even_if_worse"})
"""What of a mute has a column of its own: the rest is conditions."""

_ADD: Final = """
INSERT INTO mutes (conditions, even_if_worse, until, reason, person, place, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
RETURNING *
"""

_STANDING: Final = """
SELECT id, conditions, even_if_worse, until, reason, person, place, created_at, ended_at, ended_by FROM mutes
WHERE ended_at IS NULL AND until > ? ORDER BY id
"""

# Each step asks the index for the next one: however many alerts are quiet, there are few mutes.
_KEEPING: Final = """
WITH RECURSIVE keeping (mute) AS (
  SELECT min(muted_by) FROM alerts WHERE muted_by IS NOT NULL
  UNION ALL
  SELECT (SELECT min(muted_by) FROM alerts WHERE muted_by IS NOT NULL AND muted_by > mute)
  FROM keeping WHERE mute IS NOT NULL
)
SELECT mute FROM keeping WHERE mute IS NOT NULL
"""

_KEPT_BY: Final = """
SELECT * FROM alerts WHERE muted_by IS NOT NULL AND muted_by IN (SELECT value FROM json_each(?)) AND past = 0 LIMIT ?
"""

# What a digest was made of is on its way with it, and so is what was ever tried.
_UNTOLD: Final = """(
  d.kind = 'open'
  AND (d.state = 'held' AND d.held_for NOT LIKE 'digest %' OR d.state = 'ready' AND d.tried_at IS NULL)
)"""

# As a whole it has gone nowhere yet: an alert that stands anywhere is told to the end.
_WAITING: Final = f"""
SELECT * FROM alerts AS a WHERE origin = 'feed' AND past = 0 AND muted_by IS NULL
  AND id IN (
    SELECT alert_id FROM deliveries WHERE state = 'held'
    UNION SELECT alert_id FROM deliveries WHERE state IN ('ready', 'uncertain') AND tried_at IS NULL
  )
  AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = a.id AND NOT {_UNTOLD})
  AND NOT EXISTS (SELECT 1 FROM discards AS d WHERE d.alert_id = a.id)
  AND id > ? ORDER BY id LIMIT ?
"""

_LET_OUT: Final = """
UPDATE alerts SET muted_by = NULL, mute = NULL, trail = :trail, unrouted = CASE WHEN :unrouted = 1
  AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = alerts.id AND d.kind = 'open')
  AND NOT EXISTS (SELECT 1 FROM discards AS d WHERE d.alert_id = alerts.id) THEN 1 ELSE 0 END
WHERE id = :id
"""


class MuteStore:
    """The side of the store that knows what is muted, why, and until when."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, rule: Mute, *, person: str, place: str, now: float) -> MuteRow:
        """Keeps a mute that a person set."""
        return self._engine.write(lambda connection: _add(connection, rule, person, place, now))

    def ask(self, connector: str, request: MuteRequest, mute_of: MuteOf, *, now: float) -> Asked:
        """Keeps a mute that somebody asked for at a connector's destination, however often that tells of it."""

        def work(connection: Connection) -> Asked:
            alert_id = alert_at(connection, connector, request.remote_id)
            row = connection.execute("SELECT * FROM alerts WHERE id = ?", (alert_id,)).fetchone()
            # Only what is kept counts as heard: of anything else the answer is the same once more.
            if row is None:
                return Asked(heard=Heard.UNKNOWN)
            rule = mute_of(unreadable.alert_of(row, row["id"])[0])
            if rule is None:
                return Asked(heard=Heard.UNCHANGED)
            if not heard_first(connection, connector, request.key, now=now):
                return Asked(heard=Heard.REPEATED)
            return Asked(heard=Heard.CHANGED, mute=_add(connection, rule, request.person, connector, now))

        return self._engine.write(work)

    def end(self, number: int, *, by: str, now: float) -> bool:
        """Ends a person's mute before its time; False where none of that number stands."""
        return self._engine.write(
            lambda connection: bool(
                connection.execute(
                    "UPDATE mutes SET ended_at = ?1, ended_by = ?2 WHERE id = ?3 AND ended_at IS NULL AND until > ?1",
                    (now, by, number),
                ).rowcount
            )
        )

    def standing(self, now: float) -> list[MuteRow]:
        """The mutes of people that have not ended."""
        return _standing_of(self._engine.find(_STANDING, (now,)), now)

    def all(self) -> list[MuteRow]:
        """The mutes of people, also those that have ended, the newest first."""
        with self._engine.read() as connection:
            return [_mute_row(row) for row in connection.execute("SELECT * FROM mutes ORDER BY id DESC")]

    def count(self) -> int:
        """How many alerts are muted."""
        with self._engine.read() as connection:
            count: int = connection.execute("SELECT count(*) FROM alerts WHERE muted_by IS NOT NULL").fetchone()[0]
        return count

    def counts(self) -> dict[str, int]:
        """How many alerts each mute keeps quiet, by its id; those that keep none are left out."""
        with self._engine.read() as connection:
            return dict(
                connection.execute(
                    "SELECT muted_by, count(*) FROM alerts WHERE muted_by IS NOT NULL GROUP BY muted_by"
                ).fetchall()
            )

    def quiet(self, mute: str) -> list[tuple[Alert, bool, tuple[str, ...]]]:
        """The alerts that one mute keeps quiet, each with whether it has got worse, and the accounts that it is for."""
        with self._engine.read() as connection:
            rows = connection.execute(_KEPT_BY, (json.dumps([mute]), -1)).fetchall()
            accounts = owed_for(connection, [row["id"] for row in rows])
            return [
                (
                    unreadable.alert_of(row, row["id"])[0],
                    _got_worse(connection, row["id"]),
                    accounts.get(row["id"], ()),
                )
                for row in rows
            ]

    def route_anew(self, route: Route, *, standing: Collection[str], now: float) -> RoutedAnew:
        """Routes a batch of what no mute that stands keeps quiet any more; nothing is judged where there is none.

        ``standing`` are the ids of the config's mutes that stand; those of people are looked up. What another one of
        them mutes stays quiet by that; the rest is owed by the routes of now, in the same transaction.
        """

        def work(connection: Connection) -> RoutedAnew:
            people = _standing_of(connection.execute(_STANDING, (now,)), now)
            known = {*standing, *(mute.id for mute in people)}
            ended = [mute for (mute,) in connection.execute(_KEEPING).fetchall() if mute not in known]
            rows = connection.execute(_KEPT_BY, (json.dumps(ended), BATCH)).fetchall() if ended else []
            still, reached = 0, set[str]()
            seen_by = owed_for(connection, [row["id"] for row in rows])
            for row in rows:
                alert, _ = unreadable.alert_of(row, row["id"])
                item = route(alert, seen_by.get(row["id"], ()), people, _got_worse(connection, row["id"]))
                if item.muted:
                    still += 1
                    _hush(connection, row["id"], item.muted)
                else:
                    reached |= _let_out(connection, row, item, now)
            return RoutedAnew(judged=len(rows), still_muted=still, connectors=frozenset(reached))

        return self._engine.write(work)

    def hush(self, muted: Muted) -> int:
        """Keeps quiet what is muted of the alerts that have gone nowhere yet, but wait; returns how many."""
        count, after = 0, ""
        while batch := self._engine.write(partial(_hush_waiting, muted=muted, after=after)):
            after, hushed = batch
            count += hushed
        return count


def _hush_waiting(connection: Connection, muted: Muted, after: str) -> tuple[str, int] | None:
    """The last alert of the batch that was looked at, and how many of it are muted; None where none was left."""
    rows = connection.execute(_WAITING, (after, BATCH)).fetchall()
    count = 0
    seen_by = owed_for(connection, [row["id"] for row in rows])
    for row in rows:
        alert, fault = unreadable.alert_of(row, row["id"])
        if not fault and (by := muted(alert, seen_by.get(row["id"], ()), _got_worse(connection, row["id"]))):
            connection.execute("DELETE FROM deliveries WHERE alert_id = ?", (row["id"],))
            _hush(connection, row["id"], by)
            count += 1
    return (rows[-1]["id"], count) if rows else None


def _hush(connection: Connection, alert_id: str, muted: MutedBy) -> None:
    connection.execute("UPDATE alerts SET muted_by = ?, mute = ? WHERE id = ?", (*quiet.columns(muted), alert_id))


def _let_out(connection: Connection, row: Row, item: RoutedAlert, now: float) -> set[str]:
    """Owes an alert wherever the routes lead, but where it was sent on purpose meanwhile."""
    reached = enqueue_change(connection, item, (), revision=row["revision"], connectors=(), now=now)
    values = {"id": row["id"], "trail": trail_of(item.decision), "unrouted": int(item.unrouted)}
    connection.execute(_LET_OUT, values)
    routed_anew(connection, row["id"])
    return reached


def _got_worse(connection: Connection, alert_id: str) -> bool:
    rows = connection.execute("SELECT changes FROM changes WHERE alert_id = ?", (alert_id,))
    return any(got_worse(unreadable.changes_in(changes)) for (changes,) in rows)


def _add(connection: Connection, rule: Mute, person: str, place: str, now: float) -> MuteRow:
    conditions = rule.model_dump(mode="json", exclude_defaults=True, exclude=set(_OWN))
    values = (json.dumps(conditions), int(rule.even_if_worse), rule.until.timestamp(), rule.reason, person, place, now)
    return _mute_row(connection.execute(_ADD, values).fetchone())


def _standing_of(rows: Iterable[Row], now: float) -> list[MuteRow]:
    return [mute for row in rows if (mute := _mute_row(row)).stands(now)]


def _mute_row(row: Row) -> MuteRow:
    rule, fault = _rule(row)
    return MuteRow(
        id=str(row["id"]),
        rule=rule,
        until=unreadable.seconds(row["until"]),
        reason=row["reason"],
        person=row["person"],
        place=row["place"],
        created_at=unreadable.seconds(row["created_at"]),
        ended_at=None if row["ended_at"] is None else unreadable.seconds(row["ended_at"]),
        ended_by=row["ended_by"] or "",
        unreadable=fault,
    )


def _rule(row: Row) -> tuple[Mute | None, str]:
    """What a mute says, and what is wrong where it cannot be read: one of a newer version may know more conditions."""
    try:
        told: dict[str, Any] = {
            **json.loads(row["conditions"]),
            "until": instant(row["until"]),
            "reason": row["reason"],
            "even_if_worse": bool(row["even_if_worse"]),
        }
        return Mute.model_validate(told), ""
    except Exception as error:
        return None, unreadable.why(error)
