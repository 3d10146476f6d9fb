"""What goes out next where little is due beside much that waits: found another way, and the same."""

from __future__ import annotations

from typing import Final

import pytest

from forwarder.store import Store, order
from forwarder.store.connection import Connection
from forwarder.store.records import Turn
from tests.kit.store import NOW

_ALERTS: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, seen_at, trail, unrouted)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT 'a' || i, 'feed', 'high', NULL, ?2 + i % 97, '{}', ?2, '[]', 0 FROM n
"""
_OWED: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, excused, tried_at, failing_since)
SELECT id, 'secops', 'open', 1, CASE WHEN i % 5 = 0 THEN 'uncertain' ELSE 'ready' END, i % 4, published_at, '',
  published_at, CASE WHEN i % 25 = 0 THEN ?1 ELSE ?1 + i END, i % 3, i % 2, CASE WHEN i % 3 > 0 THEN ?1 - i END,
  CASE WHEN i % 7 > 3 THEN ?1 - i END
FROM (SELECT id, published_at, CAST(substr(id, 2) AS BIGINT) AS i FROM alerts) AS a
"""
_AFTER: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at, worse)
SELECT alert_id, connector, 'update', 2, 'ready', 0, published_at, '', enqueued_at, ?1, id % 2 FROM deliveries
WHERE CAST(substr(alert_id, 2) AS BIGINT) % 10 = 0
"""
"""Updates that wait for the opens of their alerts, whether these are due or not."""

TURNS: Final = (
    Turn(),
    Turn(answered_at=NOW - 600),
    Turn(answered_at=NOW - 600, failing=3),
    Turn(answered_at=NOW - 600, failing=5, failing_yields=True),
    Turn(probe=True),
    Turn(probe=True, draw=0.0),
    Turn(draw=0.6),
    Turn(draw=1.0),
)


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much and little are less here than they are elsewhere."""
    monkeypatch.setattr(order, "MANY", 200)
    monkeypatch.setattr(order, "FEW", 100)


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_little_that_is_due_goes_out_in_the_usual_order(
    store: Store, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way it is found, and however many are asked for."""

    def fill(connection: Connection) -> None:
        connection.execute(_ALERTS, (order.MANY + order.MANY // 10, NOW))
        connection.execute(_OWED, (NOW,))
        connection.execute(_AFTER, (NOW,))

    store.engine.write(fill)

    def next_ones(limit: int) -> list[tuple[str, str]]:
        with store.engine.read() as connection:
            return [(row["alert_id"], row["kind"]) for row in order.due(connection, "secops", limit, NOW, turn)]

    found = [next_ones(limit) for limit in (1, 7, 1000)]
    with monkeypatch.context() as patched:
        # So that all is looked through.
        patched.setattr(order, "FEW", 0)
        assert found == [next_ones(limit) for limit in (1, 7, 1000)]
    assert found[0]
    assert order.FEW > len(found[2]) >= len(found[1])


def test_where_nothing_is_due_beside_many_nothing_goes_out(store: Store) -> None:
    """Nor is anything found that was never tried."""

    def fill(connection: Connection) -> None:
        connection.execute(_ALERTS, (order.MANY + 1, NOW))
        connection.execute(_OWED, (NOW,))
        connection.execute("UPDATE deliveries SET due_at = ? WHERE due_at <= ?", (NOW + 1, NOW))

    store.engine.write(fill)
    for turn in TURNS:
        assert store.outbox.claim("secops", 5, now=NOW, lease=60.0, turn=turn) == []
    assert not store.outbox.has_untried("secops", now=NOW)
    assert store.outbox.has_untried("secops", now=NOW + 1)
