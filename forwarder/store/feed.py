"""Taking in: what the feed showed, what is owed for it, and how far it was read, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

from forwarder.alert import Alert, SetAside, Severity
from forwarder.connector import Origin
from forwarder.routing import Decision
from forwarder.store import dates, quiet, unreadable, vendors
from forwarder.store.changes import enqueue_change
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue_all
from forwarder.store.many import in_parts, places
from forwarder.store.records import Feed, Gap, PollResult, RoutedAlert


class FeedStore:
    """The side of the store that the poller writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self) -> Feed:
        """How far the feed was read."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT * FROM feed").fetchone()
            stack = vendors.keys(connection)
        return Feed(
            cursor=row["cursor"],
            stack=stack,
            polled_at=row["polled_at"],
            poll_error=row["poll_error"],
            swept_at=row["swept_at"],
            sweep_reach=row["sweep_reach"],
            key_refused=row["key_refused"],
            unread_since=row["unread_since"],
            unread_starts=row["unread_starts"],
            floor=row["floor"],
            floor_is_local=bool(row["floor_is_local"]),
            started_at=row["started_at"],
            reach=unreadable.read(lambda: _reach(row["reach"]), lambda _: {}),
            sweep_error=row["sweep_error"],
            sweeps_failed=row["sweeps_failed"],
        )

    def start(self, floor: float, *, is_local: bool, now: float) -> None:
        """Keeps the floor of the first start; a floor that is there stays.

        ``is_local`` where it is by our own clock, ``now``, and moves once the server's time is known.
        """
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET floor = ?, floor_is_local = ?, started_at = ? WHERE floor IS NULL",
                (floor, int(is_local), now),
            )
        )

    def correct_floor(self, floor: float) -> None:
        """Replaces a floor that is by our own clock by one in the server's time; any other stays."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET floor = ?, floor_is_local = 0 WHERE floor_is_local = 1", (floor,)
            )
        )

    def witness(self, since: float, until: float) -> float | None:
        """When an alert was published by which an answer shows how far back it reaches; None where none is known.

        The newest of the feed's from before ``since``, else the oldest from then until ``until``.
        """
        with self._engine.read() as connection:
            row = connection.execute(_WITNESS, {"since": since, "until": until}).fetchone()
        return None if row is None else float(row["published_at"])

    def past(self, alerts: Sequence[Alert], *, undated_are_past: bool = False) -> frozenset[str]:
        """The ids of those that are never owed: published before the floor, or known as such whatever they say now.

        ``undated_are_past`` says the same of what has no date and is seen for the first time.
        """
        ids = json.dumps([alert.id for alert in alerts])
        with self._engine.read() as connection:
            floor: float | None = connection.execute("SELECT floor FROM feed").fetchone()[0]
            known: dict[str, int] = dict(
                connection.execute(
                    "SELECT id, past FROM alerts WHERE id IN (SELECT value FROM json_each(?))", (ids,)
                ).fetchall()
            )
        return frozenset(
            alert.id
            for alert in alerts
            if known.get(
                alert.id,
                (undated_are_past and not alert.dated)
                or (floor is not None and alert.published_by.timestamp() < floor),
            )
        )

    def unseen(self, alerts: Sequence[Alert]) -> list[tuple[Alert, Alert | None]]:
        """Those of ``alerts`` that the store does not have in this form, each with the form that it has.

        One without a date of its own has the date of that form, or else of when it was first seen.
        """
        ids = json.dumps([alert.id for alert in alerts])
        with self._engine.read() as connection:
            bodies: dict[str, str] = dict(
                connection.execute(
                    "SELECT id, body FROM alerts WHERE id IN (SELECT value FROM json_each(?))", (ids,)
                ).fetchall()
            )
            first_seen = dates.first_seen(connection, [alert.id for alert in alerts if not alert.dated])
        found = []
        for alert in alerts:
            body = bodies.get(alert.id)
            if body == body_of(alert):
                continue
            known = _known(alert, body) if body else None
            now = dates.dated(alert, known, first_seen)
            if body != body_of(now):
                found.append((now, known))
        return found

    def commit_page(
        self,
        routed: Sequence[RoutedAlert],
        *,
        now: float,
        connectors: Collection[str] = (),
        cursor: float | None = None,
        gaps: Iterable[Gap] = (),
        set_aside: Iterable[SetAside] = (),
        swept: bool = False,
        reach: float | None = None,
        short: Mapping[Severity, float] = MappingProxyType({}),
        origin: Origin = Origin.FEED,
    ) -> PollResult:
        """Writes what a poll or a sweep found; the cursor only ever moves forward.

        ``connectors`` are those in use: only they are told of changes to what they were sent, unless one is for the
        worse. ``reach`` is how far back a sweep could read all, ``short`` the same for each severity of which it could
        not read all that it should.
        """

        def work(connection: Connection) -> PollResult:
            new = _insert(connection, [item for item in routed if item.known is None], origin, now)
            reached_connectors, changed = {connector for item in new for connector in item.owed}, []
            for item in routed:
                if item.known is not None:
                    told, reached = _revise(connection, item, item.known, connectors, now)
                    reached_connectors |= reached
                    if told:
                        changed.append(item.alert)
            vendors.note_uncategorized(connection, routed)
            if origin is Origin.FEED:
                if swept:
                    _note_sweep(connection, reach, short, now)
                else:
                    connection.execute(
                        "UPDATE feed SET polled_at = ?, poll_error = NULL, key_refused = NULL, unread_since = NULL,"
                        " unread_starts = 0",
                        (now,),
                    )
                if cursor is not None:
                    connection.execute("UPDATE feed SET cursor = max(coalesce(cursor, ?1), ?1)", (cursor,))
            return PollResult(
                new=[item.alert for item in new],
                changed=changed,
                unrouted=[item.alert for item in new if item.unrouted],
                muted=[item.alert for item in new if item.muted],
                connectors=frozenset(reached_connectors),
                gaps=_record_gaps(connection, gaps, now),
                set_aside=_record_aside(connection, set_aside, now),
            )

        return self._engine.write(work)

    def poll_failed(self, reason: str, *, key_refused: bool = False) -> None:
        """Writes down why the feed could not be read; that the key was refused stays until a poll is complete."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET poll_error = ?1, key_refused = CASE WHEN ?2 THEN ?1 ELSE key_refused END",
                (reason, bool(key_refused)),
            )
        )

    def count_start(self, *, now: float) -> None:
        """Writes down that a process began, for one that soon ends again cannot know how long the feed is unread."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET unread_since = coalesce(unread_since, ?), unread_starts = unread_starts + 1", (now,)
            )
        )

    def sweep_failed(self, reason: str) -> None:
        """Writes down why a sweep could not be done, and that it was one more."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET sweep_error = ?, sweeps_failed = sweeps_failed + 1", (reason,)
            )
        )

    def uncategorized(self, alert_ids: Collection[str]) -> list[tuple[Alert, frozenset[str]]]:
        """Those of the alerts that are still to be routed again, each with its vendors that were not known."""
        with self._engine.read() as connection:
            rows = connection.execute(_UNCATEGORIZED, (json.dumps(list(alert_ids)),)).fetchall()
        read = ((_read(row["body"]), vendors.unknown_in(row["vendors"])) for row in rows)
        return [(alert, keys) for alert, keys in read if alert is not None]

    def commit_again(
        self, routed: Sequence[RoutedAlert], *, settled: Collection[str], now: float, connectors: Collection[str]
    ) -> frozenset[str]:
        """Writes where alerts go that were routed again, and that the ``settled`` ones were; returns who is owed."""

        def work(connection: Connection) -> frozenset[str]:
            reached = set[str]()
            for item in routed:
                reached |= _revise(connection, item, item.alert, connectors, now)[1]
            vendors.forget_uncategorized(connection, settled)
            return frozenset(reached)

        return self._engine.write(work)


_UNCATEGORIZED: Final = """
SELECT a.body, u.vendors FROM uncategorized AS u JOIN alerts AS a ON a.id = u.alert_id
WHERE u.alert_id IN (SELECT value FROM json_each(?)) ORDER BY a.published_at
"""

_WITNESS: Final = """
SELECT * FROM (
  SELECT published_at FROM alerts WHERE origin = 'feed' AND exact = 1 AND published_at < :since
  ORDER BY published_at DESC LIMIT 1
) AS before
UNION ALL
SELECT * FROM (
  SELECT published_at FROM alerts WHERE origin = 'feed' AND exact = 1 AND published_at BETWEEN :since AND :until
  ORDER BY published_at LIMIT 1
) AS after
LIMIT 1
"""


def _reach(text: str) -> dict[Severity, float]:
    return {Severity(severity): float(since) for severity, since in json.loads(text).items()}


def _known(alert: Alert, body: str) -> Alert:
    """The form of ``alert`` that the store has; where that cannot be read, the new one, which then takes its place."""
    return unreadable.read(lambda: Alert.parse(json.loads(body)), lambda _: alert)


def _read(body: str) -> Alert | None:
    return unreadable.read(lambda: Alert.parse(json.loads(body)), lambda _: None)


_BODY: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def body_of(alert: Alert) -> str:
    """The alert's JSON in the one form in which it is kept and compared."""
    return _BODY.encode(alert.raw)


