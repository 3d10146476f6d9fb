"""An alert's life: what people decide about it, wherever they are, and how far each place was looked at for that."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from forwarder.connector import Action, Look, Reaction, Resolution, Sighting, Status
from forwarder.response import actions_between
from forwarder.store.connection import Connection
from forwarder.store.digests import Compose, collect
from forwarder.store.engine import Engine
from forwarder.store.holds import release_due, retime
from forwarder.store.life_records import DIGEST, Heard, LookState, Responded
from forwarder.store.responses import came_since, catch_up, respond

_STANDS: Final = """
SELECT alert_id FROM deliveries
WHERE receipt_id = ? COLLATE NOCASE AND connector = ? AND state = 'delivered' ORDER BY id DESC LIMIT 1
"""

_SEE: Final = """
INSERT INTO sightings (alert_id, connector, status) VALUES (?, ?, ?)
ON CONFLICT (alert_id, connector) DO UPDATE SET status = excluded.status
"""

_LOOKED: Final = """
INSERT INTO looks (connector, cursor, looked_at) VALUES (?1, ?2, ?3)
ON CONFLICT (connector) DO UPDATE SET cursor = ?2, looked_at = ?3, failing_since = NULL, error = NULL
"""

_DEAF: Final = """
INSERT INTO looks (connector, deaf_since, deaf) VALUES (?1, ?2, ?3)
ON CONFLICT (connector) DO UPDATE SET deaf_since = coalesce(looks.deaf_since, ?2), deaf = ?3
"""
_HEARS: Final = "UPDATE looks SET deaf_since = NULL, deaf = NULL WHERE connector = ? AND deaf_since IS NOT NULL"

# What is not asked for any more, by another config, does not fail.
_FAILS_UNASKED: Final = """
SELECT 1 FROM looks WHERE (failing_since IS NOT NULL AND connector NOT IN (SELECT value FROM json_each(:looking)))
  OR (deaf_since IS NOT NULL AND connector NOT IN (SELECT value FROM json_each(:listening))) LIMIT 1
