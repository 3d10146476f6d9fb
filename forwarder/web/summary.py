"""How things stand, in one sentence and in points that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from forwarder.alarms import DAY, FREE_BYTES, AlarmType, is_still_unread, is_unread
from forwarder.alarms.types import severity_of
from forwarder.alert import Severity
from forwarder.common.text import ago, counted
from forwarder.connector import format_duration
from forwarder.delivery.throughput import WORTH_AN_ESTIMATE, about
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import Queue
from forwarder.web.connectors import of_connectors
from forwarder.web.facts import Facts, Level, Point, Standing
from forwarder.web.filters import clock
from forwarder.web.writes import Refusal

MANY: Final = 20
"""Deliveries that wait at a pace that is not known yet, from which on this is told."""

_OPENINGS: Final = {
    Level.BAD: ("This needs you now", "Needs you"),
    Level.WATCH: ("Working, with something to look at", "Look at this"),
}
_SHOWN_OTHERWISE: Final = {
    AlarmType.KEY_REFUSED,
    AlarmType.FEED_UNREAD,
    AlarmType.PAUSED,
    AlarmType.LATE,
    AlarmType.ORPHANED,
    AlarmType.DEAD_LETTER,
    AlarmType.STORE_FAILED,
    AlarmType.DISK_FULL,
}
_PAGES: Final = {AlarmType.GAP: "/gaps", AlarmType.SET_ASIDE: "/set-aside", AlarmType.UNROUTED: "/alerts?unrouted=1"}
_PAST: Final = {AlarmType.SET_ASIDE: "The feed contained an item that is not a valid alert"}
"""Titles of what is over that would say that it goes on."""


def summarize(facts: Facts) -> Standing:
    """How things stand: what is bad comes first."""
    found = (
        *_of_process(facts),
        *_of_store(facts),
        *_of_feed(facts),
        *_of_gaps(facts),
        *of_connectors(facts),
        *_of_alarms(facts),
    )
    points = sorted(found, key=_urgency)
    if not points:
        sentence = _well(facts)
        return Standing(level=Level.FINE, title=sentence.partition(":")[0], sentence=sentence, points=())
    level = points[0].level
    shorts = _listed([point.short for point in points if point.level is level])
    opening, title = _OPENINGS[level]
    return Standing(level=level, title=title, sentence=f"{opening}: {shorts}.", points=points)


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
    throughputs = [(queue.waiting, facts.throughput(queue)) for queue in queues]
    if any(throughput is None and waiting >= MANY for waiting, throughput in throughputs):
        return "; how long they take is not known yet"
    longest = max((throughput.takes(waiting) for waiting, throughput in throughputs if throughput), default=0.0)
    return f", the last of them in {about(longest)}" if longest >= WORTH_AN_ESTIMATE else ""


def _listed(phrases: Sequence[str], most: int = 3) -> str:
    if len(phrases) > most:
        phrases = [*phrases[:most], f"{len(phrases) - most} more below"]
    return " and ".join(part for part in (", ".join(phrases[:-1]), phrases[-1]) if part)


def _of_feed(facts: Facts) -> Iterator[Point]:
    feed, now = facts.feed, facts.now
    # What has come within a day shows that alerts do come, whatever the account says of its stack.
    nothing_comes = facts.last_seen_at is None or now - facts.last_seen_at > DAY
    if feed.stack is not None and not feed.stack and nothing_comes:
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
    refused = next((alarm for alarm in facts.alarms if alarm.type == AlarmType.KEY_REFUSED), None)
    yield Point(
        level=Level.BAD if unread or refused else Level.WATCH,
        short="the API refuses the key" if refused else f"{last[0].lower()}{last[1:]}" if unread else "a poll failed",
        text=f"{last}. {feed.poll_error or ''}".strip(),
        remedy=AlarmType.KEY_REFUSED.remedy_for(refused.subject) if refused else AlarmType.FEED_UNREAD.remedy,
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
            text=f"The database's disk is nearly full{left}.",
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
    if refusal is not None and refusal.until is not None and now - refusal.until <= DAY:
        since, until, reason = refusal.since, refusal.until, refusal.reason
    elif alarm is not None:
        since, until, reason = alarm.since, alarm.last_at, alarm.text
    else:
        return None
    lasted = f"for {format_duration(round(until - since))} until" if until - since >= 1 else "at"
    told = f"took no writes {lasted} {clock(until, now)}"
    return Point(
        level=Level.WATCH,
        short=f"the database {told}",
        text=f"The database {told}. It takes them again; what came meanwhile was read and sent late. The reason was:"
        f" {reason}",
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


def _of_alarms(facts: Facts) -> Iterator[Point]:
    kinds: Mapping[str, AlarmType] = {kind.value: kind for kind in AlarmType if kind not in _SHOWN_OTHERWISE}
    for alarm in facts.alarms:
        kind = kinds.get(alarm.type)
        if kind is None or _is_told(alarm, facts):
            continue
        title = _PAST.get(kind, kind.title_template).format(subject=alarm.subject)
        yield Point(
            level=Level.BAD if severity_of(alarm) is Severity.CRITICAL else Level.WATCH,
            short=f"{title[0].lower()}{title[1:]}" if not alarm.subject else title,
            text=f"{title}. {_when(alarm, kind, facts.now)} {alarm.text}",
            remedy=kind.remedy_for(alarm.subject),
            link=_PAGES.get(kind),
        )


def _is_told(alarm: Alarm, facts: Facts) -> bool:
    """Whether another point tells of the same trouble, from what the store says right now."""
    if alarm.type == AlarmType.CONNECTOR_FAILING:
        bad = [queue.connector for queue in facts.queues if queue.pause or queue.failing_since is not None]
        return alarm.subject in bad
    return alarm.type == AlarmType.GAP and bool(facts.critical_gaps)


def _when(alarm: Alarm, kind: AlarmType, now: float) -> str:
    """When it was: what passes is over, and must not read as if it went on."""
    if not kind.passes:
        return f"It began {ago(now - alarm.since)}."
    first = f", for the first time {ago(now - alarm.since)}" if alarm.last_at - alarm.since >= 1 else ""
    return f"It happened {ago(now - alarm.last_at)}{first}."
