"""The part of JQL that a forwarder asks: equalities and lists, joined with AND, and an ORDER BY.

https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_VALUE: Final = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^\s"\'(),=!<>]+'
_CLAUSE: Final = re.compile(
    rf"\s*(?P<field>project|labels|key|issuekey|issuetype)\s*"
    rf"(?:=\s*(?P<one>{_VALUE})|in\s*\((?P<many>\s*(?:{_VALUE})(?:\s*,\s*(?:{_VALUE}))*\s*)\))\s*",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"AND\b", re.IGNORECASE)
_ORDER: Final = re.compile(r"\s*ORDER\s+BY\s+(?P<field>\w+)(?:\s+(?P<way>ASC|DESC))?\s*$", re.IGNORECASE)


class JqlError(ValueError):
    """The query is none that is understood here; the message is Jira's kind of sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What an issue must match: for each field, one of the values."""

    clauses: tuple[tuple[str, frozenset[str]], ...] = field(default=())
    newest_first: bool = True

    @property
    def bounded(self) -> bool:
        """Whether there is a restriction at all; Cloud refuses a query without one."""
        return bool(self.clauses)

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
    while rest.strip():
        match = _CLAUSE.match(rest)
        if match is None:
            raise JqlError(f"Error in the JQL Query: cannot understand '{rest.strip()[:40]}'.")
        values = re.findall(_VALUE, match["one"] or match["many"])
        name = match["field"].lower()
        clauses.append(("key" if name == "issuekey" else name, frozenset(_bare(value) for value in values)))
        rest = rest[match.end() :]
        if rest:
            joint = _AND.match(rest)
            if joint is None or not rest[joint.end() :].strip():
                raise JqlError(f"Error in the JQL Query: expecting AND before '{rest.strip()[:40]}'.")
            rest = rest[joint.end() :]
    return Query(clauses=tuple(clauses), newest_first=order is None or (order["way"] or "ASC").upper() == "DESC")


def _bare(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] in "\"'" else value
