"""How things stand, in one sentence and in points that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forwarder.alarms import AlarmType, is_unread
from forwarder.alert import Severity
from forwarder.common.text import ago, counted
from forwarder.config import Config
from forwarder.connector import format_duration
from forwarder.store.records import Alarm, Feed, Queue

LATE: Final = 300.0
"""Seconds after which a delivery that waits is worth a word, even where nothing failed."""
FAILING: Final = 60.0
"""The same where its last attempt failed: a first retry is nothing to speak of."""

_SHOWN_OTHERWISE: Final = {AlarmType.KEY_REFUSED, AlarmType.FEED_UNREAD, AlarmType.PAUSED, AlarmType.DEAD_LETTER}
_PAGES: Final = {AlarmType.GAP: "/gaps", AlarmType.SET_ASIDE: "/set-aside", AlarmType.UNROUTED: "/alerts?unrouted=1"}


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
    """What the summary rests on."""

    now: float
    started_at: float
    config: Config
    feed: Feed
    queues: Sequence[Queue]
    alarms: Sequence[Alarm]


def summarize(facts: Facts) -> Standing:
    """How things stand: what is bad comes first."""
    points = sorted((*_of_feed(facts), *_of_connectors(facts), *_of_alarms(facts)), key=_urgency)
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
    waiting = sum(queue.waiting for queue in facts.queues)
    if not waiting:
        return f"All is well: {read}, and nothing waits."
    return f"All is well: {read}, and {counted(waiting, 'delivery is', 'deliveries are')} on the way."


def _listed(phrases: Sequence[str], most: int = 3) -> str:
    if len(phrases) > most:
        phrases = [*phrases[:most], f"{len(phrases) - most} more below"]
    return " and ".join(part for part in (", ".join(phrases[:-1]), phrases[-1]) if part)


def _of_feed(facts: Facts) -> Iterator[Point]:
    feed, now = facts.feed, facts.now
    unread = is_unread(feed, facts.config, started_at=facts.started_at, now=now)
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


def _of_connectors(facts: Facts) -> Iterator[Point]:
    for queue in facts.queues:
        if queue.connector not in facts.config.connectors:
            yield _orphaned(queue)
            continue
        if queue.pause is not None:
            yield _paused(queue, facts.now)
        elif (late := _late(queue, facts.now)) is not None:
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
                link=f"/dead-letters?connector={queue.connector}",
            )


def _paused(queue: Queue, now: float) -> Point:
    assert queue.pause is not None  # noqa: S101 - for the type checker; the caller looked
    kept = f"{counted(queue.waiting, 'delivery waits', 'deliveries wait')} for it. " if queue.waiting else ""
    wait = queue.pause.probe_at - now
    probed = "It is probed right now" if wait <= 0 else f"The next probe is in {format_duration(round(max(wait, 1)))}"
    return Point(
        level=Level.BAD,
        short=f"{queue.connector} is paused",
        text=f"{queue.connector} is not accepting deliveries: {queue.pause.reason}",
        remedy=f"Fix the cause. {kept}{probed}; a restart or a reload probes at once.",
    )


def _late(queue: Queue, now: float) -> Point | None:
    if queue.oldest_enqueued_at is None:
        return None
    waited = now - queue.oldest_enqueued_at
    if waited < (FAILING if queue.last_error else LATE):
        return None
    behind = f"{queue.connector} is {format_duration(round(waited))} behind"
    waiting = counted(queue.waiting, "delivery", "deliveries")
    return Point(
        level=Level.WATCH,
        short=behind,
        text=f"{behind}, with {waiting} waiting. {queue.last_error or ''}".strip(),
        remedy="It is tried again by itself; look at the reason if it lasts.",
    )


def _orphaned(queue: Queue) -> Point:
    outstanding = counted(queue.waiting + queue.dead, "delivery is", "deliveries are")
    return Point(
        level=Level.WATCH,
        short=f"{queue.connector} is not in the config any more",
        text=f"{outstanding} owed to {queue.connector}, which the config does not name.",
        remedy=f"Name it in the config again, hand its queue over with `forwarder rename {queue.connector} NEW`, "
        "or discard it.",
        link=f"/dead-letters?connector={queue.connector}",
    )


def _of_alarms(facts: Facts) -> Iterator[Point]:
    kinds: Mapping[str, AlarmType] = {kind.value: kind for kind in AlarmType if kind not in _SHOWN_OTHERWISE}
    for alarm in facts.alarms:
        kind = kinds.get(alarm.type)
        if kind is None:
            continue
        title = kind.title_template.format(subject=alarm.subject)
        yield Point(
            level=Level.BAD if kind.severity is Severity.CRITICAL else Level.WATCH,
            short=f"{title[0].lower()}{title[1:]}" if not alarm.subject else title,
            text=f"{title}. It began {ago(facts.now - alarm.since)}. {alarm.text}",
            remedy=kind.remedy,
            link=_PAGES.get(kind),
        )
