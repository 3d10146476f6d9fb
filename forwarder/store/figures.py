"""What became of the alerts, in figures: how many came, how many nobody has done, and how long people took."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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

# Of those of an account alone: what it sees, and is owed.
_MINE: Final = (
    " AND EXISTS (SELECT 1 FROM alert_accounts AS s WHERE s.alert_id = a.id AND s.account = :account AND s.past = 0)"
)


def _also_of_account(statement: str) -> Mapping[bool, str]:
    """A statement, where ``{mine}`` stands in it: of all accounts, and of one."""
    return {False: statement.format(mine=""), True: statement.format(mine=_MINE)}


_NEW: Final = _also_of_account(f"""
SELECT CAST(times.key AS BIGINT) AS number, severities.value AS severity, (
  SELECT count(*) FROM alerts AS a INDEXED BY alerts_counted WHERE {_OURS} AND a.severity = severities.value
    AND a.seen_at >= CAST(json_extract(times.value, '$[0]') AS DOUBLE PRECISION)
    AND a.seen_at < CAST(json_extract(times.value, '$[1]') AS DOUBLE PRECISION){{mine}}
) FROM json_each(:times) AS times CROSS JOIN json_each(:severities) AS severities
""")

_UNRESOLVED: Final = _also_of_account(f"""
SELECT a.severity, a.status, count(*) FROM alerts AS a INDEXED BY alerts_unresolved
WHERE {_OURS} AND a.status <> 'resolved'{{mine}} GROUP BY a.severity, a.status
""")

# The first of each counts from when the alert was seen; what is resolved at once was acknowledged with it.
_TAKEN: Final = """
SELECT max({column} - seen_at, 0) FROM alerts AS a INDEXED BY alerts_{index}
WHERE {column} IS NOT NULL AND severity = :severity AND {column} >= :since AND {column} < :until{{mine}}
"""
_TO_ACKNOWLEDGE: Final = _also_of_account(_TAKEN.format(column="acknowledged_at", index="acknowledged"))
_TO_RESOLVE: Final = _also_of_account(_TAKEN.format(column="resolved_at", index="resolved"))

# In the order of the index each status by itself.
_UNFINISHED: Final = _also_of_account(f"""
SELECT * FROM alerts AS a INDEXED BY alerts_unresolved
WHERE {_OURS} AND a.severity = :severity AND a.status = :status AND a.status <> 'resolved'{{mine}}
ORDER BY a.seen_at LIMIT :limit
""")
_OWED_BEFORE: Final = """
SELECT alert_id FROM unfinished INDEXED BY unfinished_since WHERE connector = ? AND severity = ? AND enqueued_at < ?
"""
_MINE_AMONG: Final = """
SELECT count(*) FROM alert_accounts WHERE account = ? AND past = 0 AND alert_id IN ({few})
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
    """The side of the store that reports and figures are made from.

    Where they are asked for by an ``account``, only what is owed for that one counts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def between(self, since: float, until: float, account: str | None = None) -> Figures:
        """What became of the alerts from ``since`` to ``until``."""
        with self._engine.read() as connection:
            unresolved = _unresolved(connection, account)
            return Figures(
                new=_new(connection, [(since, until)], account)[0],
                open=_of(unresolved, Status.OPEN),
                acknowledged=_of(unresolved, Status.ACKNOWLEDGED),
                to_acknowledge=_taken(connection, _TO_ACKNOWLEDGE, since, until, account),
                to_resolve=_taken(connection, _TO_RESOLVE, since, until, account),
            )

    def weeks(self, since: float, count: int, account: str | None = None) -> list[Week]:
        """What became of the alerts in each of so many weeks from ``since`` on."""
        begins = [since + number * WEEK for number in range(count)]
        with self._engine.read() as connection:
            new = _new(connection, [(begin, begin + WEEK) for begin in begins], account)
            return [
                Week(
                    since=begin,
                    new=new[number],
                    to_acknowledge=_taken(connection, _TO_ACKNOWLEDGE, begin, begin + WEEK, account),
                    to_resolve=_taken(connection, _TO_RESOLVE, begin, begin + WEEK, account),
                )
                for number, begin in enumerate(begins)
            ]

    def unresolved(self, account: str | None = None) -> dict[tuple[Severity, Status], int]:
        """How many alerts are not resolved, by severity and status."""
        with self._engine.read() as connection:
            rows = _unresolved(connection, account)
        return {(_severity(severity), Status(status)): count for severity, status, count in rows}

    def unfinished(self, severity: Severity, limit: int, account: str | None = None) -> list[Unfinished]:
        """The first seen of a severity's alerts that are not resolved."""
        sql, asked = _UNFINISHED[account is not None], {"severity": severity.value, "limit": limit, **_by(account)}
        with self._engine.read() as connection:
            rows = [
                row
                for status in (Status.OPEN, Status.ACKNOWLEDGED)
                for row in connection.execute(sql, {**asked, "status": status.value})
            ]
        found = [Unfinished(alert=unreadable.alert_of(row, row["id"])[0], seen_at=row["seen_at"]) for row in rows]
        return sorted(found, key=lambda one: one.seen_at)[:limit]

    def owed_before(self, severity: Severity, limits: Mapping[str, float], account: str | None = None) -> int:
        """How many of a severity's unresolved alerts any connector was owed before its time in ``limits``."""
        if not limits:
            return 0
        few = " UNION ".join([_OWED_BEFORE] * len(limits))
        values = [value for connector, limit in limits.items() for value in (connector, severity.value, limit)]
        sql = f"SELECT count(*) FROM ({few}) AS owed"
        if account is not None:
            sql, values = _MINE_AMONG.format(few=few), [account, *values]
        with self._engine.read() as connection:
            count: int = connection.execute(sql, values).fetchone()[0]
        return count

    def last_report(self, key: str, *, now: float, most: float) -> float:
        """When the report of this key was last made; since when it is in the config where it was not made yet.

        That is ``most`` at most: a clock that was ahead must not put the next one off until it is so late again.
        """

        def work(connection: Connection) -> float:
            connection.execute("INSERT INTO reports VALUES (?, ?) ON CONFLICT DO NOTHING", (key, now))
            connection.execute("UPDATE reports SET made_at = ?2 WHERE report = ?1 AND made_at > ?2", (key, most))
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


