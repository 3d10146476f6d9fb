"""What nobody has acted on: which alerts wait for people, since when, and how often they were reminded of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from forwarder.alert import Alert, Severity
from forwarder.connector import Kind, Status
from forwarder.store import unreadable
from forwarder.store.accounts import owed_for
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue
from forwarder.store.holds import release_alert

# A clock that was ahead for a while must not keep it quiet until it is so late again.
_KEEP: Final = "INSERT INTO reminders VALUES (?, ?) ON CONFLICT DO UPDATE SET since = min(since, excluded.since)"
_FORGET: Final = """
DELETE FROM reminders WHERE reminder NOT IN (SELECT value FROM json_each(?))
"""

# What never went out, or is held, nobody can have acted on.
_UNRESOLVED: Final = """
SELECT a.id, a.body, a.severity, a.published_at, a.status, r.step, r.response AS told_response,
  coalesce((SELECT max(number) FROM responses WHERE alert_id = a.id), 0) AS response,
  (SELECT max(at) FROM responses WHERE alert_id = a.id AND action = 'reopen') AS reopened_at,
  (SELECT coalesce(json_group_object(connector, enqueued_at), '{}') FROM deliveries
    WHERE alert_id = a.id AND kind = 'open' AND state <> 'held') AS opens
FROM alerts AS a INDEXED BY alerts_unresolved LEFT JOIN reminded AS r ON r.alert_id = a.id AND r.reminder = :reminder
WHERE a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0 AND a.severity IN (SELECT value FROM json_each(:severities))
  AND a.status IN (SELECT value FROM json_each(:statuses)) AND a.status <> 'resolved'
  AND EXISTS (SELECT 1 FROM deliveries WHERE alert_id = a.id AND kind = 'open' AND state <> 'held')
"""

_TOLD: Final = """
INSERT INTO reminded VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (alert_id, reminder) DO UPDATE SET response = ?3, step = ?4
"""

_OPEN: Final = "SELECT state, attempts FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'open'"
_NEXT: Final = """
SELECT coalesce(max(revision), 0) + 1 FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'remind'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unresolved:
    """An alert that is not done: since when each connector was owed it, and the last time that it was reopened.

    ``accounts`` are those for which it is owed. ``response`` is the number of the last response, 0 where there was
    none. ``told`` is the last step of the reminder that was told since then, None where there was none.
    """

    alert: Alert
    status: Status
    opens: Mapping[str, float]
    reopened_at: float | None
    response: int
    told: int | None
    accounts: tuple[str, ...] = ()


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
        self, reminder: str, *, severities: Collection[Severity], statuses: Collection[Status]
    ) -> Iterator[Unresolved]:
        """The alerts that went out and have one of these severities and statuses."""
        asked = {
            "reminder": reminder,
            "severities": json.dumps([severity.value for severity in severities]),
            "statuses": json.dumps([status.value for status in statuses]),
        }
        with self._engine.read() as connection:
            rows = connection.execute(_UNRESOLVED, asked).fetchall()
            accounts = owed_for(connection, [row["id"] for row in rows])
        for row in rows:
            current = row["told_response"] == row["response"]
            yield Unresolved(
                alert=unreadable.alert_of(row, row["id"])[0],
                status=Status(row["status"]),
                opens=json.loads(row["opens"]),
                reopened_at=row["reopened_at"],
                response=row["response"],
                told=row["step"] if current else None,
                accounts=accounts.get(row["id"], ()),
            )

    def remind(
        self, reminder: str, unresolved: Unresolved, step: int, *, why: str, connectors: Collection[str], now: float
    ) -> frozenset[str]:
        """Owes a reminder to each of ``connectors``, once; those that do not have the alert are owed that itself."""
        alert_id = unresolved.alert.id

        def work(connection: Connection) -> frozenset[str]:
            status = connection.execute("SELECT status FROM alerts WHERE id = ?", (alert_id,)).fetchone()
            if status is None or status["status"] != unresolved.status.value:
                return frozenset()  # somebody acted meanwhile
            connection.execute(_TOLD, (alert_id, reminder, unresolved.response, step))
            return frozenset(name for name in connectors if _owe(connection, alert_id, name, why, now))

        return self._engine.write(work)


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
