"""What all outcomes together say of a destination, with time and dice in the test's hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from forwarder.delivery.breaker import FAILURES, Breaker, Health
from forwarder.store.records import AttemptResult, Pause, Settlement, State

NOW = 1000.0
FAILING = (AttemptResult.RETRY, AttemptResult.UNCERTAIN, AttemptResult.GAVE_UP)
ANSWERS = (AttemptResult.DELIVERED, AttemptResult.REJECTED)


def result(outcome: AttemptResult, **more: Any) -> Settlement:
    return Settlement(**{"state": State.READY, "due_at": NOW, "outcome": outcome, "reason": "", **more})


def paused(probe_at: float = NOW + 60, probes: int = 0) -> Pause:
    return Pause(connector="target", since=NOW, reason="revoked", probes=probes, probe_at=probe_at)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(random=lambda: 1.0)


def fail(breaker: Breaker, times: int = FAILURES, outcome: AttemptResult = AttemptResult.RETRY) -> None:
    for _ in range(times):
        breaker.record(result(outcome), NOW)


def test_a_destination_works_until_it_is_seen_to_fail(breaker: Breaker) -> None:
    """All workers may go out at once."""
    assert breaker.health is Health.WORKING
    assert breaker.probe == 0
    limit, wait = breaker.room(4, busy=1, now=NOW)
    assert limit == 3
    assert wait <= 0


@pytest.mark.parametrize("outcome", FAILING)
def test_failures_in_a_row_mean_down(breaker: Breaker, outcome: AttemptResult) -> None:
    """Each way of not getting through counts, a delivery that gave up as well; one fewer is not enough."""
    fail(breaker, FAILURES - 1, outcome)
    assert breaker.record(result(outcome), NOW) is Health.WORKING
    assert breaker.health is Health.DOWN


@pytest.mark.parametrize("outcome", sorted(set(AttemptResult) - set(FAILING)))
def test_no_other_result_counts_as_a_failure(breaker: Breaker, outcome: AttemptResult) -> None:
    """A refusal is an answer, and neither a rate limit nor an empty search says that the destination is down."""
    fail(breaker, FAILURES * 2, outcome)
    assert not breaker.health.fails


@pytest.mark.parametrize("outcome", ANSWERS)
def test_an_answer_ends_the_count(breaker: Breaker, outcome: AttemptResult) -> None:
    """The failures before it are forgotten, and whoever records it learns that the destination was down."""
    fail(breaker)
    assert breaker.record(result(outcome), NOW) is Health.DOWN
    assert breaker.health is Health.WORKING
    fail(breaker, FAILURES - 1)
    assert breaker.health is Health.WORKING


def test_a_destination_that_is_down_is_tried_by_one(breaker: Breaker) -> None:
    """While one is under way the others wait for its end."""
    fail(breaker)
    assert breaker.room(4, busy=0, now=NOW + 1) == (1, 0)
    assert breaker.room(4, busy=1, now=NOW + 1) == (1, math.inf)


def test_the_tries_of_a_destination_that_is_down_grow_rarer() -> None:
    """The pause doubles with every failure up to a minute; the dice take off up to half of it."""
    for dice, share in ((1.0, 1.0), (0.0, 0.5)):
        breaker = Breaker(random=lambda dice=dice: dice)  # type: ignore[misc]
        fail(breaker, FAILURES - 1)
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            fail(breaker, 1)
            assert breaker.room(4, busy=0, now=NOW) == (1, pause * share)


def test_a_rate_limit_holds_all(breaker: Breaker) -> None:
    """Until the time that the remote named; a later answer with a shorter one does not cut it short."""
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 30), NOW)
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 10), NOW)
    assert breaker.room(4, busy=0, now=NOW) == (1, 30)
    breaker.record(result(AttemptResult.DELIVERED), NOW)
    assert breaker.room(4, busy=0, now=NOW + 20) == (1, 10)


def test_a_failure_does_not_shorten_a_rate_limit(breaker: Breaker) -> None:
    """The longer of the two holds."""
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 30), NOW)
    fail(breaker)
    assert breaker.room(4, busy=0, now=NOW) == (1, 30)


def test_a_pause_outranks_the_rest(breaker: Breaker) -> None:
    """One probe at its time, whatever else holds the destination, and none while one is under way."""
    fail(breaker)
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 300), NOW)
    breaker.pause = paused(NOW + 60, probes=2)
    assert breaker.health is Health.PAUSED
    assert breaker.probe == 3
    assert breaker.room(4, busy=0, now=NOW) == (1, 60)
    assert breaker.room(4, busy=1, now=NOW + 60) == (1, math.inf)
    assert breaker.record(result(AttemptResult.DELIVERED), NOW) is Health.PAUSED


def test_what_is_due_is_held_back_only_for_longer_than_one_waits(breaker: Breaker) -> None:
    """A rate limit that passes within the patience is waited out; what is not due yet is not."""
    assert not breaker.holds_back(NOW, now=NOW, patience=0)
    assert breaker.holds_back(NOW + 1, now=NOW, patience=60)
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 30), NOW)
    assert breaker.holds_back(NOW + 30, now=NOW, patience=29)
    assert not breaker.holds_back(NOW + 30, now=NOW, patience=30)


def test_a_pause_holds_back_until_its_probe(breaker: Breaker) -> None:
    """Then what is due can go out."""
    breaker.pause = paused(NOW + 60)
    assert breaker.holds_back(NOW, now=NOW + 59, patience=600)
    assert not breaker.holds_back(NOW, now=NOW + 60, patience=0)


def test_deadlines_move_along_with_the_clock(breaker: Breaker) -> None:
    """A clock that was set neither shortens nor lengthens a rate limit."""
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=NOW + 30), NOW)
    breaker.shift_deadlines(3600)
    assert breaker.room(4, busy=0, now=NOW + 3600) == (1, 30)


# What fails by itself


def test_what_began_to_fail_before_the_last_answer_fails_by_itself(breaker: Breaker) -> None:
    """Nothing does before the first answer; what begins to fail after it may fail because of the destination."""
    assert not breaker.keeps_failing(NOW - 1)
    breaker.record(result(AttemptResult.DELIVERED), NOW)
    assert breaker.keeps_failing(NOW - 1)
    assert not breaker.keeps_failing(NOW + 1)
    assert not breaker.keeps_failing(None)


def test_what_keeps_failing_does_not_take_a_destination_down(breaker: Breaker) -> None:
    """It neither counts as a failure nor ends the count; while the destination is down it is a probe in vain."""
    for _ in range(FAILURES * 2):
        assert breaker.record(result(AttemptResult.RETRY), NOW, keeps_failing=True) is Health.WORKING
    fail(breaker, FAILURES - 1)
    breaker.record(result(AttemptResult.RETRY), NOW, keeps_failing=True)
    fail(breaker, 1)
    assert breaker.health is Health.DOWN
    breaker.record(result(AttemptResult.RETRY), NOW, keeps_failing=True)
    assert breaker.room(1, busy=0, now=NOW) == (1, 2.0)


def test_a_message_that_could_not_be_made_says_nothing_of_the_destination(breaker: Breaker) -> None:
    """It was not asked."""
    for _ in range(FAILURES * 2):
        breaker.record(result(AttemptResult.RETRY, own=True), NOW)
    assert breaker.health is Health.WORKING
    fail(breaker)
    breaker.record(result(AttemptResult.RETRY, own=True), NOW)
    assert breaker.room(1, busy=0, now=NOW) == (1, 1.0)


def test_the_destination_is_tried_with_any_before_it_counts_as_down(breaker: Breaker) -> None:
    """One that is drawn has the last word before, and is every second probe; of a paused destination, too."""
    drawn = []
    for _ in range(6):
        drawn.append(breaker.draws)
        fail(breaker, 1)
    assert drawn == [False, False, True, False, True, False]
    for probes, draws in enumerate([False, True, False]):
        breaker.pause = paused(probes=probes)
        assert breaker.draws is draws
    breaker.pause = None
    breaker.record(result(AttemptResult.DELIVERED), NOW)
    assert not breaker.draws


def limit(breaker: Breaker, at: float, seconds: float = 5) -> None:
    breaker.record(result(AttemptResult.RATE_LIMITED, due_at=at + seconds), at)


def test_one_finds_out_whether_a_rate_limit_has_passed(breaker: Breaker) -> None:
    """The others follow when it got an answer; one from before the limit shows nothing."""
    limit(breaker, NOW)
    breaker.record(result(AttemptResult.DELIVERED), NOW + 1)
    assert breaker.room(4, busy=0, now=NOW + 5) == (1, 0)
    assert breaker.room(4, busy=1, now=NOW + 5) == (1, math.inf)
    breaker.record(result(AttemptResult.DELIVERED), NOW + 6)
    assert breaker.health is Health.WORKING
    assert breaker.room(4, busy=1, now=NOW + 6)[0] == 3


def test_where_one_is_refused_again_after_a_rate_limit_others_are_tried(breaker: Breaker) -> None:
    """The most severe has the first try; what is refused while all wait is no try."""
    limit(breaker, NOW)
    limit(breaker, NOW + 0.1)
    assert (breaker.tries(NOW + 4), breaker.tries(NOW + 6)) == (0, 1)
    assert not breaker.searches
    picked = []
    for turn in range(1, 4):
        limit(breaker, NOW + 6 * turn)
        picked.append((breaker.searches, breaker.draws))
    assert picked == [(True, True), (True, False), (True, True)]
    assert breaker.tries(NOW + 30) == 4
    breaker.record(result(AttemptResult.DELIVERED), NOW + 30)
    assert (breaker.tries(NOW + 30), breaker.searches, breaker.draws) == (0, False, False)


def test_a_successor_knows_of_the_rate_limit(breaker: Breaker) -> None:
    """It waits as long, and one of its own finds out."""
    limit(breaker, NOW)
    limit(breaker, NOW + 6)
    other = Breaker(random=lambda: 1.0)
    other.follow(breaker)
    assert other.room(4, busy=0, now=NOW + 6) == (1, 5)
    assert (other.tries(NOW + 11), other.searches, other.waited(NOW + 11)) == (2, True, 11)


def test_the_whole_time_without_an_answer_is_known(breaker: Breaker) -> None:
    """However often it was tried meanwhile, and whatever it said."""
    assert breaker.waited(NOW) == 0
    limit(breaker, NOW)
    limit(breaker, NOW + 6)
    breaker.shift_deadlines(3600)
    fail(breaker)
    assert breaker.waited(NOW + 3610) == 10
    breaker.record(result(AttemptResult.DELIVERED), NOW + 3611)
    assert breaker.waited(NOW + 3612) == 0


def broken(breaker: Breaker, at: float, *, early: bool = False, probes: int = 0) -> None:
    settlement = result(AttemptResult.BROKEN, probe_at=NOW + 900, probes=probes, early=early)
    breaker.record(settlement, at)
    breaker.pause = paused(NOW + 900, probes)


def test_a_pause_is_probed_early_with_what_was_never_tried(breaker: Breaker) -> None:
    """With pauses that grow up to a minute, every second one drawn; what was tried waits for the planned time."""
    broken(breaker, NOW)
    waits, drawn = [], []
    for _ in range(8):
        drawn.append(breaker.draws)
        assert breaker.room(4, busy=0, now=NOW) == (1, 900)
        waits.append(breaker.room(4, busy=0, now=NOW, untried=True)[1])
        broken(breaker, NOW, early=True)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert drawn == [False, True] * 4
    assert breaker.room(4, busy=1, now=NOW + 61, untried=True) == (1, math.inf)
    breaker.shift_deadlines(100)
    assert breaker.room(4, busy=0, now=NOW + 100, untried=True) == (1, 60)


def test_a_new_pause_is_probed_early_anew(breaker: Breaker) -> None:
    """What an earlier one came to does not count."""
    for _ in range(9):
        broken(breaker, NOW, early=True)
    breaker.record(result(AttemptResult.DELIVERED), NOW + 1)
    breaker.pause = None
    broken(breaker, NOW + 2)
    assert breaker.room(4, busy=0, now=NOW + 2, untried=True) == (1, 1)
