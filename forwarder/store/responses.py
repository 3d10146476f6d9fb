"""What people decided about alerts: kept once each, and owed to every other place where the alert stands."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.connector import Action, Kind, Origin, Resolution, Response, Status
from forwarder.response import FEED
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.enqueue import enqueue
from forwarder.store.life_records import Heard, Responded

_RESPONSES: Final = """
SELECT * FROM responses WHERE alert_id IN (SELECT value FROM json_each(?)) ORDER BY alert_id, number
"""

_STANDS_AT: Final = """
SELECT DISTINCT connector FROM deliveries WHERE alert_id = ? AND kind = 'open' AND state NOT IN ('dead', 'held')
  -- What a digest told has nothing of its own there.
  AND (receipt_id IS NULL OR receipt_id <> '')
"""

# What may have arrived stays: it is looked for, and what stands there by then goes by the alert's status of today.
_SUPERSEDE: Final = """
DELETE FROM deliveries WHERE alert_id = ? AND kind IN ('acknowledge', 'resolve', 'reopen') AND state = 'ready'
"""


def responses_of(connection: Connection, alert_ids: Sequence[str]) -> dict[str, list[Response]]:
    """What people decided about each of these alerts, in order."""
    found: dict[str, list[Response]] = {}
    for row in connection.execute(_RESPONSES, (json.dumps(alert_ids),)):
        found.setdefault(row["alert_id"], []).append(_response(row))
    return found


def respond(
    connection: Connection,
    alert_id: str,
    action: Action,
    *,
    place: str,
    at: float,
    now: float,
    connectors: Collection[str],
    person: str = "",
    reason: str = "",
    resolution: Resolution | None = None,
    too: bool = False,
) -> Responded:
    """Keeps a response, and owes it to those of ``connectors`` where the alert stands, but ``place``, unless ``too``.

    Nothing is kept of what changes nothing: of two people at once the first one counts.
    """
    row = connection.execute(
        "SELECT status, origin, severity, seen_at FROM alerts WHERE id = ?", (alert_id,)
    ).fetchone()
    if row is None or row["origin"] != Origin.FEED.value:
        return Responded(heard=Heard.UNKNOWN)
    earlier = responses_of(connection, [alert_id]).get(alert_id, [])
    status = Status(row["status"])
    if not action.changes(status):
        latest = earlier[-1] if earlier else None
        return Responded(heard=Heard.UNCHANGED, alert_id=alert_id, status=status, latest=latest)
    response = Response(
        number=len(earlier) + 1,
        action=action,
        at=instant(at),
        place=place,
        person=person,
        reason=reason,
        resolution=(resolution or Resolution.DONE) if action is Action.RESOLVE else None,
    )
    _keep(connection, alert_id, response)
    owed = set()
    for (connector,) in connection.execute(_STANDS_AT, (alert_id,)).fetchall():
        if connector in connectors and (connector != place or too):
            enqueue(
                connection,
                alert_id,
                connector,
                Kind(action.value),
                revision=response.number,
                why=response.words,
                now=now,
            )
            owed.add(connector)
    return Responded(
        heard=Heard.CHANGED,
        alert_id=alert_id,
        status=action.status,
        latest=response,
        connectors=frozenset(owed),
        severity=unreadable.member(Severity, row["severity"], Severity.CRITICAL),
        seen_at=unreadable.seconds(row["seen_at"]),
    )


def reopen_worse(connection: Connection, alert_id: str, why: str, now: float) -> None:
    """Opens an alert again that got worse. The worse news itself tells that, so nothing else does.

    What was owed of earlier responses would come after it, and say what holds no more.
    """
    row = connection.execute("SELECT status FROM alerts WHERE id = ?", (alert_id,)).fetchone()
    if row["status"] == Status.OPEN.value:
        return
    number: int = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM responses WHERE alert_id = ?", (alert_id,)
    ).fetchone()[0]
    _keep(
        connection,
        alert_id,
        Response(number=number, action=Action.REOPEN, at=instant(now), place=FEED, reason=why),
    )
    connection.execute(_SUPERSEDE, (alert_id,))


def _keep(connection: Connection, alert_id: str, response: Response) -> None:
    connection.execute("UPDATE alerts SET status = ? WHERE id = ?", (response.status.value, alert_id))
    connection.execute(
        "INSERT INTO responses (alert_id, number, action, resolution, at, place, person, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            alert_id,
            response.number,
            response.action.value,
            response.resolution and response.resolution.value,
            response.at.timestamp(),
            response.place,
            response.person,
            response.reason,
        ),
    )


def _response(row: Row) -> Response:
    resolution = row["resolution"]
    return Response(
        number=row["number"],
        action=Action(row["action"]),
        at=instant(unreadable.seconds(row["at"])),
        place=row["place"],
        person=row["person"],
        reason=row["reason"],
        resolution=Resolution(resolution) if resolution else None,
    )
