"""The part of JQL that a forwarder asks: comparisons and lists, joined with AND, and an ORDER BY.

https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_VALUE: Final = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^\s"\'(),=!<>]+'
_CLAUSE: Final = re.compile(
    rf"\s*(?P<field>[A-Za-z]\w*)\s*"
    rf"(?:(?P<operator>!=|>=|<=|=|>|<)\s*(?P<one>{_VALUE})"
    rf"|(?P<not>not\s+)?in\s*\((?P<many>\s*(?:{_VALUE})(?:\s*,\s*(?:{_VALUE}))*\s*)\))\s*",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"AND\b", re.IGNORECASE)
_SORT: Final = r"\w+(?:\s+(?:ASC|DESC))?"
_ORDER: Final = re.compile(rf"\s*ORDER\s+BY\s+(?P<sorts>{_SORT}(?:\s*,\s*{_SORT})*)\s*$", re.IGNORECASE)
_NAMES: Final = {"issuekey": "key", "type": "issuetype", "updateddate": "updated", "createddate": "created"}
_SETS: Final = {"project", "labels", "key", "issuetype", "status", "statuscategory"}
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
class Query:
    """What an issue must match: of each field of ``clauses`` one of the values, of ``exclusions`` none, all moments.

    ``order`` is the fields to sort by, each with whether it is descending.
    """

    clauses: tuple[tuple[str, frozenset[str]], ...] = field(default=())
    exclusions: tuple[tuple[str, frozenset[str]], ...] = field(default=())
    moments: tuple[Moment, ...] = field(default=())
    order: tuple[tuple[str, bool], ...] = field(default=(("created", True),))

    @property
    def bounded(self) -> bool:
        """Whether there is a restriction at all; Cloud refuses a query without one."""
        return bool(self.clauses or self.exclusions or self.moments)

    def values(self, name: str) -> frozenset[str] | None:
        """What the field ``name`` may be; None where it may be anything."""
        allowed: frozenset[str] | None = None
        for clause, values in self.clauses:
            if clause == name:
                allowed = values if allowed is None else allowed & values
        return allowed


def parse(text: str) -> Query:
    """The query that ``text`` is; raises JqlError."""
    order = _ORDER.search(text)
    rest = text[: order.start()] if order else text
    clauses: list[tuple[str, frozenset[str]]] = []
    exclusions: list[tuple[str, frozenset[str]]] = []
    moments: list[Moment] = []
    while rest.strip():
        match = _CLAUSE.match(rest)
        if match is None:
            raise JqlError(f"Error in the JQL Query: cannot understand '{rest.strip()[:40]}'.")
        name = _field(match["field"])
        if name in _DATES:
            moments.append(_moment(name, match))
        else:
            values = frozenset(_bare(value) for value in re.findall(_VALUE, match["one"] or match["many"]))
            (exclusions if match["not"] or match["operator"] == "!=" else clauses).append((name, values))
            if match["operator"] not in (None, "=", "!="):
                raise JqlError(f"The operator '{match['operator']}' is not supported by the '{name}' field.")
        rest = _after_and(rest[match.end() :])
    sorts = re.split(r"\s*,\s*", order["sorts"].strip()) if order else []
    told = {"order": tuple(_sort(one) for one in sorts)} if sorts else {}
    return Query(clauses=tuple(clauses), exclusions=tuple(exclusions), moments=tuple(moments), **told)


def _after_and(rest: str) -> str:
    if not rest:
        return rest
    joint = _AND.match(rest)
    if joint is None or not rest[joint.end() :].strip():
        raise JqlError(f"Error in the JQL Query: expecting AND before '{rest.strip()[:40]}'.")
    return rest[joint.end() :]


def _field(name: str) -> str:
    found = _NAMES.get(name.lower(), name.lower())
    if found not in _SETS | _DATES:
        raise JqlError(f"Field '{name}' does not exist or you do not have permission to view it.")
    return found


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
        raise JqlError(f"Field '{name}' does not exist or you do not have permission to view it.")
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