def _by(account: str | None) -> Mapping[str, str]:
    """What a statement of one account is given besides."""
    return {} if account is None else {"account": account}


def _unresolved(connection: Connection, account: str | None) -> list[Row]:
    return connection.execute(_UNRESOLVED[account is not None], _by(account)).fetchall()


def _new(
    connection: Connection, times: Sequence[tuple[float, float]], account: str | None
) -> list[dict[Severity, int]]:
    """How many alerts of each severity were seen in each of ``times``."""
    found: list[dict[Severity, int]] = [{} for _ in times]
    asked = {"times": json.dumps(times), "severities": json.dumps(list(Severity)), **_by(account)}
    for number, severity, count in connection.execute(_NEW[account is not None], asked):
        if count:
            found[number][Severity(severity)] = count
    return found


def _taken(
    connection: Connection, sql: Mapping[bool, str], since: float, until: float, account: str | None
) -> dict[Severity, list[float]]:
    """The seconds that people took, by severity and in order: whoever puts several together sorts them in no time."""
    asked, statement = {"since": since, "until": until, **_by(account)}, sql[account is not None]
    found = {
        severity: sorted(seconds for (seconds,) in connection.execute(statement, {**asked, "severity": severity.value}))
        for severity in Severity
    }
    return {severity: taken for severity, taken in found.items() if taken}


def _severity(value: str) -> Severity:
    return unreadable.member(Severity, value, Severity.CRITICAL)
