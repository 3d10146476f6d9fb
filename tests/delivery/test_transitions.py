"""Transitions: what becomes of a delivery after an attempt, whatever came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.connector import Broken, Delivered, Outcome, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.delivery.transitions import ATTEMPTS, LIMITS, LONGEST, PROBES, Context, not_found, settle, unrendered
from forwarder.store.records import Claimed, Pause, State
from forwarder.testing import delivery

NOW: Final = 1_772_366_400.0
GIVE_UP_AFTER: Final = 3 * 86400.0
LOOKS: Final = (10.0, 60.0, 300.0)
PAYLOAD: Final = {"text": "as it was sent"}
RECEIPT: Final = Receipt(remote_id="SEC-1", url="https://jira.example/SEC-1")


def claimed(**changes: Any) -> Claimed:
    first = Claimed(token="t", delivery=delivery(), uncertain=False, lookups=0, attempts=0, failing_since=None)
    return replace(first, **changes)


def at(now: float = NOW, *, reconcile_after: Sequence[float] = LOOKS, rng: float = 1.0, probe: int = 0) -> Context:
    return Context(
        now=now, random=lambda: rng, reconcile_after=reconcile_after, give_up_after=GIVE_UP_AFTER, probe=probe
    )


SECONDS = st.floats(0, 3600)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Delivered, st.just(RECEIPT), st.text(max_size=5)),
    st.builds(Retry, st.text(max_size=5), st.none() | SECONDS),
    st.builds(RateLimited, SECONDS, st.text(max_size=5)),
    st.builds(Uncertain, st.text(max_size=5)),
    st.builds(Rejected, st.text(max_size=5)),
    st.builds(Broken, st.text(max_size=5)),
)
CLAIMS = st.builds(
    claimed,
    uncertain=st.booleans(),
    lookups=st.integers(0, 3),
    attempts=st.integers(0, 10_000),
    failing_since=st.none() | st.floats(NOW - 10 * 86400, NOW),
)
CONTEXTS = st.builds(
    at, reconcile_after=st.sampled_from([LOOKS, ()]), rng=st.floats(0, 1), probe=st.sampled_from([0, 1, 7])
)


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_every_outcome_leads_to_a_legal_state(claim: Claimed, outcome: Outcome, here: Context) -> None:
    """A settled delivery has what its state needs, and one that waits is due at a time that comes."""
    settlement = settle(claim, outcome, PAYLOAD, here)
    assert settlement.state is not State.SENDING
    assert settlement.due_at >= NOW
    assert settlement.due_at <= NOW + max(ATTEMPTS.most, 3600.0)
    assert settlement.outcome in {"delivered", "retry", "rate_limited", "uncertain", "rejected", "broken", "gave_up"}
    if settlement.state is State.UNCERTAIN:
        assert here.reconcile_after or claim.uncertain


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_delivered_only_when_the_remote_said_yes(claim: Claimed, outcome: Outcome, here: Context) -> None:
    """Only Delivered makes a delivery delivered, and it always does, with its receipt and what was sent."""
    settlement = settle(claim, outcome, PAYLOAD, here)
    assert (settlement.state is State.DELIVERED) == isinstance(outcome, Delivered)
    assert (settlement.receipt == RECEIPT) == isinstance(outcome, Delivered)
    if isinstance(outcome, Delivered):
        assert (settlement.payload, settlement.reason) == (PAYLOAD, outcome.note)


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_dead_only_when_refused_or_failing_for_too_long(claim: Claimed, outcome: Outcome, here: Context) -> None:
    """A delivery dies of a refusal, or of failures that began longer than give_up_after ago, and of nothing else."""
    settlement = settle(claim, outcome, PAYLOAD, here)
    too_long = claim.failing_since is not None and NOW - claim.failing_since > GIVE_UP_AFTER
    dies = isinstance(outcome, Rejected) or (isinstance(outcome, Retry | Uncertain) and too_long)
    assert (settlement.state is State.DEAD) == dies
    if isinstance(outcome, Retry | Uncertain) and dies:
        assert settlement.outcome == "gave_up"
        assert settlement.reason == f"Gave up after 3d: {outcome.reason}"


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_a_rate_limit_and_a_broken_destination_spend_no_attempt(
    claim: Claimed, outcome: Outcome, here: Context
) -> None:
    """Wait and Broken leave the number of attempts as it was; everything else counts."""
    assert settle(claim, outcome, PAYLOAD, here).spent == (not isinstance(outcome, RateLimited | Broken))


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_what_may_be_there_stays_uncertain(claim: Claimed, outcome: Outcome, here: Context) -> None:
    """No failure of a look or of a further send makes an uncertain delivery one that is sent without a look."""
    settlement = settle(replace(claim, uncertain=True), outcome, PAYLOAD, at(reconcile_after=LOOKS, probe=here.probe))
    assert settlement.state is not State.READY


@given(CLAIMS, OUTCOMES, CONTEXTS)
def test_a_probe_that_failed_keeps_the_pause(claim: Claimed, outcome: Outcome, here: Context) -> None:
    """While a connector is paused, all but a yes or a refusal of the message itself puts off the next probe."""
    settlement = settle(claim, outcome, PAYLOAD, replace(here, probe=3))
    works = isinstance(outcome, Delivered | Rejected)
    assert (settlement.probe_at is None) == works
    assert settlement.answers == works
    if settlement.probe_at is not None:
        assert settlement.probes == 3
        assert 0 < settlement.probe_at - NOW <= PROBES.most


def test_giving_up_on_one_delivery_does_not_end_a_pause() -> None:
    """A delivery that a probe gave up becomes a dead letter, and the connector stays paused."""
    settlement = settle(claimed(failing_since=NOW - GIVE_UP_AFTER - 1), Retry("HTTP 500"), PAYLOAD, at(probe=2))
    assert (settlement.state, settlement.outcome) == (State.DEAD, "gave_up")
    assert settlement.probe_at is not None


@given(CLAIMS, OUTCOMES)
def test_only_a_broken_destination_is_paused(claim: Claimed, outcome: Outcome) -> None:
    """A connector that works is paused by Broken and by nothing else."""
    assert (settle(claim, outcome, PAYLOAD, at()).probe_at is not None) == isinstance(outcome, Broken)


def test_retry_backs_off() -> None:
    """A failure is tried again after a wait that grows with the attempts spent, and the failing began with it."""
    first = settle(claimed(), Retry("HTTP 500"), PAYLOAD, at())
    assert (first.state, first.due_at, first.failing_since) == (State.READY, NOW + 2.0, NOW)
    fourth = settle(claimed(attempts=3, failing_since=NOW - 60), Retry("HTTP 500"), PAYLOAD, at())
    assert (fourth.due_at, fourth.failing_since) == (NOW + 16.0, NOW - 60)
    assert fourth.payload is None


def test_the_remote_s_own_time_comes_before_the_backoff() -> None:
    """Where the remote names a time, it is tried again then."""
    assert settle(claimed(attempts=9), Retry("HTTP 503", after=5.0), None, at()).due_at == NOW + 5.0


def test_wait_puts_back_as_if_not_tried() -> None:
    """A rate limit moves the time, and neither begins nor ends a run of failures."""
    for since in (None, NOW - 60):
        settlement = settle(claimed(failing_since=since), RateLimited(7.0, "HTTP 429"), PAYLOAD, at())
        assert (settlement.state, settlement.due_at, settlement.failing_since) == (State.READY, NOW + 7.0, since)


@pytest.mark.parametrize(
    ("named", "tried", "pause"),
    [
        (0.0, 0, 1.0),
        (-3.0, 0, 1.0),
        (float("nan"), 0, 1.0),
        (7.0, 0, 7.0),
        (0.0, 1, 2.0),
        (1.0, 3, 8.0),
        (30.0, 3, 30.0),
        (1.0, 99, LIMITS.most),
        (3600.0, 0, LONGEST),
        (float("inf"), 5, LONGEST),
    ],
)
def test_a_rate_limit_is_kept_within_reason(named: float, tried: int, pause: float) -> None:
    """A second at least, which grows while it is refused again, and a few minutes at most, whatever is named."""
    settlement = settle(claimed(), RateLimited(named, "HTTP 429"), None, replace(at(), limited=tried))
    assert settlement.due_at == NOW + pause
    assert (settlement.state, settlement.spent, settlement.failing_since) == (State.READY, False, None)


def test_a_named_time_to_retry_is_kept_within_reason() -> None:
    """Neither at once, nor in an hour."""
    for named, pause in ((0.0, 1.0), (float("nan"), 1.0), (3600.0, LONGEST)):
        assert settle(claimed(), Retry("HTTP 503", after=named), None, at()).due_at == NOW + pause


def test_what_is_first_to_be_refused_after_a_rate_limit_is_noted() -> None:
    """The one before came when others had used up the rate; those after it may only have come too soon."""
    noted = [
        settle(claimed(), RateLimited(1.0, "x"), None, replace(at(), limited=tried)).refused_at for tried in range(4)
    ]
    assert noted == [None, NOW, None, None]
    assert settle(claimed(), Broken("x"), None, at()).refused_at == NOW


def test_what_alone_is_at_its_rate_limit_is_tried_again_by_itself() -> None:
    """An attempt is spent, whatever time is named it backs off, and becomes a dead letter in the end."""
    alone = replace(at(), alone=True)
    settlement = settle(claimed(attempts=3), RateLimited(1.0, "HTTP 429"), None, alone)
    assert (settlement.outcome, settlement.spent, settlement.due_at) == ("retry", True, NOW + 16.0)
    assert settlement.failing_since == NOW
    assert settle(claimed(), RateLimited(float("inf"), "x"), None, alone).due_at == NOW + ATTEMPTS.most
    late = claimed(failing_since=NOW - GIVE_UP_AFTER - 1)
    assert settle(late, RateLimited(1.0, "HTTP 429"), None, alone).state is State.DEAD


def test_an_early_probe_leaves_the_planned_ones_alone() -> None:
    """What was never tried may be a probe at any time; how often it failed says nothing of the planned ones."""
    pause = Pause(connector="target", since=NOW - 99, reason="revoked", probes=2, probe_at=NOW + 77)
    for outcome in (Broken("revoked"), Retry("x"), RateLimited(1.0, "x"), Uncertain("x")):
        settlement = settle(claimed(), outcome, None, replace(at(probe=3), early=pause))
        assert (settlement.probe_at, settlement.probes, settlement.early) == (NOW + 77, 2, True)


def test_broken_is_not_the_delivery_s_failure() -> None:
    """A broken destination ends the run of failures: a delivery has its whole time once it works again."""
    settlement = settle(claimed(failing_since=NOW - 2 * GIVE_UP_AFTER), Broken("token_revoked"), PAYLOAD, at())
    assert (settlement.state, settlement.failing_since, settlement.due_at) == (State.READY, None, NOW)
    assert settlement.probe_at == NOW + 60.0


def test_probes_become_rarer() -> None:
    """Each probe in vain doubles the time to the next, up to the most."""
    waits = [settle(claimed(), Broken("x"), None, at(probe=probe)).probe_at for probe in range(6)]
    assert [wait and wait - NOW for wait in waits] == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]


@pytest.mark.parametrize(("since", "state"), [(GIVE_UP_AFTER, State.READY), (GIVE_UP_AFTER + 1, State.DEAD)])
def test_it_gives_up_after_the_time_and_not_before(since: float, state: State) -> None:
    """At exactly give_up_after it is still tried, one second later no more."""
    assert settle(claimed(failing_since=NOW - since), Retry("x"), None, at()).state is state


def test_uncertain_is_looked_for_before_it_is_sent_again() -> None:
    """Where the remote can be asked, an uncertain delivery is looked for after the first of the connector's times."""
    settlement = settle(claimed(lookups=2), Uncertain("timed out"), PAYLOAD, at())
    assert (settlement.state, settlement.due_at, settlement.lookups) == (State.UNCERTAIN, NOW + 10.0, 0)
    assert settlement.failing_since == NOW


