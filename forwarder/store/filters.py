"""Lists of alerts and deliveries, newest first, by what people choose. Nothing here writes.

What is chosen may be nearly all of a million, or three of them: where an index knows that they are few, these are
looked at, and else all from the newest back, until there are enough.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from forwarder.alert import Severity
from forwarder.connector import Status
from forwarder.store import search
from forwarder.store.connection import Connection, Row
from forwarder.store.query_records import Filter
from forwarder.store.records import State

FEW: Final = 5000
"""Rows up to which it is quicker to look at all of them than to walk from the newest back."""

_Condition = tuple[str, tuple[Any, ...]]
"""A condition, and the values of its parameters."""

_IN_STATE: Final = {
    # An index that holds only some states is used where the query says so literally.
    State.HELD: "d.state = 'held'",
    State.READY: "d.state IN ('ready', 'uncertain') AND d.state = 'ready'",
    State.UNCERTAIN: "d.state IN ('ready', 'uncertain') AND d.state = 'uncertain'",
    State.SENDING: "d.state = 'sending'",
    State.DEAD: "d.state = 'dead'",
    State.DELIVERED: "d.settled_at IS NOT NULL AND d.state = 'delivered'",
}
_BY_INDEX: Final = (
    "d.settled_at IS NOT NULL",
    "d.state IN ('ready', 'uncertain')",
    "d.state = 'sending'",
    "d.state = 'held'",
)
"""Each delivery meets one of these, and each of these has an index."""


# As in the index of what is not resolved.
_NEEDS_PEOPLE: Final = (
    "a.origin = 'feed' AND a.status <> 'resolved' AND a.past = 0 AND a.unrouted = 0 AND a.muted_by IS NULL"
)
_URGENT_FIRST: Final[tuple[_Condition, ...]] = (
    *(
        (f"{_NEEDS_PEOPLE} AND a.status = ? AND a.severity = ?", (status.value, severity.value))
        for status in (Status.OPEN, Status.ACKNOWLEDGED)
        for severity in Severity
    ),
    (f"NOT ({_NEEDS_PEOPLE})", ()),
)
_NEWEST_FIRST: Final[tuple[_Condition, ...]] = (("true", ()),)


def alerts(connection: Connection, wanted: Filter) -> list[Row]:
    """The alerts that ``wanted`` lets through, the newest seen first, or group by group of those that need people."""
    where, values = _alert_conditions(wanted)
    few = _few_alerts(connection, wanted)
    sought = search.wanted(wanted.text, wanted.vendor, wanted.cve_id)
    if sought is not None:
        return search.newest(connection, sought, where=where, values=values, among=few, limit=wanted.limit)
    order = search.NEWEST_FIRST
    if few is not None:
        # The sign keeps SQLite from walking along the time after all.
        where, values, order = f"{where} AND a.id IN ({few[0]})", (*values, *few[1]), f"+{order}"
    rows: list[Row] = []
    for condition, of in _URGENT_FIRST if wanted.urgent_first else _NEWEST_FIRST:
        # A limit below zero is none.
        if wanted.limit < 0 or len(rows) < wanted.limit:
            # The same sign for the index of what is not resolved.
            group = condition if few is None else condition.replace("a.s", "+a.s")
            sql = f"SELECT a.* FROM alerts AS a WHERE {where} AND {group} ORDER BY {order} LIMIT ?"
            rows += connection.execute(sql, (*values, *of, max(wanted.limit - len(rows), -1)))
    return rows


def deliveries(connection: Connection, select: str, wanted: Filter) -> list[Row]:
    """The deliveries ``d`` that ``wanted`` lets through, with their alerts ``a`` as ``select`` joins them."""
    where, values = _delivery_conditions(connection, wanted)
    few = _few_deliveries(connection, wanted, "d.id")
    if few is not None:
        where, values = f"{where} AND d.id IN ({few[0]})", (*values, *few[1])
    walks = few is None and not wanted.alert_id and not wanted.text
    sql = f"{select} WHERE {where} ORDER BY {'' if walks else '+'}d.enqueued_at DESC, d.id DESC LIMIT ?"
    return connection.execute(sql, (*values, wanted.limit)).fetchall()


def _few_alerts(connection: Connection, wanted: Filter) -> _Condition | None:
    """What selects the ids of all alerts in question, where these are few; None where they may be many."""
    for asked, rare in ((wanted.unrouted, "unrouted = 1"), (wanted.muted, "muted_by IS NOT NULL")):
        few = _if_few(connection, f"SELECT id FROM alerts WHERE {rare}", ()) if asked else None
        if few is not None:
            return few
    if wanted.account:
        few = _if_few(connection, "SELECT alert_id FROM alert_accounts WHERE account = ?", (wanted.account,))
        if few is not None:
            return few
    return _few_deliveries(connection, wanted, "d.alert_id")


def _few_deliveries(connection: Connection, wanted: Filter, column: str) -> _Condition | None:
    """What selects a column of all deliveries in question, where these are few; None where they may be many."""
    if wanted.state is None and wanted.connector is None:
        return None
    states = _BY_INDEX if wanted.state is None else (_IN_STATE[wanted.state],)
    connector: tuple[str, ...] = () if wanted.connector is None else (wanted.connector,)
    chosen = " AND d.connector = ?" * len(connector)
    parts = [f"SELECT {column} FROM deliveries AS d WHERE {state}{chosen}" for state in states]
    return _if_few(connection, " UNION ALL ".join(parts), connector * len(parts))


def _if_few(connection: Connection, select: str, values: Sequence[Any]) -> _Condition | None:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({select}) AS chosen LIMIT {FEW + 1}) AS few"
    (count,) = connection.execute(sql, values).fetchone()
    return (select, tuple(values)) if count <= FEW else None


def _alert_conditions(wanted: Filter) -> _Condition:
    """The condition for alerts ``a`` but for what is searched; every value is a parameter."""
    parts = _shared_conditions(wanted)
    if wanted.alert_id:
        parts.append(("a.id = ?", (wanted.alert_id,)))
    if wanted.since:
        parts.append(("a.seen_at >= ?", (wanted.since.timestamp(),)))
    if wanted.before is not None:
        parts.append(("a.seen_at < ?", (wanted.before,)))
    if wanted.status:
        needed = wanted.urgent_first and wanted.status is not Status.RESOLVED
        parts.append((f"{_NEEDS_PEOPLE} AND a.status = ?" if needed else "a.status = ?", (wanted.status.value,)))
    if wanted.unrouted:
        parts.append(("a.unrouted = 1", ()))
    if wanted.muted:
        parts.append(("a.muted_by IS NOT NULL", ()))
    told = [(sql, value) for sql, value in (("d.connector", wanted.connector), ("d.state", wanted.state)) if value]
    if told:
        matching = " AND ".join(f"{sql} = ?" for sql, _ in told)
        parts.append(
            (
                f"EXISTS (SELECT 1 FROM deliveries AS d WHERE d.alert_id = a.id AND {matching})",
                tuple(str(value) for _, value in told),
            )
        )
    return _all_of(parts)


def _delivery_conditions(connection: Connection, wanted: Filter) -> _Condition:
    """The condition for deliveries ``d`` of alerts ``a``."""
    parts = _shared_conditions(wanted)
    if wanted.alert_id:
        parts.append(("d.alert_id = ?", (wanted.alert_id,)))
    if sought := search.wanted(wanted.text):
        found = [row["id"] for row in search.newest(connection, sought, limit=FEW)]
        parts.append(("d.alert_id IN (SELECT value FROM json_each(?))", (json.dumps(found),)))
    if wanted.connector:
        parts.append(("d.connector = ?", (wanted.connector,)))
    if wanted.state:
        parts.append((_IN_STATE[wanted.state], ()))
    if wanted.since:
        parts.append(("d.enqueued_at >= ?", (wanted.since.timestamp(),)))
    return _all_of(parts)


def _shared_conditions(wanted: Filter) -> list[_Condition]:
    parts: list[_Condition] = []
    if wanted.origin:
        parts.append(("a.origin = ?", (wanted.origin,)))
    if wanted.severity:
        parts.append(("a.severity = ?", (wanted.severity.value,)))
    if wanted.cve_id:
        parts.append(("a.cve_id LIKE ? ESCAPE '\\'", (search.anywhere(wanted.cve_id),)))
    if wanted.account:
        parts.append(
            ("EXISTS (SELECT 1 FROM alert_accounts AS s WHERE s.alert_id = a.id AND s.account = ?)", (wanted.account,))
        )
    if wanted.vendor:
        parts.append(
            (
                "CASE WHEN json_valid(a.body) THEN"
                " EXISTS (SELECT 1 FROM json_each(a.body, '$.affected_vendors') AS v WHERE v.value = ?) END",
                (wanted.vendor,),
            )
        )
    return parts


def _all_of(parts: Sequence[_Condition]) -> _Condition:
    return " AND ".join([sql for sql, _ in parts] or ["true"]), tuple(value for _, values in parts for value in values)
