"""What goes out next beside much that waits: the same as if all of it was gone through, which it is not."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.store import Store, order
from forwarder.store.connection import Connection
from forwarder.store.records import Turn
from tests.kit.store import NOW, rows
from tests.kit.thorough import beyond

_ALERTS: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, seen_at, trail, unrouted)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT 'a' || i, 'feed', 'high', NULL, ?2, '{}', ?2, '[]', 0 FROM n
"""
_OWED: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, excused, tried_at, failing_since, worse, early, claim, lease_until)
VALUES (?, 'secops', ?, ?, ?, ?, ?, '', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DUE: Final = f"""
SELECT d.* FROM deliveries AS d
WHERE d.connector = 'secops' AND d.state IN ('ready', 'uncertain') AND d.due_at <= ?
  AND NOT EXISTS (SELECT 1 FROM deliveries AS e WHERE {order.BEFORE})
ORDER BY d.rank, d.published_at, d.id
"""
"""What is due and has nothing of its alert before it, the most severe first: as one would ask for it without a note."""

ALERTS: Final = 12
TIMES: Final = st.sampled_from([NOW - 50, NOW - 1, NOW, NOW + 1, NOW + 50])
OWED: Final = st.lists(
    st.tuples(
        st.integers(1, ALERTS),
        st.sampled_from(["open", "update"]),
        st.sampled_from(["ready", "uncertain", "sending"]),
        st.integers(0, 2),
        st.sampled_from([NOW - 9, NOW - 8]),
        TIMES,
        st.integers(0, 2),
        st.none() | TIMES,
        st.none() | TIMES,
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda one: (one[0], one[1]),
)
"""Deliveries: of which alert, and what of them decides when they go; the last is what was noted of their time."""
TURNS: Final = st.builds(
    Turn,
    answered_at=st.sampled_from([float("-inf"), NOW - 1, NOW]),
    failing=st.integers(0, 3),
    failing_yields=st.booleans(),
    probe=st.booleans(),
    draw=st.none() | st.floats(0, 1),
)


def owe(connection: Connection, owed: list[tuple[Any, ...]]) -> None:
    connection.execute("DELETE FROM deliveries")
    for number, kind, state, rank, published_at, due_at, attempts, tried_at, failing_since, worse, early in owed:
        update, claim = kind == "update", ("x", 0) if state == "sending" else (None, None)
        times = (due_at, attempts, attempts // 2, tried_at, failing_since)
        what = (f"a{number}", kind, 1 + update, state, rank, published_at)
        connection.execute(_OWED, (*what, *times, int(worse and update), int(early), *claim))


def plainly(due: list[Any], limit: int, turn: Turn) -> list[int]:
    """The rule in words: docstrings of ``Turn`` say what a turn takes, and this takes it from all that is due."""
    untried = [row for row in due if row["tried_at"] is None]
    if turn.draw is not None and untried:
        return [untried[min(int(turn.draw * len(untried)), len(untried) - 1)]["id"]]
    if turn.probe:
        least = sorted(due, key=lambda row: -1 if row["tried_at"] is None else row["tried_at"])
        return [row["id"] for row in least[:limit]]

    def fails(row: Any) -> bool:
        return row["failing_since"] is not None and row["failing_since"] <= turn.answered_at

    others = [row for row in due if not fails(row)]
    failing = [row for row in due if fails(row)]
    if turn.failing_yields:
        failing.sort(key=lambda row: row["attempts"] - row["excused"])
        return [row["id"] for row in (others[:limit] + failing[: turn.failing])[:limit]]
    failing.sort(key=lambda row: (row["rank"], row["attempts"] - row["excused"]))
    both = others[:limit] + failing[: min(limit, turn.failing)]
    return [row["id"] for row in sorted(both, key=lambda row: (row["rank"], row["published_at"], row["id"]))[:limit]]


@pytest.mark.parametrize("examples", beyond([40], [40, 150]))
def test_what_goes_out_next_is_what_the_plain_statement_finds(store: Store, examples: int) -> None:
    """Whatever was noted of each delivery's time, and though the clock may have been set since: in the same order."""
    store.engine.write(lambda connection: connection.execute(_ALERTS, (ALERTS, NOW)))

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(owed=OWED, turn=TURNS, limit=st.integers(1, 6), later=st.sampled_from([0, 5, 100, -5]))
    def holds(owed: list[tuple[Any, ...]], turn: Turn, limit: int, later: int) -> None:
        def compare(connection: Connection) -> None:
            owe(connection, owed)
            for now in (NOW, NOW + later):
                due = connection.execute(_DUE, (now,)).fetchall()
                untried = order.has_untried(connection, "secops", now)
                assert untried == any(row["tried_at"] is None for row in due)
                assert [row["id"] for row in order.due(connection, "secops", limit, now, turn)] == plainly(
                    due, limit, turn
                )
                assert untried == order.has_untried(connection, "secops", now)

        store.engine.write(compare)

    holds()


def test_more_come_due_at_once_than_are_noted_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are in order, and what still waits is none of them; where nothing is due, nothing goes out."""
    monkeypatch.setattr(order, "AT_ONCE", 3)

    def fill(connection: Connection) -> None:
        connection.execute(_ALERTS, (ALERTS, NOW))
        opens = [
            (n, "open", "ready", -n % 3, NOW, NOW + n, 1, NOW - 1, None, False, False) for n in range(1, ALERTS + 1)
        ]
        owe(connection, opens)

    store.engine.write(fill)
    assert store.outbox.claim("secops", 20, now=NOW, lease=60.0) == []
    assert not store.outbox.has_untried("secops", now=NOW + 8)
    assert rows(store, "SELECT DISTINCT early FROM deliveries") == [(1,)]
    assert store.outbox.next_due("secops") == NOW + 1
    found = store.engine.write(lambda connection: order.due(connection, "secops", 20, NOW + 8, Turn()))
    assert [row["alert_id"] for row in found] == ["a3", "a6", "a2", "a5", "a8", "a1", "a4", "a7"]
    assert store.outbox.next_due("secops") == NOW + 1


_MANY: Final = """
INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, tried_at, failing_since, early)
SELECT id, 'secops', 'open', 1, 'ready', i % 4, published_at, '', published_at,
  CASE WHEN i % 50 > 0 THEN ?1 + i ELSE 0 END, 1,
  CASE WHEN i % 3 > 0 THEN ?1 - i END, CASE WHEN i % 100 = 0 THEN ?1 - i END, 1
FROM (SELECT id, published_at, CAST(substr(id, 2) AS BIGINT) AS i FROM alerts) AS a
"""


class Noted:
    """A connection that keeps what it is asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.Error = connection.Error
        self.asked: list[tuple[str, Any]] = []

    def execute(self, sql: str, values: Any = ()) -> Any:
        self.asked.append((sql, values))
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, values: Any) -> Any:
        raise AssertionError(sql, values)


PLANS: Final = {
    "the most severe": (Turn(), {"deliveries_due_next"}),
    "after an answer": (Turn(answered_at=NOW, failing=5), {"deliveries_due_next"}),
    "a probe": (Turn(probe=True), {"deliveries_tried"}),
    "drawn": (Turn(draw=0.5), {"deliveries_tried"}),
}


def test_what_waits_for_its_time_is_not_gone_through(store: Store, kind: str) -> None:
    """Each statement of a claim finds what it seeks by an index of what is due, and the first of it without sorting."""

    def fill(connection: Connection) -> None:
        connection.execute(_ALERTS, (5000, NOW))
        connection.execute(_MANY, (NOW,))
        order.due(connection, "secops", 5, NOW, Turn())
        if kind == "postgres":
            # As the server does by itself before long.
            connection.execute("ANALYZE")

    store.engine.write(fill)
    for turn, indexes in PLANS.values():
        # By these it is told whether anything is due at all, and whether anything fails.
        assert_found_by(store, kind, turn, {"deliveries_due", "deliveries_failing", *indexes})


def assert_found_by(store: Store, kind: str, turn: Turn, indexes: set[str]) -> None:
    """Holds that a claim goes by these indexes alone, also with what has come since and is not noted yet."""

    def explained(connection: Connection) -> list[str]:
        noted = Noted(connection)
        assert order.due(noted, "secops", 5, NOW, turn)
        how = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
        return [
            str(row[3 if kind == "sqlite" else 0])
            for sql, values in noted.asked
            for row in connection.execute(f"{how} {sql}", values).fetchall()
        ]

    store.engine.write(
        lambda connection: connection.execute("UPDATE deliveries SET early = 1 WHERE early = 0 AND id % 3 = 0")
    )
    plan = store.engine.write(explained)
    text = "\n".join(plan)
    named = {word for line in plan for word in line.replace("(", " ").split() if word.startswith("deliveries_")}
    found = named & {"deliveries_due", "deliveries_due_next", "deliveries_failing", "deliveries_tried"}
    # A server may find what keeps failing among all that is due, if that is little.
    assert indexes - found <= (set() if kind == "sqlite" else {"deliveries_failing"}), text
    assert found <= indexes, text
    assert "deliveries_waiting" not in named, text
    assert not [line for line in plan if "SCAN d" in line or "Seq Scan" in line], text
    # What keeps failing is put in the order of its attempts; all else is in order. A server
    # sorts as it likes what it takes for a few rows.
    sorts = [line for line in plan if "TEMP B-TREE" in line]
    assert kind == "postgres" or len(sorts) == (turn.failing == 5), text
