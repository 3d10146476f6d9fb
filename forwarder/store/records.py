"""What goes into the store and what comes out: plain facts, no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from forwarder.alert import Alert, Change, SetAside, Severity
from forwarder.connector import Delivery, Kind, Origin, Receipt
from forwarder.routing import Decision


class State(StrEnum):
    """Where a delivery stands.

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
    floor: float | None = None
    floor_is_local: bool = False
    started_at: float | None = None
    reach: Mapping[Severity, float] = field(default_factory=dict)
    sweep_error: str | None = None
    sweeps_failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch of the feed that the API did not show us, for one severity."""

    severity: Severity
    since: float
    until: float
    noticed_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutedAlert:
    """An alert that the store does not know in this form, what the routes said, and the connectors that get it.

    ``known`` is the form that the store has. ``targets`` holds the reason for each connector. ``decision`` is None for
    an alert from before the floor: it is known from now on, and goes nowhere.
    """

    alert: Alert
    known: Alert | None = None
    decision: Decision | None
    targets: Mapping[str, str]

    @property
    def past(self) -> bool:
        """Whether it is from before the floor."""
        return self.decision is None

    @property
    def unrouted(self) -> bool:
        """Whether no route names a connector for it."""
        return self.decision is not None and not self.decision.targets


@dataclass(frozen=True, kw_only=True, slots=True)
class PollResult:
    """What a poll or a sweep brought, as it was committed.

    ``connectors`` have something new to deliver, ``gaps`` and ``set_aside`` are those that were not known before.
    ``read`` is how many alerts the feed showed, ``reach`` how far back a sweep could read.
    """

    new: Sequence[Alert] = ()
    changed: Sequence[Alert] = ()
    unrouted: Sequence[Alert] = ()
    connectors: frozenset[str] = frozenset()
    gaps: Sequence[Gap] = ()
    set_aside: Sequence[SetAside] = ()
    sweep: bool = False
    read: int = 0
    reach: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery that one worker holds under ``token``; ``uncertain`` says that it must be looked for first."""

    token: str
    delivery: Delivery
    uncertain: bool
    lookups: int
    attempts: int
    failing_since: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What becomes of a claimed delivery, and what is written down of the attempt."""

    state: State
    due_at: float
    outcome: AttemptResult
    reason: str
    spent: bool = True
    lookups: int = 0
    failing_since: float | None = None
    receipt: Receipt | None = None
    payload: Mapping[str, Any] | None = None
    probe_at: float | None = None
    """Set where the connector is broken: it is paused, and tried again then."""
    probes: int = 0
    """How often it was tried in vain since it was paused."""

    @property
    def answers(self) -> bool:
        """Whether it shows that the destination works: also a refusal of this one delivery does."""
        return self.outcome in (AttemptResult.DELIVERED, AttemptResult.REJECTED)


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
    pause: Pause | None = None

    @property
    def waiting(self) -> int:
        """Deliveries that are owed and not settled."""
        return self.ready + self.sending + self.uncertain


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try: when, how many seconds, what came back."""

    number: int
    at: float
    seconds: float
    outcome: AttemptResult
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """A delivery as people look at it. ``unreadable`` says what is wrong where its alert cannot be read."""

    id: int
    alert_id: str
    title: str
    severity: Severity
    cve_id: str | None
    origin: Origin
    connector: str
    kind: Kind
    revision: int
    state: State
    why: str
    enqueued_at: float
    due_at: float
    settled_at: float | None
    attempts: int
    last: str
    receipt: Receipt | None
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertRow:
    """An alert as people look at it, with where each delivery of it stands.

    Where it cannot be read, ``unreadable`` says what is wrong, and ``alert`` is one in its place.
    """

    alert: Alert
    origin: Origin
    revision: int
    seen_at: float
    unrouted: bool
    deliveries: Sequence[DeliveryRow] = ()
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """What changed in an alert, and when it was noticed."""

    revision: int
    at: float
    changes: Sequence[Change]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertHistory:
    """All that is known of one alert."""

    row: AlertRow
    trail: Sequence[Mapping[str, Any]]
    revisions: Sequence[Revision]
    attempts: Mapping[int, Sequence[Attempt]]
    payloads: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A trouble of the forwarder's own that goes on.

    ``alert_id`` is the alert by which people hear of it, ``notified_at`` when they last did, ``last_at`` when it last
    happened.
    """

    key: str
    type: str
    subject: str
    text: str
    alert_id: str
    since: float
    notified_at: float
    last_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which alerts or deliveries to list, newest first; None is any."""

    severity: Severity | None = None
    vendor: str | None = None
    connector: str | None = None
    state: State | None = None
    cve_id: str | None = None
    text: str | None = None
    alert_id: str | None = None
    since: datetime | None = None
    unrouted: bool = False
    origin: Origin | None = Origin.FEED
    limit: int = 50
    before: float | None = field(default=None)
