"""Durations and rates as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from forwarder.common.units import Duration, Interval, OptionalInterval, Rate, SendRate, format_duration, parse_duration


class Held(BaseModel):
    """A model that has one of each."""

    wait: Duration = timedelta(seconds=1)
    every: Interval = timedelta(seconds=1)
    asks: OptionalInterval = timedelta(seconds=1)
    rate: SendRate = Rate(1, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("0s", 0),
        ("1.5h", 5400),
        ("15m", 900),
        ("15min", 900),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 2 d ", 172800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Every unit is understood, several in one text are added up."""
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert Held.model_validate({"wait": text}).wait == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "30", "30x", "-2h", "5months", "1h-30m", "2h!", "P1D", "٣s x"])
def test_what_is_no_duration(text: str) -> None:
    """What could be read in two ways, or in none, is refused with examples."""
    with pytest.raises(ValueError, match="must be a duration such as 30s, 15m, 2h or 7d"):
        parse_duration(text)


def test_a_duration_beyond_all_calendars() -> None:
    """A number that no timedelta holds is a mistake of the config, not of the program."""
    with pytest.raises(ValueError, match="longer than any duration"):
        parse_duration("99999999999999d")


def test_what_is_asked_too_often_is_refused() -> None:
    """A service is asked once a second at most; nothing is wrong with a shorter wait for anything else."""
    assert Held.model_validate({"every": "1s"}).every == timedelta(seconds=1)
    with pytest.raises(ValidationError, match="must be at least 1s"):
        Held.model_validate({"every": "999ms"})
    assert Held.model_validate({"wait": "999ms"}).wait == timedelta(milliseconds=999)


@pytest.mark.parametrize("value", ["off", False])
def test_what_is_not_asked_at_all(value: object) -> None:
    """A question to a service can be off, also where an older reader of YAML has made a truth value of the word."""
    assert Held.model_validate({"asks": value}).asks == "off"
    assert Held.model_validate({"asks": "90s"}).asks == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, 'must be a duration such as 1m, or "off"'),
        (True, 'must be a duration such as 1m, or "off"'),
        (30, 'must be a duration such as 1m, or "off"'),
        ("never", 'must be a duration such as 1m, or "off"'),
        ("999ms", "must be at least 1s"),
    ],
)
def test_what_is_neither_off_nor_how_often(value: object, sentence: str) -> None:
    """It is refused with examples, and often is not too often."""
    with pytest.raises(ValidationError, match=sentence):
        Held.model_validate({"asks": value})


@pytest.mark.parametrize("value", [30, 0.5, True, None, ["30s"]])
def test_a_bare_number_is_no_duration(value: object) -> None:
    """A number without a unit is refused: it could be seconds or minutes."""
    with pytest.raises(ValidationError, match="must be a duration such as 30s or 2h"):
        Held.model_validate({"wait": value})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.04, "0s"),
        (0.4, "0.4s"),
        (5, "5s"),
        (9.99, "10s"),
        (59.6, "1m"),
        (60, "1m"),
        (7500, "2h 5m"),
        (86400 * 400, "400d"),
        (86400 + 3600 + 60, "1d 1h"),
        (-90, "-1m 30s"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    """A duration is told in its two largest units, from tenths of a second to days."""
    assert format_duration(seconds) == text
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_is_read_back(seconds: int) -> None:
    """What is shown can be written into a config, and is off by less than its second unit."""
    back = parse_duration(format_duration(seconds)).total_seconds()
    assert 0 <= seconds - back < 86400
    assert format_duration(back) == format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "count", "per"), [("1/s", 1, 1), ("120/min", 120, 60), (" 120 / m ", 120, 60), ("500/h", 500, 3600)]
)
def test_rates(text: str, count: int, per: float) -> None:
    """So many in a second, a minute or an hour."""
    rate = Rate.parse(text)
    assert rate == Rate(count, per)
    assert rate.interval == pytest.approx(per / count)
    assert Rate.parse(str(rate)) == rate
    assert Held.model_validate({"rate": text}).rate == rate


@pytest.mark.parametrize("text", ["", "1", "0/s", "1/day", "1.5/s", "-1/s", "s/1", "1/s2"])
def test_what_is_no_rate(text: str) -> None:
    """A rate without a number or a unit is refused with examples."""
    with pytest.raises(ValueError, match="must be a rate such as 1/s, 120/min or 500/h"):
        Rate.parse(text)


def test_a_model_shows_rates_as_text() -> None:
    """A model takes a Rate as it is, refuses a number, and shows it as people write it."""
    assert Held(rate=Rate(2, 60)).model_dump(mode="json")["rate"] == "2/min"
    with pytest.raises(ValidationError, match="must be a rate such as 1/s or 120/min"):
        Held.model_validate({"rate": 1})


def test_schemas() -> None:
    """Both have a pattern by which an editor checks what is written."""
    properties = Held.model_json_schema(mode="validation")["properties"]
    assert properties["wait"]["pattern"].startswith("^")
    assert properties["rate"]["pattern"].startswith("^")
