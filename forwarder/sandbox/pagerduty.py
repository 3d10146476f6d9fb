"""A stand-in for PagerDuty: the Events API v2, and at the same address the REST API, with a key of its own.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.pagerduty_incidents import SERVICE, Agent, Entry, Incidents
from forwarder.sandbox.pagerduty_rest import RESOURCES, Rest, error
from forwarder.sandbox.server import Service

_ACTIONS: Final = ("trigger", "acknowledge", "resolve")
_SEVERITIES: Final = ("critical", "error", "warning", "info")
_KEY_LENGTH: Final = 32
_MAX_DEDUP_KEY: Final = 255
_MAX_SUMMARY: Final = 1024
_MAX_EVENT: Final = 512 * 1024
_EVENTS_PER_MINUTE: Final = 120


class PagerDuty(Service):
    """One integration of one service. ``limit_per_minute`` of None is no limit.

    ``incidents`` maps a dedup key to a dict with ``dedup_key``, ``status`` (of the newest incident), ``count`` (how
    many incidents the key opened) and ``events`` (all that were accepted, as sent, without the routing key).
    ``rest`` is the REST API. Whatever names an incident, in the verbs of people, is its id or a dedup key.
    """

    name = "pagerduty"
    verbs = ("acknowledge", "unacknowledge", "resolve")

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.routing_key = "not-a-real-routing-key-123456789"
        self.limit_per_minute = _EVENTS_PER_MINUTE if limits else None
        self._window = SlidingWindow(_EVENTS_PER_MINUTE, 60)
        self._incidents = Incidents(clock)
        self.rest = Rest(self._incidents, clock=clock, limits=limits)
        self.rest.routing_keys[self.routing_key] = Agent(*SERVICE)

    @property
    def url(self) -> str:
        return self.origin

    @property
    def api_token(self) -> str:
        """The key of the REST API."""
        return self.rest.token

    @property
    def incidents(self) -> dict[str, dict[str, Any]]:
        """By dedup key, in the order in which the keys were first seen."""
        with self.lock:
            return dict(self._incidents.by_key)

    @property
    def log(self) -> list[Entry]:
        """What happened to incidents, oldest first."""
        with self.lock:
            return list(self._incidents.log)

    @property
    def strays(self) -> list[dict[str, Any]]:
        """The events that were accepted, and acted on nothing because their keys were not triggered yet."""
        with self.lock:
            return list(self._incidents.strays)

    @property
    def grouping(self) -> bool:
        """Whether the service puts all alerts that come while an incident is open into that one."""
        return self._incidents.grouping

    @grouping.setter
    def grouping(self, value: bool) -> None:
        self._incidents.grouping = value

    def add_user(self, name: str, email: str = "") -> str:
        """Make (or remake) a user, and tell the id."""
        with self.lock:
            return self._incidents.add_user(name, email)

    def acknowledge(self, incident: str, user: str = "Alice") -> None:
        """Let ``user`` (an id or a name) acknowledge; raises LookupError where there is no such thing."""
        with self.lock:
            self._incidents.acknowledge(incident, user)

    def unacknowledge(self, incident: str) -> None:
        """Let an acknowledgement time out."""
        with self.lock:
            self._incidents.unacknowledge(incident)

    def resolve(self, incident: str, user: str = "Alice") -> None:
        """Let ``user`` (an id or a name) resolve; raises LookupError where there is no such thing."""
        with self.lock:
            self._incidents.resolve(incident, user)

    def revoke_api_token(self) -> None:
        """Make the REST API's key bad, and leave the integration as it is."""
        self.rest.revoked = True

    def restore_api_token(self) -> None:
        """Make the REST API's key good again."""
        self.rest.revoked = False

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "routing_key": self.routing_key, "api_token": self.api_token}

    def snapshot(self) -> dict[str, Any]:
        return {
            "incidents": {
                key: {"count": incident["count"], "events": len(incident["events"]), "status": incident["status"]}
                for key, incident in self._incidents.by_key.items()
            }
        }

    def refuse(self, status: int) -> Reply:
        if status == 429:
            return _answer(429, "throttle exceeded", "Requests for this integration are arriving too quickly")
        return _answer(status, "error", "Internal Server Error")

    def refuse_to(self, request: Request, status: int) -> Reply:
        return error(status) if _is_rest(request) else self.refuse(status)

    def respond(self, request: Request) -> Reply:
        if _is_rest(request):
            return self.rest.respond(request, self.origin)
        if request.line != "POST /v2/enqueue":
            return Reply.json({"status": "not found", "message": "Not Found"}, 404)
        if len(request.body) > _MAX_EVENT:
            return _answer(413, "invalid event", "Event object exceeds the size limit")
        try:
            event = request.json()
        except ValueError:
            return _invalid("Event body is not valid JSON")
        wrong = list(_problems(event))
        if wrong:
            return _invalid(*wrong)
        if event["routing_key"] != self.routing_key or self.revoked:
            return _invalid("'routing_key' is invalid")
        if self._over_limit():
            return self.refuse(429)
        dedup_key = event.get("dedup_key") or uuid.uuid4().hex
        self._incidents.process(dedup_key, event)
        return Reply.json({"status": "success", "message": "Event processed", "dedup_key": dedup_key}, 202)

    def _over_limit(self) -> bool:
        if self.limit_per_minute is None:
            return False
        self._window.limit = self.limit_per_minute
        return self._window.take(self.clock()) > 0


