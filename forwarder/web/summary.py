"""How things stand, in one sentence and in points that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from forwarder.alarms import DAY, FREE_BYTES, AlarmType, is_still_unread, is_unread
from forwarder.alarms.types import severity_of
from forwarder.alert import Severity
from forwarder.common.text import ago, counted
from forwarder.config import Config
from forwarder.connector import format_duration
from forwarder.store.records import Alarm, Feed, Gap, Queue
from forwarder.web.filters import clock
from forwarder.web.pace import Pace, about, pace_of
from forwarder.web.writes import Refusal

LATE: Final = 300.0
"""Seconds after which a delivery that waits is worth a word, even where nothing failed; a queue that takes as long."""
FAILING: Final = 60.0
"""The same where its last attempt failed: a first retry is nothing to speak of."""
FAILURES: Final = 3
"""Tries in vain after which a connector is worth a word sooner."""
CRITICAL_FAILURES: Final = 2
"""The same where a critical waits: then it is urgent."""
CRITICAL_LATE: Final = 120.0
"""Seconds for which a critical may wait for any reason before it is urgent."""
FAILING_LONG: Final = 900.0
"""Seconds of failing after which it is urgent whatever waits."""
WORTH_AN_ESTIMATE: Final = 60.0
"""Seconds that a queue takes from which on it is told how long."""
MANY: Final = 20
"""Deliveries that wait at a pace that is not known yet, from which on this is told."""

_SHOWN_OTHERWISE: Final = {
    AlarmType.KEY_REFUSED,
    AlarmType.FEED_UNREAD,
    AlarmType.PAUSED,
    AlarmType.DEAD_LETTER,
    AlarmType.STORE_FAILED,
    AlarmType.DISK_FULL,
}
_PAGES: Final = {AlarmType.GAP: "/gaps", AlarmType.SET_ASIDE: "/set-aside", AlarmType.UNROUTED: "/alerts?unrouted=1"}
_PAST: Final = {AlarmType.SET_ASIDE: "The feed contained an item that is not a valid alert"}
"""Titles of what is over that would say that it goes on."""


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
    """The sentence at the top of the page, and what it is made of."""

    level: Level
    sentence: str
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the summary rests on.

    ``delivered`` is what each connector delivered lately, since ``pace.measured_since``. ``stalled`` are sentences about
    what does not turn any more in this process, ``refusal`` is what it knows of refused writes, ``free`` the bytes that
    are free on the database's disk, where that is known.
    """

    now: float
    started_at: float
    config: Config
    feed: Feed
    queues: Sequence[Queue]
    alarms: Sequence[Alarm]
    gaps: Sequence[Gap] = ()
    delivered: Mapping[str, int] = field(default_factory=dict)
    stalled: Sequence[str] = ()
    refusal: Refusal | None = None
    free: int | None = None

    def pace(self, queue: Queue) -> Pace | None:
        """How fast a connector delivers; None where that is not known, or it does not."""
        settings = self.config.connectors.get(queue.connector)
        limit = settings.max_rate if settings else None
        return pace_of(queue, limit, self.delivered.get(queue.connector, 0), self.now)

    @property
    def critical_gaps(self) -> Sequence[Gap]:
        """Stretches of the last day in which criticals may be missing, the newest first."""
        return [gap for gap in self.gaps if gap.severity is Severity.CRITICAL and self.now - gap.noticed_at <= DAY]

    @property
    def refused(self) -> bool:
        """Whether the database refuses writes right now."""
        return self.refusal is not None and self.refusal.until is None

    def standing(self, kind: AlarmType) -> Alarm | None:
        """The alarm of a type that has no subject, while it stands."""
        return next((alarm for alarm in self.alarms if alarm.type == kind), None)


def summarize(facts: Facts) -> Standing:
    """How things stand: what is bad comes first."""
    found = (
        *_of_process(facts),
        *_of_store(facts),
        *_of_feed(facts),
        *_of_gaps(facts),
        *_of_connectors(facts),
        *_of_alarms(facts),
    )
    points = sorted(found, key=_urgency)
    if not points:
        return Standing(level=Level.FINE, sentence=_well(facts), points=())
    level = points[0].level
    shorts = _listed([point.short for point in points if point.level is level])
    opening = "This needs you now" if level is Level.BAD else "Working, with something to look at"
    return Standing(level=level, sentence=f"{opening}: {shorts}.", points=points)


def _urgency(point: Point) -> int:
    return -list(Level).index(point.level)


