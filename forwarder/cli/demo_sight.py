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
from forwarder.alert import Alert, Severity, got_worse
from forwarder.common.text import cut
from forwarder.config import Route
from forwarder.sandbox import Sandbox, Service
from forwarder.sandbox.adf import to_text

PLACES: Final = {
    "secops": "Slack #secops",
    "alerts": "Slack #alerts",
    "oncall": "PagerDuty",
    "tickets": "Jira",
}
"""Where each connector of the demo's config leads to."""

DEDUP: Final = "sentrytex:"
"""What an incident's dedup key begins with, before the alert's id."""
LABEL: Final = "sentrytex-"
"""The same of the label of a ticket."""

_DECIDED: Final = {"acknowledge": "is acknowledged", "resolve": "is resolved"}
_SAID: Final = 50
"""Characters of what was said in a thread or a comment that are told: they fit a terminal of 80 columns."""
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
    """What one place holds in the end: alerts by severity, how many came twice, and how many are missing.

    ``again`` are those that came once more because they had got worse after they were over: that is no fault.
    """

    place: str
    arrived: Mapping[Severity, int]
    again: int
    twice: int
    missing: int


class Sight:
    """Looks at the stand-ins again and again. ``routes`` say what should arrive where."""

    def __init__(self, sandbox: Sandbox, routes: Sequence[Route]) -> None:
        self._sandbox, self._routes = sandbox, routes
        self._opened: Counter[tuple[str, str]] = Counter()
        self._again: Counter[tuple[str, str]] = Counter()
        self._worse: Counter[str] = Counter()
        self._over: set[str] = set()
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
                    again=sum(count for (at, _), count in self._again.items() if at == place),
                    twice=sum(here.values()) - len(here),
                    missing=len(owed - here.keys()),
                )
            )
        return tallies

    def _read_alerts(self) -> None:
        for raw in self._sandbox.sentrytex.alerts:
            # The stand-in replaces an alert that changes: the same object says the same.
            if self._raw.get(raw["id"]) is raw:
                continue
            alert, old = Alert.parse(raw), self._alerts.get(raw["id"])
            if old is not None and got_worse(alert.changes_from(old)):
                self._worse[alert.id] += 1
            self._raw[alert.id], self._alerts[alert.id] = raw, alert

    def _slack(self) -> Iterator[Sighting]:
        with self._sandbox.slack.lock:
            for message in self._sandbox.slack.messages:
                ts, now = message["ts"], self._sandbox.clock()
                new, edited = self._grew(f"slack {ts}", 1), self._grew(f"edits {ts}", len(message["edits"]))
                if not new and not edited:
                    continue
                alert, link = self._alerts.get(alert_id_of(message)), _ticket_in(message)
                place = f"Slack #{message['channel'].removeprefix('C0').lower()}"
                if new and message["thread_ts"] is not None:
                    what = f"reply in its thread: {_beginning(message['text'])}"
                    yield Sighting(at=now, place=place, what=what, alert=alert)
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
                alert, events = self._alerts.get(key.removeprefix(DEDUP)), incident["events"]
                for event in _last(events, self._grew(f"events {key}", len(events))):
                    yield self._event(now, key, alert, event["event_action"])

    def _event(self, now: datetime, key: str, alert: Alert | None, action: str) -> Sighting:
        """An event that PagerDuty took. A trigger opens an incident where none is open under its key."""
        fresh, over = f"incident {key}" not in self._known, key in self._over
        self._known[f"incident {key}"] = 1
        if action != "trigger":
            self._over |= {key} if action == "resolve" else set()
            what = f"incident {key} {_DECIDED[action]}"
            return Sighting(at=now, place="PagerDuty", what=what, alert=alert)
        self._over.discard(key)
        if over and alert is not None and self._again["PagerDuty", alert.id] < self._worse[alert.id]:
            self._again["PagerDuty", alert.id] += 1
            return Sighting(at=now, place="PagerDuty", what=f"pages again: incident {key}", alert=alert)
        what = f"incident {key}" if fresh or over else f"same incident {key}: what changed"
        return Sighting(at=now, place="PagerDuty", what=what, alert=alert, opens=fresh or over)

    def _jira(self) -> Iterator[Sighting]:
        now = self._sandbox.clock()
        with self._sandbox.jira.lock:
            for key, issue in self._sandbox.jira.issues.items():
                new, comments = self._grew(f"jira {key}", 1), self._grew(f"comments {key}", len(issue["comments"]))
                if not new and not comments:
                    continue
                labels = (label.removeprefix(LABEL) for label in issue["fields"]["labels"])
                alert = next((self._alerts[label] for label in labels if label in self._alerts), None)
                if new:
                    yield Sighting(at=now, place="Jira", what=f"ticket {key}", alert=alert, opens=True)
                for comment in _last(issue["comments"], comments):
                    what = f"comment on {key}: {_beginning(_words_of(comment['body']))}"
                    yield Sighting(at=now, place="Jira", what=what, alert=alert)

    def _troubles(self) -> Iterator[Sighting]:
        """Requests that were answered badly, or not at all."""
        for service in self._sandbox.services:
            yield from self._troubles_of(service)

    def _troubles_of(self, service: Service) -> Iterator[Sighting]:
        requests = service.requests
        for request in _last(requests, self._grew(f"requests {service.name}", len(requests))):
            if request.status is None:
                what = "took it, but lost its answer: the forwarder looks before it resends"
            elif request.status == 429:
                what = "answered 429, a rate limit: the forwarder waits as long as it says"
            elif request.status >= 500:
                what = f"answered {request.status}: the forwarder tries again by itself"
            else:
                continue
            yield Sighting(at=request.at, place=_NAMES[service.name], what=what, trouble=True)

    def _grew(self, name: str, count: int) -> int:
        """By how much a count is higher than at the last look."""
        before = self._known.get(name, 0)
        self._known[name] = count
        return count - before


def alert_id_of(message: Mapping[str, Any]) -> str:
    """The id of the alert that a message of the forwarder's is about; empty where it is about none."""
    return str(((message["metadata"] or {}).get("event_payload") or {}).get("alert_id", ""))


def _words_of(body: Mapping[str, Any]) -> str:
    """The first paragraph of a comment: facts and links are lists."""
    paragraphs = (to_text(node) for node in body["content"] if node["type"] == "paragraph")
    return next(paragraphs, "")


def _beginning(text: str) -> str:
    """The first line of what was said."""
    return cut(text.partition("\n")[0], _SAID)


def _ticket_in(message: Mapping[str, Any]) -> str:
    """The ticket that a message links to, if any."""
    found = _TICKET.search(json.dumps([message["blocks"], message["attachments"]]))
    return found[1] if found else ""


def _last(items: Sequence[Any], count: int) -> Iterable[Any]:
    return items[len(items) - count :]
