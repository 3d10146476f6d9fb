"""Why deliveries wait, as far as rows tell it: what is before each of them. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from forwarder.connector import Kind
from forwarder.store import unreadable
from forwarder.store.connection import Row
from forwarder.store.engine import Engine
from forwarder.store.life_records import Hold
from forwarder.store.order import BEFORE
from forwarder.store.records import AttemptResult, State

_ASKED: Final = f"""
SELECT d.*, (SELECT e.id FROM deliveries AS e WHERE {BEFORE} ORDER BY e.id LIMIT 1) AS behind,
  (SELECT outcome FROM attempts WHERE delivery_id = d.id ORDER BY number DESC LIMIT 1) AS last_outcome
FROM deliveries AS d
WHERE d.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
  AND d.state IN ('held', 'ready', 'uncertain', 'sending')
"""

# The line of a connector is numbered once, however many of it are asked for.
_PLACES: Final = """
SELECT id, place, line FROM (
  SELECT id, row_number() OVER (PARTITION BY connector ORDER BY rank, published_at, id) AS place,
    count(*) OVER (PARTITION BY connector) AS line
  FROM deliveries INDEXED BY deliveries_waiting
  WHERE state IN ('ready', 'uncertain') AND due_at <= :now AND connector IN (SELECT value FROM json_each(:connectors))
) AS lines
WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
"""

_LIMITS: Final = """
SELECT connector, max(due_at) AS limited_until FROM deliveries AS d
WHERE state IN ('ready', 'uncertain') AND due_at > :now AND connector IN (SELECT value FROM json_each(:connectors))
  AND (SELECT outcome FROM attempts WHERE delivery_id = d.id ORDER BY number DESC LIMIT 1) = 'rate_limited'
GROUP BY connector
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """A delivery that is not settled, and what the store knows of why.

    ``place`` is where it stands among the ``line`` of its connector's deliveries that are due, 0 where it is not due
    itself. ``behind`` is the delivery of the same alert that goes first, None without one. ``last`` is what the last
    attempt came to, and ``last_outcome`` in one word. ``hold`` is what it is held for. ``limited_until`` is when the
    rate limit ends that its connector was last told of, None where it has ended.
    """

    id: int
    connector: str
    kind: Kind
    revision: int
    state: State
    due_at: float
    attempts: int
    tried_at: float | None
    last: str
    last_outcome: AttemptResult | None = None
    place: int = 0
    line: int = 0
    behind: int | None = None
    limited_until: float | None = None
    hold: Hold | None = None


class Waits:
    """The side of the store that tells why something has not gone out yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, deliveries: Iterable[int], *, now: float) -> dict[int, Wait]:
        """Those of ``deliveries``, by id, that are not settled."""
        asked: dict[str, Any] = {"ids": json.dumps(list(deliveries)), "now": now}
        with self._engine.read() as connection:
            rows = connection.execute(_ASKED, asked).fetchall()
            asked["connectors"] = json.dumps(sorted({row["connector"] for row in rows}))
            places = {number: (place, line) for number, place, line in connection.execute(_PLACES, asked).fetchall()}
            limits = {row["connector"]: row["limited_until"] for row in connection.execute(_LIMITS, asked).fetchall()}
        return {row["id"]: _wait(row, *places.get(row["id"], (0, 0)), limits.get(row["connector"])) for row in rows}


def _wait(row: Row, place: int, line: int, limited_until: float | None) -> Wait:
    outcome = row["last_outcome"]
    return Wait(
        id=row["id"],
        connector=row["connector"],
        kind=unreadable.member(Kind, row["kind"], Kind.OPEN),
        revision=row["revision"],
        state=State(row["state"]),
        due_at=unreadable.seconds(row["due_at"]),
        attempts=row["attempts"],
        tried_at=row["tried_at"],
        last=row["last"],
        last_outcome=None if outcome is None else unreadable.member(AttemptResult, outcome, AttemptResult.UNCERTAIN),
        place=place,
        line=line,
        behind=row["behind"],
        limited_until=limited_until,
        hold=Hold(until=row["held_until"], reason=row["held_for"]) if row["state"] == State.HELD else None,
    )
