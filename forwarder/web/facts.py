"""What the summary at the top of the page rests on, and what it is made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from forwarder.alarms import DAY, AlarmType
from forwarder.alarms.types import severity_of
from forwarder.alert import Severity
from forwarder.config import Config
from forwarder.delivery.throughput import Throughput, throughput_of
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import Feed, Gap, Queue
from forwarder.web.writes import Refusal


class Level(StrEnum):
    """How urgent it is for a person."""

    FINE = "fine"
    WATCH = "watch"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One thing that needs attention: in a few words for the headline, in full, and what to do about it."""

    level: Level
    short: str
    text: str
    remedy: str
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The sentence at the top of the page, the same in a few words for the tab, and what it is made of."""

    level: Level
    title: str
    sentence: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the summary rests on.

    ``last_seen_at`` is when an alert of the feed last was.
    ``delivered`` is what each connector delivered lately, since ``pace.measured_since``. ``stalled`` says in sentences
    what does not turn any more in this process, ``refusal`` is what it knows of refused writes, ``free`` the bytes that
    are free on the database's disk, where that is known.
    """

    now: float
    started_at: float
    config: Config
    feed: Feed
    queues: Sequence[Queue]
    alarms: Sequence[Alarm]
    last_seen_at: float | None = None
    gaps: Sequence[Gap] = ()
    delivered: Mapping[str, int] = field(default_factory=dict)
    stalled: Sequence[str] = ()
    refusal: Refusal | None = None
    free: int | None = None

    def throughput(self, queue: Queue) -> Throughput | None:
        """How fast a connector delivers; None where that is not known, or it does not."""
        settings = self.config.connectors.get(queue.connector)
        limit = settings.max_rate if settings else None
        return throughput_of(queue, limit, self.delivered.get(queue.connector, 0), self.now)

    @property
    def critical_gaps(self) -> Sequence[Gap]:
        """Stretches of the last day in which criticals may be missing, the newest first."""
        return [gap for gap in self.gaps if gap.severity is Severity.CRITICAL and self.now - gap.noticed_at <= DAY]

    @property
    def refused(self) -> bool:
        """Whether the database refuses writes right now."""
        return self.refusal is not None and self.refusal.until is None

    def fails_critically(self, queue: Queue) -> bool:
        """Whether people were told that it fails with something critical, or on CISA's list, waiting for it."""
        return any(
            (alarm.type, alarm.subject) == (AlarmType.CONNECTOR_FAILING, queue.connector)
            and severity_of(alarm) is Severity.CRITICAL
            for alarm in self.alarms
        )

    def standing(self, kind: AlarmType) -> Alarm | None:
        """The alarm of a type that has no subject, while it stands."""
        return next((alarm for alarm in self.alarms if alarm.type == kind), None)
