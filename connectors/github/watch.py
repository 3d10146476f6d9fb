"""What people do with issues: one list of those that were changed since the last look, and what was done to each.

GitHub's list knows of a change at once, so a look asks for little more than is missing, and compares what it has seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.github.client import Api, RequestFailed
from connectors.github.standing import (
    ASSIGNED,
    CLOSED,
    REOPENED,
    UNASSIGNED,
    Event,
    Place,
    events,
    issues_of,
    moment,
    name_of,
)
from forwarder.connector import Look, Resolution, Retry, Sighting, Status
from forwarder.ticket import LABEL

FIRST: Final = timedelta(days=7)
"""How far back the first look reaches: what was done between an issue's creation and that look counts."""

OVERLAP: Final = timedelta(minutes=2)
"""How late a change may show in a list."""

_KEPT: Final = 2 * OVERLAP
"""How long it is known of an open issue that it was seen: no later look reaches further back."""

_MOST_KEPT: Final = 500
"""Issues with somebody, or done, of which that is known: the latest."""

_NOT_AFFECTED: Final = "not_planned"
_SAYS_NO_MORE: Final = frozenset({"", "completed", _NOT_AFFECTED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen so far of ``repository``: the newest time of a change, and how issues stood by then."""

    repository: str
    until: datetime | None = None
    issues: Mapping[int, tuple[datetime, Status]] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str, repository: str) -> Seen:
        """What ``cursor`` says of it; nothing where it says nothing that can be read, or is of another one."""
        try:
            kept = json.loads(cursor or "{}")
            if kept.get("repository") != repository:
                return cls(repository=repository)
            seen = {
                int(number): (datetime.fromisoformat(at), Status(status))
                for number, (at, status) in dict(kept.get("issues", {})).items()
            }
            return cls(repository=repository, until=moment(kept.get("until")), issues=seen)
        except (ValueError, TypeError, AttributeError):
            return cls(repository=repository)

    @property
    def cursor(self) -> str:
        if self.until is None:
            return ""
        issues = {str(number): (at.isoformat(), status) for number, (at, status) in self.issues.items()}
        kept = {"repository": self.repository, "until": self.until.isoformat(), "issues": issues}
        return json.dumps(kept, separators=(",", ":"))

    def and_then(self, new: Iterable[tuple[int, datetime, Status]]) -> Seen:
        """What is seen after a look that brought these."""
        seen = {**self.issues, **{number: (at, status) for number, at, status in new}}
        times = [at for at, _ in seen.values()] + ([self.until] if self.until else [])
        if not times:
            return self
        until = max(times)
        latest = sorted(seen.items(), key=lambda one: one[1][0], reverse=True)
        recent = {number: one for number, one in latest if one[0] >= until - _KEPT}
        touched = [(number, one) for number, one in latest if one[1] is not Status.OPEN]
        return Seen(repository=self.repository, until=until, issues={**dict(touched[:_MOST_KEPT]), **recent})


class Watch:
    """Looks at the issues of a repository."""

    def __init__(self, api: Api, repository: str) -> None:
        self._api, self._repository = api, repository
        self._me: object = None

    def look(self, cursor: str) -> Look:
        """What was done since the look that gave ``cursor``; raises RequestFailed where not all of it is shown."""
        seen = Seen.read(cursor, self._repository)
        since = self._api.time() - FIRST if seen.until is None else seen.until - OVERLAP
        sightings: list[Sighting] = []
        new: list[tuple[int, datetime, Status]] = []
        query = {"labels": LABEL, "state": "all", "since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "sort": "updated"}
        for issue in self._api.pages(issues_of(self._repository), query):
            if "pull_request" in issue:
                continue
            number, updated = issue.get("number"), moment(issue.get("updated_at"))
            if not isinstance(number, int) or updated is None:
                raise RequestFailed(Retry("GitHub's answer could not be read"))
            known = seen.issues.get(number)
            if known is not None and _is_known(issue, updated, known):
                continue
            found = list(self._sightings(Place(repository=self._repository, number=number), issue, known))
            sightings += found
            new.append((number, updated, found[-1].status))
        return Look(
            cursor=seen.and_then(new).cursor,
            sightings=tuple(sorted(sightings, key=lambda sighting: sighting.at)),
        )

    def _sightings(
        self, place: Place, issue: Mapping[str, Any], known: tuple[datetime, Status] | None
    ) -> Iterator[Sighting]:
        if _is_untouched(issue) and (known is None or known[1] is Status.OPEN):
            at = moment(issue.get("created_at")) or self._api.time()
            yield Sighting(remote_id=place.remote_id, status=Status.OPEN, at=at, ours=True)
            return
        done = events(self._api, place)
        last = self._standing(place, issue, done)
        if not last.ours:
            # A person may have undone at once what was done here for others: that counts, if this is known.
            earlier = [one for one in done if one.kind in (CLOSED, REOPENED) and one.at <= last.at]
            mine = [one for one in earlier if self._is_ours(one) and (known is None or one.at > known[0])]
            if mine and _status(mine[-1]) is not last.status:
                yield Sighting(remote_id=place.remote_id, status=_status(mine[-1]), at=mine[-1].at, ours=True)
        yield last

    def _standing(self, place: Place, issue: Mapping[str, Any], done: list[Event]) -> Sighting:
        moves = [event for event in done if event.kind in (CLOSED, REOPENED)]
        if issue.get("state") == CLOSED:
            reason = str(issue.get("state_reason") or "")
            return self._sighting(
                place,
                Status.RESOLVED,
                moves[-1] if moves else None,
                resolution=Resolution.NOT_AFFECTED if reason == _NOT_AFFECTED else Resolution.DONE,
                reason="" if reason in _SAYS_NO_MORE else reason.replace("_", " "),
            )
        opened = moves[-1].at if moves else None
        since = [event for event in done if opened is None or event.at >= opened]
        has_it = {name_of(person) for person in _people(issue)}
        # Whom the config has an issue assigned to need not know of it yet: what a person assigns is taken on.
        taken = [one for one in since if one.kind == ASSIGNED and one.assignee in has_it and not self._is_ours(one)]
        if taken:
            return self._sighting(place, Status.ACKNOWLEDGED, taken[-1], person=taken[-1].assignee)
        left = [one for one in since if one.kind in (REOPENED, UNASSIGNED)]
        return self._sighting(place, Status.OPEN, left[-1] if left else None)

    def _sighting(self, place: Place, status: Status, event: Event | None, **said: Any) -> Sighting:
        return Sighting(
            remote_id=place.remote_id,
            status=status,
            at=event.at if event else self._api.time(),
            ours=event is None or self._is_ours(event),
            **{"person": name_of(event.actor) if event else "", **said},
        )

    def _is_ours(self, event: Event) -> bool:
        """Whether the forwarder did it, or another program with its account."""
        if self._me is None:
            myself = self._api.ask("GET", "user")
            if not isinstance(myself, Mapping) or not isinstance(myself.get("id"), int):
                raise RequestFailed(Retry("GitHub does not say whose token it is"))
            self._me = myself["id"]
        return event.actor.get("id") == self._me


def _status(event: Event) -> Status:
    return Status.RESOLVED if event.kind == CLOSED else Status.OPEN


def _is_untouched(issue: Mapping[str, Any]) -> bool:
    """Whether it is open, and nobody has it: what may have been done to it leaves no trace."""
    return issue.get("state") == "open" and not _people(issue) and issue.get("state_reason") is None


def _is_known(issue: Mapping[str, Any], updated: datetime, known: tuple[datetime, Status]) -> bool:
    """Whether nothing was done to it since it was seen: in the second that its time names, more can have been."""
    at, status = known
    if updated != at:
        return updated < at
    if issue.get("state") == CLOSED:
        return status is Status.RESOLVED
    return status is Status.OPEN or (status is Status.ACKNOWLEDGED and bool(_people(issue)))


def _people(issue: Mapping[str, Any]) -> list[Any]:
    people = issue.get("assignees")
    return people if isinstance(people, list) else []
