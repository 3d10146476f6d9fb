"""What becomes of a delivery after an attempt. Pure: the states and what leads from one to the next stand here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from forwarder.common.backoff import Backoff
from forwarder.connector import (
    Broken,
    Connector,
    Delivered,
    Outcome,
    Payload,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    format_duration,
)
from forwarder.delivery.breaker import DOWN
from forwarder.store.records import AttemptResult, Claimed, Pause, Settlement, State

ATTEMPTS: Final = Backoff(first=2.0, most=1800.0)
"""Between two attempts of one delivery: from seconds to half an hour where it alone fails, else to ``DOWN.most``."""
PROBES: Final = Backoff(first=60.0, most=900.0)
"""Between two probes of a paused connector."""
LIMITS: Final = Backoff(first=1.0, most=60.0)
"""Between two tries of a destination that is still at its rate limit, where it names a shorter time."""
SHORTEST, LONGEST = 1.0, 300.0
"""Seconds within which every time that a remote names is kept: a mistaken one must neither flood it nor silence it."""

CLOCK_ERROR: Final = 1e-3
"""Seconds by which a time that was added and taken away again may be off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What an outcome is judged by: the time, the random numbers, and what the connector's config and its class say.

    ``reconcile_after`` are the seconds after an uncertain attempt at which the destination is searched for it,
    ``give_up_after`` the seconds of failing after which it becomes a dead letter, ``probe`` the number of the attempt
    to find a paused connector working again; 0 where it is not paused. ``early`` is the pause whose next probe this one
    comes before, ``limited`` the number of the attempt to find a rate limit passed; 0 where none was reached.

    ``keeps_failing`` says that others have arrived since the delivery began to fail, ``alone`` that they have since it
    last called the destination broken or at its limit, ``down`` that the destination counts as down.
    """

    now: float
    random: Callable[[], float]
    reconcile_after: Sequence[float]
    give_up_after: float
    probe: int = 0
    early: Pause | None = None
    limited: int = 0
    keeps_failing: bool = False
    alone: bool = False
    down: bool = False

    @property
    def excuses(self) -> bool:
        """Whether a failure says nothing new of a delivery that had failed by itself before."""
        return self.keeps_failing and self.down


def settle(claimed: Claimed, outcome: Outcome, payload: Payload | None, at: Context) -> Settlement:
    """Where a claimed delivery goes after ``deliver`` said ``outcome``."""
    settlement = _settle(claimed, outcome, payload, at)
    if at.probe and not settlement.answers and settlement.probe_at is None:
        # A probe that failed in any way did not show that the destination works.
        return _paused(settlement, at)
    return settlement


def unrendered(claimed: Claimed, reason: str, at: Context) -> Settlement:
    """Where a claimed delivery goes of which no message could be made: it fails by itself, and asked no destination."""
    return replace(_again(claimed, None, reason, None, replace(at, down=False, alone=True)), own=True)


def _settle(claimed: Claimed, outcome: Outcome, payload: Payload | None, at: Context) -> Settlement:
    match outcome:
        case Delivered(receipt, note):
            return Settlement(
                state=State.DELIVERED,
                due_at=at.now,
                outcome=AttemptResult.DELIVERED,
                reason=note,
                receipt=receipt,
                payload=payload,
            )
        case RateLimited(after, reason) if at.alone:
            # The rate is reached for this one only: to hold the others would be for nothing.
            return _again(claimed, after, reason, payload, at)
        case RateLimited(after, reason):
            return _limited(claimed, after, reason, at)
        case Broken(reason) if at.alone:
            # It is broken for this one only: a pause would be for nothing, and hold up the others.
            return _again(claimed, None, reason, payload, at)
        case Broken(reason):
            # The destination's failure is not the delivery's: its time to give up begins anew once it works.
            settlement = _back(claimed, at.now, AttemptResult.BROKEN, reason, spent=False)
            return _paused(replace(settlement, refused_at=at.now), at)
        case Rejected(reason):
            return Settlement(
                state=State.DEAD, due_at=at.now, outcome=AttemptResult.REJECTED, reason=reason, payload=payload
            )
        case Retry(reason, after):
            return _again(claimed, after, reason, payload, at)
        case Uncertain(reason):
            return _uncertain(claimed, reason, payload, at)


def not_found(claimed: Claimed, at: Context) -> Settlement | None:
    """Where an uncertain delivery goes that was searched for and not found; None where it is time to send it again.

    The times of the lookups count from the uncertain send: a look that came before its time is made once more then,
    and one that came after several stands for all of them.
    """
    times = at.reconcile_after
    elapsed = times[claimed.lookups] if claimed.uncertain_since is None else at.now - claimed.uncertain_since
    done = max(claimed.lookups, sum(time <= elapsed + CLOCK_ERROR for time in times))
    if done >= len(times):
        return None
    return Settlement(
        state=State.UNCERTAIN,
        due_at=at.now + max(times[done] - elapsed, 0.0),
        outcome=AttemptResult.NOT_FOUND,
        reason="It is not seen there yet.",
        spent=False,
        lookups=done,
        failing_since=claimed.failing_since,
        uncertain_since=claimed.uncertain_since,
    )


def _limited(claimed: Claimed, after: float, reason: str, at: Context) -> Settlement:
    pause = min(max(SHORTEST, LIMITS.after(at.limited + 1, at.random), after), LONGEST)
    since = claimed.failing_since
    settlement = _back(claimed, at.now + pause, AttemptResult.RATE_LIMITED, reason, spent=False, failing_since=since)
    # The one before came when others had used up the rate, the ones after it may only have come too soon as well.
    return replace(settlement, refused_at=at.now) if at.limited == 1 else settlement


def _paused(settlement: Settlement, at: Context) -> Settlement:
    if at.early is not None:
        return replace(settlement, probe_at=at.early.probe_at, probes=at.early.probes, early=True)
    return replace(settlement, probe_at=at.now + PROBES.after(at.probe + 1, at.random), probes=at.probe)


def _back(
    claimed: Claimed,
    due_at: float,
    outcome: AttemptResult,
    reason: str,
    *,
    spent: bool,
    excused: bool = False,
    failing_since: float | None = None,
) -> Settlement:
    """Back to where it was claimed from; what was uncertain stays so, for it may still be there."""
    return Settlement(
        state=State.UNCERTAIN if claimed.uncertain else State.READY,
        due_at=due_at,
        outcome=outcome,
        reason=reason,
        spent=spent,
        excused=excused,
        lookups=claimed.lookups,
        failing_since=failing_since,
        uncertain_since=claimed.uncertain_since,
    )


def _again(claimed: Claimed, after: float | None, reason: str, payload: Payload | None, at: Context) -> Settlement:
    since = at.now if claimed.failing_since is None else claimed.failing_since
    if at.now - since > at.give_up_after:
        return _given_up(reason, payload, at)
    backoff = _backoff(claimed, at)
    if after is None:
        pause = backoff
    elif at.keeps_failing or at.alone:
        # A time that the remote names for each failure alike would have it tried for ever at the same pace.
        pause = max(backoff, min(after, ATTEMPTS.most))
    else:
        pause = min(max(SHORTEST, after), LONGEST)
    return _back(
        claimed,
        at.now + pause,
        AttemptResult.RETRY,
        reason,
        spent=True,
        excused=at.excuses,
        failing_since=since,
    )


def _uncertain(claimed: Claimed, reason: str, payload: Payload | None, at: Context) -> Settlement:
    since = at.now if claimed.failing_since is None else claimed.failing_since
    if at.now - since > at.give_up_after:
        return _given_up(reason, payload, at)
    if at.reconcile_after:
        # The schedule alone would send what keeps failing again and again at the same pace.
        pause = max(at.reconcile_after[0], _backoff(claimed, at) if at.keeps_failing else 0.0)
        state, due_at = State.UNCERTAIN, at.now + pause
    else:
        state, due_at = State.READY, at.now + _backoff(claimed, at)
    return Settlement(
        state=state,
        due_at=due_at,
        outcome=AttemptResult.UNCERTAIN,
        reason=reason,
        excused=at.excuses,
        failing_since=since,
        uncertain_since=at.now,
    )


def _backoff(claimed: Claimed, at: Context) -> float:
    failures = claimed.attempts - claimed.excused + (not at.excuses)
    pause = ATTEMPTS.after(max(failures, 1), at.random)
    # Where nothing else was answered meanwhile, it may be the only one by which the destination is found working again.
    return pause if at.keeps_failing or at.alone else min(pause, DOWN.most)


def _given_up(reason: str, payload: Payload | None, at: Context) -> Settlement:
    return Settlement(
        state=State.DEAD,
        due_at=at.now,
        outcome=AttemptResult.GAVE_UP,
        reason=f"Gave up after {format_duration(at.give_up_after)}: {reason}",
        payload=payload,
    )


def first_looks(connectors: Iterable[Connector[Any]], now: float) -> dict[str, float]:
    """When each connector looks first for what a worker left behind."""
    return {connector.name: now + next(iter(connector.reconcile_after), 0.0) for connector in connectors}
