"""What has arrived in the stand-ins, seen there and not in what the daemon says of itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from forwarder import routing
from forwarder.alert import Alert, Severity
from forwarder.config import Route
from forwarder.sandbox import Sandbox, Service

PLACES: Final = {
    "secops": "Slack #secops",
    "alerts": "Slack #alerts",
    "oncall": "PagerDuty",
    "tickets": "Jira",
}
"""Where each connector of the demo's config leads to."""

_DEDUP: Final = "sentrytex:"
_LABEL: Final = "sentrytex-"
_TICKET: Final = re.compile(r"/browse/([A-Z]+-\d+)")
_NAMES: Final = {"slack": "Slack", "pagerduty": "PagerDuty", "jira": "Jira", "sentrytex": "Sentrytex"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """Something new at ``place``: an alert's message, incident or ticket (``opens``), or what was added to one.

    ``alert`` is None where it concerns none. ``what`` is for people; ``trouble`` says that a service failed.
    """

    at: datetime
    place: str
    what: str
    alert: Alert | None = None
    opens: bool = False
    trouble: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What one place holds in the end: alerts by severity, how many came twice, and how many are missing."""

    place: str
    arrived: Mapping[Severity, int]
    twice: int
    missing: int


class Sight:
    """Looks at the stand-ins again and again. ``routes`` say what should arrive where."""

    def __init__(self, sandbox: Sandbox, routes: Sequence[Route]) -> None:
        self._sandbox, self._routes = sandbox, routes
        self._opened: Counter[tuple[str, str]] = Counter()
        self._known: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._raw: dict[str, Any] = {}
        self._alerts: dict[str, Alert] = {}

    def look(self) -> list[Sighting]:
        """What is new since the last look."""
        self._read_alerts()
        seen = [*self._troubles(), *self._slack(), *self._pagerduty(), *self._jira()]
        for sighting in seen:
            if sighting.opens and sighting.alert is not None:
                self._opened[sighting.place, sighting.alert.id] += 1
        return seen

    def missing(self) -> int:
        """How many deliveries of what is published have not arrived yet."""
        return sum(tally.missing for tally in self.tallies())

    def tallies(self) -> list[Tally]:
        """What each place holds, as of the last look."""
        expected: dict[str, set[str]] = {place: set() for place in PLACES.values()}
        for alert in self._alerts.values():
            for connector in routing.targets(alert, self._routes).targets:
                expected[PLACES[connector]].add(alert.id)
        tallies = []
        for place, owed in expected.items():
            here = {alert_id: count for (at, alert_id), count in self._opened.items() if at == place}
            tallies.append(
                Tally(
                    place=place,
                    arrived=Counter(self._alerts[alert_id].severity for alert_id in here),
                    twice=sum(here.values()) - len(here),
                    missing=len(owed - here.keys()),
                )
            )
        return tallies

    def _read_alerts(self) -> None:
        for raw in self._sandbox.sentrytex.alerts:
            # The stand-in replaces an alert that changes: the same object says the same.
            if self._raw.get(raw["id"]) is not raw:
                self._raw[raw["id"]], self._alerts[raw["id"]] = raw, Alert.parse(raw)

    def _slack(self) -> Iterator[Sighting]:
        with self._sandbox.slack.lock:
            for message in self._sandbox.slack.messages:
                ts, now = message["ts"], self._sandbox.clock()
                new, edited = self._grew(f"slack {ts}", 1), self._grew(f"edits {ts}", len(message["edits"]))
                if not new and not edited:
                    continue
                alert, link = self._alert_of(message), _ticket_in(message)
                place = f"Slack #{message['channel'].removeprefix('C0').lower()}"
                if new and message["thread_ts"] is not None:
                    yield Sighting(at=now, place=place, what="reply in its thread: what changed", alert=alert)
                elif new:
                    what = f"message {ts}" + (f" -> {link}" if link else "")
                    yield Sighting(at=now, place=place, what=what, alert=alert, opens=True)
                elif link and self._links[ts] != link:
                    yield Sighting(at=now, place=place, what=f"message {ts} now links to {link}", alert=alert)
                else:
                    yield Sighting(at=now, place=place, what=f"message {ts} is brought up to date", alert=alert)
                self._links[ts] = link

    def _pagerduty(self) -> Iterator[Sighting]:
        now = self._sandbox.clock()
        with self._sandbox.pagerduty.lock:
            for key, incident in self._sandbox.pagerduty.incidents.items():
                alert, opened = self._alerts.get(key.removeprefix(_DEDUP)), incident["count"]
                for _ in range(self._grew(f"incidents {key}", opened)):
                    yield Sighting(at=now, place="PagerDuty", what=f"incident {key}", alert=alert, opens=True)
                for _ in range(self._grew(f"events {key}", len(incident["events"]) - opened)):
                    what = f"same incident {key}: what changed"
                    yield Sighting(at=now, place="PagerDuty", what=what, alert=alert)

    def _jira(self) -> Iterator[Sighting]:
        now = self._sandbox.clock()
        with self._sandbox.jira.lock:
            for key, issue in self._sandbox.jira.issues.items():
                new, comments = self._grew(f"jira {key}", 1), self._grew(f"comments {key}", len(issue["comments"]))
                if not new and not comments:
                    continue
                labels = (label.removeprefix(_LABEL) for label in issue["fields"]["labels"])
                alert = next((self._alerts[label] for label in labels if label in self._alerts), None)
                if new:
                    yield Sighting(at=now, place="Jira", what=f"ticket {key}", alert=alert, opens=True)
                for _ in range(comments):
                    yield Sighting(at=now, place="Jira", what=f"comment on {key}: what changed", alert=alert)

    def _troubles(self) -> Iterator[Sighting]:
        """Requests that were answered badly, or not at all."""
        for service in self._sandbox.services:
            yield from self._troubles_of(service)

    def _troubles_of(self, service: Service) -> Iterator[Sighting]:
        requests = service.requests
        for request in _last(requests, self._grew(f"requests {service.name}", len(requests))):
            if request.status is None:
                what = "took it, but its answer is lost: the forwarder looks for it before it sends again"
            elif request.status == 429:
                what = "answered 429, a rate limit: the forwarder waits as long as it says"
            elif request.status >= 500:
                what = f"answered {request.status}: the forwarder tries again by itself"
            else:
                continue
            yield Sighting(at=request.at, place=_NAMES[service.name], what=what, trouble=True)

    def _alert_of(self, message: Mapping[str, Any]) -> Alert | None:
        return self._alerts.get(((message["metadata"] or {}).get("event_payload") or {}).get("alert_id", ""))

    def _grew(self, name: str, count: int) -> int:
        """By how much a count is higher than at the last look."""
        before = self._known.get(name, 0)
        self._known[name] = count
        return count - before


def _ticket_in(message: Mapping[str, Any]) -> str:
    """The ticket that a message links to, if any."""
    found = _TICKET.search(json.dumps([message["blocks"], message["attachments"]]))
    return found[1] if found else ""


def _last(items: Sequence[Any], count: int) -> Iterable[Any]:
    return items[len(items) - count :]
