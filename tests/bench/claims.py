"""What a claim takes where a hundred thousand deliveries wait: for their time to come, for room, or both."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from forwarder.common.clock import instant, iso
from forwarder.store import Store
from forwarder.store.connection import Connection
from forwarder.store.records import Turn
from tests.bench.stand_ins import alerts
from tests.bench.stored import place, tend

NOW: Final = 1_800_000_000.0
AT_ONCE: Final = 44
"""Deliveries that one claim may take."""
FEW: Final = 100
"""Deliveries that are due where all others wait for their time: less severe than any of those, and newer."""

AT_A_TIME: Final = 5000
"""Alerts that are put in at a time, whose words a server takes a while to index."""

_ALERTS: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, seen_at, trail, unrouted)
WITH RECURSIVE n (i) AS (SELECT CAST(?1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
SELECT 'a' || i, 'feed', 'high', NULL, ?3 + i, ?4, ?3 + i, '[]', 0 FROM n
"""
_OWED: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, tried_at, failing_since)
SELECT id, 'secops', 'open', 1, 'ready', CASE WHEN waits THEN 0 ELSE 3 END, published_at, '', published_at,
  CASE WHEN waits THEN ?2 + i % 600 + 600 ELSE ?2 - 1 END, CASE WHEN waits THEN 2 ELSE 0 END,
  CASE WHEN waits THEN ?2 - 10 END, CASE WHEN waits THEN ?2 - 100 END
FROM (SELECT id, published_at, i, i < ?1 AS waits FROM (
  SELECT id, published_at, CAST(substr(id, 2) AS BIGINT) AS i FROM alerts
) AS a) AS b WHERE i >= ?3
"""
_BACK: Final = """
UPDATE deliveries SET state = 'ready', claim = NULL, lease_until = NULL, tried_at = NULL WHERE claim = ?
"""
_TURNS: Final = {
    "": Turn(),
    ", after an answer": Turn(answered_at=NOW - 60, failing=8, failing_yields=True),
    ", a probe": Turn(probe=True),
    ", one that is drawn": Turn(draw=0.5),
}


def claims(kind: str, *, owed: int, samples: int) -> dict[str, Any] | None:
    """Milliseconds of a claim, its commit included, by what the others wait for, and by what is sought.

    None where there is no database of the kind.
    """
    found = {}
    for name, due in {"none due": 0, f"{FEW} due": FEW, "half of them due": owed // 2, "all due": owed}.items():
        with tempfile.TemporaryDirectory() as folder, place(kind, Path(folder)) as where:
            if where is None:
                return None
            with Store.open_exclusive(where) as store:
                _fill(store, owed, due)
                tend(where)
                for how, turn in _TURNS.items():
                    found[name + how] = _claim(store, turn, samples)
    return {
        "owed": owed,
        "median_ms": found,
        "slowest_of_the_usual_ms": max(found[name] for name in found if "," not in name),
    }


def _fill(store: Store, owed: int, due: int) -> None:
    body, old = json.dumps({**alerts(1)[0], "published_at": iso(instant(NOW))}), NOW - 200_000
    for first in range(0, owed, AT_A_TIME):
        after = min(first + AT_A_TIME, owed)

        def put_in(connection: Connection, first: int = first, after: int = after) -> None:
            connection.execute(_ALERTS, (first, after, old, body))
            connection.execute(_OWED, (owed - due, NOW, first))

        store.engine.write(put_in)


def _claim(store: Store, turn: Turn, samples: int) -> float:
    spans = []
    for _ in range(samples):
        started = time.perf_counter()
        claimed = store.outbox.claim("secops", AT_ONCE, now=NOW, lease=60.0, turn=turn)
        spans.append((time.perf_counter() - started) * 1000)
        store.engine.write(lambda connection: connection.execute(_BACK, (claimed[0].token,)) if claimed else None)  # noqa: B023
    return round(statistics.median(spans), 2)
