"""Which of the due deliveries go out next, and what the one that goes takes along of the same alert."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from forwarder.alert import Change
from forwarder.store.connection import Connection, Row
from forwarder.store.records import LINKS_ONLY, Turn

BEFORE: Final = f"""
  e.alert_id = d.alert_id AND e.connector = d.connector AND e.id <> d.id
      -- Two at once could arrive in either order.
      AND (e.state = 'sending' OR e.state IN ('ready', 'uncertain') AND CASE
        -- Whatever else is sent brings the links along, so they never hold it up.
        WHEN d.kind = 'update' AND d.revision = {LINKS_ONLY} THEN true
        WHEN e.kind = 'update' AND e.revision = {LINKS_ONLY} THEN false
        -- What was owed earlier goes first, but worse news overtakes all but the open itself, and it waits for it.
        WHEN e.id < d.id THEN NOT (d.worse = 1 AND e.kind NOT IN ('open', 'withdraw'))
        ELSE e.worse = 1 AND d.kind NOT IN ('open', 'withdraw')
      END)
"""
"""Whether the delivery ``e`` of the same alert goes before the delivery ``d``."""

_BOUNDS: Final = """
SELECT
  (SELECT due_at FROM deliveries
    WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND early = 1 ORDER BY due_at LIMIT 1),
  (SELECT due_at FROM deliveries
    WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND early = 0 ORDER BY due_at DESC LIMIT 1),
  EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_failing
    WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND failing_since IS NOT NULL)
"""
"""When the first of those is due that waited for their time, when the last of the others, and whether any fails."""
AT_ONCE: Final = 1000
"""Deliveries that are noted at a time as waiting for their time, or as due."""
MOST: Final = 1000
"""Deliveries that one claim may be for."""
_COME: Final = """
SELECT id FROM deliveries
WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND early = 1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3
"""
_EARLY: Final = """
SELECT id FROM deliveries
WHERE connector = ?1 AND state IN ('ready', 'uncertain') AND early = 0 AND due_at > ?2 ORDER BY due_at DESC LIMIT ?3
"""
_NOTE: Final = "UPDATE deliveries SET early = ? WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"

_BY_SEVERITY: Final = "d.rank, d.published_at, d.id"
_OTHERS: Final = "(d.failing_since IS NULL OR d.failing_since > :answered_at)"
_FAILING: Final = "d.failing_since IS NOT NULL AND d.failing_since <= :answered_at"
_UNTRIED: Final = "d.tried_at IS NULL"
_ANY: Final = "true"
# What was never tried stands first, by severity.
_LEAST_RECENT: Final = f"d.tried_at NULLS FIRST, {_BY_SEVERITY}"

# Once that was noted, a server that was asked for the time as well would take what is due for less than it is.
_NOTED: Final = "d.early = 0"
_HAS_COME: Final = "d.early = 1 AND d.due_at <= :now"
_INDEXES: Final = {_OTHERS: "deliveries_due_next", _FAILING: "deliveries_failing", _HAS_COME: "deliveries_due"}
"""The index in which what is sought stands together; that of the times of the last try for all else."""

_TAKE_IN: Final = f"""
DELETE FROM deliveries WHERE alert_id = :alert_id AND connector = :connector AND kind = 'update' AND id < :id
  -- What may have arrived would be told twice.
  AND revision <> {LINKS_ONLY} AND state = 'ready'
RETURNING coalesce(first_revision, revision) AS first
"""

_IN_DOUBT: Final = f"""
SELECT * FROM deliveries WHERE alert_id = :alert_id AND connector = :connector AND kind = 'update' AND id < :id
  AND revision <> {LINKS_ONLY} AND state = 'uncertain'
