"""How people write durations and rates in the config: ``30s``, ``1/s``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, GetPydanticSchema, WithJsonSchema
from pydantic_core import core_schema

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_RATE: Final = re.compile(r"(\d+)\s*/\s*(s|min|m|h)")


def parse_duration(text: str) -> timedelta:
    """``1h30m`` as a timedelta; raises ValueError with a sentence where ``text`` is none."""
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError("must be a duration such as 30s, 15m, 2h or 7d")
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError("is longer than any duration can be") from None


def roughly(seconds: float) -> str:
    """A span in whole parts of its largest unit: nobody wants to read the seconds of a day."""
    unit = next((unit for unit in (86400, 3600, 60) if seconds >= unit), 1)
    return format_duration(int(seconds // unit * unit))


def format_duration(duration: timedelta | float) -> str:
    """A duration in its two largest units, as a person says it: ``2h 5m``, ``0.4s``."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 10:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    rest, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` sends in every ``per`` seconds."""

    count: int
    per: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """``120/min`` as a Rate; raises ValueError with a sentence where ``text`` is none."""
        match = _RATE.fullmatch(text.strip())
        if not match or int(match[1]) < 1:
            raise ValueError("must be a rate such as 1/s, 120/min or 500/h")
        return cls(int(match[1]), _SECONDS[match[2]])

    @property
    def interval(self) -> float:
        """Seconds between two sends."""
        return self.per / self.count

    def __str__(self) -> str:
        unit = {1: "s", 60: "min", 3600: "h"}[int(self.per)]
        return f"{self.count}/{unit}"


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else _refuse_number(value, "a duration such as 30s or 2h")


def _rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    if isinstance(value, str):
        return Rate.parse(value)
    raise ValueError("must be a rate such as 1/s or 120/min")


def _refuse_number(value: object, what: str) -> object:
    # A bare 30 could be seconds or minutes: guessing wrong wakes nobody, or everybody.
    if isinstance(value, timedelta):
        return value
    raise ValueError(f"must be {what}")


_DURATION_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": r"^(\d+(\.\d+)?\s*(ms|s|min|m|h|d|w)\s*)+$",
    "examples": ["30s", "2h", "7d"],
}

Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""A timedelta that the config writes as ``30s``, ``15m``, ``2h``, ``7d`` or ``1h30m``."""


def _not_too_often(every: timedelta) -> timedelta:
    if every < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return every


Interval = Annotated[Duration, AfterValidator(_not_too_often)]
"""A Duration between two questions to a service: a second at least, so that a slip of the pen is no flood."""


def _interval_or_off(value: object) -> timedelta | Literal["off"]:
    # What reads YAML by its older version has made a truth value of it.
    if value is False or value == "off":
        return "off"
    try:
        interval = parse_duration(value) if isinstance(value, str) else value
    except ValueError:
        interval = None
    if isinstance(interval, timedelta):
        return _not_too_often(interval)
    raise ValueError('must be a duration such as 1m, or "off"')


OptionalInterval = Annotated[
    timedelta | Literal["off"],
    BeforeValidator(_interval_or_off),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"enum": ["off", False]}]}),
]
"""The same, or "off" where the service is not asked at all."""


def _rate_schema(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    return core_schema.no_info_plain_validator_function(_rate, serialization=core_schema.to_string_ser_schema())


SendRate = Annotated[
    Rate,
    GetPydanticSchema(_rate_schema),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\s*/\s*(s|min|m|h)$", "examples": ["1/s", "120/min"]}),
]
"""A Rate that the config writes as ``1/s``, ``120/min`` or ``500/h``."""
