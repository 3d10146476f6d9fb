"""What nobody has acted on: which alerts wait for people, since when, and how often they were reminded of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forwarder.alert import Alert, Severity
from forwarder.connector import Kind, Status
from forwarder.store import unreadable
from forwarder.store.accounts import owed_for
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue
from forwarder.store.holds import release_alert

# A clock that was ahead for a while must not keep it quiet until it is so late again.
_KEEP: Final = """
INSERT INTO reminders VALUES (?, ?)
ON CONFLICT (reminder) DO UPDATE SET since = min(reminders.since, excluded.since)
"""
_FORGET: Final = """
DELETE FROM reminders WHERE reminder NOT IN (SELECT value FROM json_each(?))
"""

# What never went out, or is held, nobody can have acted on.
_UNRESOLVED: Final = """
SELECT a.id, a.body, a.severity, a.published_at, a.status, r.step, r.again_at, r.response AS told_response,
  coalesce((SELECT max(number) FROM responses WHERE alert_id = a.id), 0) AS response,
  (SELECT max(at) FROM responses WHERE alert_id = a.id AND action = 'reopen') AS reopened_at,
  (SELECT coalesce(json_group_object(connector, enqueued_at), '{}') FROM deliveries
    WHERE alert_id = a.id AND kind = 'open' AND state <> 'held') AS opens
FROM alerts AS a LEFT JOIN reminded AS r ON r.alert_id = a.id AND r.reminder = :reminder
WHERE a.id IN (SELECT value FROM json_each(:ids))
  AND a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0 AND a.severity IN (SELECT value FROM json_each(:severities))
  AND a.status IN (SELECT value FROM json_each(:statuses)) AND a.status <> 'resolved'
  AND EXISTS (SELECT 1 FROM deliveries WHERE alert_id = a.id AND kind = 'open' AND state <> 'held')
"""
_ALL: Final = "SELECT DISTINCT alert_id FROM unfinished WHERE alert_id > ? ORDER BY alert_id LIMIT ?"

_OWED: Final = "SELECT alert_id FROM deliveries WHERE enqueued_at > ? AND enqueued_at <= ? AND kind = 'open'"
_CHANGED: Final = "SELECT alert_id FROM changes WHERE at > ?"
_JOINED: Final = "SELECT alert_id FROM alert_accounts WHERE seen_at > ? AND account <> 'default'"
_REOPENED: Final = "SELECT alert_id FROM responses WHERE action = 'reopen' AND at > ?"
_AGAIN: Final = "SELECT alert_id FROM reminded WHERE reminder = ? AND again_at <= ?"

_TOLD: Final = """
INSERT INTO reminded (alert_id, reminder, response, step) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (alert_id, reminder) DO UPDATE SET response = ?3, step = ?4
"""
_OVER: Final = "UPDATE reminded SET again_at = NULL WHERE reminder = ? AND again_at <= ?"
_PUT_OFF: Final = "UPDATE reminded SET again_at = ? WHERE reminder = ? AND alert_id = ?"

_AT_ONCE: Final = 500
"""Alerts that are read together: of a million the store holds no more in memory."""

_OPEN: Final = "SELECT state, attempts FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'open'"
_NEXT: Final = """
SELECT coalesce(max(revision), 0) + 1 FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'remind'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unresolved:
    """An alert that is not done: since when each connector was owed it, and the last time that it was reopened.

    ``read`` gives the alert itself: of most, nothing else is needed. ``accounts`` are those for which it is owed.

    ``response`` is the number of the last response, 0 where there was none. ``told`` is the last step of the reminder
    that was told since then, None where there was none; ``again_at`` is when the next one was to be told.
    """

    id: str
    severity: Severity
    read: Callable[[], Alert]
    status: Status
    opens: Mapping[str, float]
    reopened_at: float | None
    response: int
    told: int | None
    again_at: float | None
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """Alerts of which something moved, and nothing of any other: what may have become due since an earlier look.

    These are alerts that any connector came to be owed in one of the spans ``owed`` (after the first time, up to the
    second), that changed, came to be seen by another account or were reopened after a time, and those that are to be
    told again by ``now``.
    """

    owed: Collection[tuple[float, float]]
    changed: float
    reopened: float
    now: float


