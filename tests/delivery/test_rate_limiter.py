"""How often a connector may send."""

from __future__ import annotations

import pytest

from forwarder.common.units import Rate
from forwarder.delivery.rate_limiter import RateLimiter


class Stopwatch:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def limiter(clock: Stopwatch) -> RateLimiter:
    return RateLimiter(Rate(2, 1.0), clock)


def test_the_first_send_is_free(limiter: RateLimiter) -> None:
    """Nothing waits for an interval in which nothing was sent."""
    assert limiter.limited
    assert limiter.wait() == 0


def test_sends_keep_their_distance(limiter: RateLimiter, clock: Stopwatch) -> None:
    """At two a second, half a second passes between one send and the next."""
    limiter.spend()
    assert limiter.wait() == pytest.approx(0.5)
    clock.now += 0.3
    assert limiter.wait() == pytest.approx(0.2)
    clock.now += 0.3
    assert limiter.wait() == 0


def test_a_pause_earns_no_burst(limiter: RateLimiter, clock: Stopwatch) -> None:
    """However long nothing was sent, at most one send is made up for."""
    limiter.spend()
    clock.now += 3600
    limiter.spend()
    limiter.spend()
    assert limiter.wait() == pytest.approx(0.5)


def test_a_send_that_did_not_take_place_is_given_back(limiter: RateLimiter, clock: Stopwatch) -> None:
    """The next one waits no longer for it, and however many are given back, none earns a burst."""
    limiter.spend()
    limiter.refund()
    assert limiter.wait() == 0
    for _ in range(5):
        clock.now += 0.5
        limiter.spend()
        limiter.refund()
    limiter.spend()
    limiter.spend()
    assert limiter.wait() == pytest.approx(0.5)


def test_without_a_rate_nothing_waits(clock: Stopwatch) -> None:
    """No rate in the config, no limit."""
    limiter = RateLimiter(None, clock)
    limiter.spend()
    assert not limiter.limited
    assert limiter.wait() == 0


@pytest.mark.parametrize(
    ("before", "after", "wait"), [("1/h", "1/s", 0.0), ("1/s", "1/min", 58.0), (None, "1/min", 58.0)]
)
def test_another_rate_counts_from_the_last_send(clock: Stopwatch, before: str | None, after: str, wait: float) -> None:
    """A raised one is not held up by the old interval, and a lowered one begins at once."""
    old = RateLimiter(None if before is None else Rate.parse(before), clock)
    old.spend()
    clock.now += 2
    new = RateLimiter(Rate.parse(after), clock)
    new.follow(old)
    assert new.wait() == pytest.approx(wait)


def test_another_rate_does_not_wait_for_what_was_never_sent(clock: Stopwatch) -> None:
    """The first send is free, whichever limiter counts it."""
    new = RateLimiter(Rate.parse("1/h"), clock)
    new.follow(RateLimiter(Rate.parse("1/s"), clock))
    assert new.wait() == 0


def test_what_another_process_may_have_sent_counts(clock: Stopwatch) -> None:
    """Where a connector was another replica's until now, the first send waits for a whole interval."""
    limiter = RateLimiter(Rate.parse("1/min"), clock)
    limiter.wait_first()
    assert limiter.wait() == pytest.approx(60.0)
    unlimited = RateLimiter(None, clock)
    unlimited.wait_first()
    assert unlimited.wait() == 0
