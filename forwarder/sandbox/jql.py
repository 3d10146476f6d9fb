"""The part of JQL that a forwarder asks: conditions joined with AND and OR, parentheses, and an ORDER BY.

https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_VALUE: Final = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|currentUser\(\)|[^\s"\'(),=!<>~]+'
_CLAUSE: Final = re.compile(
    rf"\s*(?P<field>[A-Za-z]\w*)\s*"
    rf"(?:(?P<operator>!=|>=|<=|=|>|<|~)\s*(?P<one>{_VALUE})"
    rf"|(?P<not>not\s+)?in\s*\((?P<many>\s*(?:{_VALUE})(?:\s*,\s*(?:{_VALUE}))*\s*)\))\s*",
    re.IGNORECASE,
)
_JOINT: Final = re.compile(r"\s*(AND|OR)\b", re.IGNORECASE)
_SORT: Final = r"\w+(?:\s+(?:ASC|DESC))?"
_ORDER: Final = re.compile(rf"\s*ORDER\s+BY\s+(?P<sorts>{_SORT}(?:\s*,\s*{_SORT})*)\s*$", re.IGNORECASE)
_NAMES: Final = {"issuekey": "key", "type": "issuetype", "updateddate": "updated", "createddate": "created"}
_SETS: Final = {"project", "labels", "key", "issuetype", "status", "statuscategory", "creator"}
_TEXTS: Final = {"summary", "description", "comment", "text"}
_DATES: Final = {"updated", "created"}
_INSTANT: Final = re.compile(r"\d{4}(?P<sign>[-/])\d{2}(?P=sign)\d{2}(?: \d{2}:\d{2})?")
_PERIOD: Final = re.compile(r"(?P<sign>[-+]?)(?P<parts>\d+[wdhm]?(?:\s+\d+[wdhm]?)*)")
_UNITS: Final = {"w": 10_080, "d": 1440, "h": 60, "m": 1, "": 1}


class JqlError(ValueError):
    """The query is none that is understood here; the message is Jira's kind of sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A comparison with a date: its ``field``, ``>=`` or another operator, and the text of the date."""

    field: str
    operator: str
    text: str

    def holds(self, instant: datetime, *, zone: tzinfo, now: datetime) -> bool:
        """Whether ``instant`` compares so; dates are in the account's ``zone``, and have minutes only."""
        limit = _instant(self.text, zone, now)
        match self.operator:
            case ">=":
                return instant >= limit
            case "<=":
                return instant <= limit
            case ">":
                return instant > limit
            case _:
                return instant < limit


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf:
    """That the ``field`` is one of the ``values``, or ``excluded``: none of them."""

    field: str
    values: frozenset[str]
    excluded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Contains:
    """That the words of the ``field`` are what the text query ``text`` asks for."""

    field: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Every:
    """That all ``parts`` hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Either:
    """That one of the ``parts`` holds."""

    parts: tuple[Condition, ...]


Leaf = Moment | OneOf | Contains
Condition = Leaf | Every | Either


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What an issue must match: all of ``where``. ``order`` is the fields to sort by, each with whether descending."""

    where: Every = Every(parts=())
    order: tuple[tuple[str, bool], ...] = field(default=(("created", True),))

    @property
    def bounded(self) -> bool:
        """Whether there is a restriction at all; Cloud refuses a query without one."""
        return bool(self.where.parts)

    @property
    def leaves(self) -> Iterator[Leaf]:
        """Every comparison in it, however they are joined."""
        return _leaves(self.where)

    def values(self, name: str) -> frozenset[str] | None:
        """What the field ``name`` may be; None where it may be anything."""
        allowed: frozenset[str] | None = None
        for part in self.where.parts:
            if isinstance(part, OneOf) and part.field == name and not part.excluded:
                allowed = part.values if allowed is None else allowed & part.values
        return allowed


def parse(text: str) -> Query:
    """The query that ``text`` is; raises JqlError."""
    order = _ORDER.search(text)
    rest = text[: order.start()] if order else text
    where = Every(parts=())
    if rest.strip():
        found, rest = _either(rest)
        where = found if isinstance(found, Every) else Every(parts=(found,))
        if rest.strip():
            raise JqlError(f"Error in the JQL Query: expecting AND or OR before '{rest.strip()[:40]}'.")
    sorts = re.split(r"\s*,\s*", order["sorts"].strip()) if order else []
    told = {"order": tuple(_sort(one) for one in sorts)} if sorts else {}
    return Query(where=where, **told)


