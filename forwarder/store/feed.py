"""Taking in: what the feed showed, what is owed for it, and how far it was read, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Final

from forwarder.alert import Alert, SetAside, Severity
from forwarder.common.accounts import DEFAULT
from forwarder.connector import Kind, Origin
from forwarder.store import accounts, arrivals, dates, quiet, vendors
from forwarder.store.changes import enqueue_change
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.enqueue import enqueue, enqueue_all
from forwarder.store.errors import Overtaken
from forwarder.store.forms import body_of, trail_of
from forwarder.store.many import in_parts, places
from forwarder.store.records import Arrival, Feed, Gap, PollResult, RoutedAlert


class FeedStore:
    """The side of the store that the poller of one account writes."""

    def __init__(self, engine: Engine, account: str = DEFAULT) -> None:
        self._engine, self._account = engine, account

    def state(self) -> Feed:
        """How far the feed was read."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT * FROM feed WHERE account = ?", (self._account,)).fetchone()
            return accounts.feed_in(row, vendors.keys(connection, self._account))

    def start(self, floor: float, *, is_local: bool, now: float) -> None:
        """Keeps the floor of the first start; a floor that is there stays.

        ``is_local`` where it is by our own clock, ``now``, and moves once the server's time is known.
        """
        values = {"account": self._account, "floor": floor, "is_local": int(is_local), "now": now}
        self._engine.write(lambda connection: connection.execute(_START, values))

    def correct_floor(self, floor: float) -> None:
        """Replaces a floor that is by our own clock by one in the server's time; any other stays."""
        self._engine.write(
            lambda connection: connection.execute(
                f"UPDATE feed SET floor = {_NOT_FORGOTTEN}, floor_is_local = 0"
                " WHERE account = :account AND floor_is_local = 1",
                {"account": self._account, "floor": floor},
            )
        )

    def witness(self, since: float, until: float) -> float | None:
        """When an alert was published by which an answer shows how far back it reaches; None where none is known.

        The newest of the feed's from before ``since``, else the oldest from then until ``until``.
        """
        found = self._engine.find(_WITNESS, {"since": since, "until": until, "account": self._account})
        return float(found[0]["published_at"]) if found else None

    def unseen(self, alerts: Sequence[Alert]) -> list[tuple[Alert, Alert | None]]:
        """Those of ``alerts`` that this account has not seen in this form, each with the form that the store has."""
        return [(arrival.alert, arrival.known) for arrival in self.arrivals(alerts)]

    def arrivals(self, alerts: Sequence[Alert], *, undated_are_past: bool = False) -> list[Arrival]:
        """Those of ``alerts`` that this account has not seen in the form that they have now.

        One without a date of its own has the date of the form that the store has, or else of when it was first seen.
        Never owed for this account is what was published before its floor, or is known as such, whatever it says now;
        ``undated_are_past`` says the same of what has no date and is seen for the first time.
        """
        return arrivals.arrivals(self._engine, alerts, self._account, undated_are_past=undated_are_past)

    def with_accounts(self, found: Sequence[Arrival]) -> list[Arrival]:
        """``found``, each with the accounts for which it is owed."""
        return arrivals.with_accounts(self._engine, found)

    def gone_to(self, asked: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of ``asked``, each an alert and a connector, where the alert was owed once, or was discarded."""
        with self._engine.read() as connection:
            return arrivals.gone_to(connection, asked)

    def commit_page(
        self,
        routed: Sequence[RoutedAlert],
        *,
        now: float,
        shown: Sequence[Alert] = (),
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

        ``shown`` is all that the feed showed of it, what was known already included.
        ``connectors`` are those in use: only they are told of changes to what they were sent, unless one is for the
        worse. ``reach`` is how far back a sweep could read all, ``short`` the same for each severity of which it could
        not read all that it should.
        """

        def work(connection: Connection) -> PollResult:
            new = _insert(connection, [item for item in routed if item.known is None], origin, now)
            reached_connectors, changed = {connector for item in new for connector in item.owed}, []
            reached_connectors |= _add(connection, [item for item in routed if item.adds], now)
            for item in routed:
                if item.known is not None and not item.leaves_it:
                    told, reached = _revise(connection, item, item.known, connectors, now)
                    if item.arrival is not None and item.arrival.changed:
                        shows = "" if item.arrival.view else self._account
                        accounts.show(connection, item.alert.id, shows, item.known)
                    reached_connectors |= reached
                    if told:
                        changed.append(item.alert)
            vendors.note_uncategorized(connection, routed, self._account)
            if origin is Origin.FEED:
                accounts.see(connection, routed, self._account, now)
                arrivals.note_shown(connection, shown, self._account)
                if swept:
                    self._note_sweep(connection, reach, short, now)
                else:
                    connection.execute(_POLLED, {"account": self._account, "now": now, "cursor": cursor})
            return PollResult(
                new=[item.alert for item in new],
                changed=changed,
                unrouted=[item.alert for item in new if item.unrouted],
                muted=[item.alert for item in new if item.muted],
                connectors=frozenset(reached_connectors),
                gaps=_record_gaps(connection, gaps, self._account, now),
                set_aside=_record_aside(connection, set_aside, now),
            )

        return self._engine.write(work)

    def poll_failed(self, reason: str, *, key_refused: bool = False) -> None:
        """Writes down why the feed could not be read; that the key was refused stays until a poll is complete."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET poll_error = ?1, key_refused = CASE WHEN ?2 THEN ?1 ELSE key_refused END"
                " WHERE account = ?3",
                (reason, bool(key_refused), self._account),
            )
        )

    def sweep_failed(self, reason: str) -> None:
        """Writes down why a sweep could not be done, and that it was one more."""
        self._engine.write(
            lambda connection: connection.execute(
                "UPDATE feed SET sweep_error = ?, sweeps_failed = sweeps_failed + 1 WHERE account = ?",
                (reason, self._account),
            )
        )

    def _note_sweep(
        self, connection: Connection, reach: float | None, short: Mapping[Severity, float], now: float
    ) -> None:
        told = json.dumps({severity.value: since for severity, since in short.items()})
        connection.execute(
            "UPDATE feed SET swept_at = ?, sweep_reach = ?, reach = ?, sweep_error = NULL, sweeps_failed = 0"
            " WHERE account = ?",
            (now, reach, told, self._account),
        )

    def uncategorized(self, alert_ids: Collection[str]) -> list[tuple[Arrival, frozenset[str]]]:
        """Those of the alerts that are still to be routed again, each with its vendors that were not known."""
        with self._engine.read() as connection:
            return arrivals.uncategorized(connection, alert_ids, self._account)

    def commit_again(
        self, routed: Sequence[RoutedAlert], *, settled: Collection[str], now: float, connectors: Collection[str]
    ) -> frozenset[str]:
        """Writes where alerts go that were routed again, and that the ``settled`` ones were; returns who is owed."""

        def work(connection: Connection) -> frozenset[str]:
            reached = set[str]()
            for item in routed:
                reached |= _revise(connection, item, item.alert, connectors, now)[1]
            vendors.forget_uncategorized(connection, settled, self._account)
            return frozenset(reached)

        return self._engine.write(work)


# An account that sees nothing yet would else be looked for in every alert that there is.
_SEEN_HERE: Final = (
    "EXISTS (SELECT 1 FROM alert_accounts AS s WHERE s.account = :account) AND origin = 'feed' AND exact = 1"
    " AND EXISTS (SELECT 1 FROM alert_accounts AS s WHERE s.alert_id = alerts.id AND s.account = :account)"
)
_WITNESS: Final = f"""
SELECT * FROM (
  SELECT published_at FROM alerts WHERE {_SEEN_HERE} AND published_at < :since ORDER BY published_at DESC LIMIT 1
) AS before
UNION ALL
SELECT * FROM (
  SELECT published_at FROM alerts WHERE {_SEEN_HERE} AND published_at BETWEEN :since AND :until
  ORDER BY published_at LIMIT 1
) AS after
LIMIT 1
"""

# What was forgotten would come back as new, and may have gone out by another account.
_NOT_FORGOTTEN: Final = "max(:floor, coalesce((SELECT max(f.forgotten) FROM feed AS f), :floor))"
_START: Final = f"""
INSERT INTO feed (account, floor, floor_is_local, started_at) VALUES (:account, {_NOT_FORGOTTEN}, :is_local, :now)
ON CONFLICT (account) DO UPDATE SET floor = excluded.floor, floor_is_local = excluded.floor_is_local,
  started_at = excluded.started_at WHERE feed.floor IS NULL
"""
_POLLED: Final = """
UPDATE feed SET polled_at = :now, poll_error = NULL, key_refused = NULL, unread_since = NULL, unread_starts = 0,
  cursor = coalesce(max(coalesce(cursor, :cursor), :cursor), cursor)
WHERE account = :account
"""


_COLUMNS: Final = "id, origin, severity, cve_id, published_at, body, trail, unrouted, past, exact, muted_by, mute"
_INSERT: Final = f"INSERT INTO alerts ({_COLUMNS}, seen_at) VALUES {{rows}} ON CONFLICT (id) DO NOTHING RETURNING id"


# What went somewhere before it changed is not without a route.
_REVISE: Final = """
UPDATE alerts SET {form}trail = :trail, unrouted = CASE WHEN :unrouted = 1
    AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = alerts.id AND d.kind = 'open')
    AND NOT EXISTS (SELECT 1 FROM discards AS d WHERE d.alert_id = alerts.id) THEN 1 ELSE 0 END,
  revision = revision + :told, muted_by = :muted_by, mute = :mute, version = version + 1,
  past = CASE WHEN :routed = 1 THEN 0 ELSE past END
