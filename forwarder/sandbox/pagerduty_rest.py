"""PagerDuty's REST API as far as it tells of incidents: read-only, with a key of its own.

https://developer.pagerduty.com/api-reference/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.pagerduty_incidents import (
    ACKNOWLEDGED,
    RESOLVED,
    SERVICE,
    TRIGGERED,
    Agent,
    Alert,
    Entry,
    Incident,
    Incidents,
)

T = TypeVar("T")

RESOURCES: Final = {"abilities", "incidents", "log_entries", "services", "users"}
REQUESTS_PER_MINUTE: Final = 960
MAX_LIMIT: Final = 100
MAX_REACH: Final = 10_000
"""Of offset and limit together."""
_DEFAULT_LIMIT: Final = 25
_DEFAULT_RANGE: Final = timedelta(days=30)
_MAX_RANGE: Final = timedelta(days=184)
_WEB: Final = "https://sandbox.pagerduty.com"
_MINOR: Final = {"notify_log_entry"}
_ERRORS: Final = {
    400: (2001, "Invalid Input Provided"),
    401: (2006, "Authentication failed"),
    403: (2010, "Access Denied"),
    404: (2100, "Not Found"),
    429: (2020, "Rate Limit Exceeded"),
    500: (2000, "Internal Server Error"),
}
_INCIDENT_INCLUDES: Final = {
    "acknowledgers", "agents", "assignees", "conference_bridge", "escalation_policies", "first_trigger_log_entries",
    "priorities", "services", "teams", "users",
}  # fmt: skip
_LOG_INCLUDES: Final = {"incidents", "services", "channels", "teams"}
_SORTS: Final = {"incident_number": "number", "created_at": "created", "resolved_at": "resolved", "urgency": "number"}


class _Invalid(Exception):
    """What is wrong with a request, in PagerDuty's words."""


class _Missing(Exception):
    """What was asked for is not there."""