def test_uncertain_is_sent_again_where_a_repeat_is_harmless() -> None:
    """Where nothing can be looked for, an uncertain delivery is tried again after the backoff."""
    settlement = settle(claimed(attempts=1), Uncertain("timed out"), PAYLOAD, at(reconcile_after=()))
    assert (settlement.state, settlement.due_at) == (State.READY, NOW + 4.0)


def test_looks_come_in_order_and_end() -> None:
    """What is not seen is looked for at each of the connector's times in turn, then it is time to send it again."""
    claim, now, seen_at = claimed(uncertain=True), NOW + LOOKS[0], []
    while (settlement := not_found(claim, at(now))) is not None:
        assert (settlement.state, settlement.spent, settlement.outcome) == (State.UNCERTAIN, False, "not_found")
        claim, now = replace(claim, lookups=settlement.lookups), settlement.due_at
        seen_at.append(now - NOW)
    assert seen_at == [60.0, 300.0]
    assert claim.lookups == 2


def test_a_look_does_not_begin_the_failing_anew() -> None:
    """A look in vain keeps the time from which giving up is counted."""
    settlement = not_found(claimed(uncertain=True, failing_since=NOW - 99), at())
    assert settlement is not None
    assert settlement.failing_since == NOW - 99


def test_lookups_count_from_the_uncertain_send() -> None:
    """A look before its time is made once more then, and one that comes after several stands for all of them."""

    def look(lookups: int, since: float) -> tuple[int, float] | None:
        claim = claimed(uncertain=True, lookups=lookups, uncertain_since=NOW - since, failing_since=NOW - since)
        settlement = not_found(claim, at())
        return None if settlement is None else (settlement.lookups, settlement.due_at - NOW)

    assert look(0, 4) == (0, 6.0)
    assert look(0, 10) == (1, 50.0)
    assert look(1, 30) == (1, 30.0)
    assert look(0, 61) == (2, 239.0)
    assert look(2, 299) == (2, 1.0)
    assert look(0, 300) is None
    assert look(0, 3600) is None


