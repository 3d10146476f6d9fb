"""How long a queue takes, and how that is said."""

from __future__ import annotations

import pytest

from forwarder.connector import Rate
from forwarder.delivery.throughput import about, measured_since, throughput_of
from forwarder.store.records import Queue
from tests.kit.store import NOW

LIMIT = Rate.parse("1/s")


def backlog(waiting: int, *, since: float) -> Queue:
    return Queue(connector="secops", ready=waiting, oldest_enqueued_at=NOW - since)


@pytest.mark.parametrize(
    ("waiting", "worked", "limit", "delivered", "told"),
    [
        (1974, 2, LIMIT, 0, "about 33 minutes at 1/s"),
        (1974, 600, LIMIT, 290, "about 33 minutes at 1/s"),
        (1000, 600, LIMIT, 60, "about 83 minutes at 12/min"),
        (1000, 20, None, 100, "about 3 minutes at 5/s"),
        (90, 600, None, 2, "about 4 hours at 24/h"),
    ],
    ids=["as it may", "at its limit", "slower than it may", "as measured", "very slow"],
)
def test_the_pace_is_the_limit_or_what_is_measured(
    waiting: int, worked: float, limit: Rate | None, delivered: int, told: str
) -> None:
    """``max_rate`` counts where it is what holds the queue up, and what went out lately where that is less."""
    throughput = throughput_of(backlog(waiting, since=worked), limit, delivered, NOW)
    assert throughput
    assert throughput.told(waiting) == told


@pytest.mark.parametrize(("worked", "delivered"), [(3, 20), (600, 0)])
def test_a_pace_that_nobody_knows_is_not_made_up(worked: float, delivered: int) -> None:
    """A few seconds of work, or work without any result, tell nothing."""
    assert throughput_of(backlog(50, since=worked), None, delivered, NOW) is None


def test_time_without_work_does_not_count() -> None:
    """The pace is measured while something waited, and over a few minutes at most."""
    assert measured_since(backlog(9, since=20), NOW) == NOW - 20
    assert measured_since(backlog(9, since=9000), NOW) == NOW - 300
    assert measured_since(Queue(connector="secops"), NOW) == NOW - 300


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 second"),
        (89, "about 89 seconds"),
        (90, "about 2 minutes"),
        (5399, "about 90 minutes"),
        (5400, "about 2 hours"),
        (172_799, "about 48 hours"),
        (172_800, "about 2 days"),
    ],
)
def test_estimates_are_told_in_words(seconds: float, words: str) -> None:
    """Nobody needs an estimate to the second."""
    assert about(seconds) == words
