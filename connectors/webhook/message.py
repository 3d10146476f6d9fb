"""A delivery as a message of Standard Webhooks, in JSON. Pure.

The shape is published in ``docs/webhook-v1.schema.json``. What is added there makes no new version; what changes or
goes does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connectors.webhook.room import Room, rooms
from forwarder.alert import Alert, Change
from forwarder.connector import Delivery, Kind, Origin, Texts, clean, identity, one_line

VERSION: Final = 1
"""Of the shape."""

MAX_MESSAGE: Final = 20_000
"""Bytes of a message, which Standard Webhooks advises to keep below 20 kB:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-size
"""

TYPES: Final[Mapping[Kind, str]] = {
    Kind.OPEN: "alert.opened",
    Kind.UPDATE: "alert.updated",
    Kind.ACKNOWLEDGE: "alert.acknowledged",
    Kind.RESOLVE: "alert.resolved",
    Kind.REOPEN: "alert.reopened",
    Kind.REMIND: "alert.reminded",
    Kind.WITHDRAW: "alert.withdrawn",
}
"""What a message is called that tells of one alert."""

MANY: Final[Mapping[Origin, str]] = {Origin.DIGEST: "digest", Origin.REPORT: "report"}
"""What one is called that tells of many."""

_KNOWN: Final = frozenset(
    {"affected_vendors", "alert_type", "cisa_kev", "cve_id", "cvss_score", "description", "epss_score", "id"}
    | {"published_at", "severity", "source_urls", "title"}
)
"""Fields of the API that have a place of their own in a message."""


def message(delivery: Delivery, texts: Texts) -> dict[str, Any]:
    """The message, in MAX_MESSAGE bytes: what is longest is cut first, and ``cut`` says what was."""
    made: dict[str, Any] = {}
    for room in rooms():
        made = _Writer(delivery, texts, room).message()
        if len(body_of(made).encode()) <= MAX_MESSAGE:
            break
    return made


def body_of(message: Mapping[str, Any]) -> str:
    """What goes on the wire: the same text for the same message, wherever it was kept meanwhile."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def message_id(delivery: Delivery) -> str:
    """By what a receiver knows the message again."""
    return f"msg_{identity(delivery)}"


