"""A stand-in for Jira Service Management's integration events, by which alerts page people.

https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v2/api-group-integration-events/
"""

from __future__ import annotations

import re
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.server import Service

PREFIX: Final = "/jsm/ops/integration/v2"
_PATH: Final = re.compile(rf"{PREFIX}/alerts(?:/(.+)/([^/]+))?")
_LIMITS: Final = {"message": 130, "alias": 512, "description": 15_000, "source": 100, "user": 100, "note": 25_000}
"""https://docs.opsgenie.com/docs/alerts-and-alert-fields"""
_MAX_DETAILS: Final = 8000
_PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
_PER_MINUTE: Final = 600


class Jsm(Service):
    """One team's integration. ``limits`` of False is no limit.

    ``alerts`` are those that were opened, in order: their fields, ``status`` (open or closed), ``acknowledged``,
    ``notes`` and ``count``, how often each was sent while it was open. ``filtered`` says that the integration's filter
    lets nothing pass: what is accepted then is not carried out.
    """

    name = "jsm"
    verbs = ("acknowledge", "resolve")

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.api_key = "not-a-real-integration-key"
        self.filtered = False
        self.alerts: list[dict[str, Any]] = []
        self._requests: dict[str, dict[str, Any]] = {}
        self._window = SlidingWindow(_PER_MINUTE, 60) if limits else None

    @property
    def url(self) -> str:
        return f"{self.origin}{PREFIX}"

    def about(self, alias: str) -> list[dict[str, Any]]:
        """The alerts of that alias, in the order in which they were opened."""
        with self.lock:
            return [one for one in self.alerts if one["alias"] == alias]

    def acknowledge(self, alias: str) -> None:
        """As somebody does it who was paged."""
        self._open(alias)["acknowledged"] = True

    def resolve(self, alias: str) -> None:
        """As somebody does it who was paged."""
        self._open(alias)["status"] = "closed"

    def restore(self) -> None:
        super().restore()
        self.filtered = False

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "api_key": self.api_key}

    def snapshot(self) -> dict[str, Any]:
        return {"alerts": len(self.alerts)}

    def refuse(self, status: int) -> Reply:
        return Reply.json({"message": "No", "took": 0.0, "requestId": "none"}, status)

    def respond(self, request: Request) -> Reply:
        if self.revoked or request.header("Authorization") != f"GenieKey {self.api_key}":
            return self.refuse(401)
        if self._window and (wait := self._window.take(self.clock())):
            return Reply.json({"message": "You are making too many requests!"}, 429, {"Retry-After": f"{wait:.0f}"})
        found = _PATH.fullmatch(request.path)
        match request.method, found.groups() if found else None:
            case "GET", ("requests", known):
                told = self._requests.get(known)
                return self.refuse(404) if told is None else Reply.json({"data": told, "requestId": known})
            case "POST", (None, None) if (event := _event(request)) is not None:
                return self._create(event)
            case "POST", (alias, ("acknowledge" | "close") as action) if (event := _event(request)) is not None:
                return self._act(event, alias, action, request.query.get("identifierType", ""))
            case "POST", _:
                return self.refuse(422)
        return self.refuse(404)

    def _create(self, event: dict[str, Any]) -> Reply:
        details = event.get("details", {})
        wrong = _too_long(event) or not event.get("message") or event.get("priority", "P3") not in _PRIORITIES
        texts = all(isinstance(name, str) and isinstance(value, str) for name, value in details.items())
        if wrong or not texts or sum(len(name) + len(value) for name, value in details.items()) > _MAX_DETAILS:
            return self.refuse(422)
        if self.filtered:
            return self._accepted(False, "Alert action is filtered out by the integration")
        alias = event.get("alias", "")
        for one in self.alerts:
            if one["alias"] == alias and one["status"] == "open":
                one["count"] += 1
                return self._accepted(True, "Counted up")
        fresh = {"status": "open", "acknowledged": False, "count": 1, "notes": []}
        self.alerts.append({**event, "alias": alias, **fresh})
        return self._accepted(True, "Created alert")

    def _act(self, event: dict[str, Any], alias: str, action: str, identified_by: str) -> Reply:
        if _too_long(event):
            return self.refuse(422)
        found = self._find(alias) if identified_by == "alias" else None
        if found is None:
            return self._accepted(False, "Alert does not exist")
        if action == "close":
            found["status"] = "closed"
        else:
            found["acknowledged"] = True
        found["notes"].append(event.get("note", ""))
        return self._accepted(True, action)

    def _accepted(self, success: bool, status: str) -> Reply:
        known = f"{len(self._requests):08d}-0000-4000-8000-000000000000"
        self._requests[known] = {"success": success, "isSuccess": success, "status": status}
        return Reply.json({"result": "Request will be processed", "took": 0.01, "requestId": known}, 202)

    def _find(self, alias: str) -> dict[str, Any] | None:
        return next((one for one in self.alerts if one["alias"] == alias and one["status"] == "open"), None)

    def _open(self, alias: str) -> dict[str, Any]:
        found = self._find(alias)
        if found is None:
            raise LookupError(f"no alert of {alias} is open")
        return found


def _too_long(event: dict[str, Any]) -> bool:
    return any(len(event.get(name) or "") > most for name, most in _LIMITS.items())


def _event(request: Request) -> dict[str, Any] | None:
    """The body; None where it is no JSON, or came in part: who sent it may have been killed."""
    try:
        event = request.json()
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