WHERE id = :id AND version = coalesce(:version, version) RETURNING revision
"""
# With its text the search is written anew.
_FORM: Final = "severity = :severity, cve_id = :cve_id, published_at = :published_at, body = :body, exact = :exact, "


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
    if any(item.arrival is not None and item.alert.id not in added for item in items):
        raise Overtaken
    dates.keep(connection, [item.alert for item in new])
    opens = [
        (item.alert.id, connector, why, item.holds.get(connector))
        for item in new
        for connector, why in item.owed.items()
    ]
    enqueue_all(connection, opens, now=now)
    return new


def _add(connection: Connection, items: Sequence[RoutedAlert], now: float) -> set[str]:
    """Owes what one account brings alerts to, of which else nothing is new; returns the connectors that are owed it."""
    asked = [(item.alert.id, connector) for item in items for connector in item.owed]
    gone, reached = arrivals.gone_to(connection, asked), set[str]()
    for item in items:
        row = connection.execute("SELECT revision FROM alerts WHERE id = ?", (item.alert.id,)).fetchone()
        if row is None:
            raise Overtaken
        for connector, why in item.owed.items():
            if (item.alert.id, connector) not in gone:
                hold, revision = item.holds.get(connector), row["revision"]
                enqueue(connection, item.alert.id, connector, Kind.OPEN, revision=revision, why=why, now=now, hold=hold)
                reached.add(connector)
    return reached


def _revise(
    connection: Connection, item: RoutedAlert, known: Alert, connectors: Collection[str], now: float
) -> tuple[bool, set[str]]:
    """Takes over an alert's new form: whether people must hear of it, and the connectors that are owed something."""
    item = quiet.changed(connection, item)
    alert = item.alert
    changes = alert.changes_from(known)
    muted_by, mute = quiet.columns(item.muted)
    row = connection.execute(
        _REVISE.format(form=_FORM if item.arrival is None or item.arrival.changed else ""),
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
            "routed": int(item.arrival is not None and item.decision is not None),
            "version": item.arrival.version if item.arrival else None,
        },
    ).fetchone()
    if row is None or (item.arrival is not None and not accounts.is_routed_for(connection, item.arrival)):
        raise Overtaken
    accounts.routed_anew(connection, alert.id)
    reached = enqueue_change(connection, item, changes, revision=row["revision"], connectors=connectors, now=now)
    return bool(changes), reached


def _record_gaps(connection: Connection, gaps: Iterable[Gap], account: str, now: float) -> list[Gap]:
    """Writes down gaps that no recorded one covers, and returns these."""
    recorded = []
    for gap in gaps:
        covered = connection.execute(
            "SELECT 1 FROM gaps WHERE account = ? AND severity = ? AND since <= ? AND until >= ?",
            (account, gap.severity.value, gap.since, gap.until),
        ).fetchone()
        if not covered:
            connection.execute(
                "INSERT INTO gaps (severity, since, until, noticed_at, account) VALUES (?, ?, ?, ?, ?)",
                (gap.severity.value, gap.since, gap.until, now, account),
            )
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
