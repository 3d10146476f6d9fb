"""What people did to our incidents since the last look, out of the log of everything that happens to incidents.

One request asks for all incidents of the account: who acknowledged, resolved or reopened them and when, with each
incident's key. Two things take more. An incident that holds several alerts, or is of a service that makes alerts, has
no key of its own, so it is asked for those of its alerts. And which service is ours tells only the list of services: it
is asked for once in a process, when something happened to an incident with a key like ours, for another service of the
account may have incidents of the same alerts.

Each line of the log counts once. Where it comes into view late, what followed it counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.pagerduty.config import PagerDutyConfig
from connectors.pagerduty.rest import Item, RestApi, moment
from forwarder.connector import Broken, Failed, Finding, Look, Sighting, Status, clean, one_line
from forwarder.paging import KEY_PREFIX

OVERLAP: Final = timedelta(minutes=5)
"""How far a look goes back behind the one before it, for what came into view late."""
WINDOW: Final = timedelta(hours=6)
"""How much one look reads of what was missed: what comes after it is left for the next."""
MOST_FOREIGN: Final = 10_000
"""Incidents without any alert of ours that are remembered, so that each is asked for its alerts once."""

_LEADS_TO: Final = {
    "acknowledge_log_entry": Status.ACKNOWLEDGED,
    # Who snoozes an incident has it, until it is unacknowledged at the end of that.
    "snooze_log_entry": Status.ACKNOWLEDGED,
    "resolve_log_entry": Status.RESOLVED,
    "unacknowledge_log_entry": Status.OPEN,
    "reopen_log_entry": Status.OPEN,
}
_TIMED_OUT: Final = "unacknowledge_log_entry"
_COMES_FROM: Final = {
    "unacknowledge_log_entry": Status.ACKNOWLEDGED,
    "reopen_log_entry": Status.RESOLVED,
}
_PEOPLE: Final = frozenset({"user", "user_reference"})
_MERGED: Final = "merge_resolve_reason"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the log by which people changed an incident from one status to another.

    ``person`` is the name; where an acknowledgement timed out it is nobody's, and ``reason`` says so.
    """

    id: str
    at: datetime
    before: Status
    status: Status
    person: str
    reason: str = ""
    incident: Item = field(repr=False)

    @property
    def incident_id(self) -> str:
        return str(self.incident["id"])

    @classmethod
    def read(cls, item: Item) -> Entry | None:
        """The line, where it tells what people did; None of everything else."""
        kind, at, incident, agent = (item.get(name) for name in ("type", "created_at", "incident", "agent"))
        status, when = _LEADS_TO.get(str(kind)), moment(at)
        if status is None or when is None or not isinstance(incident, Mapping) or not isinstance(agent, Mapping):
            return None
        by_a_person = agent.get("type") in _PEOPLE
        if not incident.get("id") or not (by_a_person or kind == _TIMED_OUT) or _was_merged(status, incident):
            return None
        return cls(
            id=str(item.get("id")),
            at=when,
            before=_COMES_FROM.get(str(kind), Status.OPEN),
            status=status,
            person=one_line(clean(str(agent.get("summary") or ""))) if by_a_person else "PagerDuty",
            reason="" if by_a_person else "the acknowledgement timed out",
            incident=incident,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the log that was told: its id, its incident and when it was written."""

    id: str
    incident_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the log was read, in PagerDuty's own time, and what of the overlap was told."""

    at: datetime
    told: tuple[Told, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that wrote ``text``; None where that is none."""
        try:
            values = json.loads(text)
            told = tuple(Told(id_, incident, datetime.fromisoformat(at)) for id_, incident, at in values["told"])
            return cls(datetime.fromisoformat(values["at"]), told)
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def text(self) -> str:
        told = [[one.id, one.incident_id, one.at.isoformat()] for one in self.told]
        return json.dumps({"at": self.at.isoformat(), "told": told}, separators=(",", ":"))

    def untold(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """What was not told yet, in order; without what came into view after something that followed it."""
        known = {told.id for told in self.told}
        latest: dict[str, datetime] = {}
        for told in self.told:
            latest[told.incident_id] = max(told.at, latest.get(told.incident_id, told.at))
        for entry in sorted(entries, key=lambda entry: entry.at):
            if entry.id not in known and entry.at >= latest.get(entry.incident_id, entry.at):
                known.add(entry.id)
                yield entry

    def moved(self, at: datetime, entries: Iterable[Entry]) -> Cursor:
        """The cursor after ``entries`` were told, and everything up to ``at`` was read."""
        at = max(at, self.at)
        told = (*self.told, *(Told(entry.id, entry.incident_id, entry.at) for entry in entries))
        return Cursor(at, tuple(one for one in told if one.at >= at - OVERLAP))


class IncidentLog:
    """The log as one connector reads it: of its own service's incidents with alerts of ours."""

    def __init__(self, config: PagerDutyConfig, token: str, now: Callable[[], datetime]) -> None:
        self._rest = RestApi(config, token, now)
        self._routing_key, self._now = config.routing_key.get_secret_value(), now
        self._service: str | None = None
        self._asked_for_service = False
        self._foreign: set[tuple[str, int]] = set()

    def look(self, text: str) -> Look:
        """What people did since the look that gave ``text``; raises Failed. The first look only notes the time."""
        cursor = Cursor.parse(text)
        if cursor is None:
            return Look(cursor=Cursor(self._rest.server_time()).text)
        since = cursor.at - OVERLAP
        until = since + WINDOW if self._now() - since > WINDOW else None
        found, asked_at = self._rest.log_entries(since, until, Entry.read)
        entries = list(cursor.untold(found))
        sightings = tuple(sighting for entry in entries for sighting in self._sightings(entry))
        read_to = min(filter(None, (asked_at, until)), default=cursor.at)
        return Look(cursor=cursor.moved(read_to, entries).text, sightings=sightings)

    def check(self, unproven: Finding) -> list[Finding]:
        """Whether the key may read what is needed, and which service is ours: ``unproven`` where that is not shown."""
        try:
            self._rest.server_time()
            service = self._rest.service_of(self._routing_key)
        except Failed as failed:
            return [unproven, Finding(ok=False, text=f"{failed.outcome.reason.rstrip('.')}.")]
        reads = Finding(ok=True, text="The api_token may read incidents: who acknowledges and resolves them is heard.")
        if service is None:
            return [unproven, reads]
        name = one_line(clean(str(service.get("summary") or service.get("id"))))
        return [Finding(ok=True, text=f"The routing key is that of the service {name}."), reads]

    def close(self) -> None:
        self._rest.close()

    def _sightings(self, entry: Entry) -> Iterator[Sighting]:
        for key in self._keys_of(entry.incident):
            # A line of the log is an event, and a sighting a state: what was there before it makes it one, whatever
            # an earlier incident of the same key was last seen as.
            yield Sighting(remote_id=key, status=entry.before, at=entry.at, ours=True)
            yield Sighting(remote_id=key, status=entry.status, at=entry.at, person=entry.person, reason=entry.reason)

    def _keys_of(self, incident: Item) -> list[str]:
        """The dedup keys of ours in an incident of our service, from itself where it has one alert alone."""
        key, alerts = incident.get("incident_key"), _count(incident)
        if alerts == 0 or (isinstance(key, str) and key and alerts == 1 and not key.startswith(KEY_PREFIX)):
            return []
        # Another alert may be one of ours, so the number is part of it.
        known_as = (str(incident["id"]), alerts)
        if known_as in self._foreign or not self._is_of_our_service(incident):
            return []
        if isinstance(key, str) and key and alerts == 1:
            return [key]
        keys = [key for key in self._rest.alert_keys(known_as[0]) if key.startswith(KEY_PREFIX)]
        if not keys:
            if len(self._foreign) >= MOST_FOREIGN:
                self._foreign.clear()
            self._foreign.add(known_as)
        return list(dict.fromkeys(keys))

    def _is_of_our_service(self, incident: Item) -> bool:
        service, ours = incident.get("service"), self._our_service()
        return ours is None or not isinstance(service, Mapping) or service.get("id") in (None, ours)

    def _our_service(self) -> str | None:
        """The id of the service that has the routing key; None where no service shows it."""
        if not self._asked_for_service:
            try:
                service = self._rest.service_of(self._routing_key)
            except Failed as failed:
                if not isinstance(failed.outcome, Broken):
                    raise
                # A key that reads incidents and no services is good enough.
                service = None
            self._service, self._asked_for_service = None if service is None else str(service.get("id")), True
        return self._service


def _count(incident: Item) -> int:
    """How many alerts an incident has; one where it does not say, and has a key."""
    counts: Any = incident.get("alert_counts")
    if isinstance(counts, Mapping) and isinstance(counts.get("all"), int):
        return int(counts["all"]) or (1 if incident.get("incident_key") else 0)
    return 1


def _was_merged(status: Status, incident: Item) -> bool:
    """Whether an incident was resolved only because its alerts went over into another one."""
    reason = incident.get("resolve_reason")
    return status is Status.RESOLVED and isinstance(reason, Mapping) and reason.get("type") == _MERGED
