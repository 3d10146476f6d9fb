"""What the alarms read and write: plain facts, no SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from forwarder.alert import Severity


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A trouble of the forwarder's own that goes on.

    ``alert_id`` is the alert by which people hear of it, ``notified_at`` when they last did, ``last_at`` when it last
    happened. ``severity`` and ``kev`` say how bad its worst instance is, ``instance`` which that is. ``notified`` are
    the connectors that are owed it or were.
    """

    key: str
    type: str
    subject: str
    text: str
    alert_id: str
    since: float
    notified_at: float
    last_at: float
    severity: Severity = Severity.LOW
    kev: bool = False
    instance: str = ""
    notified: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Why a critical may wait for a connector, and how long it may.

    ``length`` is how many deliveries as bad wait, itself included. ``since`` is since when
    its destination answers, or it is owed again, 0 where neither is so; ``tried_at`` is when something that waits was
    last tried, and ``reason`` what that came to. ``own`` is whether what waits is an alarm of our own.
    """

    length: int
    since: float
    tried_at: float | None
    reason: str
    own: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Symptom:
    """What the rows of the store say of one trouble, such as the dead letters of a connector.

    ``severity`` is that of its worst instance, None where its rows have none; ``kev`` says whether any instance is on
    CISA's list. ``instance`` is the worst one's identity, ``facts`` the JSON object that describes it, and ``reason``
    what is wrong with it. ``last_at`` is when it last happened, or since when it goes on. ``waiting`` is how many
    deliveries wait for a connector, where the trouble is all of that, and ``line`` what one that is late waits for.
    """

    type: str
    subject: str
    severity: Severity | None
    kev: bool
    instance: str
    facts: Mapping[str, Any]
    reason: str
    last_at: float
    waiting: int = 0
    line: Line | None = None