"""
_NOT_LOOKED_AT: Final = """
UPDATE looks SET failing_since = NULL, error = NULL
WHERE failing_since IS NOT NULL AND connector NOT IN (SELECT value FROM json_each(:looking))
"""
_NOT_LISTENED_TO: Final = """
UPDATE looks SET deaf_since = NULL, deaf = NULL
WHERE deaf_since IS NOT NULL AND connector NOT IN (SELECT value FROM json_each(:listening))
"""

_LOOK_FAILED: Final = """
INSERT INTO looks (connector, failing_since, error) VALUES (?1, ?2, ?3)
ON CONFLICT (connector) DO UPDATE SET failing_since = coalesce(looks.failing_since, ?2), error = ?3
"""

_HAVE_MISSED: Final = "SELECT 1 FROM missed WHERE connector IN (SELECT value FROM json_each(?)) LIMIT 1"

CATCH_UP_AT_ONCE: Final = 200
"""Missed responses that one transaction catches up with."""


class LifecycleStore:
    """The side of the store that people's decisions come in by."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def respond(
        self,
        alert_id: str,
        action: Action,
        *,
        place: str,
        now: float,
        connectors: Collection[str],
        person: str = "",
        reason: str = "",
        resolution: Resolution | None = None,
    ) -> Responded:
        """What a person decided at ``place``, which is no connector, about an alert of the feed."""
        return self._engine.write(
            lambda connection: respond(
                connection,
                alert_id,
                action,
                place=place,
                at=now,
                now=now,
                connectors=connectors,
                person=person,
                reason=reason,
                resolution=resolution,
            )
        )

    def react(
        self, connector: str, reaction: Reaction, *, now: float, connectors: Collection[str], too: bool
    ) -> Responded:
        """What a person did at a connector's destination, however often that tells of it.

        ``too`` owes the connector itself the news as well.
        """

        def work(connection: Connection) -> Responded:
            alert_id = alert_at(connection, connector, reaction.remote_id)
            if alert_id is None:
                # Not heard of: what stands there may be about to be settled, and is then told once more.
                return Responded(heard=Heard.UNKNOWN)
            if not heard_first(connection, connector, reaction.key, now=now):
                return Responded(heard=Heard.REPEATED)
            return respond(
                connection,
                alert_id,
                reaction.action,
                place=connector,
                at=reaction.at.timestamp(),
                now=now,
                connectors=connectors,
                person=reaction.person,
                reason=reaction.reason,
                resolution=reaction.resolution,
                too=too,
            )

        return self._engine.write(work)

    def catch_up(self, connectors: Collection[str], *, now: float) -> frozenset[str]:
        """Owes to ``connectors``, which are in use, the responses that they missed while they were not; who is owed."""

        def batch(connection: Connection) -> frozenset[str]:
            return catch_up(connection, connectors, now=now, most=CATCH_UP_AT_ONCE)

        owed: frozenset[str] = frozenset()
        while self._have_missed(connectors):
            # Whoever else writes does not wait for all that a connector missed in a year.
            owed |= self._engine.write(batch)
        return owed

    def _have_missed(self, connectors: Collection[str]) -> bool:
        with self._engine.read() as connection:
            found = connection.execute(_HAVE_MISSED, (json.dumps(list(connectors)),)).fetchone()
        return found is not None

    def looked(
        self,
        connector: str,
        look: Look,
        *,
        now: float,
        connectors: Collection[str],
        since: str,
        undoes: bool = False,
    ) -> list[Responded]:
        """Takes in what a look brought, together with where the next one begins; returns what changed.

        What counts is that an alert stands otherwise there than when it was last seen: so nothing is heard twice. The
        look began at the cursor ``since``. Where that is another one by now, a rename came in between, and the look is
        dropped whole: the next one asks for it again.

        ``undoes`` says that what is sent there may undo what people did: where something has come there since, the
        connector itself is owed the news as well.
        """

        def work(connection: Connection) -> list[Responded]:
            if since != _cursor(connection, connector):
                return []
            changed = [
                responded
                for sighting in look.sightings
                for responded in _seen(connection, connector, sighting, now, connectors, undoes=undoes)
            ]
            connection.execute(_LOOKED, (connector, look.cursor, now))
            return changed

        return self._engine.write(work)

    def look_failed(self, connector: str, reason: str, *, now: float) -> None:
        """Writes down why a destination could not be looked at, and since when."""
        self._engine.write(lambda connection: connection.execute(_LOOK_FAILED, (connector, now, reason)))

    def deaf(self, connector: str, reason: str, *, now: float) -> None:
        """Writes down why nobody is heard who acts at a connector's destination, and since when."""
        self._engine.write(lambda connection: connection.execute(_DEAF, (connector, now, reason)))

    def hears(self, connector: str) -> None:
        """Writes down that people are heard there."""
        self._engine.write(lambda connection: connection.execute(_HEARS, (connector,)))

    def asks(self, *, looking: Collection[str], listening: Collection[str]) -> None:
        """Takes over who is looked at, and who is listened to: no other one fails at that any more."""
        asked = {"looking": json.dumps(list(looking)), "listening": json.dumps(list(listening))}

        def work(connection: Connection) -> None:
            connection.execute(_NOT_LOOKED_AT, {"looking": asked["looking"]})
            connection.execute(_NOT_LISTENED_TO, {"listening": asked["listening"]})

        with self._engine.read() as connection:
            found = connection.execute(_FAILS_UNASKED, asked).fetchone()
        if found is not None:
            self._engine.write(work)

    def look_of(self, connector: str) -> LookState:
        """How far a destination was looked at."""
        with self._engine.read() as connection:
            row = connection.execute("SELECT * FROM looks WHERE connector = ?", (connector,)).fetchone()
        return LookState(**dict(row)) if row else LookState(connector=connector)

    def release(self, *, now: float) -> frozenset[str]:
        """Makes due what was held for a schedule that is open by now; the connectors that are owed it."""
        return self._engine.write(lambda connection: release_due(connection, now=now))

    def collect_digests(self, compose: Compose, *, now: float) -> frozenset[str]:
        """Makes the digests that are due; the connectors that are owed one."""
        return self._engine.write(lambda connection: collect(connection, compose, now=now))

    def retime(self, openings: Mapping[str, float], digests: Mapping[str, float], *, now: float) -> None:
        """Takes over when schedules open, by what is held for them, and when the last digest of a connector is due."""
        self._engine.write(lambda connection: retime(connection, openings, digests, now=now))

    def held(self) -> dict[str, int]:
        """How many deliveries of each connector are held until their time."""
        with self._engine.read() as connection:
            return dict(
                connection.execute(
                    "SELECT connector, count(*) FROM deliveries WHERE state = 'held' GROUP BY connector"
                ).fetchall()
            )

    def next_release(self) -> float | None:
        """When the next held delivery may go out; None where none is held."""
        with self._engine.read() as connection:
            # What a digest tells that waits itself is held on, until that has arrived.
            until: float | None = connection.execute(
                "SELECT min(held_until) FROM deliveries"
                " WHERE state = 'held' AND (held_for = ? OR held_for LIKE 'during %')",
                (DIGEST,),
            ).fetchone()[0]
        return until

    def forget_heard(self, *, before: float) -> None:
        """Forgets the names of events that no destination tells of again."""
        self._engine.write(lambda connection: connection.execute("DELETE FROM heard WHERE at < ?", (before,)))