def test_the_time_of_an_uncertain_send_is_kept_until_the_next_one() -> None:
    """Looks and failures in between leave it alone."""
    assert settle(claimed(), Uncertain("timed out"), PAYLOAD, at()).uncertain_since == NOW
    unclear = claimed(uncertain=True, uncertain_since=NOW - 99)
    for outcome in (Retry("HTTP 500"), RateLimited(7.0, "HTTP 429"), Broken("revoked")):
        assert settle(unclear, outcome, None, at()).uncertain_since == NOW - 99
    settlement = not_found(unclear, at())
    assert settlement is not None
    assert settlement.uncertain_since == NOW - 99


def test_a_message_that_cannot_be_made_fails_by_itself() -> None:
    """It backs off and is given up like any failure, and says nothing of the destination, not even as a probe."""
    settlement = unrendered(claimed(attempts=3), "The message could not be made.", at(probe=2))
    assert (settlement.outcome, settlement.own, settlement.due_at) == ("retry", True, NOW + 16.0)
    assert settlement.probe_at is None
    late = unrendered(claimed(failing_since=NOW - GIVE_UP_AFTER - 1), "It could not be made.", at())
    assert (late.state, late.outcome, late.own) == (State.DEAD, "gave_up", True)


def test_what_failed_because_of_an_outage_is_left_out_of_the_backoff() -> None:
    """A recovery excuses the attempts before it; what keeps failing is excused only while the destination is down."""
    assert settle(claimed(attempts=9, excused=9), Retry("x"), None, at()).due_at == NOW + 2.0
    known = replace(at(), keeps_failing=True)
    for here, excused, pause in ((known, False, 8.0), (replace(known, down=True), True, 4.0), (at(), False, 8.0)):
        settlement = settle(claimed(attempts=2, failing_since=NOW - 60), Retry("x"), None, here)
        assert (settlement.excused, settlement.due_at - NOW) == (excused, pause)


