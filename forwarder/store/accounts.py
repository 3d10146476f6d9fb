"""The accounts whose feeds are read, and which of them see an alert."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from forwarder.alert import Severity
from forwarder.common.accounts import DEFAULT, named
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.errors import Overtaken
from forwarder.store.many import in_parts, places
from forwarder.store.records import Feed, RoutedAlert

_OPEN: Final = "INSERT INTO feed (account) VALUES (?) ON CONFLICT (account) DO NOTHING"
_BEGUN: Final = "SELECT account FROM feed WHERE floor IS NOT NULL OR cursor IS NOT NULL ORDER BY account"
_STARTED: Final = """
UPDATE feed SET unread_since = coalesce(unread_since, ?), unread_starts = unread_starts + 1
WHERE account IN (SELECT value FROM json_each(?))
"""

_SEE: Final = """
INSERT INTO alert_accounts (alert_id, account, seen_at, past)
SELECT CAST(json_extract(value, '$[0]') AS TEXT), ?, ?, CAST(json_extract(value, '$[1]') AS BIGINT)
FROM json_each(?) WHERE true ON CONFLICT (alert_id, account) DO NOTHING
"""
# Who writes an alert anew waits until this is committed, or is waited for: else nobody would note in which form the
# account showed it.
_JOIN: Final = """
INSERT INTO alert_accounts (alert_id, account, seen_at, past)
SELECT a.id, ?1, CAST(?2 AS DOUBLE PRECISION), CAST(routed.column4 AS BIGINT)
FROM (VALUES {rows}) AS routed JOIN alerts AS a ON a.id = routed.column1
WHERE a.version = CAST(routed.column2 AS BIGINT) AND coalesce(a.muted_by, '') = routed.column3 /* FOR SHARE OF a */
ON CONFLICT (alert_id, account) DO NOTHING
"""
# What the others showed last stays theirs: one that goes on to show it says nothing new.
_SHOWN: Final = """
UPDATE alert_accounts SET shown = CASE WHEN account = :account THEN NULL ELSE :before END
WHERE alert_id = :id AND (account = :account) = (shown IS NOT NULL)
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
    """Writes down which of ``routed`` an account sees that it had not seen before, and whether it is ever owed them.

    Raises Overtaken where one of which nothing else is new is not any more what it was routed by.
    """
    joining = [item for item in routed if item.joins]
    seen = [(item.alert.id, int(item.is_past_here)) for item in joining if not item.is_told_already]
    if seen:
        connection.execute(_SEE, (account, now, json.dumps(seen)))
    rows = [
        (item.alert.id, item.arrival.version, item.arrival.muted_by or "", int(item.is_past_here))
        for item in joining
        if item.is_told_already and item.arrival is not None
    ]
    for part in in_parts(rows):
        joined = connection.execute(_JOIN.format(rows=places(part, after=2)), (account, now, *chain(*part)))
        if joined.rowcount < len(part):
            raise Overtaken


def show(connection: Connection, alert_id: str, account: str, before: str) -> None:
    """Writes down that an account showed another form of an alert than that of the digest ``before``."""
    connection.execute(_SHOWN, {"id": alert_id, "account": account, "before": before})


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
