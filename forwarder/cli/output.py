"""How facts are shown in a terminal: times, states, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from forwarder.alert import Alert, Vendor, Vendors
from forwarder.common.clock import iso
from forwarder.common.text import ago, one_line
from forwarder.connector import Response
from forwarder.delivery.waiting import Waiting
from forwarder.store.mute_records import MutedBy
from forwarder.store.query_records import AlertRow, DeliveryRow

if TYPE_CHECKING:
    from rich.text import Text

SEVERITY_STYLES: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "blue"}
STATUS_STYLES: Final = {"open": "bold", "acknowledged": "yellow", "resolved": "green"}
STATE_STYLES: Final = {
    "delivered": "green",
    "ready": "cyan",
    "sending": "cyan",
    "uncertain": "yellow",
    "dead": "bold red",
}


def print_json(value: Any) -> None:
    """``value`` as indented JSON on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def styled(text: str, styles: Mapping[str, str]) -> Text:
    """``text`` in the colour of its meaning."""
    from rich.text import Text

    return Text(text, style=styles.get(text, ""))


def age(then: float | None, now: float) -> str:
    """How long before ``now`` an instant was; "never" where there is none."""
    return "never" if then is None else ago(now - then)


def moment(at: float | datetime) -> str:
    """An instant for people, to the second."""
    return iso(at.replace(microsecond=0) if isinstance(at, datetime) else int(at))


def alert_json(row: AlertRow, waits: Mapping[int, Waiting] | None = None) -> dict[str, Any]:
    """An alert with its deliveries, for programs; with ``waits`` also what each of them waits for."""
    return {
        **alert_facts(row.alert),
        "vendors": [
            {"key": vendor.key, "name": vendor.name, "categories": list(vendor.categories)}
            for key in row.alert.affected_vendors
            if (vendor := row.vendors.get(key)) is not None
        ],
        **({"accounts": list(row.accounts)} if row.accounts else {}),
        "origin": row.origin,
        "revision": row.revision,
        "seen_at": iso(row.seen_at),
        "unrouted": row.unrouted,
        "status": row.status.value,
        "muted": None if row.muted is None else muted_json(row.muted),
        "deliveries": [delivery_json(delivery, waits) for delivery in row.deliveries],
    }


def muted_text(muted: MutedBy) -> str:
    """What keeps an alert quiet, until when and why, for people."""
    number = f" (mute {muted.id})" if muted.id.isdecimal() else ""
    return f"muted until {moment(muted.until)} by {muted.who}{number}: {one_line(muted.reason)}"


def muted_json(muted: MutedBy) -> dict[str, Any]:
    """The same for programs."""
    return {**muted.facts, "until": iso(muted.until)}


def told_vendors(alert: Alert, vendors: Vendors) -> str:
    """The alert's vendors with their keys and categories, by which routes know them."""
    told = (_told_vendor(key, vendors.get(key)) for key in alert.affected_vendors)
    return ", ".join(told) or "none"


def _told_vendor(key: str, vendor: Vendor | None) -> str:
    if vendor is None:
        return key
    known_by = [*([key] if vendor.name != key else []), *vendor.categories]
    return f"{vendor.name} ({', '.join(known_by)})" if known_by else vendor.name


def alert_facts(alert: Alert) -> dict[str, Any]:
    """What an alert says, for programs."""
    return {
        "id": alert.id,
        "cve_id": alert.cve_id,
        "title": alert.title,
        "severity": alert.severity.value,
        "severity_known": alert.severity_known,
        "cvss_score": alert.cvss_score,
        "epss_score": alert.epss_score,
        "cisa_kev": alert.cisa_kev,
        "affected_vendors": list(alert.affected_vendors),
        "alert_type": alert.alert_type,
        "published_at": iso(alert.published_at),
        "dated": alert.dated,
    }


def response_text(response: Response) -> str:
    """What a person decided, where and when, and why, for people."""
    why = f": {one_line(response.reason)}" if response.reason else ""
    return f"{response.words} ({response.place}, {moment(response.at)}){why}"


def response_json(response: Response) -> dict[str, Any]:
    """The same for programs."""
    return {
        "number": response.number,
        "action": response.action.value,
        "resolution": response.resolution and response.resolution.value,
        "at": iso(response.at),
        "place": response.place,
        "person": response.person,
        "reason": response.reason,
    }


def delivery_json(row: DeliveryRow, waits: Mapping[int, Waiting] | None = None) -> dict[str, Any]:
    """A delivery, for programs; with ``waits`` also what it waits for, null where it is settled."""
    told = {} if waits is None else {"waiting": _waiting_json(waits[row.id]) if row.id in waits else None}
    return {
        "id": row.id,
        "alert_id": row.alert_id,
        "title": row.title,
        "severity": row.severity.value,
        "connector": row.connector,
        "kind": row.kind,
        "revision": row.revision,
        "state": row.state.value,
        "why": row.why,
        "enqueued_at": iso(row.enqueued_at),
        "due_at": iso(row.due_at) if row.due_at else None,
        "settled_at": None if row.settled_at is None else iso(row.settled_at),
        "attempts": row.attempts,
        "last": row.last,
        "receipt": None if row.receipt is None else {"id": row.receipt.remote_id, "url": row.receipt.url},
        **told,
    }


def _waiting_json(waiting: Waiting) -> dict[str, Any]:
    return {
        "for": waiting.cause.value,
        "text": waiting.text,
        "until": None if waiting.until is None else iso(waiting.until),
        "place": waiting.place or None,
        "line": waiting.line or None,
    }