class Rest:
    """The REST API of one account. ``token`` is its key; ``user_key`` is the id of the user whose key it is, if any.

    A key of the account reads everything and is nobody: ``/users/me`` refuses it. ``read_only`` keys change nothing.
    ``routing_keys`` maps the routing key of each integration to the service that it is one of.
    """

    def __init__(self, incidents: Incidents, *, clock: Clock, limits: bool) -> None:
        self.token = "not-a-real-api-token"  # noqa: S105 - opens nothing but this sandbox
        self.user_key: str | None = None
        self.revoked = False
        self.limit_per_minute = REQUESTS_PER_MINUTE if limits else None
        self.routing_keys: dict[str, Agent] = {}
        self._incidents = incidents
        self._clock = clock
        self._window = SlidingWindow(REQUESTS_PER_MINUTE, 60)

    def respond(self, request: Request, origin: str) -> Reply:
        """The answer to a request of the REST API."""
        if request.header("Authorization") != f"Token token={self.token}" or self.revoked:
            return error(401)
        headers, wait = self._limits()
        if wait:
            return error(429, headers=headers)
        try:
            return self._answer(request, _Shown(origin), headers)
        except _Invalid as wrong:
            return error(400, str(wrong), headers=headers)

    def _answer(self, request: Request, shown: _Shown, headers: Mapping[str, str]) -> Reply:
        if request.method != "GET":
            return error(403, headers=headers)
        try:
            found = self._found(request, shown)
        except _Missing:
            return error(404, headers=headers)
        return Reply.json(found, headers=headers)

    def _found(self, request: Request, shown: _Shown) -> dict[str, Any]:
        match request.path.strip("/").split("/"):
            case ["incidents"]:
                return self._list(request, shown)
            case ["incidents", wanted, *rest]:
                return self._of(_got(self._incidents.all, wanted), rest, request, shown)
            case ["log_entries"]:
                return self._log(request, shown, None)
            case ["log_entries", wanted]:
                entry = _got({one.id: one for one in self._incidents.log}, wanted)
                return {"log_entry": shown.entry(entry, _includes(request, _LOG_INCLUDES))}
            case ["users", "me"]:
                return {"user": shown.agent(self._me(), full=True)}
            case ["users"]:
                users = [shown.agent(user, full=True) for user in self._incidents.users.values()]
                return _page(request, "users", users)
            case ["users", wanted]:
                return {"user": shown.agent(_got(self._incidents.users, wanted), full=True)}
            case ["abilities"]:
                return {"abilities": ["teams", "advanced_reports", "service_support_hours", "urgencies"]}
            case ["services"]:
                return _page(request, "services", self._services(request, shown))
        raise _Missing

    def _of(self, incident: Incident, rest: list[str], request: Request, shown: _Shown) -> dict[str, Any]:
        match rest:
            case []:
                return {"incident": shown.incident(incident, _includes(request, _INCIDENT_INCLUDES))}
            case ["log_entries"]:
                return self._log(request, shown, incident)
            case ["alerts"]:
                return _page(request, "alerts", [shown.alert(alert, incident) for alert in incident.alerts])
        raise _Missing

    def _services(self, request: Request, shown: _Shown) -> list[dict[str, Any]]:
        services = (Agent(*SERVICE), *self.routing_keys.values())
        told = {service.id: shown.agent(service, full=True) for service in services}
        for number, (key, service) in enumerate(self.routing_keys.items()):
            integration = {"id": f"PINTEGR{number}", "type": "events_api_v2_inbound_integration_reference"}
            if "integrations" in request.every("include[]"):
                integration |= {"type": "events_api_v2_inbound_integration", "integration_key": key}
            told[service.id].setdefault("integrations", []).append(integration)
        return list(told.values())

    def _me(self) -> Agent:
        user = self._incidents.users.get(self.user_key or "")
        if user is None:
            raise _Invalid("The 'me' user is only there for a key that belongs to a user")
        return user

    def _list(self, request: Request, shown: _Shown) -> dict[str, Any]:
        includes = _includes(request, _INCIDENT_INCLUDES)
        statuses = set(request.every("statuses[]"))
        unknown = statuses - {TRIGGERED, ACKNOWLEDGED, RESOLVED}
        if unknown:
            raise _Invalid(f"statuses[] is invalid: {min(unknown)}")
        since, until = self._range(request)
        if until - since > _MAX_RANGE:
            raise _Invalid("Time range may not be longer than 6 months")
        anytime, key = request.query.get("date_range") == "all", request.query.get("incident_key")
        found = [
            incident
            for incident in self._incidents.all.values()
            if (anytime or since <= incident.created < until)
            and (not statuses or incident.status in statuses)
            and (key is None or key in (incident.key, *(alert.key for alert in incident.alerts)))
        ]
        return _page(request, "incidents", [shown.incident(one, includes) for one in _sorted(request, found)])

    def _log(self, request: Request, shown: _Shown, incident: Incident | None) -> dict[str, Any]:
        includes, (since, until) = _includes(request, _LOG_INCLUDES), self._range(request)
        overview = request.query.get("is_overview") == "true"
        found = [
            shown.entry(entry, includes)
            for entry in reversed(self._incidents.log)
            if (incident is None or entry.incident is incident)
            and since <= entry.at.replace(microsecond=0) < until
            and not (overview and entry.kind in _MINOR)
        ]
        return _page(request, "log_entries", found)

    def _range(self, request: Request) -> tuple[datetime, datetime]:
        until = _instant(request, "until") or self._clock() + timedelta(seconds=1)
        return _instant(request, "since") or until - _DEFAULT_RANGE, until

    def _limits(self) -> tuple[dict[str, str], float]:
        if self.limit_per_minute is None:
            return {}, 0.0
        self._window.limit = self.limit_per_minute
        wait = self._window.take(self._clock())
        left = self._window.left
        reset = max(int(wait) + 1, 1) if wait else 60
        told = {"ratelimit-limit": str(self.limit_per_minute), "ratelimit-remaining": str(left)}
        return {**told, "ratelimit-reset": str(reset)}, wait


