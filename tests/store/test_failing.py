"""Which connectors keep failing, what waits there, and how fast they go: read from what is kept of attempts."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.connector import Origin
from forwarder.store import Store
from forwarder.store.records import Lateness, Queue, Settlement
from forwarder.testing import alert
from tests.kit.store import (
    NOW,
    at,
    claim,
    dead,
    deliver,
    delivered,
    enqueue,
    failed,
    paused,
    routed,
    settle,
    uncertain,
)


def queue_of(store: Store, connector: str = "secops") -> Queue:
    (queue,) = store.queries.queues([connector])
    return queue


def attempt(store: Store, settlement: Settlement, *, after: float) -> None:
    """The one delivery that is due is tried, and that ends ``after`` seconds."""
    settle(store, claim(store, now=NOW + after), settlement, now=NOW + after)


def test_what_keeps_failing_is_told_since_its_first_failure(store: Store) -> None:
    """A connector is failing from the first try in vain on; each further one counts, and the latest says why."""
    enqueue(store, alert(), "secops")
    assert (queue_of(store).failing_since, queue_of(store).failures) == (None, 0)
    attempt(store, failed(due_at=NOW + 20), after=10)
    attempt(store, uncertain(due_at=NOW + 40), after=20)
    attempt(store, failed(due_at=NOW + 60, reason="The connection was cut."), after=40)
    queue = queue_of(store)
    assert (queue.failing_since, queue.failures, queue.last_error) == (NOW + 10, 3, "The connection was cut.")


def test_a_try_under_way_ends_no_failing(store: Store) -> None:
    """While the one delivery that fails is being sent once more, its connector goes on failing."""
    enqueue(store, alert(), "secops")
    attempt(store, failed(due_at=NOW), after=1)
    claim(store, now=NOW + 5)
    assert queue_of(store).failing_since == NOW + 1


def test_failing_outlives_the_process(tmp_path: Path) -> None:
    """It is read from the store: another process knows as much."""
    with_first = Store.open_exclusive(tmp_path / "forwarder.db")
    enqueue(with_first, alert(), "secops")
    attempt(with_first, failed(due_at=NOW), after=1)
    claim(with_first, now=NOW + 5)
    with_first.close()
    second = Store.open_exclusive(tmp_path / "forwarder.db")
    second.outbox.reclaim_expired(now=NOW + 9, due_at={}, all_claims=True)
    assert queue_of(second).failing_since == NOW + 1
    second.close()


@pytest.mark.parametrize("answer", [delivered(), dead()], ids=["it takes one", "it refuses one for good"])
def test_an_answer_of_the_destination_ends_it(store: Store, answer: Settlement) -> None:
    """Failing ends with the first answer; what fails after that begins anew."""
    enqueue(store, alert(id="a"), "secops")
    attempt(store, failed(due_at=NOW + 90), after=1)
    enqueue(store, alert(id="b"), "secops")
    attempt(store, answer, after=30)
    assert (queue_of(store).failing_since, queue_of(store).failures) == (None, 0)
    attempt(store, failed(due_at=NOW + 200), after=90)
    assert (queue_of(store).failing_since, queue_of(store).failures) == (NOW + 90, 1)


def test_giving_up_is_no_answer(store: Store) -> None:
    """A delivery that became a dead letter because it failed for too long shows nothing of its destination."""
    enqueue(store, alert(id="a"), "secops")
    attempt(store, failed(due_at=NOW + 90), after=1)
    enqueue(store, alert(id="b"), "secops")
    gave_up = dead("Gave up after 3d: HTTP 500")
    settle(
        store,
        claim(store, now=NOW + 30),
        Settlement(state=gave_up.state, due_at=NOW, outcome="gave_up", reason=gave_up.reason),  # type: ignore[arg-type]
        now=NOW + 30,
    )
    assert queue_of(store).failing_since == NOW + 1


@pytest.mark.parametrize(
    "settlement", [failed(outcome="rate_limited", spent=False, failing_since=None), paused()], ids=["limit", "pause"]
)
def test_a_rate_limit_or_a_pause_is_not_failing(store: Store, settlement: Settlement) -> None:
    """What is only slowed down, and what waits for a person, has words of its own."""
    enqueue(store, alert(), "secops")
    attempt(store, settlement, after=1)
    assert queue_of(store).failing_since is None


def test_criticals_that_wait_are_counted(store: Store) -> None:
    """New and changed alerts of the feed count, whether they wait or are being sent; alarms and the settled do not."""
    for number, severity in enumerate(("critical", "critical", "high", "critical")):
        enqueue(store, alert(id=f"a{number}", severity=severity, published_at=at(number)), "secops", now=NOW + number)
    store.feed.commit_page([routed(alert(id="alarm", published_at=at(99)), "secops")], now=NOW, origin=Origin.ALARM)
    assert (queue_of(store).criticals, queue_of(store).oldest_critical_at) == (3, NOW)
    claimed = store.outbox.claim("secops", 2, now=NOW + 5, lease=60.0)
    assert queue_of(store).criticals == 3
    for one in claimed:
        settle(store, one, delivered())
    assert (queue_of(store).criticals, queue_of(store).oldest_critical_at) == (1, NOW + 3)


def test_the_pace_is_counted_by_connector(store: Store) -> None:
    """What each connector delivered since a time, and nothing of the others."""
    for number in range(3):
        enqueue(store, alert(id=f"a{number}"), "secops")
        deliver(store, "secops", now=NOW + number)
    assert store.queries.delivered({"secops": NOW + 1, "oncall": 0.0}) == {"secops": 2, "oncall": 0}


def test_lateness_is_from_publication_to_seen(store: Store) -> None:
    """Half of the alerts were seen within the median, all within the worst; the time before the first start is out."""
    assert store.queries.lateness(NOW) is None
    enqueue(store, alert(id="before", published_at=at(-86400)), now=NOW)
    assert store.queries.lateness(NOW) is None
    for number, late in enumerate((20, 40, 400)):
        enqueue(store, alert(id=f"a{number}", published_at=at(100)), now=NOW + 100 + late)
    store.feed.commit_page([routed(alert(id="alarm", published_at=at(1)))], now=NOW + 9000, origin=Origin.ALARM)
    assert store.queries.lateness(NOW) == Lateness(count=3, median=40.0, worst=400.0)
    assert store.queries.lateness(NOW + 10_000) is None
