"""When schedules open and recurring things are due: at the right time on the wall, once, also where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forwarder.config import Day, Recurring, Schedule
from forwarder.lifecycle.schedules import is_open, next_opening, next_time

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
MINUTE: Final = timedelta(minutes=1)
CHANGES: Final = (
    (BERLIN, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (BERLIN, datetime(2027, 3, 28, 1, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 11, 1, 6, tzinfo=UTC)),
    (NEW_YORK, datetime(2027, 3, 14, 7, tzinfo=UTC)),
)
"""Where clocks are put back and forward, and when."""

Change = tuple[str, datetime]

changes = st.sampled_from(CHANGES)
minutes = st.integers(-3 * 1440, 3 * 1440).map(lambda count: count * MINUTE)
clocks = st.one_of(st.times(), st.times(time(1), time(4))).map(lambda clock: clock.replace(second=0, microsecond=0))


def local(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    """The instant at which the clock on the wall shows ``text``; the second one with a fold."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def recurring(every: str, timezone: str = BERLIN) -> Recurring:
    return Recurring.model_validate({"every": every, "timezone": timezone})


def schedule(**keys: Any) -> Schedule:
    return Schedule.model_validate({"timezone": BERLIN, **keys})


@cache
def walls(change: Change) -> list[tuple[datetime, datetime]]:
    """Every minute of the fortnight around a change of clocks, with what the clock on the wall shows."""
    zone, middle = ZoneInfo(change[0]), change[1]
    instants = [middle + count * MINUTE for count in range(-7 * 1440, 7 * 1440)]
    return [(instant, instant.astimezone(zone).replace(tzinfo=None)) for instant in instants]


@cache
def shows(change: Change, day: date, clock: time) -> datetime:
    """The first minute at which the clock on the wall shows this time or a later one: told by watching it."""
    wanted = datetime.combine(day, clock)
    return next(instant for instant, shown in walls(change) if shown >= wanted)


def days_around(change: Change) -> list[date]:
    return [change[1].date() + timedelta(days=count) for count in range(-5, 6)]


# --- digests and reports -------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(change=changes, away=minutes, clock=clocks, day=st.sampled_from((None, *Day)))
@example(change=CHANGES[1], away=timedelta(hours=-1), clock=time(2, 30), day=None)
@example(change=CHANGES[0], away=timedelta(minutes=10), clock=time(2, 30), day=None)
def test_each_moment_is_told_once_at_its_time_on_the_wall(
    change: Change, away: timedelta, clock: time, day: Day | None
) -> None:
    """Next is the first day whose time is yet to come, as someone who watches the clock on the wall would say."""
    zone, middle = change
    after = middle + away
    due = next_time(recurring(f"{day or 'daily'} {clock:%H:%M}", zone), after)
    watched = [shows(change, one, clock) for one in days_around(change) if day is None or one.weekday() == day.weekday]
    later = [instant for instant in watched if instant > after]
    assert due == later[0] if later else due > max(watched, default=after)


@settings(max_examples=200)
@given(change=changes, clock=clocks)
@example(change=CHANGES[0], clock=time(2, 30))
@example(change=CHANGES[1], clock=time(2, 30))
def test_one_follows_the_other_once_a_day(change: Change, clock: time) -> None:
    """Across a change of clocks the times grow, and there is just one on each day of the calendar."""
    zone, middle = change
    daily, times = recurring(f"daily {clock:%H:%M}", zone), [middle - timedelta(days=3)]
    for _ in range(6):
        times.append(next_time(daily, times[-1]))
    days = [instant.astimezone(ZoneInfo(zone)).date() for instant in times[1:]]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))


@pytest.mark.parametrize(
    ("every", "after", "due"),
    [
        ("monday 09:00", local("2026-11-26 12:00"), local("2026-11-30 09:00")),
        ("monday 09:00", local("2026-11-30 09:00"), local("2026-12-07 09:00")),
        ("mon 9:00", local("2026-11-30 08:59:59.999999"), local("2026-11-30 09:00")),
        ("sunday 02:30", local("2027-03-27 12:00"), local("2027-03-28 03:00")),
        ("daily 02:30", local("2027-03-28 03:00"), local("2027-03-29 02:30")),
        ("daily 02:30", local("2026-10-25 02:29"), local("2026-10-25 02:30")),
        ("daily 02:30", local("2026-10-25 02:30"), local("2026-10-26 02:30")),
        ("daily 02:30", local("2026-10-25 02:29", fold=1), local("2026-10-26 02:30")),
        ("daily 00:00", local("2026-12-31 23:59"), local("2027-01-01 00:00")),
    ],
)
def test_a_time_of_day(every: str, after: datetime, due: datetime) -> None:
    """A time that is skipped is the moment of the change; one that comes twice is the first of the two."""
    assert next_time(recurring(every), after) == due


