"""How values of the config are written: lists, instants, and durations within bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from forwarder.common.units import format_duration

DECADE: Final = timedelta(days=3653)

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the config's author may call a connector, an account or a schedule."""

T = TypeVar("T")


class Section(BaseModel):
    """A part of the config: fixed, and nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def within(least: timedelta, most: timedelta = DECADE, why: str = "") -> AfterValidator:
    """Refuses a duration beyond these bounds, with ``why`` at the end of the sentence about the lower one."""
    return AfterValidator(bounded(least, most, why))


def bounded(least: timedelta, most: timedelta = DECADE, why: str = "") -> Callable[[timedelta], timedelta]:
    """What ``within`` does, as a function; raises ValueError with a sentence."""

    def check(duration: timedelta) -> timedelta:
        if duration < least:
            raise ValueError(f"must be at least {format_duration(least)}{why}")
        if duration > most:
            raise ValueError(f"must be at most {format_duration(most)}")
        return duration

    return check


def instant(value: object) -> datetime | None:
    """The instant that an ISO date or time is, in UTC where it names no zone; None where ``value`` is none.

    A day alone is its beginning. Raises ValueError with a sentence where no calendar reaches it.
    """
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(items: tuple[T, ...]) -> tuple[T, ...]:
    if not items:
        raise ValueError("must not be an empty list: omit the key if it does not matter")
    return items


class _ScalarToo:
    """Tells the schema that one item may stand without the list around it."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        listed = handler(core_schema)
        return {"anyOf": [listed["items"], listed]}


Names = Annotated[tuple[T, ...], BeforeValidator(_as_list), _ScalarToo()]
"""A list, or one item without the list around it."""
OneOrMore = Annotated[tuple[T, ...], BeforeValidator(_as_list), AfterValidator(_not_empty), _ScalarToo()]
"""The same, not empty where it is given."""

Text = Annotated[str, Field(min_length=1)]
