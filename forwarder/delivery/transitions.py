"""What becomes of a delivery after an attempt. Pure: the states and what leads from one to the next stand here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from forwarder.common.backoff import Backoff
from forwarder.connector import (
    Broken,
    Delivered,
    Outcome,
    Payload,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    format_duration,
)
from forwarder.store.records import AttemptResult, Claimed, Settlement, State

ATTEMPTS: Final = Backoff(first=2.0, most=1800.0)
"""Between two attempts of one delivery: from seconds to half an hour."""
PROBES: Final = Backoff(first=60.0, most=900.0)
"""Between two probes of a paused connector."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What an outcome is judged by: the time, the random numbers, and what the connector's config and its class say.

    ``reconcile_after`` are the seconds after an uncertain attempt at which the destination is searched for it,
    ``give_up_after`` the seconds of failing after which it becomes a dead letter, ``probe`` the number of the attempt
    to find a paused connector working again; 0 where it is not paused.
    """

    now: float
    random: Callable[[], float]
    reconcile_after: Sequence[float]
    give_up_after: float
    probe: int = 0


def settle(claimed: Claimed, outcome: Outcome, payload: Payload | None, at: Context) -> Settlement:
    """Where a claimed delivery goes after ``deliver`` said ``outcome``."""
    settlement = _settle(claimed, outcome, payload, at)
    if at.probe and not settlement.answers and settlement.probe_at is None:
        # A probe that failed in any way did not show that the destination works.
        return _paused(settlement, at)
    return settlement


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
        case RateLimited(after, reason):
            return _back(
                claimed,
                at.now + after,
                AttemptResult.RATE_LIMITED,
                reason,
                spent=False,
                failing_since=claimed.failing_since,
            )
        case Broken(reason):
            # The destination's failure is not the delivery's: its time to give up begins anew once it works.
            return _paused(_back(claimed, at.now, AttemptResult.BROKEN, reason, spent=False), at)
        case Rejected(reason):
            return Settlement(
                state=State.DEAD, due_at=at.now, outcome=AttemptResult.REJECTED, reason=reason, payload=payload
            )
        case Retry(reason, after):
            return _again(claimed, after, reason, payload, at)
        case Uncertain(reason):
            return _uncertain(claimed, reason, payload, at)


def not_found(claimed: Claimed, at: Context) -> Settlement | None:
    """Where an uncertain delivery goes that was searched for and not found; None where it is time to send it again."""
    done = claimed.lookups + 1
    if done >= len(at.reconcile_after):
        return None
    pause = at.reconcile_after[done] - at.reconcile_after[claimed.lookups]
    return Settlement(
        state=State.UNCERTAIN,
        due_at=at.now + max(pause, 0.0),
        outcome=AttemptResult.NOT_FOUND,
        reason="It is not seen there yet.",
        spent=False,
        lookups=done,
        failing_since=claimed.failing_since,
    )


def _paused(settlement: Settlement, at: Context) -> Settlement:
    return replace(settlement, probe_at=at.now + PROBES.after(at.probe + 1, at.random), probes=at.probe)


def _back(
    claimed: Claimed,
    due_at: float,
    outcome: AttemptResult,
    reason: str,
    *,
    spent: bool,
    failing_since: float | None = None,
) -> Settlement:
    """Back to where it was claimed from; what was uncertain stays so, for it may still be there."""
    return Settlement(
        state=State.UNCERTAIN if claimed.uncertain else State.READY,
        due_at=due_at,
        outcome=outcome,
        reason=reason,
        spent=spent,
        lookups=claimed.lookups,
        failing_since=failing_since,
    )


def _again(claimed: Claimed, after: float | None, reason: str, payload: Payload | None, at: Context) -> Settlement:
    since = at.now if claimed.failing_since is None else claimed.failing_since
    if at.now - since > at.give_up_after:
        return _given_up(reason, payload, at)
    pause = ATTEMPTS.after(claimed.attempts + 1, at.random) if after is None else after
    return _back(claimed, at.now + pause, AttemptResult.RETRY, reason, spent=True, failing_since=since)


def _uncertain(claimed: Claimed, reason: str, payload: Payload | None, at: Context) -> Settlement:
    since = at.now if claimed.failing_since is None else claimed.failing_since
    if at.now - since > at.give_up_after:
        return _given_up(reason, payload, at)
    if at.reconcile_after:
        state, due_at = State.UNCERTAIN, at.now + at.reconcile_after[0]
    else:
        state, due_at = State.READY, at.now + ATTEMPTS.after(claimed.attempts + 1, at.random)
    return Settlement(state=state, due_at=due_at, outcome=AttemptResult.UNCERTAIN, reason=reason, failing_since=since)


def _given_up(reason: str, payload: Payload | None, at: Context) -> Settlement:
    return Settlement(
        state=State.DEAD,
        due_at=at.now,
        outcome=AttemptResult.GAVE_UP,
        reason=f"Gave up after {format_duration(at.give_up_after)}: {reason}",
        payload=payload,
    )
