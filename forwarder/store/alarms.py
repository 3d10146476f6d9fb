"""The forwarder's own troubles: what the store knows of each, and what people were told of those that stand.

Whatever changes an alarm commits together with what is owed for it, so that a crash in between neither loses a word
nor says one twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from forwarder.alert import Alert, Change, Severity
from forwarder.connector import Kind, Origin
from forwarder.store import symptoms
from forwarder.store.alarm_records import Alarm, Symptom
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue, enqueue_withdrawal, record_change
from forwarder.store.forms import body_of
from forwarder.store.operations import owe_again
from forwarder.store.records import State

WHY: Final = "alarms.to names it"
"""Why a connector gets an alarm."""

_INSERT_ALERT: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, trail, unrouted, seen_at)
VALUES (?, ?, ?, NULL, ?, ?, '[]', 0, ?)
"""


_SENT: Final = """
SELECT connector, state FROM deliveries
WHERE alert_id = ? AND kind IN ('open', 'update') AND revision > 0 ORDER BY revision, id
"""

_TELLINGS: Final = """
SELECT id, connector, kind, state, settled_at,
  (SELECT outcome FROM attempts WHERE delivery_id = d.id ORDER BY number DESC LIMIT 1) AS outcome
FROM deliveries AS d WHERE alert_id = ? AND kind IN ('open', 'update') AND revision > 0 ORDER BY connector, revision
"""


class AlarmStore:
    """The side of the store that the alarms read and write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def symptoms(self, since: float, *, now: float, configured: Collection[str] | None = None) -> list[Symptom]:
        """What is wrong as far as rows tell it; of what passes, what happened ``since`` then.

        ``configured`` are the connectors that the config names; None where all are as good as named.
        """
        with self._engine.read() as connection:
            return symptoms.read(connection, since=since, now=now, configured=configured)

    def failed(self, kind: str, subject: str, reason: str, *, now: float) -> None:
        """Notes what happened and leaves no other trace in the store."""
        self._engine.write(
            lambda connection: connection.execute(
                "INSERT INTO failures VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (type, subject) DO UPDATE SET at = ?3, reason = ?4",
                (kind, subject, now, reason),
            )
        )

    def cleared(self, kind: str, subject: str) -> None:
        """Forgets what was noted by ``failed``: it is put right."""
        self._engine.write(
            lambda connection: connection.execute(
                "DELETE FROM failures WHERE type = ? AND subject = ?", (kind, subject)
            )
        )

    def active(self) -> list[Alarm]:
        """What goes on, the oldest first."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT * FROM alarms ORDER BY since").fetchall()
        return [_alarm(row) for row in rows]

    def begin(self, alarm: Alarm, alert: Alert) -> None:
        """Keeps a new one, and owes its alert to those whom it names as notified."""

        def work(connection: Connection) -> None:
            if _insert(connection, alarm):
                _insert_alert(connection, alert, alarm.since)
                _enqueue_opens(connection, alarm, alarm.notified, alarm.since)

        self._engine.write(work)

    def notify(self, alarm: Alarm, connectors: Iterable[str], *, alert: Alert, now: float) -> None:
        """Owes a standing one to further connectors, once each, in the form of ``alert``."""
        names = list(connectors)

        def work(connection: Connection) -> None:
            _set_form(connection, alarm, alert)
            _enqueue_opens(connection, alarm, names, now)
            _update(connection, replace(alarm, notified=[*alarm.notified, *names]))

        self._engine.write(work)

    def revise(
        self, alarm: Alarm, alert: Alert, *, changes: Sequence[Change] = (), to: Collection[str] = (), now: float
    ) -> None:
        """Keeps a standing one in its new form; where ``changes`` are told, owes them to those who heard of it."""

        def work(connection: Connection) -> None:
            _update(connection, replace(alarm, notified_at=now) if changes else alarm)
            _set_form(connection, alarm, alert)
            if changes:
                # What waits to be sent tells the new form, so it goes where that belongs in the line.
                _rank(connection, alarm, alert)
                _enqueue_update(connection, alarm, changes, to=to, why="it got worse", now=now, worse=True)

        self._engine.write(work)

    def remind(self, alarm: Alarm, change: Change, *, to: Collection[str], now: float) -> None:
        """Owes one more update to those who heard of it, which says that it still stands."""

        def work(connection: Connection) -> None:
            _update(connection, replace(alarm, notified_at=now))
            _enqueue_update(connection, alarm, (change,), to=to, why="it still stands", now=now)

        self._engine.write(work)

    def end(self, alarm: Alarm, *, why: str, among: Collection[str], now: float) -> frozenset[str]:
        """Forgets it, and owes its end to those ``among`` the connectors who heard of it; returns these."""

        def work(connection: Connection) -> frozenset[str]:
            connection.execute("DELETE FROM alarms WHERE key = ?", (alarm.key,))
            return enqueue_withdrawal(connection, alarm.alert_id, why=why, now=now, among=among)

        return self._engine.write(work)

    def sent(self, alarm: Alarm) -> dict[str, State]:
        """What became of the latest that each connector is owed of a standing one, or was."""
        with self._engine.read() as connection:
            rows = connection.execute(_SENT, (alarm.alert_id,)).fetchall()
        return {row["connector"]: State(row["state"]) for row in rows}

    def untold(self, alarm: Alarm, *, refused: bool) -> dict[str, int]:
        """Whom a standing one did not reach though it was sent, and by which delivery it can be told after all.

        That is who was given up; with ``refused``, also who took it for one that it will never accept.
        """
        with self._engine.read() as connection:
            rows = connection.execute(_TELLINGS, (alarm.alert_id,)).fetchall()
        found = {}
        for name in {row["connector"] for row in rows}:
            row = _untold([row for row in rows if row["connector"] == name])
            if row is not None and (refused or row["outcome"] == "gave_up"):
                found[name] = row["id"]
        return found

    def tell_again(self, alarm: Alarm, ids: Collection[int], *, alert: Alert, now: float) -> None:
        """Owes deliveries of a standing one once more, in the form of ``alert``."""

        def work(connection: Connection) -> None:
            _set_form(connection, alarm, alert)
            owe_again(connection, ids, now=now)
            _rank(connection, alarm, alert)

        self._engine.write(work)

    def unused_alert_id(self, key: str, now: float) -> str:
        """An id for the alert of an alarm that begins, which no earlier one of this key has."""
        number = int(now)
        with self._engine.read() as connection:
            while connection.execute("SELECT 1 FROM alerts WHERE id = ?", (f"alarm-{key}-{number}",)).fetchone():
                number += 1
        return f"alarm-{key}-{number}"