def heard_first(connection: Connection, connector: str, key: str, *, now: float) -> bool:
    """Whether a destination tells of an event for the first time."""
    return bool(
        connection.execute("INSERT INTO heard VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (connector, key, now)).rowcount
    )


def alert_at(connection: Connection, connector: str, remote_id: str) -> str | None:
    """The alert that stands at a connector's destination under ``remote_id``."""
    row = connection.execute(_STANDS, (remote_id, connector)).fetchone() if remote_id else None
    return None if row is None else str(row["alert_id"])


def _cursor(connection: Connection, connector: str) -> str:
    row = connection.execute("SELECT cursor FROM looks WHERE connector = ?", (connector,)).fetchone()
    return str(row["cursor"]) if row else ""


def _is_resolved(connection: Connection, alert_id: str) -> bool:
    (status,) = connection.execute("SELECT status FROM alerts WHERE id = ?", (alert_id,)).fetchone()
    return bool(status == Status.RESOLVED.value)


def _seen(
    connection: Connection,
    connector: str,
    sighting: Sighting,
    now: float,
    connectors: Collection[str],
    *,
    undoes: bool,
) -> list[Responded]:
    alert_id = alert_at(connection, connector, sighting.remote_id)
    if alert_id is None:
        return []
    row = connection.execute(
        "SELECT status FROM sightings WHERE alert_id = ? AND connector = ?", (alert_id, connector)
    ).fetchone()
    connection.execute(_SEE, (alert_id, connector, sighting.status.value))
    if sighting.ours:
        return []
    before = Status(row["status"]) if row else Status.OPEN
    if before is Status.ACKNOWLEDGED and sighting.status is Status.OPEN and _is_resolved(connection, alert_id):
        # Who lets go of an alert, by time-out or not, does not undo that somebody else has resolved it meanwhile.
        return []
    at = sighting.at.timestamp()
    undone = undoes and came_since(connection, alert_id, connector, at)
    actions = actions_between(before, sighting.status)
    responses = [
        respond(
            connection,
            alert_id,
            action,
            place=connector,
            at=at,
            now=now,
            connectors=connectors,
            person=sighting.person,
            reason=sighting.reason,
            resolution=sighting.resolution,
            too=undone,
            # Who reopens it there, and takes it, knows that it is open.
            late=Action.REOPEN not in actions,
        )
        for action in actions
    ]
    return [response for response in responses if response.heard is Heard.CHANGED]