"""

_TOLD_SINCE: Final = """
SELECT changes FROM changes WHERE alert_id = :alert_id AND revision > :revision AND revision <= (
  SELECT max(revision) FROM deliveries
  WHERE alert_id = :alert_id AND connector = :connector AND kind = 'update' AND state = 'delivered'
)
"""


def due(connection: Connection, connector: str, limit: int, now: float, turn: Turn) -> list[Row]:
    """Up to ``limit`` due deliveries in the order in which they go out; of one alert never two."""
    values = {"connector": connector, "now": now, "answered_at": turn.answered_at, "limit": limit, "offset": 0}
    is_due, fails = _note_due(connection, connector, now)
    if not is_due:
        return []
    if turn.draw is not None:
        count: int = connection.execute(f"SELECT count(*) {_from(_UNTRIED)}", values).fetchone()[0]
        if count:
            drawn = {"limit": 1, "offset": min(int(turn.draw * count), count - 1)}
            return _rows(connection, _UNTRIED, _LEAST_RECENT, values | drawn)
    if turn.probe:
        return _rows(connection, _ANY, _LEAST_RECENT, values)
    others = _rows(connection, _OTHERS, _BY_SEVERITY, values)
    fails = fails and turn.answered_at != -math.inf and turn.failing > 0
    if not fails or (turn.failing_yields and len(others) == limit):
        return others
    # Among what keeps failing, what failed least often has the best prospects.
    order = f"d.attempts - d.excused, {_BY_SEVERITY}"
    order = order if turn.failing_yields else f"d.rank, {order}"
    failing = _rows(connection, _FAILING, order, values | {"limit": min(limit, turn.failing)})
    return sorted(others + failing, key=_severity)[:limit] if not turn.failing_yields else (others + failing)[:limit]


def has_untried(connection: Connection, connector: str, now: float) -> bool:
    """Whether something is due that was never tried."""
    values = {"connector": connector, "now": now}
    # Who only reads notes nothing: what waited until now is looked for as well.
    asked = (f"SELECT 1 {_from(_UNTRIED, when)} LIMIT 1" for when in (f"{_NOTED} AND d.due_at <= :now", _HAS_COME))
    return any(connection.execute(sql, values).fetchone() is not None for sql in asked)


def take_in(connection: Connection, rows: Sequence[Row]) -> dict[int, int]:
    """Lets claimed worse news take in the updates that it overtakes: the first revision that each of them tells now.

    What may have arrived is not taken in: it is looked for once the news has arrived.
    """
    taken = {}
    for row in rows:
        if not row["worse"]:
            continue
        found = connection.execute(_TAKE_IN, {name: row[name] for name in ("alert_id", "connector", "id")}).fetchall()
        if found:
            first = min([row["first_revision"] or row["revision"], *(number for (number,) in found)])
            connection.execute("UPDATE deliveries SET first_revision = ? WHERE id = ?", (first, row["id"]))
            taken[row["id"]] = first
    return taken


def changes_of(connection: Connection, row: Row, first: int) -> tuple[Change, ...]:
    """What changed from the revision ``first`` to the update's own: each field once, from its oldest value on.

    Fields of which something newer was told meanwhile are left out, unless these are all.
    """
    found = connection.execute(
        "SELECT changes FROM changes WHERE alert_id = ? AND revision BETWEEN ? AND ? ORDER BY revision",
        (row["alert_id"], first, row["revision"]),
    ).fetchall()
    steps = [[Change(**change) for change in json.loads(changes)] for (changes,) in found]
    merged: dict[str, Change] = {}
    for change in (change for step in steps for change in step):
        before = merged.get(change.field, change)
        merged[change.field] = Change(field=change.field, old=before.old, new=change.new)
    # Where all of it was taken back, the latest step is the news: without changes it would only bring links.
    kept = tuple(change for change in merged.values() if change.old != change.new)
    told = _told_since(connection, row)
    return tuple(change for change in kept if change.field not in told) or kept or tuple(steps[-1] if steps else ())


def drop_outdated(connection: Connection, told: Row) -> None:
    """Forgets the earlier updates of which nobody knows whether they arrived, and which say nothing that is still new.

    Worse news overtook them, and has told a newer value of each of their fields.
    """
    for row in connection.execute(_IN_DOUBT, {name: told[name] for name in ("alert_id", "connector", "id")}).fetchall():
        changes = changes_of(connection, row, row["first_revision"] or row["revision"])
        if {change.field for change in changes} <= _told_since(connection, row):
            connection.execute("DELETE FROM deliveries WHERE id = ?", (row["id"],))


def _told_since(connection: Connection, row: Row) -> set[str]:
    """The fields of which newer updates have told something."""
    found = connection.execute(_TOLD_SINCE, {name: row[name] for name in ("alert_id", "connector", "revision")})
    return {change["field"] for (changes,) in found for change in json.loads(changes)}


def _note_due(connection: Connection, connector: str, now: float) -> tuple[bool, bool]:
    """Notes of each delivery that waits whether its time has come, where that changed.

    So only what is due has to be gone through by severity, however much waits for its time beside it. Returns whether
    anything is due, and whether anything fails.
    """
    first_early, last_due, fails = connection.execute(_BOUNDS, (connector,)).fetchone()
    has_come = first_early is not None and first_early <= now
    if last_due is not None and last_due > now:
        _note(connection, _EARLY, 1, connector, now)
    if has_come:
        _note(connection, _COME, 0, connector, now)
    return has_come or last_due is not None, bool(fails)


def _note(connection: Connection, which: str, early: int, connector: str, now: float) -> None:
    while found := [number for (number,) in connection.execute(which, (connector, now, AT_ONCE))]:
        connection.execute(_NOTE, (early, json.dumps(found)))


def _rows(connection: Connection, which: str, order: str, values: dict[str, Any]) -> list[Row]:
    found = f"SELECT d.*, a.body, a.origin, a.revision AS alert_revision {_from(which)} ORDER BY {order}"
    if not values["offset"]:
        # A server keeps one plan for every limit: without one that it knows, it would sort all that is due.
        found = f"SELECT * FROM ({found} LIMIT {MOST}) AS first"
    return connection.execute(f"{found} LIMIT :limit OFFSET :offset", values).fetchall()


def _from(which: str, when: str = _NOTED) -> str:
    """The deliveries that meet ``which`` and ``when``, and before which nothing of their alert goes."""
    return f"""
      FROM deliveries AS d INDEXED BY {_INDEXES.get(which, _INDEXES.get(when, "deliveries_tried"))}
      LEFT JOIN alerts AS a ON a.id = d.alert_id
      WHERE d.connector = :connector AND d.state IN ('ready', 'uncertain') AND {when} AND {which}
        AND NOT EXISTS (SELECT 1 FROM deliveries AS e WHERE {BEFORE})
    """


def _severity(row: Row) -> tuple[int, float, int]:
    return row["rank"], row["published_at"], row["id"]
