"""The accounts whose feeds are read, and which of them see an alert."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from forwarder.alert import Alert, Severity
from forwarder.common.accounts import DEFAULT, named
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.errors import Overtaken
from forwarder.store.forms import digest_of, trail_of
from forwarder.store.many import in_parts, places
from forwarder.store.records import Arrival, Feed, RoutedAlert
from forwarder.store.views import view_of

_OPEN: Final = "INSERT INTO feed (account) VALUES (?) ON CONFLICT (account) DO NOTHING"
_BEGUN: Final = "SELECT account FROM feed WHERE floor IS NOT NULL OR cursor IS NOT NULL ORDER BY account"
_STARTED: Final = """
UPDATE feed SET unread_since = coalesce(unread_since, ?), unread_starts = unread_starts + 1
WHERE account IN (SELECT value FROM json_each(?))
"""

_SEE: Final = """
INSERT INTO alert_accounts (alert_id, account, seen_at, past, shown, view)
SELECT CAST(json_extract(value, '$[0]') AS TEXT), ?, ?, CAST(json_extract(value, '$[1]') AS BIGINT),
  CAST(json_extract(value, '$[2]') AS TEXT), CAST(json_extract(value, '$[3]') AS TEXT)
FROM json_each(?) WHERE true ON CONFLICT (alert_id, account) DO NOTHING
"""
# Who writes an alert anew waits until this is committed, or is waited for: else nobody would note in which form the
# account showed it.
_JOIN: Final = """
INSERT INTO alert_accounts (alert_id, account, seen_at, past, shown, view, trail)
SELECT a.id, ?1, CAST(?2 AS DOUBLE PRECISION), CAST(routed.column4 AS BIGINT), routed.column5, routed.column6,
  routed.column7
FROM (VALUES {rows}) AS routed JOIN alerts AS a ON a.id = routed.column1
WHERE a.version = CAST(routed.column2 AS BIGINT) AND coalesce(a.muted_by, '') = routed.column3 /* FOR SHARE OF a */
ON CONFLICT (alert_id, account) DO NOTHING
"""
_ADD: Final = """
UPDATE alert_accounts SET trail = ?4 WHERE alert_id = ?1 AND account = ?5 AND EXISTS (
  SELECT 1 FROM alerts AS a WHERE a.id = ?1 AND a.version = ?2 AND coalesce(a.muted_by, '') = ?3
)
"""
# What the others showed last stays theirs: one that goes on to show it says nothing new.
_SHOWN: Final = """
UPDATE alert_accounts SET shown = CASE WHEN account = :account THEN NULL ELSE :before END,
  view = CASE WHEN account = :account THEN NULL ELSE :view END
WHERE alert_id = :id AND (account = :account) = (shown IS NOT NULL)
"""
_OWED_FOR_AS_MANY: Final = "SELECT count(*) FROM alert_accounts WHERE alert_id = ? AND past = 0"
_ADDED: Final = "SELECT trail FROM alert_accounts WHERE alert_id = ? AND trail IS NOT NULL ORDER BY account"
# Of an account that is shown a form of its own the new judgement, by the store's, says nothing.
_ROUTED_ANEW: Final = """
UPDATE alert_accounts SET trail = NULL WHERE alert_id = ? AND trail IS NOT NULL AND view IS NULL
"""
_SEEN_BY: Final = """
SELECT alert_id, account FROM alert_accounts
WHERE alert_id IN (SELECT value FROM json_each(?)) AND account <> 'default' ORDER BY alert_id, account
"""
_OWED_FOR: Final = """
SELECT alert_id, account FROM alert_accounts
WHERE alert_id IN (SELECT value FROM json_each(?)) AND past = 0 ORDER BY alert_id, account
"""

# What the new name read as past, though it is owed by the floor of the old one, is read again, and owed then.
_UNREAD: Final = """
DELETE FROM alert_accounts WHERE account = :new AND past = 1
  AND alert_id IN (
    SELECT id FROM alerts WHERE published_at >= (SELECT floor FROM feed WHERE account = :old)
  )
  AND alert_id NOT IN (SELECT alert_id FROM alert_accounts WHERE account = :old)
