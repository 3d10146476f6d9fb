"""What a claim takes where a hundred thousand deliveries wait: for their time to come, for room, or both."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from forwarder.common.clock import instant, iso
from forwarder.common.databases import Database
from forwarder.store import Store
from forwarder.store.connection import Connection
from forwarder.store.records import Turn
from tests.bench.stand_ins import alerts
from tests.kit import postgres

NOW: Final = 1_800_000_000.0
AT_ONCE: Final = 44
"""Deliveries that one claim may take."""
FEW: Final = 100
"""Deliveries that are due where all others wait for their time: less severe than any of those, and newer."""

_ALERTS: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, seen_at, trail, unrouted)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT 'a' || i, 'feed', 'high', NULL, ?2 + i, ?3, ?2 + i, '[]', 0 FROM n
"""
_OWED: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, tried_at, failing_since)
SELECT id, 'secops', 'open', 1, 'ready', CASE WHEN waits THEN 0 ELSE 3 END, published_at, '', published_at,
  CASE WHEN waits THEN ?2 + 600 ELSE ?2 - 1 END, CASE WHEN waits THEN 2 ELSE 0 END,
  CASE WHEN waits THEN ?2 - 10 END, CASE WHEN waits THEN ?2 - 100 END
FROM (SELECT id, published_at, published_at <= ?1 AS waits FROM alerts) AS a
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


def claims(*, owed: int, samples: int) -> dict[str, Any]:
    """Milliseconds of a claim, its commit included, by what the others wait for, and by what is sought."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        found["sqlite"] = _measured(Path(folder) / "forwarder.db", owed, samples, lambda: None)
    with _server() as server:
        if server is not None:
            # As its own upkeep would have done by then.
            place = server.new_store()
            found["postgresql"] = _measured(place, owed, samples, lambda: server.run("VACUUM ANALYZE", place.name))
    return {"owed": owed, "median_ms": found}


@contextmanager
def _server() -> Iterator[postgres.Server | None]:
    """A server of its own; None where none is installed."""
    if postgres.missing() is not None:
        yield None
        return
    with postgres.server(["autovacuum=on", "shared_buffers=128MB"]) as server:
        yield server


def _measured(place: Database, owed: int, samples: int, settle: Callable[[], object]) -> dict[str, float]:
    found = {}
    with Store.open_exclusive(place) as store:
        for name, due in {"none due": 0, f"{FEW} due": FEW, "half of them due": owed // 2, "all due": owed}.items():
            store.engine.write(lambda connection: _fill(connection, owed, due))  # noqa: B023
            settle()
            for how, turn in _TURNS.items():
                found[name + how] = _claim(store, turn, samples)
    return found


def _fill(connection: Connection, owed: int, due: int) -> None:
    connection.execute("DELETE FROM alerts")
    body, first = json.dumps({**alerts(1)[0], "published_at": iso(instant(NOW))}), NOW - 200_000
    connection.execute(_ALERTS, (owed, first, body))
    connection.execute(_OWED, (first + owed - due, NOW))


def _claim(store: Store, turn: Turn, samples: int) -> float:
    spans = []
    for _ in range(samples):
        started = time.perf_counter()
        claimed = store.outbox.claim("secops", AT_ONCE, now=NOW, lease=60.0, turn=turn)
        spans.append((time.perf_counter() - started) * 1000)
        store.engine.write(lambda connection: connection.execute(_BACK, (claimed[0].token,)) if claimed else None)  # noqa: B023
    return round(statistics.median(spans), 2)