_COLUMNS: Final = "id, origin, severity, cve_id, published_at, body, trail, unrouted, past, exact, muted_by, mute"
_INSERT: Final = f"INSERT INTO alerts ({_COLUMNS}, seen_at) VALUES {{rows}} ON CONFLICT (id) DO NOTHING RETURNING id"


# What went somewhere before it changed is not without a route.
_REVISE: Final = """
UPDATE alerts SET severity = :severity, cve_id = :cve_id, published_at = :published_at, body = :body, trail = :trail,
  unrouted = CASE WHEN :unrouted = 1
    AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = alerts.id AND d.kind = 'open')
    AND NOT EXISTS (SELECT 1 FROM discards AS d WHERE d.alert_id = alerts.id) THEN 1 ELSE 0 END,
  exact = :exact, revision = revision + :told, muted_by = :muted_by, mute = :mute
WHERE id = :id RETURNING revision
"""


def _insert(connection: Connection, items: Sequence[RoutedAlert], origin: Origin, now: float) -> list[RoutedAlert]:
    """Takes in new alerts with what is owed for them, and returns those that were new indeed.

    Many in one statement: workers wait for the interpreter between any two, and a page would take as many turns.
    """
    rows = [
        (
            item.alert.id,
            origin.value,
            item.alert.severity.value,
            item.alert.cve_id,
            item.alert.published_at.timestamp(),
            body_of(item.alert),
            trail_of(item.decision),
            int(item.unrouted),
            int(item.past),
            int(item.alert.exact),
            *quiet.columns(item.muted),
            now,
        )
        for item in items
    ]
    added = {
        alert_id
        for part in in_parts(rows)
        for (alert_id,) in connection.execute(_INSERT.format(rows=places(part)), [*chain(*part)]).fetchall()
    }
    new = [item for item in items if item.alert.id in added]
    dates.keep(connection, [item.alert for item in new])
    opens = [
        (item.alert.id, connector, why, item.holds.get(connector))
        for item in new
        for connector, why in item.owed.items()
    ]
    enqueue_all(connection, opens, now=now)
    return new