def _well(facts: Facts) -> str:
    polled = facts.feed.polled_at
    read = "the first poll is under way" if polled is None else f"the feed was read {ago(facts.now - polled)}"
    queues = [queue for queue in facts.queues if queue.waiting]
    waiting = sum(queue.waiting for queue in queues)
    if not waiting:
        return f"All is well: {read}, and nothing waits."
    if failing := [queue.connector for queue in queues if queue.failing_since is not None]:
        return f"Working: {read}, and what just failed is tried again at {_listed(failing)}."
    on_the_way = counted(waiting, "delivery is", "deliveries are")
    return f"All is well: {read}, and {on_the_way} on the way{_how_long(queues, facts)}."


def _how_long(queues: Sequence[Queue], facts: Facts) -> str:
    """How long it takes until all of them are empty, where that is more than one waits for without a word."""
    paces = [(queue.waiting, facts.pace(queue)) for queue in queues]
    if any(pace is None and waiting >= MANY for waiting, pace in paces):
        return "; how long they take is not known yet"
    longest = max((pace.takes(waiting) for waiting, pace in paces if pace), default=0.0)
    return f", the last of them in {about(longest)}" if longest >= WORTH_AN_ESTIMATE else ""


def _listed(phrases: Sequence[str], most: int = 3) -> str:
    if len(phrases) > most:
        phrases = [*phrases[:most], f"{len(phrases) - most} more below"]
    return " and ".join(part for part in (", ".join(phrases[:-1]), phrases[-1]) if part)


def _of_feed(facts: Facts) -> Iterator[Point]:
    feed, now = facts.feed, facts.now
    if feed.stack is not None and not feed.stack:
        yield Point(
            level=Level.BAD,
            short="the stack has no vendors, so no alert will ever come",
            text="The stack of the Sentrytex account has no vendors: the feed stays empty, no alert will ever come.",
            remedy="Add the vendors that you use to the stack on the Sentrytex site. The next polls notice them, and"
            " what was published about them lately is read at once.",
        )
    unread = is_unread(feed, facts.config, started_at=facts.started_at, now=now) or is_still_unread(feed, facts.alarms)
    if not unread and not feed.poll_error:
        return
    last = (
        "The feed was never read" if feed.polled_at is None else f"The feed was last read {ago(now - feed.polled_at)}"
    )
    refused = any(alarm.type == AlarmType.KEY_REFUSED for alarm in facts.alarms)
    yield Point(
        level=Level.BAD if unread or refused else Level.WATCH,
        short="the API refuses the key" if refused else f"{last[0].lower()}{last[1:]}" if unread else "a poll failed",
        text=f"{last}. {feed.poll_error or ''}".strip(),
        remedy=AlarmType.KEY_REFUSED.remedy if refused else AlarmType.FEED_UNREAD.remedy,
    )


def _of_process(facts: Facts) -> Iterator[Point]:
    for why in facts.stalled:
        yield Point(
            level=Level.BAD,
            short="a part of the forwarder stands still",
            text=why,
            remedy="Its log says more; nothing that is owed is lost.",
        )


def _of_store(facts: Facts) -> Iterator[Point]:
    """Whether the database takes writes is what the process saw just now; the alarm may be one that it did not take."""
    refusal, now = facts.refusal, facts.now
    if refusal is not None and facts.refused:
        yield _refusing(refusal, facts)
        return
    if (over := _over(refusal, facts.standing(AlarmType.STORE_FAILED), now)) is not None:
        yield over
    full = facts.free < FREE_BYTES if facts.free is not None else False
    if full or facts.standing(AlarmType.DISK_FULL):
        left = "" if facts.free is None else f": {facts.free // 2**20:,} MiB are free"
        yield Point(
            level=Level.BAD,
            short="the database's disk is nearly full",
            text=f"The database's disk is nearly full{left}. Once it is full, nothing new is read or sent.",
            remedy=AlarmType.DISK_FULL.remedy,
        )


def _refusing(refusal: Refusal, facts: Facts) -> Point:
    now, polled = facts.now, facts.feed.polled_at
    unread = "What the feed publishes" if polled is None else f"What was published since {clock(polled, now)}"
    criticals = sum(queue.criticals for queue in facts.queues)
    waiting = f" {counted(criticals, 'critical waits', 'criticals wait')} to be sent." if criticals else ""
    room = "" if facts.free is None else f" {facts.free // 2**20:,} MiB are free there."
    return Point(
        level=Level.BAD,
        short="the database refuses writes, so new alerts are neither read nor sent",
        text=f"The database refuses writes since {clock(refusal.since, now)}"
        f" ({format_duration(round(max(now - refusal.since, 1)))}). {refusal.reason}"
        f" {unread} is unread, criticals included: look at the vendor's site for them.{waiting}",
        remedy=f"{AlarmType.STORE_FAILED.remedy} Then it goes on by itself.{room}",
    )


