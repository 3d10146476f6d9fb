"""How often a connector may send."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from forwarder.common.units import Rate
from forwarder.connector import Delivery, Outcome, Payload
from forwarder.delivery.attempt import Attempts
from forwarder.delivery.breaker import Breaker
from forwarder.delivery.rate_limiter import HELD, RateLimiter
from forwarder.store import Store
from forwarder.store.records import State
from forwarder.testing import alert
from forwarder.wire.deadline import asking, sending
from tests.kit.core import Scripted
from tests.kit.store import NOW, claim, enqueue


class Stopwatch:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def claimed(limiter: RateLimiter, sends: int = 1) -> None:
    with limiter.claiming() as claim:
        claim(sends)


def send(limiter: RateLimiter, *, after: float = 0.0, clock: Stopwatch | None = None) -> None:
    """One is claimed, and leaves so many seconds later."""
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        if clock is not None:
            clock.now += after
        departure.leave()


@pytest.fixture
def clock() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def limiter(clock: Stopwatch) -> RateLimiter:
    return RateLimiter(Rate(2, 1.0), clock, clock.wait)


def test_the_first_send_is_free(limiter: RateLimiter) -> None:
    """Nothing waits for an interval in which nothing was sent."""
    assert limiter.limited
    assert limiter.wait() == 0


def test_sends_keep_their_distance(limiter: RateLimiter, clock: Stopwatch) -> None:
    """At two a second, half a second passes between one send and the next."""
    send(limiter)
    assert limiter.wait() == pytest.approx(0.5)
    clock.now += 0.3
    assert limiter.wait() == pytest.approx(0.2)
    clock.now += 0.3
    assert limiter.wait() == 0


def test_what_is_a_little_late_delays_none_after_it(limiter: RateLimiter, clock: Stopwatch) -> None:
    """On average it is the rate, and no less."""
    send(limiter)
    clock.now += 0.6
    send(limiter)
    assert limiter.wait() == pytest.approx(0.4)


def test_a_pause_earns_no_second_send(limiter: RateLimiter, clock: Stopwatch) -> None:
    """However long nothing was sent, what comes then keeps its distance, but for a quarter of it once."""
    send(limiter)
    clock.now += 3600
    send(limiter)
    assert limiter.wait() == pytest.approx(0.375)
    clock.now += 0.375
    send(limiter)
    assert limiter.wait() == pytest.approx(0.5)


def test_a_send_that_was_held_up_counts_from_when_it_leaves(limiter: RateLimiter, clock: Stopwatch) -> None:
    """What a busy machine holds up does not leave together with the next."""
    send(limiter)
    clock.now += 0.5
    send(limiter, after=0.4, clock=clock)
    assert limiter.wait() == pytest.approx(0.375)


def test_a_process_that_stood_still_sends_no_burst(limiter: RateLimiter, clock: Stopwatch) -> None:
    """What it was about to send then leaves, and nothing beside it."""
    send(limiter, after=4.0, clock=clock)
    assert limiter.wait() == pytest.approx(0.375)


def test_what_is_slow_to_leave_holds_up_nothing_and_comes_after_it(limiter: RateLimiter, clock: Stopwatch) -> None:
    """Others wait for one interval, as after any send; and it waits for its turn when it leaves after all."""
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        assert limiter.wait() == pytest.approx(0.5)
        clock.now += 0.5
        assert limiter.wait() == 0
        send(limiter)
        clock.now += 0.1
        departure.leave()
        assert clock.now == pytest.approx(100.875)
    assert limiter.wait() == pytest.approx(0.5)


def test_nothing_else_is_due_while_something_is_being_claimed(limiter: RateLimiter, clock: Stopwatch) -> None:
    """A database that takes its time lets nothing out beside what it is asked for; what it does not give counts not."""
    with limiter.claiming():
        clock.now += 10
        assert limiter.wait() > 0
    assert limiter.wait() == 0


def test_what_does_not_say_when_it_leaves_counts_from_its_claim(limiter: RateLimiter, clock: Stopwatch) -> None:
    """A library that makes its own connections costs no more of the rate than others."""
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        clock.now += 0.4
    assert limiter.wait() == pytest.approx(0.1)


def test_only_the_first_part_of_a_request_counts(limiter: RateLimiter, clock: Stopwatch) -> None:
    """A request of several parts, or several for one delivery, is one send."""
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        departure.leave()
        clock.now += 0.3
        departure.leave()
    assert limiter.wait() == pytest.approx(0.2)


def test_a_send_after_a_look_waits_until_it_is_due(limiter: RateLimiter, clock: Stopwatch) -> None:
    """A look that found nothing was a request, too."""
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        departure.leave()
        departure.begin()
        assert clock.now == pytest.approx(100.5)
        departure.leave()
    assert limiter.wait() == pytest.approx(0.5)


def test_a_send_after_a_look_holds_its_worker_for_a_moment_at_most(clock: Stopwatch) -> None:
    """At one an hour it does not wait for an hour; the next one does."""
    limiter = RateLimiter(Rate.parse("1/h"), clock, clock.wait)
    claimed(limiter)
    with limiter.departure() as departure:
        departure.begin()
        departure.leave()
        departure.begin()
        assert clock.now == pytest.approx(100.0 + HELD)
        departure.leave()
    assert limiter.wait() == pytest.approx(7200 - HELD)


def test_a_send_that_did_not_take_place_is_given_back(limiter: RateLimiter, clock: Stopwatch) -> None:
    """The next one waits no longer for it, and however many are given back, none earns a burst."""
    for _ in range(5):
        claimed(limiter)
        with limiter.departure():
            pass
        assert limiter.wait() == 0
        clock.now += 0.5
    send(limiter)
    assert limiter.wait() == pytest.approx(0.375)


def test_without_a_rate_nothing_waits(clock: Stopwatch) -> None:
    """No rate in the config, no limit."""
    limiter = RateLimiter(None, clock)
    claimed(limiter, 3)
    assert not limiter.limited
    assert limiter.wait() == 0


@pytest.mark.parametrize(
    ("before", "after", "wait"), [("1/h", "1/s", 0.0), ("1/s", "1/min", 58.0), (None, "1/min", 58.0)]
)
def test_another_rate_counts_from_the_last_send(clock: Stopwatch, before: str | None, after: str, wait: float) -> None:
    """A raised one is not held up by the old interval, and a lowered one begins at once."""
    old = RateLimiter(None if before is None else Rate.parse(before), clock)
    send(old)
    clock.now += 2
    new = RateLimiter(Rate.parse(after), clock)
    new.follow(old)
    assert new.wait() == pytest.approx(wait)


def test_another_rate_counts_what_is_about_to_leave(clock: Stopwatch) -> None:
    """What the connector before a reload has claimed still goes out."""
    old, new = RateLimiter(Rate.parse("1/s"), clock), RateLimiter(Rate.parse("1/min"), clock)
    claimed(old)
    new.follow(old)
    assert new.wait() == pytest.approx(60.0)


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


def test_an_attempt_counts_from_its_first_byte(limiter: RateLimiter, clock: Stopwatch, tmp_path: Path) -> None:
    """Not from the claim, nor from what is asked before it, as whether it is there already, nor from the answer."""

    class Slow(Scripted):
        def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
            with asking():
                sending()
            clock.now += 0.4
            sending()
            clock.now += 0.3
            return super().deliver(delivery, payload)

    chance = random.Random(1).random
    trying = Attempts(Slow(), Breaker(chance), limiter, now=lambda: NOW, random=chance)
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        enqueue(store, alert(id="a"), "target")
        claimed(limiter)
        assert trying.carry_out(claim(store, "target")).state is State.DELIVERED
    assert limiter.wait() == pytest.approx(0.075)


def test_what_fails_before_anything_is_made_gives_its_place_back(limiter: RateLimiter, tmp_path: Path) -> None:
    """Else the next one would leave in its stead, and each one after it an interval late."""

    def fail(_alert_id: str) -> str:
        raise RuntimeError

    chance = random.Random(1).random
    trying = Attempts(Scripted(), Breaker(chance), limiter, now=lambda: NOW, random=chance, page_of=fail)
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        enqueue(store, alert(id="a"), "target")
        claimed(limiter)
        with pytest.raises(RuntimeError):
            trying.carry_out(claim(store, "target"))
    assert limiter.wait() == 0