"""
_HAND_OVER: Final = (
    "DELETE FROM alert_accounts WHERE account = :new"
    " AND alert_id IN (SELECT alert_id FROM alert_accounts WHERE account = :old)",
    "UPDATE alert_accounts SET account = :new WHERE account = :old",
    "DELETE FROM uncategorized WHERE account = :new"
    " AND alert_id IN (SELECT alert_id FROM uncategorized WHERE account = :old)",
    "UPDATE uncategorized SET account = :new WHERE account = :old",
    "DELETE FROM stacks WHERE account = :new",
    "UPDATE stacks SET account = :new WHERE account = :old",
    "DELETE FROM gaps WHERE account = :new AND EXISTS (SELECT 1 FROM gaps AS g WHERE g.account = :old"
    " AND g.severity = gaps.severity AND g.since = gaps.since AND g.until = gaps.until)",
    "UPDATE gaps SET account = :new WHERE account = :old",
    "DELETE FROM feed WHERE account = :new",
    "UPDATE feed SET account = :new WHERE account = :old",
)


class AccountStore:
    """The side of the store that knows all accounts; what one of them read is its FeedStore's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, accounts: Collection[str]) -> None:
        """Makes room for the feeds of ``accounts``; what is there stays."""
        with self._engine.read() as connection:
            there = {account for (account,) in connection.execute("SELECT account FROM feed")}
        missing = [(account,) for account in accounts if account not in there]
        if missing:
            self._engine.write(lambda connection: connection.executemany(_OPEN, missing))

    def count_start(self, accounts: Collection[str], *, now: float) -> None:
        """Writes down that a process began, for one that soon ends again cannot know how long a feed is unread."""
        self._engine.write(lambda connection: connection.execute(_STARTED, (now, json.dumps(list(accounts)))))

    def begun(self) -> list[str]:
        """Every account whose feed was ever read from, by name, also those that left the config."""
        with self._engine.read() as connection:
            return [account for (account,) in connection.execute(_BEGUN)]

    def strangers(self, accounts: Collection[str]) -> str | None:
        """Why feeds must not be read as ``accounts``, in a sentence: the database knows others, and none of these.

        Each would begin anew, and what was published since the old ones ended, before that, would be owed to nobody.
        """
        begun = self.begun()
        if not begun or any(account in begun for account in accounts):
            return None
        old, new = begun[0], next(iter(accounts), DEFAULT)
        known = f"the account{'s' * (len(begun) > 1)} {named(begun)}" if old != DEFAULT else "a single api_key"
        if old == DEFAULT:
            new = "NAME"
            ask = "Say which of the accounts in the config that key belongs to"
        elif new == DEFAULT:
            ask = "Say whose key the config has now"
        else:
            new = "NEW"
            ask = "If one of them has another name now, say which"
        return (
            f"The database was read with {known} until now, and the config names none of that. {ask}:"
            f" `forwarder rename-account {old} {new}`. So nothing is lost, and nothing is sent twice."
        )

    def feeds(self, accounts: Collection[str]) -> dict[str, Feed]:
        """How far the feed of each of ``accounts`` was read; what their stacks hold is left out."""
        with self._engine.read() as connection:
            rows = {row["account"]: row for row in connection.execute("SELECT * FROM feed")}
        return {account: feed_in(rows.get(account)) for account in accounts}

    def polled(self, accounts: Collection[str]) -> dict[str, float | None]:
        """When the feed of each of ``accounts`` was last read in full; None where it never was."""
        with self._engine.read() as connection:
            found = dict(tuple(row) for row in connection.execute("SELECT account, polled_at FROM feed"))
        return {account: found.get(account) for account in accounts}

    def rename(self, old: str, new: str) -> bool:
        """Hands all that was read as the account ``old`` to ``new``; False where nothing was.

        Where ``new`` was read already, it goes on where ``old`` ended: nothing in between is lost, and what both saw
        is known.
        """

        def work(connection: Connection) -> bool:
            if not connection.execute("SELECT 1 FROM feed WHERE account = ?", (old,)).fetchone():
                return False
            for statement in (_UNREAD, *_HAND_OVER):
                connection.execute(statement, {"old": old, "new": new})
            return True

        return self._engine.write(work)


