"""Alerts in the order in which they need people: the open ones first, the most severe first among these."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from forwarder.alert import Severity
from forwarder.connector import Status

# As in the index of what is not resolved: what concerns nobody comes with what is done.
NEEDS_PEOPLE: Final = "a.origin = 'feed' AND a.status <> 'resolved' AND a.past = 0 AND a.unrouted = 0"

_NEWEST_FIRST: Final = "a.seen_at DESC, a.published_at DESC LIMIT ?"
_GROUPS: Final = (
    *(
        (f"{NEEDS_PEOPLE} AND a.status = ? AND a.severity = ?", (status.value, severity.value))
        for status in (Status.OPEN, Status.ACKNOWLEDGED)
        for severity in Severity
    ),
    (f"NOT ({NEEDS_PEOPLE})", ()),
)
_RANK: Final = (
    f"CASE WHEN {NEEDS_PEOPLE} THEN (a.status = 'acknowledged') * {len(Severity)} + CASE a.severity "
    + " ".join(f"WHEN '{severity.value}' THEN {rank}" for rank, severity in enumerate(Severity))
    + f" END ELSE {2 * len(Severity)} END"
)


def newest(connection: sqlite3.Connection, where: str, values: tuple[Any, ...], limit: int) -> list[sqlite3.Row]:
    """The rows of the alerts ``a`` that a WHERE clause finds, the newest seen first."""
    return connection.execute(
        f"SELECT a.* FROM alerts AS a{where} ORDER BY {_NEWEST_FIRST}", (*values, limit)
    ).fetchall()


def urgent(
    connection: sqlite3.Connection, where: str, values: tuple[Any, ...], limit: int, *, few: bool
) -> list[sqlite3.Row]:
    """The same, those first that need people most. ``few`` says that the clause alone leaves few to put in order.

    Otherwise an index has each group in its order, so that of a million alerts only those are read that are shown.
    """
    if few:
        return connection.execute(
            f"SELECT a.* FROM alerts AS a{where} ORDER BY {_RANK}, {_NEWEST_FIRST}", (*values, limit)
        ).fetchall()
    rows: list[sqlite3.Row] = []
    for group, of in _GROUPS:
        if len(rows) < limit:
            clause = f"{where} AND {group}" if where else f" WHERE {group}"
            rows += newest(connection, clause, (*values, *of), limit - len(rows))
    return rows
