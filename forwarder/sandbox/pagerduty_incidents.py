"""The incidents of the sandbox's PagerDuty: what events and people make of them, and the log of it.

https://developer.pagerduty.com/docs/events-api-v2/overview/ and .../api-reference/ (Incidents, Log Entries)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from forwarder.sandbox.limits import Clock

TRIGGERED: Final = "triggered"
ACKNOWLEDGED: Final = "acknowledged"
RESOLVED: Final = "resolved"
_INTEGRATION: Final = ("PINTEGR8", "events_api_v2_inbound_integration", "Events API V2")
SERVICE: Final = ("PSERVICE", "service", "Security")


@dataclass(frozen=True, slots=True)
class Agent:
    """Who did something: a person, the integration or the service itself. ``kind`` is the type of the full object."""

    id: str
    kind: str
    name: str
    email: str = ""


@dataclass(kw_only=True, slots=True)
class Entry:
    """One line of the log. ``kind`` is such as ``acknowledge_log_entry``."""

    id: str
    kind: str
    at: datetime
    agent: Agent
    channel: str
    incident: Incident


@dataclass(kw_only=True, slots=True)
class Alert:
    """One alert of an incident, by its dedup key."""

    id: str
    key: str
    title: str
    at: datetime
    open: bool = True


@dataclass(kw_only=True, slots=True)
class Incident:
    """One incident. ``key`` is None where it may hold several alerts. ``acknowledged`` maps who to since when."""

    id: str
    number: int
    title: str
    key: str | None
    created: datetime
    changed: datetime
    changed_by: Agent
    status: str = TRIGGERED
    alerts: list[Alert] = field(default_factory=list)
    acknowledged: list[tuple[Agent, datetime]] = field(default_factory=list)
    resolved: datetime | None = None


class Incidents:
    """All incidents of one service. ``grouping`` puts every alert into the one incident that is open.

    ``by_key`` maps a dedup key to a dict with ``dedup_key``, ``status`` (of its newest incident), ``count`` (how many
    alerts the key opened) and ``events`` (all that were accepted, as sent, without the routing key). ``strays`` are the
    accepted events of keys that nothing had triggered yet, of which PagerDuty keeps nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self.grouping = False
        self.by_key: dict[str, dict[str, Any]] = {}
        self.all: dict[str, Incident] = {}
        self.strays: list[dict[str, Any]] = []
        self.log: list[Entry] = []
        self.users: dict[str, Agent] = {}
        self._alerts = 0
        self._holding: dict[str, dict[int, Incident]] = {}
        """By its dedup key, the incidents that hold an alert, by number."""
        self._clock = clock
        self._integration, self._service = Agent(*_INTEGRATION), Agent(*SERVICE)
        self.add_user("Alice Example")
        self.add_user("Bob Example")

    def add_user(self, name: str, email: str = "") -> str:
        """Make (or remake) a user, and tell the id."""
        user_id = f"P{''.join(char for char in name.upper() if char.isalnum())[:6]:0<6}"
        first = name.split(maxsplit=1)[0].lower()
        self.users[user_id] = Agent(user_id, "user", name, email or f"{first}@example.com")
        return user_id

    def process(self, dedup_key: str, event: Mapping[str, Any]) -> None:
        """Do what an accepted event says; of an unknown key only a trigger says something."""
        told, action = self.by_key.get(dedup_key), event["event_action"]
        kept = {key: value for key, value in event.items() if key != "routing_key"}
        if told is None:
            if action != "trigger":
                self.strays.append(kept)
                return
            told = {"dedup_key": dedup_key, "status": RESOLVED, "count": 0, "events": []}
            self.by_key[dedup_key] = told
        told["events"].append(kept)
        incident, alert = self._open_alert(dedup_key)
        if action == "trigger" and alert is None:
            told["count"] += 1
            self._open(dedup_key, event["payload"]["summary"])
        elif incident is not None and action == "acknowledge":
            self._acknowledge(incident, self._integration, "api")
        elif incident is not None and alert is not None and action == "resolve":
            alert.open = False
            if not any(one.open for one in incident.alerts):
                self._resolve(incident, self._integration, "api")
        self._tell(dedup_key)

    def acknowledge(self, wanted: str, user: str) -> None:
        """Let ``user`` acknowledge the incident of that id, or the newest of that dedup key; LookupError if none."""
        self._acknowledge(self.of(wanted), self.user(user), "website")

    def unacknowledge(self, wanted: str) -> None:
        """Let the acknowledgement time out."""
        incident = self.of(wanted)
        if incident.status == ACKNOWLEDGED:
            incident.acknowledged.clear()
            self._change(incident, TRIGGERED, "unacknowledge_log_entry", self._service, "timeout")

    def resolve(self, wanted: str, user: str) -> None:
        """Let ``user`` resolve the incident of that id, or the newest of that dedup key, with all its alerts."""
        self._resolve(self.of(wanted), self.user(user), "website")

    def of(self, wanted: str) -> Incident:
        """The incident of that id, or the newest of that dedup key; raises LookupError."""
        if wanted in self.all:
            return self.all[wanted]
        for incident in reversed(self._with(wanted)):
            return incident
        raise LookupError(f"no incident {wanted}")

    def user(self, wanted: str) -> Agent:
        """The user of that id, name or first name; raises LookupError."""
        for user in self.users.values():
            if wanted.lower() in (user.id.lower(), user.name.lower(), user.name.split()[0].lower()):
                return user
        raise LookupError(f"no user {wanted}")

    def _open_alert(self, dedup_key: str) -> tuple[Incident | None, Alert | None]:
        for incident in reversed(self._with(dedup_key)):
            for alert in incident.alerts:
                if alert.key == dedup_key and alert.open:
                    return incident, alert
        return None, None

    def _open(self, dedup_key: str, title: str) -> None:
        now = self._clock()
        group = next((one for one in self.all.values() if one.status != RESOLVED), None) if self.grouping else None
        self._alerts += 1
        alert = Alert(id=f"Q{self._alerts:013}", key=dedup_key, title=title, at=now)
        if group is not None:
            group.alerts.append(alert)
            self._hold(group, dedup_key)
            return
        number = len(self.all) + 1
        incident = Incident(
            id=f"Q{number:07}INCI",
            number=number,
            title=title,
            key=None if self.grouping else dedup_key,
            created=now,
            changed=now,
            changed_by=self._integration,
            alerts=[alert],
        )
        self.all[incident.id] = incident
        self._hold(incident, dedup_key)
        first = next(iter(self.users.values()), self._service)
        self._note("trigger_log_entry", self._integration, "api", incident)
        self._note("assign_log_entry", self._service, "auto", incident)
        self._note("notify_log_entry", first, "auto", incident)

    def _acknowledge(self, incident: Incident, agent: Agent, channel: str) -> None:
        if incident.status == RESOLVED:
            return
        incident.acknowledged.append((agent, self._clock()))
        self._change(incident, ACKNOWLEDGED, "acknowledge_log_entry", agent, channel)

    def _resolve(self, incident: Incident, agent: Agent, channel: str) -> None:
        if incident.status == RESOLVED:
            return
        incident.acknowledged.clear()
        incident.resolved = self._clock()
        for alert in incident.alerts:
            alert.open = False
        self._change(incident, RESOLVED, "resolve_log_entry", agent, channel)

    def _change(self, incident: Incident, status: str, kind: str, agent: Agent, channel: str) -> None:
        incident.status, incident.changed, incident.changed_by = status, self._clock(), agent
        self._note(kind, agent, channel, incident)
        for alert in incident.alerts:
            self._tell(alert.key)

    def _note(self, kind: str, agent: Agent, channel: str, incident: Incident) -> None:
        number = f"R{len(self.log) + 1:025}"
        self.log.append(Entry(id=number, kind=kind, at=self._clock(), agent=agent, channel=channel, incident=incident))

    def _tell(self, dedup_key: str) -> None:
        status = RESOLVED
        for incident in self._with(dedup_key):
            is_open = any(alert.open for alert in incident.alerts if alert.key == dedup_key)
            status = incident.status if is_open else RESOLVED
        self.by_key[dedup_key]["status"] = status

    def _hold(self, incident: Incident, dedup_key: str) -> None:
        self._holding.setdefault(dedup_key, {})[incident.number] = incident

    def _with(self, dedup_key: str) -> list[Incident]:
        """Those that hold an alert of the key, the oldest first."""
        return [incident for _, incident in sorted(self._holding.get(dedup_key, {}).items())]