def test_what_keeps_failing_backs_off_whatever_the_remote_or_the_lookups_say() -> None:
    """A time named for each failure alike, or a schedule that begins anew with each, would go on at the same pace."""
    known, claim = replace(at(), keeps_failing=True), claimed(attempts=7, failing_since=NOW - 999)
    assert settle(claim, Retry("HTTP 503", after=1.0), None, known).due_at == NOW + 256.0
    assert settle(claim, Retry("HTTP 503", after=900.0), None, known).due_at == NOW + 900.0
    assert settle(claim, Uncertain("timed out"), None, known).due_at == NOW + 256.0
    assert settle(claimed(failing_since=NOW - 9), Uncertain("timed out"), None, known).due_at == NOW + 10.0


def test_what_alone_calls_the_destination_broken_is_tried_again_by_itself() -> None:
    """No pause, but a backoff, and a dead letter in the end."""
    settlement = settle(claimed(attempts=1), Broken("the proxy says 403"), None, replace(at(), alone=True))
    assert (settlement.outcome, settlement.probe_at, settlement.due_at) == ("retry", None, NOW + 4.0)
    late = claimed(failing_since=NOW - GIVE_UP_AFTER - 1)
    assert settle(late, Broken("the proxy says 403"), None, replace(at(), alone=True)).state is State.DEAD