class ReminderStore:
    """The side of the store that reminders go by."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, reminders: Collection[str], *, now: float) -> dict[str, float]:
        """Since when each of the reminders in the config is there, by its key; those that left it are forgotten."""

        def work(connection: Connection) -> dict[str, float]:
            connection.execute(_FORGET, (json.dumps(list(reminders)),))
            connection.executemany(_KEEP, [(key, now) for key in reminders])
            return dict(connection.execute("SELECT reminder, since FROM reminders").fetchall())

        return self._engine.write(work)

    def unresolved(
        self,
        reminder: str,
        *,
        severities: Collection[Severity],
        statuses: Collection[Status],
        moved: Moved | None = None,
    ) -> Iterator[Unresolved]:
        """The alerts that went out and have one of these severities and statuses; those that ``moved`` alone."""
        asked = {
            "reminder": reminder,
            "severities": json.dumps([severity.value for severity in severities]),
            "statuses": json.dumps([status.value for status in statuses]),
        }
        for ids in self._all() if moved is None else self._moved(reminder, moved):
            with self._engine.read() as connection:
                rows = connection.execute(_UNRESOLVED, {**asked, "ids": json.dumps(ids)}).fetchall()
                accounts = owed_for(connection, [row["id"] for row in rows])
            yield from (_unresolved(row, accounts.get(row["id"], ())) for row in rows)

    def _all(self) -> Iterator[Sequence[str]]:
        last = ""
        while True:
            with self._engine.read() as connection:
                ids = [alert_id for (alert_id,) in connection.execute(_ALL, (last, _AT_ONCE))]
            if not ids:
                return
            last = ids[-1]
            yield ids

    def _moved(self, reminder: str, moved: Moved) -> Iterator[Sequence[str]]:
        questions: list[tuple[str, tuple[Any, ...]]] = [(_OWED, span) for span in moved.owed]
        questions += [(_CHANGED, (moved.changed,)), (_JOINED, (moved.changed,))]
        questions += [(_REOPENED, (moved.reopened,)), (_AGAIN, (reminder, moved.now))]
        with self._engine.read() as connection:
            found = {alert_id for sql, values in questions for (alert_id,) in connection.execute(sql, values)}
        ids = sorted(found)
        for first in range(0, len(ids), _AT_ONCE):
            yield ids[first : first + _AT_ONCE]

    def put_off(self, reminder: str, again: Mapping[str, float]) -> None:
        """Keeps when each of these alerts, which were told, is to be told again, by its id."""
        rows = [(at, reminder, alert_id) for alert_id, at in again.items()]
        self._engine.write(lambda connection: connection.executemany(_PUT_OFF, rows))

    def forget(self, reminder: str, *, by: float) -> None:
        """Tells nothing again that was to be told again ``by`` then, and was not put off: it is over."""
        self._engine.write(lambda connection: connection.execute(_OVER, (reminder, by)))

    def remind(
        self, reminder: str, unresolved: Unresolved, step: int, *, why: str, connectors: Collection[str], now: float
    ) -> frozenset[str] | None:
        """Owes a reminder to each of ``connectors``, once; those that do not have the alert are owed that itself.

        Returns those that are owed something by it, None where somebody acted meanwhile.
        """
        alert_id = unresolved.id

        def work(connection: Connection) -> frozenset[str] | None:
            status = connection.execute("SELECT status FROM alerts WHERE id = ?", (alert_id,)).fetchone()
            if status is None or status["status"] != unresolved.status.value:
                return None
            connection.execute(_TOLD, (alert_id, reminder, unresolved.response, step))
            return frozenset(name for name in connectors if _owe(connection, alert_id, name, why, now))

        return self._engine.write(work)


def _unresolved(row: Row, accounts: tuple[str, ...]) -> Unresolved:
    return Unresolved(
        id=row["id"],
        severity=unreadable.member(Severity, row["severity"], Severity.CRITICAL),
        read=lambda: unreadable.alert_of(row, row["id"])[0],
        status=Status(row["status"]),
        opens=json.loads(row["opens"]),
        reopened_at=row["reopened_at"],
        response=row["response"],
        told=row["step"] if row["told_response"] == row["response"] else None,
        again_at=row["again_at"],
        accounts=accounts,
    )


def _owe(connection: Connection, alert_id: str, connector: str, why: str, now: float) -> bool:
    opened = connection.execute(_OPEN, (alert_id, connector)).fetchone()
    if opened is None:
        return enqueue(connection, alert_id, connector, Kind.OPEN, revision=1, why=why, now=now)
    if opened["state"] == "held":
        return bool(release_alert(connection, alert_id, now=now, connector=connector))
    if opened["state"] == "dead" or (opened["state"] == "ready" and opened["attempts"] == 0):
        return False  # the open itself will tell, or waits for a person
    (revision,) = connection.execute(_NEXT, (alert_id, connector)).fetchone()
    return enqueue(connection, alert_id, connector, Kind.REMIND, revision=revision, why=why, now=now)