class _Shown:
    """How the API shows things."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def agent(self, agent: Agent, *, full: bool = False) -> dict[str, Any]:
        kind = agent.kind if full else f"{agent.kind}_reference"
        told = self._reference(agent.id, kind, agent.name, f"{agent.kind}s")
        if full:
            told |= {"name": agent.name} | ({"email": agent.email, "role": "user"} if agent.email else {})
        return told

    def incident(self, incident: Incident, includes: Iterable[str]) -> dict[str, Any]:
        full = {"acknowledgers", "users"} & set(includes)
        service = Agent(*SERVICE)
        return {
            **self._incident(incident),
            "type": "incident",
            "incident_number": incident.number,
            "title": incident.title,
            "description": incident.title,
            "created_at": _time(incident.created),
            "updated_at": _time(incident.changed),
            "status": incident.status,
            "incident_key": incident.key,
            "service": self.agent(service, full="services" in includes),
            "assignments": [],
            "assigned_via": "escalation_policy",
            "last_status_change_at": _time(incident.changed),
            "last_status_change_by": self.agent(incident.changed_by, full="agents" in includes),
            "resolved_at": incident.resolved and _time(incident.resolved),
            "acknowledgements": [
                {"at": _time(at), "acknowledger": self.agent(agent, full=bool(full))}
                for agent, at in incident.acknowledged
            ],
            "alert_counts": {
                "all": len(incident.alerts),
                "triggered": sum(alert.open for alert in incident.alerts),
                "resolved": sum(not alert.open for alert in incident.alerts),
            },
            "urgency": "high",
            "teams": [],
            "pending_actions": [],
        }

    def alert(self, alert: Alert, incident: Incident) -> dict[str, Any]:
        return {
            **self._reference(alert.id, "alert", alert.title, "alerts"),
            "alert_key": alert.key,
            "status": TRIGGERED if alert.open else RESOLVED,
            "created_at": _time(alert.at),
            "incident": self._incident(incident),
            "service": self.agent(Agent(*SERVICE)),
        }

    def entry(self, entry: Entry, includes: Iterable[str]) -> dict[str, Any]:
        verb = entry.kind.removesuffix("_log_entry")
        told = self._reference(entry.id, entry.kind, f"{verb.title()}d by {entry.agent.name}", "log_entries")
        incident = entry.incident
        return {
            **told,
            "html_url": None,
            "created_at": _time(entry.at),
            "agent": self.agent(entry.agent),
            "channel": {"type": entry.channel},
            "service": self.agent(Agent(*SERVICE), full="services" in includes),
            "incident": self.incident(incident, ()) if "incidents" in includes else self._incident(incident),
            "teams": [],
            "contexts": [],
        }

    def _incident(self, incident: Incident) -> dict[str, Any]:
        title = f"[#{incident.number}] {incident.title}"
        return self._reference(incident.id, "incident_reference", title, "incidents")

    def _reference(self, id_: str, kind: str, summary: str, place: str) -> dict[str, Any]:
        web = f"{_WEB}/{place}/{id_}"
        return {
            "id": id_, "type": kind, "summary": summary, "self": f"{self._origin}/{place}/{id_}", "html_url": web,
        }  # fmt: skip


def error(status: int, *errors: str, headers: Mapping[str, str] | None = None) -> Reply:
    """The REST API's shape of an error."""
    code, message = _ERRORS.get(status, _ERRORS[500])
    body: dict[str, Any] = {"code": code, "message": message}
    if errors:
        body["errors"] = list(errors)
    return Reply.json({"error": body}, status, headers)


def _got(those: Mapping[str, T], wanted: str) -> T:
    if wanted not in those:
        raise _Missing
    return those[wanted]


def _page(request: Request, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        limit = min(int(request.query.get("limit") or _DEFAULT_LIMIT), MAX_LIMIT)
        offset = int(request.query.get("offset") or 0)
    except ValueError:
        raise _Invalid("limit and offset must be integers") from None
    if limit < 1 or offset < 0 or offset + limit > MAX_REACH:
        raise _Invalid(f"Offset plus limit must be from 1 to {MAX_REACH}")
    total = len(items) if request.query.get("total") == "true" else None
    page = items[offset : offset + limit]
    return {name: page, "limit": limit, "offset": offset, "total": total, "more": offset + limit < len(items)}


def _sorted(request: Request, incidents: list[Incident]) -> list[Incident]:
    for sort in reversed(request.query.get("sort_by", "incident_number:asc").split(",")):
        name, _, way = sort.partition(":")
        if name not in _SORTS or way not in ("", "asc", "desc"):
            raise _Invalid(f"sort_by is invalid: {sort}")
        attribute = _SORTS[name]
        known = [one for one in incidents if getattr(one, attribute) is not None]
        rest = [one for one in incidents if getattr(one, attribute) is None]
        known.sort(key=lambda one, attribute=attribute: getattr(one, attribute), reverse=way == "desc")  # type: ignore[misc]
        incidents = known + rest
    return incidents


def _includes(request: Request, allowed: set[str]) -> list[str]:
    wanted = request.every("include[]")
    for name in wanted:
        if name not in allowed:
            raise _Invalid(f"include[] is invalid: {name}")
    return wanted


def _instant(request: Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise _Invalid(f"{name} is not a valid ISO 8601 date") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _time(instant: datetime) -> str:
    """To the second, as the API tells it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