def _leaves(condition: Condition) -> Iterator[Leaf]:
    if not isinstance(condition, Every | Either):
        yield condition
        return
    for part in condition.parts:
        yield from _leaves(part)


def _either(rest: str) -> tuple[Condition, str]:
    """What OR joins, which binds less than AND, and what follows."""
    parts, rest = _joined(rest, "or")
    return (parts[0] if len(parts) == 1 else Either(parts=tuple(parts))), rest


def _every(rest: str) -> tuple[Condition, str]:
    parts, rest = _joined(rest, "and")
    return (parts[0] if len(parts) == 1 else Every(parts=tuple(parts))), rest


def _joined(rest: str, word: str) -> tuple[list[Condition], str]:
    read = _every if word == "or" else _one
    part, rest = read(rest)
    parts = [part]
    while (joint := _JOINT.match(rest)) and joint[1].lower() == word:
        part, rest = read(rest[joint.end() :])
        parts.append(part)
    return parts, rest


def _one(rest: str) -> tuple[Condition, str]:
    if rest.lstrip().startswith("("):
        inner, rest = _either(rest.lstrip()[1:])
        if not rest.lstrip().startswith(")"):
            raise JqlError("Error in the JQL Query: Expecting ')' before the end of the query.")
        return inner, rest.lstrip()[1:]
    match = _CLAUSE.match(rest)
    if match is None:
        raise JqlError(f"Error in the JQL Query: cannot understand '{rest.strip()[:40]}'.")
    return _leaf(_field(match["field"]), match), rest[match.end() :]


def _leaf(name: str, match: re.Match[str]) -> Leaf:
    operator = match["operator"]
    if name in _DATES:
        return _moment(name, match)
    if name in _TEXTS:
        if operator != "~":
            raise JqlError(f"The operator '{operator or 'in'}' is not supported by the '{name}' field.")
        return Contains(field=name, text=_bare(match["one"]))
    if operator not in (None, "=", "!="):
        raise JqlError(f"The operator '{operator}' is not supported by the '{name}' field.")
    values = frozenset(_bare(value) for value in re.findall(_VALUE, match["one"] or match["many"]))
    return OneOf(field=name, values=values, excluded=bool(match["not"] or operator == "!="))


def _field(name: str) -> str:
    found = _NAMES.get(name.lower(), name.lower())
    if found not in _SETS | _DATES | _TEXTS:
        raise unknown(name)
    return found


def unknown(name: str) -> JqlError:
    """That there is no such field, or none that the account may see: Jira makes no difference."""
    return JqlError(f"Field '{name}' does not exist or you do not have permission to view it.")


def _moment(name: str, match: re.Match[str]) -> Moment:
    if match["operator"] not in (">=", "<=", ">", "<"):
        raise JqlError(f"The operator '{match['operator'] or 'in'}' is not supported by the '{name}' field.")
    quoted, text = match["one"][0] in "\"'", _bare(match["one"])
    # Without quotes a number is milliseconds since 1970, with them it is minutes.
    if not quoted and text.isdigit():
        text = f"@{text}"
    elif not (_INSTANT.fullmatch(text) or _PERIOD.fullmatch(text)):
        raise JqlError(
            f"Date value '{text}' for field '{name}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', "
            "'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        )
    return Moment(field=name, operator=match["operator"], text=text)


def _sort(text: str) -> tuple[str, bool]:
    name, _, way = text.partition(" ")
    found = _NAMES.get(name.lower(), name.lower())
    if found not in _SETS | _DATES | {"id"}:
        raise unknown(name)
    return found, way.strip().upper() == "DESC"


def _instant(text: str, zone: tzinfo, now: datetime) -> datetime:
    if text.startswith("@"):
        return datetime.fromtimestamp(int(text[1:]) / 1000, UTC)
    period = _PERIOD.fullmatch(text)
    if period is None:
        try:
            local = datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            raise JqlError(f"Date value '{text}' is invalid.") from None
        return local.replace(tzinfo=zone).astimezone(UTC)
    parts = re.findall(r"(\d+)([wdhm]?)", period["parts"])
    minutes = sum(int(count) * _UNITS[unit] for count, unit in parts)
    return now + timedelta(minutes=-minutes if period["sign"] == "-" else minutes)


def _bare(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] in "\"'" else value
