"""Digests: what was held for one becomes one message, and counts as told when that has arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Final

from forwarder.alert import Alert
from forwarder.connector import Kind, Origin
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.enqueue import enqueue, keep_own
from forwarder.store.life_records import DIGEST

Compose = Callable[[str, Sequence[Alert]], Alert]
"""The digest for a connector, as an alert, of the alerts in it."""

TOLD: Final = "told in a digest"

_DUE: Final = """
SELECT d.id, d.connector, d.alert_id, a.body, a.severity, a.published_at
FROM deliveries AS d JOIN alerts AS a ON a.id = d.alert_id
WHERE d.state = 'held' AND d.held_until <= ? AND d.held_for = ?
ORDER BY d.connector, d.rank, d.published_at, d.id
"""

_ITEMS: Final = """
SELECT i.digest_id, i.alert_id, a.body, a.severity, a.published_at
FROM digest_items AS i JOIN alerts AS a ON a.id = i.alert_id
WHERE i.digest_id IN (SELECT value FROM json_each(?)) ORDER BY i.digest_id, i.position
"""

_TELL: Final = """
UPDATE deliveries SET state = 'delivered', settled_at = ?, receipt_id = '', receipt_url = ?, last = ?,
  held_until = NULL, held_for = NULL
WHERE state = 'held' AND held_for = ?
"""


def collect(connection: Connection, compose: Compose, *, now: float) -> frozenset[str]:
    """Makes of all that is held for a digest, and due, one for each connector; the connectors that are owed one."""
    due: dict[str, list[Row]] = {}
    for row in connection.execute(_DUE, (now, DIGEST)).fetchall():
        due.setdefault(row["connector"], []).append(row)
    for connector, rows in due.items():
        _make(connection, connector, rows, compose, now)
    return frozenset(due)


def items_of(connection: Connection, digests: Collection[str]) -> dict[str, tuple[Alert, ...]]:
    """The alerts in each digest, the most severe first."""
    found: dict[str, list[Alert]] = {}
    if digests:
        for row in connection.execute(_ITEMS, (json.dumps(list(digests)),)):
            found.setdefault(row["digest_id"], []).append(unreadable.alert_of(row, row["alert_id"])[0])
    return {digest: tuple(alerts) for digest, alerts in found.items()}


def tell(connection: Connection, digest_id: str, url: str | None, *, now: float) -> None:
    """Settles what a digest told, which has arrived."""
    connection.execute(_TELL, (now, url, TOLD, _held_for(digest_id)))


def leave_out(connection: Connection, alert_id: str) -> None:
    """Takes an alert out of the digests that it is in, for it goes out by itself."""
    connection.execute("DELETE FROM digest_items WHERE alert_id = ?", (alert_id,))


def _make(connection: Connection, connector: str, rows: Sequence[Row], compose: Compose, now: float) -> None:
    digest = compose(connector, [unreadable.alert_of(row, row["alert_id"])[0] for row in rows])
    keep_own(connection, digest, Origin.DIGEST, now=now)
    connection.executemany(
        "INSERT INTO digest_items (digest_id, position, alert_id) VALUES (?, ?, ?)",
        [(digest.id, position, row["alert_id"]) for position, row in enumerate(rows)],
    )
    connection.executemany(
        "UPDATE deliveries SET held_for = ? WHERE id = ?", [(_held_for(digest.id), row["id"]) for row in rows]
    )
    enqueue(connection, digest.id, connector, Kind.OPEN, revision=1, why="its digest is due", now=now)


def _held_for(digest_id: str) -> str:
    return f"{DIGEST} {digest_id}"
