"""Deliveries whose time has not come: held until a schedule opens or a digest is due, and released then or before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from forwarder.store.connection import Connection
from forwarder.store.digests import leave_out
from forwarder.store.life_records import DIGEST

# It begins to be owed only now: what is told of how long something waits counts from here.
_RELEASE: Final = """
UPDATE deliveries SET state = 'ready', due_at = 0, enqueued_at = :now, held_until = NULL, held_for = NULL
WHERE state = 'held' AND
"""


def release_due(connection: Connection, *, now: float) -> frozenset[str]:
    """Makes due what is held for a schedule that is open by now; the connectors that are owed it."""
    rows = connection.execute(
        _RELEASE + " held_until <= :now AND held_for LIKE 'during %' RETURNING connector", {"now": now}
    ).fetchall()
    return frozenset(connector for (connector,) in rows)


def release_alert(connection: Connection, alert_id: str, *, now: float, connector: str | None = None) -> frozenset[str]:
    """Makes due at once what is held of one alert, whatever for; the connectors that are owed it."""
    values = {"now": now, "alert_id": alert_id, "connector": connector}
    rows = connection.execute(
        _RELEASE + " alert_id = :alert_id AND connector = coalesce(:connector, connector) RETURNING connector", values
    ).fetchall()
    if rows:
        leave_out(connection, alert_id)
    return frozenset(name for (name,) in rows)


def retime(connection: Connection, openings: Mapping[str, float], digests: Mapping[str, float], *, now: float) -> None:
    """Holds what waits for a schedule until that opens by the config of today, or no longer where it is gone.

    What waits for a digest is held no longer than until the last of its connector's next ``digests``: later than that
    was a time of another config, or of a clock that was ahead.
    """
    for (reason,) in connection.execute(
        "SELECT DISTINCT held_for FROM deliveries WHERE state = 'held' AND held_for LIKE 'during %'"
    ).fetchall():
        connection.execute(
            "UPDATE deliveries SET held_until = ? WHERE state = 'held' AND held_for = ?",
            (openings.get(reason, now), reason),
        )
    connection.executemany(
        "UPDATE deliveries SET held_until = ?1"
        " WHERE state = 'held' AND held_for = ?2 AND connector = ?3 AND held_until > ?1",
        [(until, DIGEST, connector) for connector, until in digests.items()],
    )