def feed_in(row: Row | None, stack: frozenset[str] | None = None) -> Feed:
    """How far a feed was read, as its row says; a feed without one was never read."""
    if row is None:
        return Feed(cursor=None, stack=None, polled_at=None, poll_error=None, swept_at=None, sweep_reach=None)
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


def see(connection: Connection, routed: Iterable[RoutedAlert], account: str, now: float) -> None:
    """Writes down which of ``routed`` an account sees that it had not seen before, how, and what it adds to them.

    Raises Overtaken where one that else stays as it is is not any more what it was routed by.
    """
    items = [(item, item.arrival) for item in routed if item.joins or item.adds]
    seen = [
        (item.alert.id, int(item.is_past_here), *_own_form(arrival)) for item, arrival in items if not item.leaves_it
    ]
    if seen:
        connection.execute(_SEE, (account, now, json.dumps(seen)))
    staying = [(item, arrival) for item, arrival in items if item.leaves_it and arrival is not None]
    rows = [
        (
            *_read_as(arrival),
            int(item.is_past_here),
            *_own_form(arrival),
            trail_of(item.decision) if item.adds else None,
        )
        for item, arrival in staying
        if item.joins
    ]
    for part in in_parts(rows):
        joined = connection.execute(_JOIN.format(rows=places(part, after=2)), (account, now, *chain(*part)))
        if joined.rowcount < len(part):
            raise Overtaken
    for item, arrival in staying:
        if not item.joins:
            told = (*_read_as(arrival), trail_of(item.decision), account)
            if not connection.execute(_ADD, told).rowcount:
                raise Overtaken


def _read_as(arrival: Arrival) -> tuple[str, int | None, str]:
    return arrival.alert.id, arrival.version, arrival.muted_by or ""


def _own_form(arrival: Arrival | None) -> tuple[str | None, str | None]:
    """The digest of the form that is an account's own, and what is kept of it."""
    if arrival is None or arrival.view is None:
        return None, None
    return digest_of(arrival.view), view_of(arrival.view)


def show(connection: Connection, alert_id: str, account: str, before: Alert) -> None:
    """Writes down that an account showed another form of an alert than the one ``before``, which the others show.

    ``account`` is empty where that other form is none that it shows as a whole.
    """
    told = {"id": alert_id, "account": account, "before": digest_of(before), "view": view_of(before)}
    connection.execute(_SHOWN, told)


def is_routed_for(connection: Connection, arrival: Arrival) -> bool:
    """Whether the accounts for which an alert is owed are still those that it was routed for, where they were asked."""
    if arrival.accounts is None:
        return True
    count: int = connection.execute(_OWED_FOR_AS_MANY, (arrival.alert.id,)).fetchone()[0]
    return count == len(arrival.accounts)


def added_to(connection: Connection, alert_id: str) -> list[str]:
    """What the routes said that single accounts have brought an alert to, each as it is kept."""
    return [trail for (trail,) in connection.execute(_ADDED, (alert_id,))]


def routed_anew(connection: Connection, alert_id: str) -> None:
    """Forgets what single accounts have added: an alert was routed anew, for all of them that show it alike."""
    connection.execute(_ROUTED_ANEW, (alert_id,))


def owed_for(connection: Connection, alert_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For which accounts each of these alerts is owed: those that see it, and for which it is not from the past."""
    return _by_alert(connection.execute(_OWED_FOR, (json.dumps(list(alert_ids)),)))


def seen_by(connection: Connection, alert_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which accounts see each of these alerts, by name; none where the config names none."""
    return _by_alert(connection.execute(_SEEN_BY, (json.dumps(list(alert_ids)),)))


def _by_alert(rows: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for alert_id, account in rows:
        found.setdefault(alert_id, []).append(account)
    return {alert_id: tuple(accounts) for alert_id, accounts in found.items()}


def _reach(text: str) -> Mapping[Severity, float]:
    return {Severity(severity): float(since) for severity, since in json.loads(text).items()}