class _Writer:
    """Writes one message with so much room for each of its parts."""

    def __init__(self, delivery: Delivery, texts: Texts, room: Room) -> None:
        self._delivery, self._texts, self._room = delivery, texts, room
        self._owners = [clean(str(getattr(owner, "root", ""))) for owner in delivery.owners]

    def message(self) -> dict[str, Any]:
        delivery = self._delivery
        many = MANY.get(delivery.origin)
        return {
            "type": many or TYPES[delivery.kind],
            "version": VERSION,
            "id": message_id(delivery),
            "timestamp": _instant(delivery.response.at if delivery.response else delivery.enqueued_at),
            "data": {**(self._of_many() if many else self._of_one()), "cut": sorted(self._room.cut)},
        }

    def _of_many(self) -> dict[str, Any]:
        delivery, room = self._delivery, self._room
        return {
            "severity": delivery.alert.severity.value,
            "title": self._title(),
            "text": self._text("text"),
            "alerts": room.entries("alerts", [self._in_short(one) for one in delivery.items]),
            "page": delivery.page,
        }

    def _of_one(self) -> dict[str, Any]:
        delivery, room = self._delivery, self._room
        return {
            "origin": delivery.origin.value,
            "state": "withdrawn" if delivery.kind is Kind.WITHDRAW else delivery.status.value,
            "alert": self._alert(),
            "changes": room.entries("changes", [self._change(one) for one in delivery.changes]),
            "response": self._response(),
            "reminder": room.label("reminder", clean(delivery.reminder)) or None,
            "owners": room.entries("owners", self._owners),
            "evidence": room.entries("evidence", self._evidence()),
            "links": room.entries(
                "links",
                [
                    {
                        "connector": one.connector,
                        "text": room.label("links", clean(one.text)),
                        "url": room.address("links", one.url),
                    }
                    for one in delivery.links
                ],
            ),
            "page": delivery.page,
        }

    def _evidence(self) -> Sequence[str]:
        """None of what is withdrawn: nobody has to act any more."""
        if self._delivery.kind is Kind.WITHDRAW:
            return []
        return [self._room.label("evidence", clean(one)) for one in self._delivery.evidence]

    def _alert(self) -> dict[str, Any]:
        alert, room = self._delivery.alert, self._room
        return {
            "id": clean(alert.id),
            "title": self._title(),
            "description": self._text("alert.description"),
            "severity": alert.severity.value,
            "severity_known": alert.severity_known,
            "cve_id": room.label("alert.cve_id", clean(alert.cve_id or "")) or None,
            "cvss_score": alert.cvss_score,
            "epss_score": alert.epss_score,
            "cisa_kev": alert.cisa_kev,
            "alert_type": room.label("alert.alert_type", clean(alert.alert_type or "")) or None,
            "published_at": _instant(alert.published_at),
            "published_at_known": alert.dated,
            "vendors": room.entries("alert.vendors", self._vendors()),
            # Absent where the config names no accounts.
            **({"accounts": room.entries("alert.accounts", seen_by)} if (seen_by := self._delivery.accounts) else {}),
            "link": room.address("alert.link", alert.link),
            "source_urls": room.addresses("alert.source_urls", alert.source_urls),
            "other": room.fields(
                "alert.other", {k: v for k, v in alert.raw.items() if k not in _KNOWN and k[:1] != "_"}
            ),
        }

    def _in_short(self, alert: Alert) -> dict[str, Any]:
        return {
            "id": clean(alert.id),
            "title": self._room.label("alerts", clean(alert.title)),
            "severity": alert.severity.value,
            "cve_id": self._room.label("alerts", clean(alert.cve_id or "")) or None,
            "cisa_kev": alert.cisa_kev,
            "link": self._room.address("alerts", alert.link),
        }

    def _vendors(self) -> Sequence[dict[str, Any]]:
        """By key, with what the stack says of each; no more than there is room for, and one, by which it is seen."""
        keys = self._delivery.alert.affected_vendors[: self._room.most + 1]
        return [self._vendor(key) for key in keys]

    def _vendor(self, key: str) -> dict[str, Any]:
        known, room = self._delivery.vendors.get(key), self._room
        return {
            "key": room.label("alert.vendors", clean(key)),
            "name": room.label("alert.vendors", clean(known.name if known else key)),
            "categories": room.entries("alert.vendors", [clean(one) for one in known.categories] if known else []),
        }

    def _change(self, change: Change) -> dict[str, Any]:
        room = self._room
        return {
            "field": change.field,
            "old": room.value("changes", change.old),
            "new": room.value("changes", change.new),
            "is_worse": change.is_worse,
        }

    def _response(self) -> dict[str, Any] | None:
        response, room = self._delivery.response, self._room
        if response is None:
            return None
        return {
            "action": response.action.value,
            "who": room.label("response.who", clean(response.person)) or None,
            "where": room.label("response.where", clean(response.place)),
            "at": _instant(response.at),
            "reason": room.text("response.reason", clean(response.reason)),
            "resolution": response.resolution.value if response.resolution else None,
        }

    def _title(self) -> str:
        alert = self._delivery.alert
        title = one_line(clean(self._texts.title(self._delivery, alert.title))) or alert.title
        return self._room.label("alert.title", title)

    def _text(self, where: str) -> str:
        return self._room.text(where, clean(self._texts.text(self._delivery, self._delivery.alert.description)))


def _instant(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def facts(data: Mapping[str, Any]) -> Iterable[str]:
    """What a person looks at first, for a preview: one fact a line."""
    alert = data.get("alert") or data
    yield f"{alert['severity'].upper()} {alert['title']}"
    if vendors := alert.get("vendors"):
        yield ", ".join(vendor["name"] for vendor in vendors)
    if response := data.get("response"):
        yield f"{response['action']} by {response['who'] or 'somebody'} in {response['where']}: {response['reason']}"
    yield from (f"{change['field']}: {change['old']} → {change['new']}" for change in data.get("changes", ()))
    if data.get("reminder"):
        yield data["reminder"]
