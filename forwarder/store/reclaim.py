"""What becomes of deliveries whose worker is gone: they are uncertain, for what it sent may have arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from forwarder.store import unreadable
from forwarder.store.connection import Connection

NOTE_ATTEMPT: Final = """
INSERT INTO attempts SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM attempts WHERE delivery_id = ?1
"""


def reclaim(
    connection: Connection,
    *,
    now: float,
    due_at: Mapping[str, float],
    all_claims: bool,
    of: Callable[[str], bool],
) -> dict[str, int]:
    """How many there were of each connector; ``of`` says which connectors are meant.

    All that is claimed is, or, without ``all_claims``, what has been for longer than its lease.
    """
    unreadable.set_aside_unknown(connection, now)
    counts: dict[str, int] = {}
    rows = connection.execute(
        "SELECT id, connector FROM deliveries WHERE state = 'sending' AND (? OR lease_until < ?)",
        (all_claims, now),
    ).fetchall()
    reason = "The process ended while this was being sent." if all_claims else "The worker did not report back."
    for delivery_id, connector in rows:
        if not of(connector):
            continue
        # That we ended is no failure of the destination's: after ten crashes in a row one real failure would be waited
        # out like the eleventh.
        connection.execute(
            "UPDATE deliveries SET state = 'uncertain', lookups = 0, due_at = ?, attempts = attempts + ?,"
            " last = ?, uncertain_since = ?,"
            " failing_since = coalesce(failing_since, ?) WHERE id = ?",
            (
                due_at.get(connector, 0.0),
                int(not all_claims),
                reason,
                now,
                None if all_claims else now,
                delivery_id,
            ),
        )
        connection.execute(NOTE_ATTEMPT, (delivery_id, now, 0.0, "uncertain", reason))
        counts[connector] = counts.get(connector, 0) + 1
    return counts
