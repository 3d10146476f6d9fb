"""An alert as an event of PagerDuty's Events API v2. Pure.

The shape and its limits: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from forwarder import paging
from forwarder.alert import Alert, Severity, in_names
from forwarder.connector import Delivery, Kind, Texts, clean, cut

ROUTING_KEY_LENGTH: Final = 32
"""Characters."""

MAX_SUMMARY: Final = 1024
"""Characters of ``payload.summary``; a longer one is refused."""

MAX_DEDUP_KEY: Final = 255
"""Characters."""

MAX_EVENT: Final = 512_000
"""Bytes of the whole event as JSON. The vendor says 512 KB, and not which kilobyte: the smaller one is safe."""

MAX_LINKS: Final = 20
"""Our own: the details list every source, so that the links stay few enough to read."""

MAX_HREF: Final = 2000
"""Our own, in characters: no browser follows more for certain. A longer source stands in the details alone."""

MAX_TEXT: Final = 255
"""Our own, in characters: source, class, group and the text of a link are labels."""

MAX_DEPTH: Final = 10
"""Our own: what an unknown field nests deeper is left out, for encoders end in a recursion error."""

MIN_CUT: Final = 2000
"""Our own, in bytes: what remains of the description and of every other long value, however many there are."""

CUT_MARK: Final = "… (cut)"

_SEVERITIES: Final = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
}
_LEFT_OUT_ROOM: Final = 1000
_ROUTING_KEY_FIELD: Final = len(',"routing_key":""') + ROUTING_KEY_LENGTH


def dedup_key(alert: Alert) -> str:
    """The key under which PagerDuty folds everything about ``alert`` into one incident."""
    return paging.dedup_key(alert, MAX_DEDUP_KEY)


def trigger_event(delivery: Delivery, key: str, texts: Texts) -> dict[str, Any]:
    """The event that opens or escalates an incident, with room for the routing key that it is sent with."""
    alert = delivery.alert
    vendors = delivery.vendor_names
    payload: dict[str, Any] = {
        "summary": cut(paging.title(delivery, texts), MAX_SUMMARY),
        "source": cut(vendors[0] if vendors else "sentrytex", MAX_TEXT),
        "severity": _SEVERITIES[alert.severity],
        "timestamp": delivery.enqueued_at.isoformat(),
    }
    if vendors:
        payload["group"] = cut(", ".join(vendors), MAX_TEXT)
    if alert.alert_type:
        payload["class"] = cut(alert.alert_type, MAX_TEXT)
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": key,
        "payload": payload,
        "links": _links(delivery),
        "client": "Sentrytex",
        "client_url": "https://www.sentrytex.com",
    }
    details = _details(delivery, texts.text(delivery, alert.description))
    payload["custom_details"] = {}
    room = MAX_EVENT - _size(event) - _ROUTING_KEY_FIELD + _size({})
    payload["custom_details"] = fitted(details, room)
    return event


def fitted(details: Mapping[str, Any], room: int) -> dict[str, Any]:
    """``details`` in at most ``room`` bytes of JSON: the description is cut first, then whatever is largest.

    Where cutting is not enough because there are too many, the last ones go altogether and ``left_out`` names them.
    """
    kept = dict(details)
    if _size(kept) <= room:
        return kept
    # An object of n entries has two braces and n - 1 commas: each entry's braces count as its comma.
    costs = {name: _size({name: value}) - 1 for name, value in details.items()}
    excess = 1 + sum(costs.values()) - (room - _LEFT_OUT_ROOM)
    for name in sorted(costs, key=lambda name: (name != "description", -costs[name])):
        if excess > 0:
            kept[name] = _shorter(details[name], excess)
            excess -= costs[name] - (_size({name: kept[name]}) - 1)
    left_out = []
    while excess > 0:
        name, value = kept.popitem()
        left_out.append(name)
        excess -= _size({name: value}) - 1
    if left_out:
        kept["left_out"] = cut(f"{len(left_out)} fields, too many for one event: {', '.join(left_out)}", 150)
    return kept


def _shorter(value: Any, by: int) -> Any:
    """``value`` as a text that takes ``by`` bytes less, with a mark; never less than MIN_CUT bytes of it, though."""
    text = value if isinstance(value, str) else _json(value)
    encoded = text.encode()
    # Quotes inside a text that was no text before are escaped now.
    by += _size(text) - _size(value) + len(CUT_MARK.encode())
    shorter = encoded[: max(len(encoded) - by, MIN_CUT)].decode(errors="ignore").rstrip() + CUT_MARK
    return shorter if _size(shorter) < _size(value) else value


def _details(delivery: Delivery, text: str) -> dict[str, Any]:
    """Every field of the alert, the ones that we do not know included, without those that say nothing."""
    alert = delivery.alert
    known: dict[str, Any] = {
        "description": clean(text),
        "severity": alert.severity_label,
        "owner": clean(", ".join(str(getattr(owner, "root", "")) for owner in delivery.owners)),
        "cve_id": alert.cve_id,
        "cvss_score": alert.cvss_score,
        "epss_score": alert.epss_score,
        "cisa_kev": alert.cisa_kev,
        "vendors": list(delivery.vendor_names) if delivery.vendors else [],
        "affected_vendors": list(alert.affected_vendors),
        "evidence": list(delivery.evidence),
        "account": delivery.seen_by,
        "alert_type": alert.alert_type,
        "published_at": alert.published_at.isoformat() + (f" ({alert.date_note})" if alert.date_note else ""),
        "source_urls": list(alert.source_urls),
        "title": alert.title,
        "id": alert.id,
    }
    if delivery.changes:
        changes = [in_names(change, delivery.vendors) for change in delivery.changes]
        known["changes"] = [f"{change.field}: {plain(change.old)} → {plain(change.new)}" for change in changes]
    if delivery.reminder:
        known["reminder"] = clean(delivery.reminder)
    if delivery.kind is Kind.REOPEN and delivery.response:
        known["reopened"] = clean(": ".join(filter(None, (delivery.response.words, delivery.response.reason))))
    details = {name: value for name, value in known.items() if not _says_nothing(value)}
    for name, value in alert.raw.items():
        # A known field is here again where its value could not be read as its type: then it is shown as it came.
        if not _says_nothing(value):
            details.setdefault(clean(name), plain(value))
    return details


def plain(value: object, depth: int = 0) -> Any:
    """A JSON value that every encoder takes: texts cleaned, numbers finite, nothing nested past MAX_DEPTH."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping | list | tuple) and depth == MAX_DEPTH:
        return CUT_MARK
    if isinstance(value, Mapping):
        return {clean(str(name)): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    return value


def _links(delivery: Delivery) -> list[dict[str, str]]:
    """Where the alert stands elsewhere, its own page, then the one to read first, then its sources."""
    alert = delivery.alert
    links = {link.url: link.text for link in delivery.links}
    if delivery.page:
        links.setdefault(delivery.page, "Forwarder: why it is here, and who has it")
    if alert.link:
        links.setdefault(alert.link, alert.cve_id or alert.link)
    for url in alert.source_urls:
        links.setdefault(url, url)
    short = ((url, text) for url, text in links.items() if len(url) <= MAX_HREF)
    return [{"href": url, "text": cut(text, MAX_TEXT)} for url, text in list(short)[:MAX_LINKS]]


def _says_nothing(value: object) -> bool:
    return value is None or value in ("", [], {})


def _json(value: object) -> str:
    # As the SDK's client encodes it, so that sizes agree.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _size(value: object) -> int:
    return len(_json(value).encode())
