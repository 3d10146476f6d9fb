"""Taking in: what the feed showed, what is owed for it, and how far it was read, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from forwarder.alert import Alert, Change
from forwarder.connector import Kind, Origin
from forwarder.routing import Decision
from forwarder.sentrytex import SetAside
from forwarder.store.engine import Engine
from forwarder.store.owing import owe, owe_all
from forwarder.store.records import Committed, Feed, Fresh, Gap, Routed


class Intake(Engine):
    """The side of the store that the poller writes."""

    def feed(self) -> Feed:
        """How far the feed was read."""
        with self.read() as connection:
            row = connection.execute("SELECT * FROM feed").fetchone()
        return Feed(
            cursor=row["cursor"],
            stack=None if row["stack"] is None else frozenset(json.loads(row["stack"])),
            polled_at=row["polled_at"],
            poll_error=row["poll_error"],
            swept_at=row["swept_at"],
            sweep_reach=row["sweep_reach"],
        )

    def unseen(self, alerts: Sequence[Alert]) -> list[Fresh]:
        """Those of ``alerts`` that the store does not have in this form."""
        ids = json.dumps([alert.id for alert in alerts])
        with self.read() as connection:
            known: dict[str, str] = dict(
                connection.execute(
                    "SELECT id, body FROM alerts WHERE id IN (SELECT value FROM json_each(?))", (ids,)
                ).fetchall()
            )
        return [
            Fresh(alert=alert, known=Alert.parse(json.loads(body)) if (body := known.get(alert.id)) else None)
            for alert in alerts
            if known.get(alert.id) != body_of(alert)
        ]

    def commit_page(
        self,
        routed: Sequence[Routed],
        *,
        now: float,
        connectors: Collection[str] = (),
        cursor: float | None = None,
        gaps: Iterable[Gap] = (),
        set_aside: Iterable[SetAside] = (),
        swept: bool = False,
        reach: float | None = None,
        origin: Origin = Origin.FEED,
    ) -> Committed:
        """Writes what a poll or a sweep found; the cursor only ever moves forward.

        ``connectors`` are those in use: only they are told of changes to what they were sent.
        """

        def work(connection: sqlite3.Connection) -> Committed:
            new = _insert(connection, [item for item in routed if item.fresh.known is None], origin, now)
            owed, changed = {connector for item in new for connector in item.owes}, []
            for item in routed:
                if item.fresh.known is not None:
                    told, reached = _revise(connection, item, item.fresh.known, connectors, now)
                    owed |= reached
                    if told:
                        changed.append(item.fresh.alert)
            if origin is Origin.FEED:
                _advance(connection, cursor, swept, reach, now)
            return Committed(
                new=[item.fresh.alert for item in new],
                changed=changed,
                unrouted=[item.fresh.alert for item in new if item.unrouted],
                owed=frozenset(owed),
                gaps=_record_gaps(connection, gaps, now),
                set_aside=_record_aside(connection, set_aside, now),
            )

        return self.write(work)

    def poll_failed(self, reason: str) -> None:
        """Writes down why the feed could not be read."""
        self.write(lambda connection: connection.execute("UPDATE feed SET poll_error = ?", (reason,)))

    def remember_stack(self, vendors: Iterable[str]) -> None:
        """Writes down the account's vendors."""
        stack = json.dumps(sorted(vendors))
        self.write(lambda connection: connection.execute("UPDATE feed SET stack = ?", (stack,)))

    def withdraw(self, alert_id: str, *, now: float, why: str) -> frozenset[str]:
        """Owes a withdrawal to each connector that was sent the alert; forgets what nobody was told yet."""

        def work(connection: sqlite3.Connection) -> frozenset[str]:
            connection.execute(
                "DELETE FROM deliveries WHERE alert_id = ? AND state = 'ready' AND attempts = 0", (alert_id,)
            )
            told = connection.execute(
                "SELECT DISTINCT connector FROM deliveries WHERE alert_id = ? AND state <> 'dead'", (alert_id,)
            ).fetchall()
            for (name,) in told:
                owe(connection, alert_id, name, Kind.WITHDRAW, revision=1, why=why, now=now)
            return frozenset(name for (name,) in told)

        return self.write(work)

    def remind(self, alert_id: str, connectors: Iterable[str], *, now: float, why: str, change: Change) -> None:
        """Owes one more update of an alert of our own, which says that it still stands."""

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "UPDATE alerts SET revision = revision + 1 WHERE id = ? RETURNING revision", (alert_id,)
            ).fetchone()
            if row is None:
                return
            _record_change(connection, alert_id, row["revision"], (change,), now)
            for name in connectors:
                owe(connection, alert_id, name, Kind.UPDATE, revision=row["revision"], why=why, now=now)

        self.write(work)


_BODY: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def body_of(alert: Alert) -> str:
    """The alert's JSON in the one form in which it is kept and compared."""
    return _BODY.encode(alert.raw)


_ROW: Final = ", ".join(f"json_extract(value, '$[{column}]')" for column in range(8))
_INSERT: Final = f"""
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, trail, unrouted, seen_at)
SELECT {_ROW}, ?
FROM json_each(?) WHERE true ON CONFLICT (id) DO NOTHING RETURNING id
"""