def _over(refusal: Refusal | None, alarm: Alarm | None, now: float) -> Point | None:
    """Refused writes of the last day, in the past tense; after a restart only the alarm knows of them."""
    begun, ended, reasons = [], [], []
    if refusal is not None and refusal.until is not None and now - refusal.until <= DAY:
        begun, ended, reasons = [refusal.since], [refusal.until], [refusal.reason]
    if alarm is not None:
        begun, ended, reasons = [*begun, alarm.since], [*ended, alarm.last_at], [*reasons, alarm.text]
    if not begun:
        return None
    since, until = min(begun), max(ended)
    lasted = f"for {format_duration(round(until - since))} until" if until - since >= 1 else "at"
    told = f"took no writes {lasted} {clock(until, now)}"
    return Point(
        level=Level.WATCH,
        short=f"the database {told}",
        text=f"The database {told}. {reasons[0]} It takes them again; what came meanwhile was read and sent late.",
        remedy="Nothing is lost. See to it that the cause does not come back; this is told for a day.",
    )


def _of_gaps(facts: Facts) -> Iterator[Point]:
    """A gap of criticals is urgent for as long as its alarm stands: people have to look elsewhere."""
    if gaps := facts.critical_gaps:
        since, until = (clock(when, facts.now) for when in (gaps[0].since, gaps[0].until))
        more = f", and in {counted(len(gaps) - 1, 'other stretch', 'other stretches')}" if len(gaps) > 1 else ""
        yield Point(
            level=Level.BAD,
            short="critical alerts may be missing",
            text=f"Critical alerts that were published from {since} to {until}{more} may be missing: more came at once"
            f" than the API shows. It was noticed {ago(facts.now - gaps[0].noticed_at)}.",
            remedy="Look at the stretch on the vendor's site: nobody was notified of what is missing.",
            link="/gaps",
        )


def _of_connectors(facts: Facts) -> Iterator[Point]:
    for queue in facts.queues:
        if queue.connector not in facts.config.connectors:
            yield _orphaned(queue)
            continue
        if queue.pause is not None:
            yield _paused(queue, facts.now)
        elif queue.failing_since is not None:
            yield from _failing(queue, queue.failing_since, facts)
        elif (late := _late(queue, facts)) is not None:
            yield late
        if queue.notice:
            yield Point(
                level=Level.WATCH,
                short=f"{queue.connector} has a notice",
                text=f"{queue.connector}: {queue.notice}",
                remedy="Everything arrives all the same.",
            )
        if queue.dead:
            dead = counted(queue.dead, "dead letter")
            yield Point(
                level=Level.BAD,
                short=f"{queue.connector} has {dead}",
                text=f"{queue.connector} has {dead}: alerts that it did not accept.",
                remedy="Read why, then retry or discard them.",
                link=f"/dead-letters?{urlencode({'connector': queue.connector})}",
            )


def _failing(queue: Queue, since: float, facts: Facts) -> Iterator[Point]:
    lasted = facts.now - since
    urgent = lasted >= FAILING_LONG or (
        queue.criticals and (queue.failures >= CRITICAL_FAILURES or lasted >= FAILING / 2)
    )
    if not urgent and queue.failures < FAILURES and lasted < FAILING:
        return
    what = f", with {counted(queue.criticals, 'critical')} waiting" if queue.criticals else ""
    reached = " Until it answers, the criticals reach nobody there: read them here." if queue.criticals else ""
    pace = facts.pace(queue)
    drains = f" Once it answers, they take {pace.told(queue.waiting)}." if pace and queue.waiting > 1 else ""
    yield Point(
        level=Level.BAD if urgent else Level.WATCH,
        short=f"{queue.connector} is failing{what}",
        text=f"{queue.connector} is failing since {clock(since, facts.now)}"
        f" ({format_duration(round(max(lasted, 1)))}): {counted(queue.failures, 'try', 'tries')} in vain, and nothing"
        f" delivered since. {_waits(queue, facts.now)} {queue.last_error or ''}".rstrip(),
        remedy="It is tried again by itself. Look at the reason: whether the service works, and can be reached from"
        f" here.{reached}{drains}",
        link=_waiting_at(queue),
    )


