"""What people decided about alerts: kept once each, and owed to every other place where the alert stands."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.connector import Action, Kind, Origin, Resolution, Response, Status
from forwarder.response import FEED, FORWARDER
from forwarder.store import unreadable
from forwarder.store.connection import Connection, Row
from forwarder.store.enqueue import enqueue
from forwarder.store.life_records import Heard, Responded
from forwarder.store.links import STANDS

_RESPONSES: Final = """
SELECT * FROM responses WHERE alert_id IN (SELECT value FROM json_each(?)) ORDER BY alert_id, number
"""

_STANDS_AT: Final = f"SELECT o.connector FROM deliveries AS o WHERE o.alert_id = ? AND o.kind = 'open' AND {STANDS}"

# The first of each counts, by when it was done; what is resolved at once was acknowledged with it.
_RESPONDED: Final = """
UPDATE alerts SET status = :status,
  acknowledged_at = CASE WHEN :action = 'reopen' THEN acknowledged_at ELSE min(coalesce(acknowledged_at, :at), :at) END,
  resolved_at = CASE WHEN :action = 'resolve' THEN min(coalesce(resolved_at, :at), :at) ELSE resolved_at END
WHERE id = :id
"""

# What was sent there counts from when it was known to have arrived: nobody knows how long before that it did.
_NEWS_SINCE: Final = """
SELECT EXISTS (
  SELECT 1 FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'update' AND worse = 1
    AND (state IN ('held', 'ready', 'sending', 'uncertain') OR (state = 'delivered' AND settled_at > ?))
)
"""

# What was not sent any more counts as well: who decided by then had not seen it either.
_REOPENED_SINCE: Final = """
SELECT EXISTS (
  SELECT 1 FROM deliveries WHERE alert_id = ? AND connector = ? AND kind = 'reopen'
    AND (state IN ('held', 'ready', 'sending', 'uncertain') OR settled_at > ?)
)
"""

# Other updates act on nothing. What was tried and is not settled may have arrived at any time since.
_CAME_SINCE: Final = """
SELECT EXISTS (
  SELECT 1 FROM deliveries WHERE alert_id = ? AND connector = ? AND (kind <> 'update' OR worse = 1)
    AND CASE WHEN state IN ('delivered', 'dead') THEN settled_at > ? ELSE tried_at IS NOT NULL END
)
"""

_STILL_TO_HEAR: Final = """
SELECT connector FROM deliveries WHERE alert_id = ? AND kind = 'update' AND worse = 1 AND state IN ('held', 'ready')
"""

# What may have arrived stays: it is looked for, and what stands there by then goes by the alert's status of today.
_SUPERSEDE: Final = """
DELETE FROM deliveries WHERE alert_id = ? AND kind IN ('acknowledge', 'resolve', 'reopen') AND state = 'ready'
"""

# The first one stays: by what was known there before it, what people decide later may change nothing.
_MISS: Final = "INSERT INTO missed (alert_id, connector, number) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

_FORGET_MISSED: Final = "DELETE FROM missed WHERE alert_id = ? AND connector = ?"

_MISSED: Final = f"""
SELECT m.alert_id, m.connector, m.number, EXISTS (
  SELECT 1 FROM deliveries AS o
  WHERE o.alert_id = m.alert_id AND o.connector = m.connector AND o.kind = 'open' AND {STANDS}
) AS stands FROM missed AS m WHERE m.connector IN (SELECT value FROM json_each(?))
ORDER BY m.alert_id, m.connector LIMIT ?
"""

_UNKNOWN: Final = "it was decided before the worse news was there"


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
    late: bool = False,
) -> Responded:
    """Keeps a response, and owes it to those of ``connectors`` where the alert stands, but ``place``, unless ``too``.

    Nothing is kept of what changes nothing: of two people at once the first one counts. What was decided before worse
    news had come to ``place`` is kept, and the alert is open again at once, which is told there as well; the same where
    it is heard ``late``, and was decided before somebody's reopening had come there.
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
    told, besides = response, frozenset() if too else frozenset({place})
    if again := _open_again(connection, alert_id, response, now, late=late):
        _keep(connection, alert_id, again)
        told = again
        besides = frozenset(name for (name,) in connection.execute(_STILL_TO_HEAR, (alert_id,)))
    return Responded(
        heard=Heard.CHANGED,
        alert_id=alert_id,
        status=told.status,
        latest=told,
        connectors=_owe(connection, alert_id, told, connectors=connectors, besides=besides, now=now),
        severity=unreadable.member(Severity, row["severity"], Severity.CRITICAL),
        seen_at=unreadable.seconds(row["seen_at"]),
    )


