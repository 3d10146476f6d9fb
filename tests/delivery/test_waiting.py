"""What a delivery that has not gone out waits for, until when about, and its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.connector import Rate
from forwarder.delivery.waiting import Cause, Waiting, waiting
from forwarder.store import Store
from forwarder.store.records import AttemptResult
from forwarder.testing import alert
from tests.kit.store import NOW, at, claim, deliver, enqueue, failed, of_sqlite, paused, routed, rows, settle, uncertain


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open_exclusive(tmp_path / "forwarder.db")
    yield opened
    opened.close()


def all_waiting(store: Store, *, now: float = NOW, **changes: Any) -> dict[int, Waiting]:
    numbers = [number for (number,) in rows(store, "SELECT id FROM deliveries")]
    known: dict[str, Any] = {"connectors": ["secops"], "rates": {}, **changes}
    return waiting(store, numbers, now=now, **known)


def only(store: Store, *, now: float = NOW, **changes: Any) -> Waiting:
    (one,) = all_waiting(store, now=now, **changes).values()
    return one


def test_what_is_settled_waits_for_nothing(store: Store) -> None:
    """Only the rest is told."""
    enqueue(store, alert(), "secops")
    deliver(store, "secops")
    assert all_waiting(store) == {}


def test_a_place_in_line_and_how_long_it_takes(store: Store) -> None:
    """By severity, then by age, at the rate that the connector may send."""
    for number in range(600):
        enqueue(store, alert(id=f"a{number}", severity="high", published_at=at(number - 1000)), "secops")
    enqueue(store, alert(id="worst", severity="critical"), "secops")
    told = all_waiting(store, rates={"secops": Rate.parse("1/s")})
    by_alert = {alert_id: told[number] for number, alert_id in rows(store, "SELECT id, alert_id FROM deliveries")}
    assert by_alert["worst"] == Waiting(
        cause=Cause.IN_LINE,
        text="It is the next for secops, about 1 second at 1/s.",
        until=NOW + 1,
        place=1,
        line=601,
    )
    late = by_alert["a540"]
    assert late.text == "Place 542 of 601, about 9 minutes at 1/s."
    assert (late.until, late.place, late.line) == (NOW + 542, 542, 601)
    assert all_waiting(store)[1].text == "Place 2 of 601."


def test_a_pause_outranks_whatever_else_there_is(store: Store) -> None:
    """With its reason, how long it has lasted, and when it is tried next."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), paused(probe_at=NOW + 600))
    one = only(store, now=NOW + 120)
    assert one.text == "secops is paused, for 2m now: token_revoked. It is tried next in 8m."
    assert (one.cause, one.until) == (Cause.PAUSED, NOW + 600)


def test_a_connector_that_fails_is_named_with_its_attempts(store: Store) -> None:
    """Also to what was not tried itself."""
    enqueue(store, alert(id="first"), "secops")
    enqueue(store, alert(id="second", severity="low"), "secops")
    settle(store, claim(store), failed(due_at=NOW + 300))
    tried, untried = all_waiting(store, now=NOW + 61).values()
    failing = "secops is failing, for 1m 1s now (1 attempt): HTTP 500."
    assert tried.text == f"{failing} It is tried next in 3m 59s."
    assert (tried.cause, tried.until) == (Cause.FAILING, NOW + 300)
    assert untried.text == f"{failing} One at a time is tried meanwhile. It is the next for secops."
    assert untried.until is None


def test_what_fails_by_itself_says_so(store: Store) -> None:
    """While others arrive, it is not its connector that fails."""
    enqueue(store, alert(id="bad"), "secops")
    settle(store, claim(store), failed(due_at=NOW + 300))
    enqueue(store, alert(id="good"), "secops")
    deliver(store, "secops", now=NOW + 10)
    one = only(store, now=NOW + 60)
    assert one.text == "Attempt 1 failed: HTTP 500. It is tried next in 4m."
    assert (one.cause, one.until) == (Cause.BACKOFF, NOW + 300)


def test_a_rate_limit_is_told(store: Store) -> None:
    """As what the destination asked for."""
    enqueue(store, alert(), "secops")
    limited = failed(NOW + 30, outcome=AttemptResult.RATE_LIMITED, reason="429", spent=False, failing_since=None)
    settle(store, claim(store), limited)
    one = only(store)
    assert (one.cause, one.text) == (Cause.RATE_LIMIT, "secops asked to wait: 429. It is tried next in 30s.")
    enqueue(store, alert(id="other"), "secops")
    _, other = all_waiting(store).values()
    assert other.text == "secops asked to wait: it takes the next in 30s. It is the next for secops."
    assert (other.cause, other.until) == (Cause.RATE_LIMIT, NOW + 30)


def test_what_may_have_arrived_is_looked_for_first(store: Store) -> None:
    """When, and that it is not simply sent again."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), uncertain(due_at=NOW + 10))
    later = only(store)
    assert later.text == "It may have arrived: before it is sent again it is looked for, in 10s. timed out."
    assert (later.cause, later.until) == (Cause.UNCERTAIN, NOW + 10)


def test_an_earlier_delivery_of_the_same_alert_goes_first(store: Store) -> None:
    """By the very rule by which the queue is claimed."""
    first = alert(severity="high")
    enqueue(store, first, "secops")
    deliver(store, "secops")
    owed = [(first.id, revision) for revision in (2, 3)]
    store.engine.write(
        lambda connection: connection.executemany(
            "INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at,"
            " due_at) VALUES (?, 'secops', 'update', ?, 'ready', 1, 0, 'it changed', 0, 0)",
            owed,
        )
    )
    ahead, behind = all_waiting(store).values()
    assert ahead.cause is Cause.IN_LINE
    assert (behind.cause, behind.text) == (Cause.BEHIND, "Delivery 2 of the same alert to secops goes first.")


def test_what_is_under_way_says_since_when(store: Store) -> None:
    """A claim is no failure."""
    enqueue(store, alert(), "secops")
    claim(store)
    assert only(store, now=NOW + 5).text == "It is being sent now, for 5s."


def test_without_its_connector_or_a_daemon_nothing_goes(store: Store) -> None:
    """That comes before all else."""
    enqueue(store, alert(), "secops")
    settle(store, claim(store), paused(probe_at=NOW + 600))
    assert only(store, runs=False).text == "No daemon runs: it goes out once one does."
    assert only(store, connectors=["oncall"], runs=False).cause is Cause.NO_CONNECTOR
    assert only(store, runs=False, refused="It is full.").cause is Cause.NO_DAEMON
    refused = only(store, refused="It is full.")
    assert refused.cause is Cause.NO_WRITES
    assert refused.text == "The database refuses writes, and nothing is sent until it takes them: It is full."


def test_a_long_list_is_told_at_once(store: Store) -> None:
    """The line is numbered once, and not for each of them."""
    store.feed.commit_page(
        [routed(alert(id=f"a{number}"), "secops") for number in range(3000)], now=NOW, connectors=["secops"]
    )
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with store.engine.read() as connection:
        of_sqlite(connection).set_progress_handler(count, 1000)
    assert len(all_waiting(store)) == 3000
    with store.engine.read() as connection:
        of_sqlite(connection).set_progress_handler(None, 0)
    assert steps < 3000, "a thousand steps of the database for each delivery would be a line for each of them"