def _waits(queue: Queue, now: float) -> str:
    """How much waits, and the criticals among it with since when."""
    waiting = counted(queue.waiting, "delivery waits", "deliveries wait")
    if not queue.criticals or queue.oldest_critical_at is None:
        return f"{waiting}."
    among = counted(queue.criticals, "critical", "criticals")
    return f"{waiting}, {among} among them since {clock(queue.oldest_critical_at, now)}."


def _waiting_at(queue: Queue) -> str:
    state = "ready" if queue.ready else "uncertain" if queue.uncertain else "sending"
    return f"/alerts?{urlencode({'connector': queue.connector, 'state': state})}"


def _paused(queue: Queue, now: float) -> Point:
    assert queue.pause is not None  # noqa: S101 - for the type checker; the caller looked
    kept = f"{_waits(queue, now)} " if queue.waiting else ""
    wait = queue.pause.probe_at - now
    probed = "It is probed right now" if wait <= 0 else f"The next probe is in {format_duration(round(max(wait, 1)))}"
    return Point(
        level=Level.BAD,
        short=f"{queue.connector} is paused"
        + (f", with {counted(queue.criticals, 'critical')} waiting" if queue.criticals else ""),
        text=f"{queue.connector} is not accepting deliveries: {queue.pause.reason}",
        remedy=f"Fix the cause. {kept}{probed}; a restart or a reload probes at once.",
    )


def _late(queue: Queue, facts: Facts) -> Point | None:
    """What waits for long, or will, without the connector failing: a backlog, a rate limit, one that nobody takes."""
    if queue.oldest_enqueued_at is None:
        return None
    now, pace = facts.now, facts.pace(queue)
    waited = now - queue.oldest_enqueued_at
    critical = queue.oldest_critical_at is not None and now - queue.oldest_critical_at >= CRITICAL_LATE
    takes = pace.takes(queue.waiting) if pace else 0.0
    if not critical and takes < LATE and waited < (FAILING if queue.last_error else LATE):
        return None
    short = f"{queue.connector} is {format_duration(round(waited))} behind"
    if critical:
        short = f"{counted(queue.criticals, 'critical waits', 'criticals wait')} for {queue.connector}"
    elif pace and takes >= WORTH_AN_ESTIMATE:
        short = f"{queue.waiting:,} wait for {queue.connector}: {pace.told(queue.waiting)}"
    how_long = f" They take {pace.told(queue.waiting)}." if pace else ""
    return Point(
        level=Level.BAD if critical else Level.WATCH,
        short=short,
        text=f"{queue.connector} is {format_duration(round(waited))} behind. {_waits(queue, now)}{how_long}"
        f" {queue.last_error or ''}".rstrip(),
        remedy="Criticals go out first, and nothing is lost; where it lasts, look at the reason, or at max_rate.",
        link=_waiting_at(queue),
    )


def _orphaned(queue: Queue) -> Point:
    outstanding = counted(queue.waiting + queue.dead, "delivery is", "deliveries are")
    return Point(
        level=Level.WATCH,
        short=f"{queue.connector} is not in the config any more",
        text=f"{outstanding} owed to {queue.connector}, which the config does not name.",
        remedy=f"Name it in the config again, hand its queue over with `forwarder rename {queue.connector} NEW`, "
        "or discard it.",
        link=f"/dead-letters?{urlencode({'connector': queue.connector})}",
    )


def _of_alarms(facts: Facts) -> Iterator[Point]:
    kinds: Mapping[str, AlarmType] = {kind.value: kind for kind in AlarmType if kind not in _SHOWN_OTHERWISE}
    for alarm in facts.alarms:
        kind = kinds.get(alarm.type)
        if kind is None or (kind is AlarmType.GAP and facts.critical_gaps):
            continue
        title = _PAST.get(kind, kind.title_template).format(subject=alarm.subject)
        yield Point(
            level=Level.BAD if severity_of(alarm) is Severity.CRITICAL else Level.WATCH,
            short=f"{title[0].lower()}{title[1:]}" if not alarm.subject else title,
            text=f"{title}. {_when(alarm, kind, facts.now)} {alarm.text}",
            remedy=kind.remedy,
            link=_PAGES.get(kind),
        )


def _when(alarm: Alarm, kind: AlarmType, now: float) -> str:
    """When it was: what passes is over, and must not read as if it went on."""
    if not kind.passes:
        return f"It began {ago(now - alarm.since)}."
    first = f", for the first time {ago(now - alarm.since)}" if alarm.last_at - alarm.since >= 1 else ""
    return f"It happened {ago(now - alarm.last_at)}{first}."