def _insert(connection: sqlite3.Connection, items: Sequence[Routed], origin: Origin, now: float) -> list[Routed]:
    """Takes in new alerts with what is owed for them, and returns those that were new indeed.

    In one statement each: workers wait for the interpreter between any two, and a page would take as many turns.
    """
    rows = [
        (
            item.fresh.alert.id,
            origin.value,
            item.fresh.alert.severity.value,
            item.fresh.alert.cve_id,
            item.fresh.alert.published_at.timestamp(),
            body_of(item.fresh.alert),
            _trail(item.decision),
            int(item.unrouted),
        )
        for item in items
    ]
    added = {alert_id for (alert_id,) in connection.execute(_INSERT, (now, json.dumps(rows))).fetchall()}
    new = [item for item in items if item.fresh.alert.id in added]
    opens = [(item.fresh.alert.id, connector, why) for item in new for connector, why in item.owes.items()]
    owe_all(connection, opens, now=now)
    return new


def _revise(
    connection: sqlite3.Connection, item: Routed, known: Alert, connectors: Collection[str], now: float
) -> tuple[bool, set[str]]:
    """Takes over an alert's new form: whether people must hear of it, and the connectors that are owed something."""
    alert = item.fresh.alert
    changes = alert.changes_from(known)
    opened = {
        name: (state, attempts)
        for name, state, attempts in connection.execute(
            "SELECT connector, state, attempts FROM deliveries WHERE alert_id = ? AND kind = 'open'", (alert.id,)
        ).fetchall()
    }
    row = connection.execute(
        "UPDATE alerts SET severity = ?, cve_id = ?, published_at = ?, body = ?, trail = ?, unrouted = ?,"
        " revision = revision + ? WHERE id = ? RETURNING revision",
        (
            alert.severity.value,
            alert.cve_id,
            alert.published_at.timestamp(),
            body_of(alert),
            _trail(item.decision),
            # What went somewhere before it changed is not without a route.
            int(item.unrouted and not opened),
            int(bool(changes)),
            alert.id,
        ),
    ).fetchone()
    owed = set()
    for connector, why in item.owes.items():
        if connector not in opened:
            owe(connection, alert.id, connector, Kind.OPEN, revision=row["revision"], why=why, now=now)
            owed.add(connector)
    if changes:
        _record_change(connection, alert.id, row["revision"], changes, now)
        connection.execute(
            "UPDATE deliveries SET rank = ? WHERE alert_id = ? AND revision > 0 AND state IN ('ready', 'unsure')",
            (alert.severity.rank, alert.id),
        )
        for connector, (state, attempts) in opened.items():
            # What was never tried, or waits as a dead letter, will tell the new form by itself.
            if connector not in connectors or state == "dead" or (state == "ready" and attempts == 0):
                continue
            why = "changed: " + ", ".join(change.field for change in changes)
            owe(connection, alert.id, connector, Kind.UPDATE, revision=row["revision"], why=why, now=now)
            owed.add(connector)
    return bool(changes), owed


def _record_change(
    connection: sqlite3.Connection, alert_id: str, revision: int, changes: Sequence[Change], now: float
) -> None:
    told = json.dumps([{"field": change.field, "old": change.old, "new": change.new} for change in changes])
    connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (alert_id, revision, now, told))


def _advance(
    connection: sqlite3.Connection, cursor: float | None, swept: bool, reach: float | None, now: float
) -> None:
    if swept:
        connection.execute("UPDATE feed SET swept_at = ?, sweep_reach = ?", (now, reach))
    else:
        connection.execute("UPDATE feed SET polled_at = ?, poll_error = NULL", (now,))
    if cursor is not None:
        connection.execute("UPDATE feed SET cursor = max(coalesce(cursor, ?1), ?1)", (cursor,))


def _record_gaps(connection: sqlite3.Connection, gaps: Iterable[Gap], now: float) -> list[Gap]:
    """Writes down gaps that no recorded one covers, and returns these."""
    recorded = []
    for gap in gaps:
        covered = connection.execute(
            "SELECT 1 FROM gaps WHERE severity = ? AND since <= ? AND until >= ?",
            (gap.severity.value, gap.since, gap.until),
        ).fetchone()
        if not covered:
            connection.execute("INSERT INTO gaps VALUES (?, ?, ?, ?)", (gap.severity.value, gap.since, gap.until, now))
            recorded.append(gap)
    return recorded


def _record_aside(connection: sqlite3.Connection, items: Iterable[SetAside], now: float) -> list[str]:
    """Keeps texts that are no alert, each once, and returns what is wrong with the new ones."""
    recorded = []
    for item in items:
        added = connection.execute(
            "INSERT INTO set_aside VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (item.digest, item.raw, item.reason, now),
        )
        if added.rowcount:
            recorded.append(item.reason)
    return recorded


def _trail(decision: Decision | None) -> str:
    trail: list[dict[str, Any]] = [
        {"route": verdict.route, "matched": verdict.matched, "why": verdict.why, "to": list(verdict.to)}
        for verdict in (decision.trail if decision else ())
    ]
    return json.dumps(trail, separators=(",", ":"))
