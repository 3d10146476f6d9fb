"""What goes into the store and what comes out: plain facts, no SQL."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from forwarder.alert import Alert, SetAside, Severity
from forwarder.common.accounts import DEFAULT
from forwarder.connector import Delivery, Receipt
from forwarder.routing import Decision
from forwarder.store.life_records import Hold
from forwarder.store.mute_records import MutedBy


class State(StrEnum):
    """Where a delivery stands.

    held      -> ready      its time has come
    ready     -> sending    a worker claimed it when it was due
    sending   -> delivered  the remote said yes
    sending   -> ready      it failed and is tried again, or was not tried at all
    sending   -> uncertain  the remote may have it, or the process ended in between
    sending   -> dead       the remote will never take it, or it failed for too long
    uncertain -> sending    a worker claimed it to look for it first
    dead      -> ready      a person asked for another try
    dead      -> uncertain  the same, of what may have arrived
    delivered -> ready      a person asked for it once more
    """

    HELD = "held"
    READY = "ready"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    DELIVERED = "delivered"
    DEAD = "dead"

    @property
    def settled(self) -> bool:
        return self in (State.DELIVERED, State.DEAD)


class AttemptResult(StrEnum):
    """What an attempt came to, as it is recorded."""

    DELIVERED = "delivered"
    RETRY = "retry"
    RATE_LIMITED = "rate_limited"
    UNCERTAIN = "uncertain"
    NOT_FOUND = "not_found"
    """It was looked for, and is not seen there yet."""
    REJECTED = "rejected"
    GAVE_UP = "gave_up"
    """It failed for longer than ``give_up_after``."""
    BROKEN = "broken"

    @property
    def says_nothing(self) -> bool:
        """Whether it does not tell if a delivery that keeps failing still does."""
        return self in (AttemptResult.RATE_LIMITED, AttemptResult.NOT_FOUND, AttemptResult.BROKEN)


LINKS_ONLY: Final = 0
"""The revision of an update that tells no change but brings links."""
AFTER_ALL_OPENS: Final = len(Severity)
"""Added to the rank of an update that only brings links: no alert waits for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """How far the feed was read. ``cursor`` and ``floor`` are in the server's time, the others in ours.

    Times are None before the first time. What was published before ``floor`` is known and never owed; while
    ``floor_is_local``, no answer has told the server's time, and the floor is by our own clock. ``reach`` has, for each
    severity of which the last sweep could not read all that it should, the time from which on it could.
    ``sweeps_failed`` counts those since the last complete one, ``sweep_error`` says why the latest of them failed.
    """

    cursor: float | None
    stack: frozenset[str] | None
    polled_at: float | None
    poll_error: str | None
    swept_at: float | None
    sweep_reach: float | None
    key_refused: str | None = None
    """Why the API refused the key; None since it took it."""
    unread_since: float | None = None
    """The first start since the last complete poll; None where there was none."""
    unread_starts: int = 0
    """How many starts there were since the last complete poll."""
    floor: float | None = None
    floor_is_local: bool = False
    started_at: float | None = None
    reach: Mapping[Severity, float] = field(default_factory=dict)
    sweep_error: str | None = None
    sweeps_failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch of a feed that the API did not show us, for one severity; ``account`` is empty where none is named."""

    severity: Severity
    since: float
    until: float
    noticed_at: float = 0.0
    account: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An alert that an account's feed shows, and which the store does not know in this form, or not of this account.

    ``alert`` is the form that the store is to have, ``known`` the one that it has, and ``version`` which that was; both
    are None for a new alert. ``view`` is what the account shows, where that is a form of its own, and ``before`` what
    it showed last, where that is known. ``past`` says that it is from before this account's floor, and ``joins`` that
    the account had not seen it before. ``owed`` says that it was owed for some account until now, ``accounts`` for
    which, None where that was not looked up, ``unrouted`` that no route named a connector for it, and ``muted_by`` is
    the mute that kept it quiet.
    """

    alert: Alert
    known: Alert | None = None
    version: int | None = None
    muted_by: str | None = None
    unrouted: bool = False
    owed: bool = False
    past: bool = False
    joins: bool = True
    changed: bool = True
    view: Alert | None = None
    before: Alert | None = None
    accounts: tuple[str, ...] | None = None

    @property
    def shown(self) -> Alert:
        """What the account shows."""
        return self.view or self.alert


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutedAlert:
    """An alert that the store does not know in this form, what the routes said, and the connectors that get it.

    ``known`` is the form that the store has. ``targets`` holds the reason for each connector. ``decision`` is None for
    an alert from before the floor, which is known from now on and goes nowhere, and for one of which nothing is new but
    that one more account sees it: what was decided stands. With ``adds`` it stands as well, and ``decision`` is what
    one account adds to it. ``holds`` has those of them that get it
    later. ``uncategorized`` are those of its vendors whose categories were not known: it is routed again once the stack
    was read. An alert that has gone nowhere yet goes nowhere while it is ``muted``. ``arrival`` is what it was
    routed by: where the store knows better by then, nothing of it is written.
    """

    alert: Alert
    known: Alert | None = None
    decision: Decision | None
    adds: bool = False
    targets: Mapping[str, str]
    holds: Mapping[str, Hold] = field(default_factory=dict)
    uncategorized: tuple[str, ...] = ()
    muted: MutedBy | None = None
    arrival: Arrival | None = None

    @property
    def joins(self) -> bool:
        """Whether the account by which it came had not seen it before."""
        return self.known is None if self.arrival is None else self.arrival.joins

    @property
    def is_past_here(self) -> bool:
        """Whether it is from before the floor of the account by which it came."""
        return self.past if self.arrival is None else self.arrival.past

    @property
    def shows_another_form(self) -> bool:
        """Whether the store gets another form by it than it had."""
        return self.known is not None and self.arrival is not None and self.arrival.changed

    @property
    def leaves_it(self) -> bool:
        """Whether nothing of the alert itself becomes another: what was decided stands, and an account may add to it.

        So nobody is overtaken by it.
        """
        if self.arrival is None or self.known is None or self.arrival.changed:
            return False
        return self.adds or self.decision is None

    @property
    def owed(self) -> Mapping[str, str]:
        """Of a new alert: the connectors that are owed it right away, each with the reason."""
        return {} if self.muted else self.targets

    @property
    def past(self) -> bool:
        """Whether it is from before the floor."""
        return self.decision is None

    @property
    def unrouted(self) -> bool:
        """Whether no route names a connector for it; of one that is muted that is not asked."""
        return self.decision is not None and not self.decision.targets and self.muted is None