@pytest.mark.parametrize(
    ("zone", "every", "after", "due"),
    [
        # Half an hour, at midnight, a whole day, and a zone that its people left for another one.
        ("Australia/Lord_Howe", "daily 02:15", "2026-10-03T16:00Z", "2026-10-04T15:15Z"),
        ("Australia/Lord_Howe", "daily 02:15", "2026-10-03T15:00Z", "2026-10-03T15:30Z"),
        ("America/Havana", "daily 00:30", "2027-03-14T00:00Z", "2027-03-14T05:00Z"),
        ("Pacific/Apia", "friday 09:00", "2011-12-30T00:00Z", "2011-12-30T10:00Z"),
        ("Asia/Kolkata", "daily 09:00", "2026-11-26T03:30Z", "2026-11-27T03:30Z"),
    ],
)
def test_zones_of_other_habits(zone: str, every: str, after: str, due: str) -> None:
    """Clocks are changed by other amounts and at other times elsewhere."""
    found = next_time(recurring(every, zone), datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(due)


@given(
    every=st.integers(1, 5000).map(lambda count: count * MINUTE),
    after=st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_a_span_counts_from_a_fixed_origin(every: timedelta, after: datetime) -> None:
    """Whoever asks, and whenever, hears the same times: multiples of the span since 1970, each once."""
    digest = Recurring.model_validate({"every": every})
    due = next_time(digest, after)
    assert after < due <= after + every
    assert (due - datetime(1970, 1, 1, tzinfo=UTC)) % every == timedelta(0)
    assert next_time(digest, due) == due + every
    assert next_time(digest, due - timedelta(microseconds=1)) == due


# --- schedules -----------------------------------------------------------------------------------------------------

OFFICE: Final = {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "09:00-18:00"}
NIGHT: Final = {"days": "fri", "hours": "22:00-06:00"}
LUNCH: Final = {"hours": ["13:00-17:00", "09:00-12:00"]}


@pytest.mark.parametrize(
    ("keys", "now", "opens"),
    [
        (OFFICE, "2026-11-26 08:59", "2026-11-26 09:00"),
        (OFFICE, "2026-11-26 09:00", None),
        (OFFICE, "2026-11-26 17:59", None),
        (OFFICE, "2026-11-27 18:00", "2026-11-30 09:00"),
        (NIGHT, "2026-11-27 21:59", "2026-11-27 22:00"),
        (NIGHT, "2026-11-28 05:59", None),
        (NIGHT, "2026-11-28 06:00", "2026-12-04 22:00"),
        (NIGHT, "2026-11-26 23:00", "2026-11-27 22:00"),
        (LUNCH, "2026-11-26 12:30", "2026-11-26 13:00"),
        (LUNCH, "2026-11-26 08:00", "2026-11-26 09:00"),
        (LUNCH, "2026-11-26 16:00", None),
        ({}, "2026-11-26 03:00", None),
        ({"days": "sat"}, "2026-11-28 23:59", None),
        ({"days": "sat"}, "2026-11-29 00:00", "2026-12-05 00:00"),
        # Clocks go from 02:00 to 03:00, and in autumn from 03:00 back to 02:00.
        ({"hours": "02:30-04:00"}, "2027-03-28 01:59", "2027-03-28 03:00"),
        ({"hours": "02:10-02:50"}, "2027-03-28 01:59", "2027-03-29 02:10"),
        ({"days": "sun", "hours": "02:10-02:50"}, "2027-03-28 01:59", "2027-04-04 02:10"),
        ({"hours": "01:00-02:30"}, "2027-03-28 03:00", "2027-03-29 01:00"),
        ({"hours": "02:30-02:45"}, "2026-10-25 02:45", "2026-10-26 02:30"),
        ({"hours": "02:30-03:30"}, "2026-10-25 02:29", "2026-10-25 02:30"),
    ],
)
def test_the_next_opening(keys: dict[str, Any], now: str, opens: str | None) -> None:
    """It is now where the schedule is open; the moment at which it closes is not open any more."""
    found = next_opening(schedule(**keys), local(now))
    assert found == local(opens or now)
    assert is_open(schedule(**keys), local(now)) == (opens is None)


def test_an_hour_that_comes_twice_is_open_once_and_throughout() -> None:
    """Hours around it last an hour longer; those within it are those of the first time."""
    around, within = schedule(hours="01:30-03:30"), schedule(hours="02:15-02:45")
    twice = local("2026-10-25 02:30"), local("2026-10-25 02:30", fold=1)
    assert [is_open(around, instant) for instant in twice] == [True, True]
    assert [is_open(within, instant) for instant in twice] == [True, False]
    assert next_opening(within, twice[1]) == local("2026-10-26 02:15")


@pytest.mark.parametrize("fold", [0, 1])
def test_now_may_be_told_in_any_zone(fold: int) -> None:
    """An instant that the schedule's own zone shows twice is told by its fold."""
    now = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo(BERLIN), fold=fold)
    assert is_open(schedule(), now)
    assert next_opening(schedule(), now) == now.astimezone(UTC)
    assert next_time(recurring("daily 02:40"), now) > now


@settings(max_examples=200)
@given(
    change=changes,
    away=minutes,
    begin=clocks,
    end=clocks,
    days=st.sets(st.sampled_from(tuple(Day)), min_size=1),
)
def test_it_is_open_as_the_clock_on_the_wall_says(
    change: Change, away: timedelta, begin: time, end: time, days: set[Day]
) -> None:
    """Whether it is open, and when it opens next, is as someone who watches the clock on the wall would say."""
    if begin == end:
        return
    zone, middle = change
    now = middle + away
    last = timedelta(days=1 if end < begin else 0)
    watched = [
        (shows(change, day, begin), shows(change, day + last, end))
        for day in days_around(change)
        if any(one.weekday == day.weekday() for one in days)
    ]
    ahead = [max(opens, now) for opens, closes in watched if now < closes and opens < closes]
    one = Schedule.model_validate({"days": [*days], "hours": f"{begin:%H:%M}-{end:%H:%M}", "timezone": zone})
    found = next_opening(one, now)
    assert is_open(one, now) == (found == now)
    assert found == ahead[0] if ahead else found > max(closes for _, closes in watched)
