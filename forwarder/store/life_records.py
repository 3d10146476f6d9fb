"""What goes into and comes out of the store about what people decide: plain facts, no SQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forwarder.alert import Severity
from forwarder.connector import Response, Status

DIGEST: Final = "digest"
"""What a delivery is held for that waits for its connector's next digest; a schedule is named ``during NAME``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """That a delivery is not due before ``until``, in seconds since the epoch by the wall clock, and for what."""

    until: float
    reason: str


_DURING: Final = "during "


def held_during(schedule: str) -> str:
    """What is held for a schedule is held for, by its name."""
    return f"{_DURING}{schedule}"


def schedule_of(hold: Hold) -> str | None:
    """The schedule that something is held for; None where it is held for a digest."""
    return hold.reason.removeprefix(_DURING) if hold.reason.startswith(_DURING) else None


class Heard(StrEnum):
    """What became of something that a person did."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    """The alert was there already: somebody was faster."""
    REPEATED = "repeated"
    """The place has told of it before."""
    UNKNOWN = "unknown"
    """There is no such alert."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Responded:
    """What a response led to: how the alert stands now, by which response, and who is owed the news of it.

    ``severity`` and ``seen_at``, in seconds since the epoch, are the alert's.
    """

    heard: Heard
    alert_id: str = ""
    status: Status = Status.OPEN
    latest: Response | None = None
    connectors: frozenset[str] = frozenset()
    severity: Severity = Severity.CRITICAL
    seen_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LookState:
    """How far a destination was looked at for what people did there; times are None where there was none.

    ``deaf`` is why nobody is heard there who acts, where somebody should be, and ``deaf_since`` since when.
    """

    connector: str
    cursor: str = ""
    looked_at: float | None = None
    failing_since: float | None = None
    error: str | None = None
    deaf_since: float | None = None
    deaf: str | None = None