@dataclass(frozen=True, kw_only=True, slots=True)
class PollResult:
    """What a poll or a sweep brought, as it was committed.

    ``connectors`` have something new to deliver, ``gaps`` and ``set_aside`` are those that were not known before.
    ``read`` is how many alerts the feed showed, ``reach`` how far back a sweep could read, and ``account`` whose feed
    it was.
    """

    new: Sequence[Alert] = ()
    changed: Sequence[Alert] = ()
    unrouted: Sequence[Alert] = ()
    muted: Sequence[Alert] = ()
    connectors: frozenset[str] = frozenset()
    gaps: Sequence[Gap] = ()
    set_aside: Sequence[SetAside] = ()
    account: str = DEFAULT
    sweep: bool = False
    read: int = 0
    reach: datetime | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of what is worth telling."""
        told = ("new", "changed", "unrouted", "muted", "gaps", "set_aside")
        return {name: len(getattr(self, name)) for name in told}


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that one worker holds under ``token``; ``uncertain`` says that it must be looked for first.

    ``uncertain_since`` is when it was last sent without a clear answer, ``excused`` how many of its ``attempts`` failed
    because of the destination. ``refused_at`` is when by it the destination last seemed broken, or still at its rate
    limit after the time to wait; None where it never did. ``kept`` is the payload that was kept last.
    """

    token: str
    delivery: Delivery
    uncertain: bool
    lookups: int
    attempts: int
    failing_since: float | None
    uncertain_since: float | None = None
    excused: int = 0
    refused_at: float | None = None
    kept: Mapping[str, Any] | None = field(default=None, hash=False)
    stepped: float = 0.0
    """By how many seconds its connector's deadlines had moved along with the clock when it was claimed."""

    def moved(self, seconds: float) -> Claimed:
        """The same by a clock that was set meanwhile."""
        return _moved(self, seconds, "failing_since", "uncertain_since", "refused_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Which of the due deliveries a claim takes, where it is not simply the most severe.

    What began to fail before ``answered_at``, the last time that the destination answered, keeps failing while others
    arrive. At most ``failing`` of these are claimed; with ``failing_yields`` only where nothing else is due.

    A ``probe`` takes what was tried least recently. With ``draw``, a number from 0 to 1, it takes any of what was never
    tried instead; where all was tried and it is no probe, the usual order holds.
    """

    answered_at: float = -math.inf
    failing: int = sys.maxsize
    failing_yields: bool = False
    probe: bool = False
    draw: float | None = None


MOST_SEVERE: Final = Turn()
"""The usual turn: the most severe first, the oldest first among equals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What becomes of a claimed delivery, and what is written down of the attempt."""

    state: State
    due_at: float
    outcome: AttemptResult
    reason: str
    spent: bool = True
    excused: bool = False
    """Whether the failure is put down to the destination, which is down, and leaves the delivery's backoff as it is."""
    own: bool = False
    """Whether the failure is the message's own, and says nothing of the destination."""
    lookups: int = 0
    failing_since: float | None = None
    uncertain_since: float | None = None
    receipt: Receipt | None = None
    payload: Mapping[str, Any] | None = None
    probe_at: float | None = None
    """Set where the connector is broken: it is paused, and tried again then."""
    probes: int = 0
    """How often it was tried in vain since it was paused, at the times that were planned."""
    early: bool = False
    """Whether it was tried in vain before such a time."""
    refused_at: float | None = None
    """Set where it says of the destination that it is broken, or still at its rate limit; else it stays as it was."""

    @property
    def answers(self) -> bool:
        """Whether it shows that the destination works: also a refusal of this one delivery does."""
        return self.outcome in (AttemptResult.DELIVERED, AttemptResult.REJECTED)

    def moved(self, seconds: float) -> Settlement:
        """The same by a clock that was set meanwhile."""
        return _moved(self, seconds, "due_at", "failing_since", "uncertain_since", "probe_at", "refused_at")


_Timed = TypeVar("_Timed", Claimed, Settlement)


def _moved(record: _Timed, seconds: float, *names: str) -> _Timed:
    if not seconds:
        return record
    times = {name: at + seconds for name in names if (at := getattr(record, name)) is not None}
    return replace(record, **times)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A connector that takes nothing until a person acts."""

    connector: str
    since: float
    reason: str
    probes: int
    probe_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """What one connector is owed. Times are None where nothing waits or was ever delivered.

    ``notice`` is what people should put right although everything arrives.

    A connector is failing where something that waits was tried, the try failed or came to no clear answer, and the
    destination has not answered since: it took no delivery, and refused none. A rate limit is no failure. It is derived
    from what is kept of each attempt, so that a restart changes nothing. ``failing_since`` is the first such try after
    the last answer, None where it is not failing; ``failures`` is how many there were, and ``last_error`` then says why
    the latest one failed. While it is paused this says nothing: see ``pause``.

    ``criticals`` are the new and changed alerts of the feed that are critical and wait, whether or not they were tried;
    ``oldest_critical_at`` is since when the first of them does.
    """

    connector: str
    ready: int = 0
    sending: int = 0
    uncertain: int = 0
    dead: int = 0
    delivered: int = 0
    oldest_enqueued_at: float | None = None
    last_delivered_at: float | None = None
    last_error: str | None = None
    notice: str = ""
    failing_since: float | None = None
    failures: int = 0
    criticals: int = 0
    oldest_critical_at: float | None = None
    pause: Pause | None = None

    @property
    def waiting(self) -> int:
        """Deliveries that are owed and not settled."""
        return self.ready + self.sending + self.uncertain


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """How many seconds after publication alerts were seen: half of them within ``median``, all within ``worst``."""

    count: int
    median: float
    worst: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try: when, how many seconds, what came back."""

    number: int
    at: float
    seconds: float
    outcome: AttemptResult
    reason: str
