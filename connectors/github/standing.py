"""How an issue stands, what was done to it and by whom, and how it is closed and opened again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote

from connectors.github.client import Api, RequestFailed
from forwarder.connector import RateLimited, Receipt, Retry, clean, cut, one_line

CLOSED: Final = "closed"
REOPENED: Final = "reopened"
ASSIGNED: Final = "assigned"
UNASSIGNED: Final = "unassigned"
_TELLING: Final = frozenset({CLOSED, REOPENED, ASSIGNED, UNASSIGNED})
"""Events that say how an issue stands:
https://docs.github.com/en/rest/using-the-rest-api/issue-event-types
"""

_MAX_NAME: Final = 100
_REFUSED: Final = frozenset({403, 422})
_PLACE: Final = re.compile(r"([^/#\s]+/[^/#\s]+)#(\d{1,18})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an issue stands: ``owner/name`` of its repository, and its number there."""

    repository: str
    number: int

    @classmethod
    def of(cls, receipt: Receipt | None) -> Self | None:
        """What a receipt says; None where it names no issue."""
        found = _PLACE.fullmatch(receipt.remote_id) if receipt else None
        return cls(repository=found[1], number=int(found[2])) if found else None

    @property
    def remote_id(self) -> str:
        return f"{self.repository}#{self.number}"

    @property
    def path(self) -> str:
        return f"{issues_of(self.repository)}/{self.number}"


def issues_of(repository: str) -> str:
    """Where the issues of a repository stand in the API."""
    return f"repos/{quote(repository)}/issues"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that was done to an issue: by whom, and with an assignment whom it is about."""

    kind: str
    at: datetime
    actor: Mapping[str, Any]
    assignee: str


def events(api: Api, place: Place) -> list[Event]:
    """What was done to an issue, oldest first; raises RequestFailed."""
    found = [_event(raw) for raw in api.pages(f"{place.path}/events", {}) if raw.get("event") in _TELLING]
    return sorted(found, key=lambda event: event.at)


def move(api: Api, place: Place, state: str, reason: str, *, unless_moved_after: datetime | None = None) -> str:
    """Brings an issue into ``state``, ``open`` or ``closed``, with GitHub's ``state_reason``; what kept it, in words.

    An issue that was moved after ``unless_moved_after`` stays as it is: whoever moved it knew more.
    Raises RequestFailed.
    """
    issue = api.ask("GET", place.path)
    if not isinstance(issue, Mapping) or "state" not in issue:
        raise RequestFailed(Retry("GitHub's answer names no state of the issue"))
    if issue["state"] == state:
        return ""
    if unless_moved_after is not None:
        moment = api.in_its_time(unless_moved_after)
        if any(event.kind in (CLOSED, REOPENED) and event.at > moment for event in events(api, place)):
            return "the issue stays as it is: it was moved after that"
    try:
        api.ask("PATCH", place.path, body={"state": state, "state_reason": reason}, writes=True)
    except RequestFailed as failed:
        if failed.status not in _REFUSED or isinstance(failed.outcome, RateLimited):
            raise
        return f"the issue stays as it is: {failed.outcome.reason}"
    return ""


def is_locked(api: Api, place: Place) -> bool:
    """Whether only those who may write in the repository can comment on an issue; raises RequestFailed.

    https://docs.github.com/en/communities/moderating-comments-and-conversations/locking-conversations
    """
    issue = api.ask("GET", place.path)
    return isinstance(issue, Mapping) and issue.get("locked") is True


def moment(value: object) -> datetime | None:
    """A time as GitHub writes it, such as ``2026-01-31T12:00:00Z``; None for anything else."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def name_of(person: object) -> str:
    """An account's name for people; empty for nobody."""
    name = person.get("login") if isinstance(person, Mapping) else None
    return cut(one_line(clean(str(name))), _MAX_NAME) if name else ""


def _event(raw: Mapping[str, Any]) -> Event:
    at = moment(raw.get("created_at"))
    if at is None:
        raise RequestFailed(Retry("GitHub's answer tells of an event without its time"))
    # Of an assignment GitHub has named the one as the actor, and the other: who assigned is told beside it.
    actor = raw.get("assigner") or raw.get("actor")
    return Event(
        kind=str(raw.get("event")),
        at=at,
        actor=actor if isinstance(actor, Mapping) else {},
        assignee=name_of(raw.get("assignee")),
    )
