"""What became of the alerts, in figures: how many came, how many nobody has done, and how long people took."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from forwarder.alert import Alert, Severity
from forwarder.connector import Kind, Origin, Status
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue, keep_own

WEEK: Final = 7 * 86400.0

# What is from before the first start, or went nowhere, is nobody's work; what is muted is not yet.
_OURS: Final = "a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0 AND a.muted_by IS NULL"

_NEW: Final = f"""
SELECT a.severity, count(*) FROM alerts AS a WHERE a.seen_at >= ? AND a.seen_at < ? AND {_OURS} GROUP BY a.severity
"""

_NEW_BY_WEEK: Final = f"""
SELECT CAST(w.key AS BIGINT), a.severity, count(*) FROM json_each(:weeks) AS w JOIN alerts AS a
  ON a.seen_at >= CAST(w.value AS DOUBLE PRECISION) AND a.seen_at < CAST(w.value AS DOUBLE PRECISION) + :week
WHERE {_OURS} GROUP BY 1, 2
"""

_UNRESOLVED: Final = f"""
SELECT a.severity, a.status, count(*) FROM alerts AS a INDEXED BY alerts_unresolved
WHERE {_OURS} AND a.status <> 'resolved' GROUP BY a.severity, a.status
"""

# The first of each counts from when the alert was seen; what is resolved at once was acknowledged with it.
_TIMES: Final = """
SELECT r.first, a.severity, r.first - a.seen_at AS seconds FROM (
  SELECT alert_id, min(at) AS first FROM responses WHERE action IN (SELECT value FROM json_each(:actions))
  GROUP BY alert_id HAVING min(at) >= :since AND min(at) < :until
) AS r JOIN alerts AS a ON a.id = r.alert_id WHERE a.origin = 'feed'
"""

_UNFINISHED: Final = f"""
FROM alerts AS a INDEXED BY alerts_unresolved
WHERE {_OURS} AND a.severity = ? AND a.status <> 'resolved'
"""
_OPENS: Final = """
SELECT (SELECT coalesce(json_group_object(connector, enqueued_at), '{}') FROM deliveries
  WHERE alert_id = a.id AND kind = 'open')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What became of the alerts between two times; all counts are by severity.

    ``open`` and ``acknowledged`` are those of now, whenever they came. ``to_acknowledge`` and ``to_resolve`` are the
    seconds that it took people, of each alert whose first such response lies between the two times.
    """

    new: Mapping[Severity, int]
    open: Mapping[Severity, int]
    acknowledged: Mapping[Severity, int]
    to_acknowledge: Mapping[Severity, Sequence[float]]
    to_resolve: Mapping[Severity, Sequence[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """The same of a week from ``since`` on: how many alerts came, and the seconds that people took."""

    since: float
    new: Mapping[Severity, int]
    to_acknowledge: Mapping[Severity, Sequence[float]]
    to_resolve: Mapping[Severity, Sequence[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """An alert that is not resolved, and when it was seen."""

    alert: Alert
    seen_at: float


class FigureStore:
    """The side of the store that reports and figures are made from."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def between(self, since: float, until: float) -> Figures:
        """What became of the alerts from ``since`` to ``until``."""
        with self._engine.read() as connection:
            unresolved = connection.execute(_UNRESOLVED).fetchall()
            return Figures(
                new={
                    _severity(severity): count
                    for severity, count in connection.execute(_NEW, (since, until)).fetchall()
                },
                open=_of(unresolved, Status.OPEN),
                acknowledged=_of(unresolved, Status.ACKNOWLEDGED),
                to_acknowledge=_times(connection, ("acknowledge", "resolve"), since, until),
                to_resolve=_times(connection, ("resolve",), since, until),
            )

    def weeks(self, since: float, count: int) -> list[Week]:
        """What became of the alerts in each of so many weeks from ``since`` on."""
        until = since + count * WEEK
        with self._engine.read() as connection:
            counted = connection.execute(
                _NEW_BY_WEEK, {"weeks": json.dumps([since + number * WEEK for number in range(count)]), "week": WEEK}
            ).fetchall()
            acknowledged = _first(connection, ("acknowledge", "resolve"), since, until)
            resolved = _first(connection, ("resolve",), since, until)
        return [
            Week(
                since=since + number * WEEK,
                new={_severity(severity): new for week, severity, new in counted if week == number},
                to_acknowledge=_by_severity(row for row in acknowledged if (row[0] - since) // WEEK == number),
                to_resolve=_by_severity(row for row in resolved if (row[0] - since) // WEEK == number),
            )
            for number in range(count)
        ]

    def unresolved(self) -> dict[tuple[Severity, Status], int]:
        """How many alerts are not resolved, by severity and status."""
        with self._engine.read() as connection:
            rows = connection.execute(_UNRESOLVED).fetchall()
        return {(_severity(severity), Status(status)): count for severity, status, count in rows}

    def unfinished(self, severity: Severity, limit: int) -> list[Unfinished]:
        """The first seen of a severity's alerts that are not resolved."""
        with self._engine.read() as connection:
            rows = connection.execute(
                f"SELECT a.* {_UNFINISHED} ORDER BY a.seen_at LIMIT ?", (severity.value, limit)
            ).fetchall()
        return [Unfinished(alert=unreadable.alert_of(row, row["id"])[0], seen_at=row["seen_at"]) for row in rows]

    def unfinished_since(self, severity: Severity) -> list[dict[str, float]]:
        """Since when each connector was owed each of a severity's alerts that are not resolved."""
        with self._engine.read() as connection:
            rows = connection.execute(_OPENS + _UNFINISHED, (severity.value,)).fetchall()
        return [json.loads(opens) for (opens,) in rows]

    def last_report(self, key: str, *, now: float) -> float:
        """When the report of this key was last made; since when it is in the config where it was not made yet."""

        def work(connection: Connection) -> float:
            connection.execute("INSERT INTO reports VALUES (?, ?) ON CONFLICT DO NOTHING", (key, now))
            made: float = connection.execute("SELECT made_at FROM reports WHERE report = ?", (key,)).fetchone()[0]
            return made

        return self._engine.write(work)

    def report(self, key: str, report: Alert, *, due: float, connectors: Collection[str], now: float) -> bool:
        """Owes a report to each of ``connectors``; False where the one that was ``due`` was made already."""

        def work(connection: Connection) -> bool:
            if not connection.execute(
                "UPDATE reports SET made_at = ?1 WHERE report = ?2 AND made_at < ?1", (due, key)
            ).rowcount:
                return False
            keep_own(connection, report, Origin.REPORT, now=now)
            for connector in connectors:
                enqueue(connection, report.id, connector, Kind.OPEN, revision=1, why="it is due", now=now)
            return True

        return self._engine.write(work)


def _of(rows: Sequence[Row], status: Status) -> dict[Severity, int]:
    return {_severity(severity): count for severity, of, count in rows if of == status.value}


def _times(connection: Connection, actions: Sequence[str], since: float, until: float) -> dict[Severity, list[float]]:
    return _by_severity(_first(connection, actions, since, until))


def _first(
    connection: Connection, actions: Sequence[str], since: float, until: float
) -> list[tuple[float, str, float]]:
    """When each alert had its first such response, its severity, and the seconds since it was seen."""
    asked = {"actions": json.dumps(actions), "since": since, "until": until}
    return connection.execute(_TIMES, asked).fetchall()


def _by_severity(rows: Iterable[tuple[float, str, float]]) -> dict[Severity, list[float]]:
    found: dict[Severity, list[float]] = {}
    for _, severity, seconds in rows:
        found.setdefault(_severity(severity), []).append(max(seconds, 0.0))
    return found


def _severity(value: str) -> Severity:
    return unreadable.member(Severity, value, Severity.CRITICAL)
