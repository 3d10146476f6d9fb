"""Each account's vendors as its stack has them, and the alerts that were routed before their categories were known."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Final

from forwarder.alert import Alert, Change, Vendor, Vendors
from forwarder.common.accounts import DEFAULT
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.engine import Engine
from forwarder.store.records import RoutedAlert

_ALL: Final = "SELECT * FROM vendors WHERE categories IS NOT NULL ORDER BY name COLLATE NOCASE, key"
_OF: Final = "SELECT * FROM vendors WHERE key IN (SELECT value FROM json_each(?)) AND categories IS NOT NULL"
_KEY: Final = "SELECT key FROM vendors WHERE key = ?1 OR name = ?1 COLLATE NOCASE ORDER BY key = ?1 DESC, key LIMIT 1"
_KEEP: Final = """
INSERT INTO vendors VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET name = excluded.name, categories = excluded.categories
"""


class VendorStore:
    """The side of the store that the reader of one account's stack writes."""

    def __init__(self, engine: Engine, account: str = DEFAULT) -> None:
        self._engine, self._account = engine, account

    def known(self) -> Vendors:
        """What the stacks of all accounts said of their vendors when they were last read.

        Nothing of those that an older version read.
        """
        with self._engine.read() as connection:
            rows = connection.execute(_ALL).fetchall()
        return _vendors(rows)

    def keys(self) -> frozenset[str] | None:
        """The keys of the vendors in this account's stack; None where it was never read."""
        with self._engine.read() as connection:
            return keys(connection, self._account)

    def keep(self, vendors: Vendors) -> None:
        """Replaces what is known of this account's stack by ``vendors``; where that is the same, nothing is written."""
        known = self.known()
        if self.keys() == frozenset(vendors) and all(known.get(key) == vendor for key, vendor in vendors.items()):
            return
        rows = [(vendor.key, vendor.name, json.dumps(vendor.categories)) for vendor in vendors.values()]

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM stacks WHERE account = ?", (self._account,))
            connection.executemany("INSERT INTO stacks VALUES (?, ?)", [(self._account, key) for key in vendors])
            connection.executemany(_KEEP, rows)
            connection.execute(
                "DELETE FROM vendors WHERE NOT EXISTS (SELECT 1 FROM stacks AS s WHERE s.key = vendors.key)"
            )
            connection.execute("UPDATE feed SET stack_read = 1 WHERE account = ?", (self._account,))

        self._engine.write(work)

    def uncategorized(self) -> frozenset[str]:
        """The alerts that were routed while the stack may have had vendors of theirs that were not known."""
        with self._engine.read() as connection:
            rows = connection.execute("SELECT alert_id FROM uncategorized WHERE account = ?", (self._account,))
            return frozenset(alert_id for (alert_id,) in rows)


def keys(connection: Connection, account: str) -> frozenset[str] | None:
    """The keys of the vendors in an account's stack; None where it was never read."""
    row = connection.execute("SELECT stack_read FROM feed WHERE account = ?", (account,)).fetchone()
    if row is None or not row[0]:
        return None
    return frozenset(key for (key,) in connection.execute("SELECT key FROM stacks WHERE account = ?", (account,)))


def of(
    connection: Connection,
    alert: Alert,
    changes: Iterable[Change] = (),
    *,
    asked: dict[str, Vendors] | None = None,
) -> Vendors:
    """What is known of the vendors that an alert and its changes name.

    ``asked`` remembers it for the next alert of the same transaction: the alerts of a burst often name the same ones.
    """
    told = {*alert.affected_vendors, *(key for change in changes for key in _named_in(change))}
    if not told:
        return {}
    keys = json.dumps(sorted(told))
    if asked is None:
        asked = {}
    if keys not in asked:
        asked[keys] = _vendors(connection.execute(_OF, (keys,)).fetchall())
    return asked[keys]


def of_all(connection: Connection, alerts: Iterable[Alert]) -> Vendors:
    """What is known of the vendors that any of ``alerts`` names."""
    told = {key for alert in alerts for key in alert.affected_vendors}
    return _vendors(connection.execute(_OF, (json.dumps(sorted(told)),)).fetchall()) if told else {}


def key_of(connection: Connection, text: str) -> str:
    """The key of the vendor that people call ``text``, by key or by name; ``text`` itself where none is called so."""
    row = connection.execute(_KEY, (text,)).fetchone()
    return text if row is None else str(row[0])


def note_uncategorized(connection: Connection, routed: Iterable[RoutedAlert], account: str) -> None:
    """Notes which of ``routed`` are to be routed again once the stack was read, and whose vendors were not known."""
    noted = [(item.alert.id, json.dumps(item.uncategorized), account) for item in routed if item.uncategorized]
    # What was not known at first is what the first routing went without.
    connection.executemany(
        "INSERT INTO uncategorized (alert_id, vendors, account) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", noted
    )


def unknown_in(text: str) -> frozenset[str]:
    """The vendors of such a note; none where it cannot be read."""
    return unreadable.read(lambda: frozenset(map(str, json.loads(text))), lambda _: frozenset())


def forget_uncategorized(connection: Connection, alert_ids: Collection[str], account: str) -> None:
    """Takes the note back, for they were routed by what the stack says."""
    connection.executemany(
        "DELETE FROM uncategorized WHERE alert_id = ? AND account = ?", [(alert_id, account) for alert_id in alert_ids]
    )


def _vendors(rows: Iterable[Row]) -> Vendors:
    return {row["key"]: _vendor(row) for row in rows}


def _vendor(row: Row) -> Vendor:
    categories = unreadable.read(lambda: tuple(map(str, json.loads(row["categories"]))), lambda _: ())
    return Vendor(key=row["key"], name=row["name"], categories=categories)


def _named_in(change: Change) -> Iterable[str]:
    if change.field != "affected_vendors":
        return ()
    return [key for keys in (change.old, change.new) if isinstance(keys, list) for key in keys if isinstance(key, str)]