def _open_again(
    connection: Connection, alert_id: str, response: Response, now: float, *, late: bool
) -> Response | None:
    """What opens an alert again of which somebody decided who did not know that it is open; None where they did.

    Else it would be done with wherever this is heard, though nobody has seen yet how bad it is, or against the word of
    whoever reopened it.
    """
    if response.action is Action.REOPEN:
        return None
    decided = (alert_id, response.place, response.at.timestamp())
    if connection.execute(_NEWS_SINCE, decided).fetchone()[0]:
        place, reason = FEED, _UNKNOWN
    elif late and connection.execute(_REOPENED_SINCE, decided).fetchone()[0]:
        place, reason = FORWARDER, f"{response.words} before the reopening was there"
    else:
        return None
    return Response(number=response.number + 1, action=Action.REOPEN, at=instant(now), place=place, reason=reason)


def came_since(connection: Connection, alert_id: str, place: str, at: float) -> bool:
    """Whether something of ours has come to a place since people decided there, or may have."""
    return bool(connection.execute(_CAME_SINCE, (alert_id, place, at)).fetchone()[0])


def catch_up(connection: Connection, connectors: Collection[str], *, now: float, most: int) -> frozenset[str]:
    """Owes what was decided last to those of ``connectors`` that were out of use then; returns who is owed it.

    It takes ``most`` of what they missed, and forgets that: each is told once.
    """
    rows = connection.execute(_MISSED, (json.dumps(sorted(connectors)), most)).fetchall()
    connection.executemany(_FORGET_MISSED, [(row["alert_id"], row["connector"]) for row in rows])
    decided = responses_of(connection, [row["alert_id"] for row in rows])
    owed = set()
    for row in rows:
        alert_id, name = row["alert_id"], row["connector"]
        latest, known = decided[alert_id][-1], decided[alert_id][: row["number"] - 1]
        before = known[-1].status if known else Status.OPEN
        if row["stands"] and (latest.status is not Status.OPEN or before is not Status.OPEN):
            _tell(connection, alert_id, name, latest, now)
            owed.add(name)
    return frozenset(owed)


def _owe(
    connection: Connection,
    alert_id: str,
    response: Response,
    *,
    connectors: Collection[str],
    besides: Collection[str],
    now: float,
) -> frozenset[str]:
    """Owes a response to those of ``connectors`` where the alert stands, and returns these; ``besides`` know it.

    Whoever is not among ``connectors`` has missed it: it may be out of the config for a while, or about to be renamed.
    """
    # Those are told the latest now, or know it: what they missed before is old.
    connection.executemany(_FORGET_MISSED, [(alert_id, name) for name in {*connectors, *besides}])
    owed = set()
    for (name,) in connection.execute(_STANDS_AT, (alert_id,)).fetchall():
        if name in besides:
            continue
        if name in connectors:
            _tell(connection, alert_id, name, response, now)
            owed.add(name)
        else:
            connection.execute(_MISS, (alert_id, name, response.number))
    return frozenset(owed)


def _tell(connection: Connection, alert_id: str, connector: str, response: Response, now: float) -> None:
    kind, number = Kind(response.action.value), response.number
    enqueue(connection, alert_id, connector, kind, revision=number, why=response.words, now=now)


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
    # The worse news waits for those that are out of use, too.
    connection.execute("DELETE FROM missed WHERE alert_id = ?", (alert_id,))


def _keep(connection: Connection, alert_id: str, response: Response) -> None:
    at = response.at.timestamp()
    values = {"id": alert_id, "status": response.status.value, "action": response.action.value, "at": at}
    connection.execute(_RESPONDED, values)
    connection.execute(
        "INSERT INTO responses (alert_id, number, action, resolution, at, place, person, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            alert_id,
            response.number,
            response.action.value,
            response.resolution and response.resolution.value,
            at,
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
