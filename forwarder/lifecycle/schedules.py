"""When a schedule is open, and when digests and reports are due: by the clock on the wall of their zone.

Where clocks are changed, a time that is skipped counts as the moment of the change, and one that the clocks show twice
as the first of the two. So whatever is due at a time of day is due once a day, and hours open and close once.
(APScheduler's CronTrigger is due twice at such a time.)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from forwarder.config import Hours, Moment, Recurring, Schedule

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What spans such as 4h count from: with a restart nothing shifts."""

_A_DAY: Final = timedelta(days=1)
_FINE: Final = timedelta(seconds=1)


def is_open(schedule: Schedule, now: datetime) -> bool:
    """Whether ``now`` (aware) lies within the schedule's hours."""
    return next_opening(schedule, now) <= now


def next_opening(schedule: Schedule, now: datetime) -> datetime:
    """``now`` itself where the schedule is open, else when it opens next, in UTC."""
    for begin, end in _openings(schedule, now):
        if now < end:
            return max(begin, now.astimezone(UTC))
    raise AssertionError("the days of a schedule do not end")


def next_time(recurring: Recurring, after: datetime) -> datetime:
    """The first time that is due later than ``after`` (aware), in UTC."""
    if isinstance(every := recurring.every, timedelta):
        return EPOCH + ((after - EPOCH) // every + 1) * every
    return next(due for due in _moments(every, recurring.timezone, after) if due > after)


def _openings(schedule: Schedule, around: datetime) -> Iterator[tuple[datetime, datetime]]:
    """From when to when it is open, in UTC, in the order in which it opens, from a day before ``around`` on."""
    weekdays = {day.weekday for day in schedule.days}
    for day in _days(around, schedule.timezone):
        if day.weekday() in weekdays:
            spans = [_span(hours, day, schedule.timezone) for hours in schedule.hours]
            # Hours that a change of clocks skips altogether begin when they end.
            yield from sorted((begin, end) for begin, end in spans if begin < end)


def _span(hours: Hours, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    last = day if hours.begin < hours.end else day + _A_DAY
    return _at(day, hours.begin, zone), _at(last, hours.end, zone)


def _moments(every: Moment, zone: ZoneInfo, around: datetime) -> Iterator[datetime]:
    for day in _days(around, zone):
        if every.day is None or every.day.weekday == day.weekday():
            yield _at(day, every.at, zone)


def _days(around: datetime, zone: ZoneInfo) -> Iterator[date]:
    """Every day on the calendar on the wall, from the one before ``around`` on."""
    day = around.astimezone(zone).date() - _A_DAY
    while True:
        yield day
        day += _A_DAY


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which the clock on the wall of ``zone`` shows a time, or passes over it."""
    shown = datetime.combine(day, clock, zone)  # the first of two (fold is 0)
    instant = shown.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
        return instant
    # A skipped time read by the clock of after the change lies before it, by that of before the change behind it.
    return _change(shown.replace(fold=1).astimezone(UTC), instant, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """When clocks are changed between two instants that lie on either side of it, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _FINE:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