def _revise(
    connection: Connection, item: RoutedAlert, known: Alert, connectors: Collection[str], now: float
) -> tuple[bool, set[str]]:
    """Takes over an alert's new form: whether people must hear of it, and the connectors that are owed something."""
    item = quiet.changed(connection, item)
    alert = item.alert
    changes = alert.changes_from(known)
    muted_by, mute = quiet.columns(item.muted)
    row = connection.execute(
        _REVISE,
        {
            "id": alert.id,
            "severity": alert.severity.value,
            "cve_id": alert.cve_id,
            "published_at": alert.published_at.timestamp(),
            "body": body_of(alert),
            "trail": trail_of(item.decision),
            "unrouted": int(item.unrouted),
            "exact": int(alert.exact),
            "told": int(bool(changes)),
            "muted_by": muted_by,
            "mute": mute,
        },
    ).fetchone()
    reached = enqueue_change(connection, item, changes, revision=row["revision"], connectors=connectors, now=now)
    return bool(changes), reached


def _note_sweep(connection: Connection, reach: float | None, short: Mapping[Severity, float], now: float) -> None:
    connection.execute(
        "UPDATE feed SET swept_at = ?, sweep_reach = ?, reach = ?, sweep_error = NULL, sweeps_failed = 0",
        (now, reach, json.dumps({severity.value: since for severity, since in short.items()})),
    )


def _record_gaps(connection: Connection, gaps: Iterable[Gap], now: float) -> list[Gap]:
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


def _record_aside(connection: Connection, items: Iterable[SetAside], now: float) -> list[SetAside]:
    """Keeps texts that are no alert, each once, and returns the new ones."""
    recorded = []
    for item in items:
        added = connection.execute(
            "INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (item.digest, item.raw, item.reason, now, item.severity and item.severity.value, item.told),
        )
        if added.rowcount:
            recorded.append(replace(item, seen_at=now))
    return recorded


def trail_of(decision: Decision | None) -> str:
    """What the routes said, in the form in which it is kept."""
    trail: list[dict[str, Any]] = [
        {"route": verdict.route, "matched": verdict.matched, "why": verdict.why, "to": list(verdict.to)}
        for verdict in (decision.trail if decision else ())
    ]
    return json.dumps(trail, separators=(",", ":"))
