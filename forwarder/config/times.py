"""How the config names times: zones, hours of the week, and what comes again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, PlainValidator, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from forwarder.common.units import parse_duration
from forwarder.config.problems import did_you_mean
from forwarder.config.values import OneOrMore, Section, bounded

UTC: Final = ZoneInfo("UTC")

_CLOCK: Final = r"([01]?\d|2[0-3]):([0-5]\d)"
_HOURS: Final = rf"{_CLOCK}\s*-\s*({_CLOCK}|24:00)"
_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS: Final = "|".join(("[Dd]aily", *(f"[{day[0].upper()}{day[0]}]{day[1:3]}({day[3:]})?" for day in _NAMES)))
_MOMENT: Final = rf"({_DAYS})\s+{_CLOCK}"
_SPAN: Final = r"(\d+(\.\d+)?\s*(s|min|m|h|d|w)\s*)+"

_span_within = bounded(timedelta(minutes=1))


class Day(StrEnum):
    """A day of the week; ``weekday`` counts from Monday, 0."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @property
    def weekday(self) -> int:
        return tuple(Day).index(self)


@dataclass(frozen=True, slots=True)
class Hours:
    """From ``begin`` until ``end`` on the clock on the wall; until the next day where ``end`` is no later."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{f'{self.end:%H:%M}' if self.end != time() else '24:00'}"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on the clock on the wall: of one day of the week, or of every day where ``day`` is None."""

    day: Day | None
    at: time

    def __str__(self) -> str:
        return f"{self.day or 'daily'} {self.at:%H:%M}"


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    try:
        if isinstance(value, str) and value:
            return ZoneInfo(value)
    except (ValueError, OSError, KeyError):  # no such name; a folder of the database; no name at all
        pass
    known = did_you_mean(value, available_timezones())
    raise ValueError(f"must be a time zone of the IANA database such as Europe/Berlin{known}")


def _hours(value: object) -> Hours:
    if isinstance(value, Hours):
        return value
    match = re.fullmatch(_HOURS, value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("must be a span of the day such as 09:00-18:00, or 22:00-06:00 through the night")
    begin, until = time(int(match[1]), int(match[2])), match[3]
    end = time() if until == "24:00" else time(int(match[4]), int(match[5]))
    if begin == end and until != "24:00":
        raise ValueError("begins and ends at the same time: write 00:00-24:00 for the whole day")
    return Hours(begin, end)


def _every(value: object) -> Moment | timedelta:
    if isinstance(value, Moment | timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if match := re.fullmatch(_MOMENT, text):
        *_, hour, minute = match.groups()
        name = match[1].lower()
        return Moment(None if name == "daily" else Day(name[:3]), time(int(hour), int(minute)))
    if re.fullmatch(_SPAN, text):
        return _span_within(parse_duration(text))
    raise ValueError("must be a day and a time such as monday 09:00 or daily 09:00, or a span such as 4h")


Zone = Annotated[
    ZoneInfo, PlainValidator(_zone), WithJsonSchema({"type": "string", "minLength": 1, "examples": ["Europe/Berlin"]})
]
"""A time zone by its name in the IANA database."""

HoursOfDay = Annotated[
    Hours,
    PlainValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": f"^{_HOURS}$", "examples": ["09:00-18:00", "22:00-06:00"]}),
]
"""Hours that the config writes as ``09:00-18:00``."""

Every = Annotated[
    Moment | timedelta,
    PlainValidator(_every),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({_MOMENT}|{_SPAN})$", "examples": ["monday 09:00", "daily 09:00", "4h"]}
    ),
]
"""A moment of the day or the week that the config writes as ``monday 09:00``, or a span such as ``4h``."""


class Schedule(Section):
    """Times at which something may happen. It opens and closes once each time, also where clocks are changed."""

    days: OneOrMore[Day] = Field(
        default=tuple(Day), description="The days on which the hours begin: mon, tue, wed, thu, fri, sat, sun."
    )
    hours: OneOrMore[HoursOfDay] = Field(
        default=(Hours(time(), time()),),
        description="From when to when, such as 09:00-18:00; one that ends no later than it begins ends on the next "
        "day. Several are a list.",
    )
    timezone: Zone = Field(default=UTC, description="The zone in which this is meant, by its IANA name.")


class Recurring(Section):
    """What comes again and again."""

    every: Every = Field(
        description='When: a day and a time such as "monday 09:00", "daily 09:00", or a span such as 4h, which counts '
        "from 1970-01-01 00:00 UTC: every 4h is at 00:00, 04:00, 08:00 … UTC, whenever the forwarder was started."
    )
    timezone: Zone = Field(default=UTC, description="The zone in which the time is meant, by its IANA name.")

    @model_validator(mode="after")
    def _spans_have_no_zone(self) -> Self:
        if isinstance(self.every, timedelta) and "timezone" in self.model_fields_set:
            raise ValueError("a span such as 4h is the same in every zone: leave timezone out, or name a time of day")
        return self


class _TextToo:
    """Tells the schema that `every` may stand alone, without the section around it."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler(core_schema)
        return {"anyOf": [handler.resolve_ref_schema(section)["properties"]["every"], section]}


def _as_section(value: object) -> Any:
    return value if value is None or isinstance(value, dict | Recurring) else {"every": value}


Digest = Annotated[Recurring, BeforeValidator(_as_section), _TextToo()]
"""When what was collected is told: a Recurring, or its ``every`` alone, in UTC."""
