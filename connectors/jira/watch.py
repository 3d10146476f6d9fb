"""What people do with tickets: one search for those that were changed since the last look.

It asks how long ago, and not since when: dates in a query are in the time zone of the account, which people change and
which has hours that come twice, but ``-12m`` is the same everywhere. It asks for more than is missing, because an index
learns of a change late, and compares exactly what it has seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.jira.account import Account, name_of
from connectors.jira.client import RequestFailed, Site
from connectors.jira.history import EXPAND, Edit, moment
from connectors.jira.home import HomeProject
from connectors.jira.identity import Ways
from connectors.jira.query import changed_in, tickets, with_or_without_labels
from connectors.jira.standing import FIELDS, Ticket
from connectors.jira.workflow import path_of
from forwarder.connector import Look, Sighting, Status

FIRST: Final = timedelta(days=7)
"""How far back the first look reaches: what was done between a ticket's creation and that look counts."""

OVERLAP: Final = timedelta(minutes=10)
"""How late an index may learn of a change: seconds as a rule, minutes where the site is in trouble."""

_SKEW: Final = timedelta(minutes=1)
"""How far two clocks of one site may be apart."""

_PAGE: Final = 50
"""Tickets of one answer, each with its history, of which Data Center holds nothing back."""

_KEPT: Final = 2 * OVERLAP
"""How long what was seen is known exactly: no later look reaches further back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen so far: the newest time of a change, and how each ticket stood that was changed shortly before.

    All times are the site's own, whose address is ``site``.
    """

    site: str
    until: datetime | None = None
    tickets: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str, site: str) -> Seen:
        """What ``cursor`` says of the site; nothing where it says nothing that can be read, or is of another one."""
        try:
            kept = json.loads(cursor or "{}")
            if kept.get("site") != site:
                return cls(site=site)
            until = moment(kept.get("until"))
            seen = {key: (moment(at), str(status)) for key, (at, status) in dict(kept.get("tickets", {})).items()}
        except (ValueError, TypeError, AttributeError):
            return cls(site=site)
        return cls(site=site, until=until, tickets={key: (at, status) for key, (at, status) in seen.items() if at})

    @property
    def cursor(self) -> str:
        if self.until is None:
            return ""
        seen = {key: (at.isoformat(), status) for key, (at, status) in self.tickets.items()}
        kept = {"site": self.site, "until": self.until.isoformat(), "tickets": seen}
        return json.dumps(kept, separators=(",", ":"))

    def knows(self, ticket: Ticket) -> bool:
        """Whether it stood like that before, or stands otherwise by now: an index may answer with what is past."""
        at, status = self.tickets.get(ticket.key, (None, ""))
        return at is not None and (ticket.updated < at or (ticket.updated, str(ticket.status)) == (at, status))

    def saw(self, edit: Edit, ticket: Ticket) -> bool:
        """Whether that change of the ticket was seen before."""
        at, _ = self.tickets.get(ticket.key, (None, ""))
        if at is not None:
            return edit.at <= at
        return self.until is not None and edit.at < self.until - _KEPT

    def and_then(self, new: Iterable[Ticket], now: datetime) -> Seen:
        """What is seen after a look that brought these: ``new``, for it did not know them."""

        def at(time: datetime) -> datetime:
            # What a node dates in the future must not drag the next looks along.
            return time if time <= now + _SKEW else now

        seen = {**self.tickets, **{one.key: (at(one.updated), str(one.status)) for one in new}}
        times = [time for time, _ in seen.values()] + ([at(self.until)] if self.until else [])
        if not times:
            return self
        until = max(times)
        kept = {key: (time, status) for key, (time, status) in seen.items() if time >= until - _KEPT}
        return Seen(site=self.site, until=until, tickets=kept)


