"""What the queries answer with, for people who look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from forwarder.alert import Alert, Change, Severity, Vendors, named
from forwarder.connector import Kind, Origin, Receipt, Response, Status
from forwarder.store.mute_records import MutedBy
from forwarder.store.records import Attempt, State


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

    Where it cannot be read, ``unreadable`` says what is wrong, and ``alert`` is one in its place. ``muted`` is what
    keeps it from going out, or to where it did not go on purpose. ``past`` says that it is from before the floor;
    ``latest`` is the last response, None while nobody reacted; ``accounts`` are those that see it, where the config
    names any.
    """

    alert: Alert
    origin: Origin
    revision: int
    seen_at: float
    unrouted: bool
    muted: MutedBy | None = None
    status: Status = Status.OPEN
    deliveries: Sequence[DeliveryRow] = ()
    unreadable: str = ""
    vendors: Vendors = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    past: bool = False
    latest: Response | None = None

    @property
    def vendor_names(self) -> tuple[str, ...]:
        """The alert's vendors as people read them."""
        return named(self.alert.affected_vendors, self.vendors)

    @property
    def concerns_nobody(self) -> bool:
        """Whether it is from before the floor, has no route or is muted, and nobody reacted."""
        return (self.past or self.unrouted or self.muted is not None) and self.latest is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """What changed in an alert, and when it was noticed."""

    revision: int
    at: float
    changes: Sequence[Change]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertHistory:
    """All that is known of one alert; ``items`` are those that a digest tells of."""

    row: AlertRow
    trail: Sequence[Mapping[str, Any]]
    revisions: Sequence[Revision]
    responses: Sequence[Response]
    attempts: Mapping[int, Sequence[Attempt]]
    payloads: Mapping[int, Mapping[str, Any]]
    evidence: tuple[str, ...] = ()
    items: Sequence[Alert] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which alerts or deliveries to list, newest first; None is any.

    ``status`` and ``urgent_first`` are of alerts alone. With ``urgent_first`` the open ones come first, then those that
    are acknowledged, the most severe first in each, unless something is searched for. What concerns nobody comes last,
    and has no status but resolved there.
    """

    severity: Severity | None = None
    vendor: str | None = None
    account: str | None = None
    connector: str | None = None
    state: State | None = None
    status: Status | None = None
    cve_id: str | None = None
    text: str | None = None
    alert_id: str | None = None
    since: datetime | None = None
    unrouted: bool = False
    muted: bool = False
    origin: Origin | None = Origin.FEED
    limit: int = 50
    before: float | None = field(default=None)
    urgent_first: bool = False