def _alarm(row: Row) -> Alarm:
    read: dict[str, Any] = {
        "severity": Severity(row["severity"]),
        "kev": bool(row["kev"]),
        "notified": tuple(json.loads(row["notified"])),
    }
    return Alarm(**{**dict(row), **read})


def _values(alarm: Alarm) -> dict[str, Any]:
    return {
        "key": alarm.key,
        "type": alarm.type,
        "subject": alarm.subject,
        "text": alarm.text,
        "alert_id": alarm.alert_id,
        "since": alarm.since,
        "notified_at": alarm.notified_at,
        "last_at": alarm.last_at,
        "severity": alarm.severity.value,
        "kev": int(alarm.kev),
        "instance": alarm.instance,
        "notified": json.dumps(list(alarm.notified)),
    }


def _insert(connection: Connection, alarm: Alarm) -> bool:
    values = _values(alarm)
    columns, names = ", ".join(values), ", ".join(f":{name}" for name in values)
    sql = f"INSERT INTO alarms ({columns}) VALUES ({names}) ON CONFLICT DO NOTHING"
    return connection.execute(sql, values).rowcount > 0


def _update(connection: Connection, alarm: Alarm) -> None:
    values = _values(alarm)
    settings = ", ".join(f"{name} = :{name}" for name in values if name != "key")
    connection.execute(f"UPDATE alarms SET {settings} WHERE key = :key", values)


def _insert_alert(connection: Connection, alert: Alert, now: float) -> None:
    connection.execute(
        _INSERT_ALERT,
        (
            alert.id,
            Origin.ALARM.value,
            alert.severity.value,
            alert.published_at.timestamp(),
            body_of(alert),
            now,
        ),
    )


def _set_form(connection: Connection, alarm: Alarm, alert: Alert) -> None:
    connection.execute(
        "UPDATE alerts SET severity = ?, body = ? WHERE id = ?",
        (alert.severity.value, body_of(alert), alarm.alert_id),
    )


def _rank(connection: Connection, alarm: Alarm, alert: Alert) -> None:
    connection.execute(
        "UPDATE deliveries SET rank = ? WHERE alert_id = ? AND revision > 0 AND state IN ('ready', 'uncertain')",
        (alert.severity.rank, alarm.alert_id),
    )


def _untold(rows: Sequence[Row]) -> Row | None:
    """Of what one connector was owed of an alarm, what is to be owed again; None where that was told, or still waits.

    An open tells the alarm as it is now, so that it stands for all updates before it.
    """
    *_, latest = rows
    if latest["state"] != State.DEAD or any(row["state"] not in (State.DEAD, State.DELIVERED) for row in rows):
        return None
    told = [row["settled_at"] for row in rows if row["state"] == State.DELIVERED]
    if told:
        return latest if latest["settled_at"] > max(told) else None
    return next((row for row in rows if row["kind"] == Kind.OPEN), None)


def _enqueue_opens(connection: Connection, alarm: Alarm, connectors: Iterable[str], now: float) -> None:
    for name in connectors:
        enqueue(connection, alarm.alert_id, name, Kind.OPEN, revision=1, why=WHY, now=now)


def _enqueue_update(
    connection: Connection,
    alarm: Alarm,
    changes: Sequence[Change],
    *,
    to: Collection[str],
    why: str,
    now: float,
    worse: bool = False,
) -> None:
    """Owes an update to those of ``to`` who were sent the alarm: who was not yet is told the new form by that."""
    row = connection.execute(
        "UPDATE alerts SET revision = revision + 1 WHERE id = ? RETURNING revision", (alarm.alert_id,)
    ).fetchone()
    if row is None:
        return
    record_change(connection, alarm.alert_id, row["revision"], changes, now)
    sent = connection.execute(
        "SELECT connector FROM deliveries WHERE alert_id = ? AND kind = 'open' AND state <> 'dead'"
        " AND NOT (state = 'ready' AND attempts = 0)",
        (alarm.alert_id,),
    ).fetchall()
    for (name,) in sent:
        if name in to:
            revision = row["revision"]
            enqueue(connection, alarm.alert_id, name, Kind.UPDATE, revision=revision, why=why, now=now, worse=worse)