class Watch:
    """Looks at the tickets of a site, whatever project they stand in by now."""

    def __init__(self, site: Site, account: Account, home: HomeProject, ways: Ways) -> None:
        self._site, self._account, self._home, self._ways = site, account, home, ways

    def look(self, cursor: str) -> Look:
        """What was done since the look that gave ``cursor``; raises RequestFailed where not all of it is shown."""
        seen = Seen.read(cursor, self._site.url)
        found = self._found(seen)
        if not found:
            # An account that may not browse is answered like one for whom there is nothing.
            self._home.check_sight()
        new = list(filter(None, (self._certain(ticket) for ticket in found if not seen.knows(ticket))))
        sightings = [sighting for ticket in new for sighting in self._sightings(ticket, seen)]
        return Look(
            cursor=seen.and_then(new, self._site.time()).cursor,
            sightings=tuple(sorted(sightings, key=lambda sighting: sighting.at)),
        )

    def _found(self, seen: Seen) -> list[Ticket]:
        self._account.load()  # the answer also tells the site's time, from the first look on
        minutes = self._minutes_since(seen)
        found = self._changed_in(minutes)
        # Its answer tells the time anew: our clock may have been set back since the last one.
        if (needed := self._minutes_since(seen)) > minutes + 1:
            found = self._changed_in(needed)
        return list(found.values())

    def _minutes_since(self, seen: Seen) -> int:
        stretch = FIRST if seen.until is None else max(self._site.time() - seen.until, timedelta()) + OVERLAP
        return math.ceil(stretch.total_seconds() / 60)

    def _changed_in(self, minutes: int) -> dict[str, Ticket]:
        # The latest first: what is changed while the pages are read moves to the front, and hides nothing behind it.
        found: dict[str, Ticket] = {}
        for issue in self._issues(minutes):
            # What was moved towards the end by that shows once more, as it stood before or stands by now.
            ticket = Ticket.of(issue)
            if ticket.key not in found or found[ticket.key].updated < ticket.updated:
                found[ticket.key] = ticket
        return found

    def _issues(self, minutes: int) -> Iterable[Mapping[str, Any]]:
        def ask(jql: str) -> Iterator[Mapping[str, Any]]:
            return tickets(self._site, jql, fields=FIELDS, most=_PAGE, expand=EXPAND)

        if not self._ways.by_text:
            return ask(changed_in(minutes))
        return with_or_without_labels(lambda by_label: ask(changed_in(minutes, by_text=True, by_label=by_label)))

    def _certain(self, ticket: Ticket) -> Ticket | None:
        """The ticket itself where the index does not tell who moved it to where it stands; None where it is gone."""
        if ticket.is_explained:
            return ticket
        try:
            query = {"fields": FIELDS, "expand": EXPAND}
            return Ticket.of(self._site.ask("GET", path_of(ticket.key), params=query))
        except RequestFailed as failed:
            if failed.status == 404:
                return None
            raise

    def _sightings(self, ticket: Ticket, seen: Seen) -> Iterator[Sighting]:
        if ticket.status is None:
            return
        *earlier, last = ticket.moves if ticket.is_explained and ticket.moves else [None]
        ours = ticket.is_explained and (last is None or self._account.is_ours(last.author))
        for key in self._home.names_of(ticket.key, ticket.history):
            # A person may have undone at once what was done here for others: that counts, if this is known.
            closed = [edit for edit in earlier if edit and not seen.saw(edit, ticket)]
            closed = [edit for edit in closed if not ours and self._account.is_ours(edit.author)]
            if closed:
                yield Sighting(remote_id=key, status=Status.RESOLVED, at=closed[-1].at, ours=True)
            yield Sighting(
                remote_id=key,
                status=ticket.status,
                at=last.at if last else ticket.updated,
                person=_person(ticket, last),
                reason=ticket.reason,
                resolution=ticket.resolution,
                ours=ours,
            )


def _person(ticket: Ticket, last: Edit | None) -> str:
    """Whose doing it is: what is in progress is its assignee's."""
    mover = name_of(last.author) if last else ""
    return (ticket.assignee or mover) if ticket.status is Status.ACKNOWLEDGED else mover