def _is_rest(request: Request) -> bool:
    return request.path.split("/")[1] in RESOURCES


def _problems(event: Any) -> Iterator[str]:
    if not isinstance(event, dict):
        yield "Event must be an object"
        return
    key, action, dedup_key = event.get("routing_key"), event.get("event_action"), event.get("dedup_key")
    if not isinstance(key, str) or len(key) != _KEY_LENGTH:
        yield f"Length of 'routing_key' is incorrect (should be {_KEY_LENGTH} characters)"
    if action not in _ACTIONS:
        yield f"'event_action' must be one of: {', '.join(_ACTIONS)}"
    if dedup_key is not None and (not isinstance(dedup_key, str) or len(dedup_key) > _MAX_DEDUP_KEY):
        yield f"'dedup_key' must be a string of at most {_MAX_DEDUP_KEY} characters"
    if action == "trigger":
        yield from _in_payload(event.get("payload"))
        yield from _in_list(event.get("links"), "links", "href")
        yield from _in_list(event.get("images"), "images", "src")
    elif not dedup_key:
        yield "'dedup_key' is missing or blank"


def _in_payload(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    for name in ("summary", "source"):
        if not isinstance(payload.get(name), str) or not payload[name].strip():
            yield f"'payload.{name}' is missing or blank"
    if len(str(payload.get("summary", ""))) > _MAX_SUMMARY:
        yield f"'payload.summary' is too long (maximum is {_MAX_SUMMARY} characters)"
    if payload.get("severity") not in _SEVERITIES:
        yield f"'payload.severity' is invalid (must be one of the following: {', '.join(_SEVERITIES)})"
    try:
        datetime.fromisoformat(payload.get("timestamp") or "2000-01-01")
    except (TypeError, ValueError):
        yield "'payload.timestamp' is not a valid ISO 8601 date"


def _in_list(items: Any, name: str, required: str) -> Iterator[str]:
    if items is None:
        return
    if not isinstance(items, list):
        yield f"'{name}' must be an array"
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get(required), str) or not item[required]:
            yield f"'{name}[{index}].{required}' is missing or blank"


def _invalid(*errors: str) -> Reply:
    return _answer(400, "invalid event", "Event object is invalid", *errors)


def _answer(status: int, code: str, message: str, *errors: str) -> Reply:
    body: dict[str, Any] = {"status": code, "message": message}
    if errors:
        body["errors"] = list(errors)
    return Reply(status=status, body=json.dumps(body).encode())
