"""What each connector makes of the same sample, rendered by the connector itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import slack_picture

from forwarder.alarms import AlarmType
from forwarder.alert import Alert, Severity
from forwarder.cli.samples import sample_alert
from forwarder.connector import Change, Connector, Delivery, Kind, Link, Origin, Receipt
from forwarder.lifecycle.digests import compose
from forwarder.plugins import load_type
from forwarder.sandbox.samples import sample_alerts

PUBLISHED: Final = datetime(2026, 1, 30, 9, 12, tzinfo=UTC)
"""A fixed time, so that the same code makes the same pages."""

_SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "slack": {"token": "xoxb-not-a-real-token", "channel": "#secops"},
    "pagerduty": {"routing_key": "0" * 32},
    "jsm": {"api_key": "not-a-real-key"},
    "jira": {
        "url": "https://example.atlassian.net",
        "email": "bot@example.com",
        "token": "not-a-real-token",
        "project": "SEC",
        "issue_type": "Bug",
        "priority": {"critical": "Highest"},
        "due_in": {"critical": "2d"},
        "labels": ["security"],
    },
    "teams": {"url": "https://prod-01.westeurope.logic.azure.com/workflows/0123/triggers/manual/paths/invoke?sig=none"},
    "github": {"repository": "example/security", "token": "not-a-real-token"},
    "webhook": {"url": "https://alerts.example.com/hook", "signing_key": f"whsec_{'0' * 32}"},
    "email": {
        "host": "smtp.example.com",
        "from": "Sentrytex alerts <alerts@example.com>",
        "to": ["secops@example.com"],
    },
    "apprise": {"url": f"discord://{'1' * 18}/{'not-a-real-token-' * 4}"},
    "console": {},
}
_NAMES: Final = {
    "slack": "secops",
    "teams": "room",
    "pagerduty": "oncall",
    "jsm": "duty",
    "jira": "tickets",
    "github": "issues",
    "webhook": "hook",
    "email": "mail",
    "apprise": "push",
    "console": "terminal",
}
_RECEIPTS: Final = {
    "slack": "C0SECOPS:1769764330.000100",
    "pagerduty": "sentrytex:sample",
    "jira": "SEC-42",
    "github": "example/security#42",
}
_OWNERS: Final[Mapping[str, Any]] = {
    "slack": "@dev-tools",
    "teams": "Ada Lovelace <ada@example.com>",
    "pagerduty": "dev-tools",
    "jsm": "dev-tools",
    "webhook": "dev-tools",
    "email": "dev-tools@example.com",
    "jira": {"components": [{"name": "Developer Tools"}]},
    "github": {"assignees": ["ada"], "mention": "@example/dev-tools"},
}
_TICKET: Final = Link(connector="tickets", text="SEC-42", url="https://example.atlassian.net/browse/SEC-42")
_WORSE: Final = (
    Change(field="severity", old="high", new="critical"),
    Change(field="cisa_kev", old=False, new=True),
)


def preview(kind: str, what: str) -> str:
    """What ``forwarder preview`` prints of a new alert (``open``, ``json``), of a change of it, or of an alarm."""
    connector = _connector(kind)
    delivery = _delivery(kind, "open" if what == "json" else what)
    payload = connector.render(delivery)
    if what == "json":
        return _block("json", json.dumps(payload, indent=2, ensure_ascii=False))
    return _block("text", connector.preview(payload))


def slack(what: str) -> str:
    """A picture of the message in Slack, from the payload that would be sent."""
    delivery = _delivery("slack", what)
    return slack_picture.preview(_connector("slack").render(delivery), at=delivery.enqueued_at)


def _block(language: str, text: str) -> str:
    """A block of code whose long lines wrap, as they do where people see them."""
    return f"``` {{ .{language} .wrapped }}\n{text}\n```"


def _connector(kind: str) -> Connector[Any]:
    made = load_type(kind)
    return made(_NAMES[kind], made.Config.model_validate({"type": kind, **_SETTINGS[kind]}))


def _delivery(kind: str, what: str) -> Delivery:
    outstanding = Delivery(
        id=1, alert=_alert(), connector=_NAMES[kind], enqueued_at=PUBLISHED + timedelta(seconds=20), links=(_TICKET,)
    )
    if kind == "jira":
        outstanding = replace(outstanding, links=())
    followed = Receipt(remote_id=_RECEIPTS.get(kind, "stdout"))
    match what:
        case "open":
            return outstanding
        case "update":
            return replace(outstanding, kind=Kind.UPDATE, receipt=followed, revision=2, changes=_WORSE)
        case "withdraw":
            return replace(outstanding, kind=Kind.WITHDRAW, receipt=followed, origin=Origin.TEST, links=())
        case "alarm":
            return replace(outstanding, alert=_alarm(), origin=Origin.ALARM, links=())
        case "digest":
            items = _collected()
            made = compose(_NAMES[kind], items, PUBLISHED)
            return replace(outstanding, alert=made, origin=Origin.DIGEST, items=items, links=())
        case "owner":
            owner = load_type(kind).Owner
            owners = (owner.model_validate(_OWNERS[kind]),) if owner else ()
            return replace(outstanding, owners=owners)
    raise ValueError(f"there is no sample of {what}")


def _alert() -> Alert:
    return replace(sample_alert(Severity.CRITICAL, "6e1f0a52-3c1e-4b8e-9a57-2f4f1c0f9b11"), published_at=PUBLISHED)


def _collected() -> tuple[Alert, ...]:
    """Some of what the stand-in of the feed tells, the most severe first."""
    told = [Alert.parse(raw) for raw in sample_alerts(PUBLISHED)]
    return tuple(sorted(told, key=lambda alert: alert.severity.rank)[::3])


def _alarm() -> Alert:
    trouble = AlarmType.PAUSED
    reason = "Jira answered 401: it does not accept the credentials, so renew the token"
    return Alert(
        id="alarm-paused-tickets-1769764332",
        title=trouble.title_template.format(subject="tickets"),
        description=f"{reason}\n\n{trouble.remedy_for('tickets')}",
        severity=trouble.severity,
        published_at=PUBLISHED,
        alert_type="forwarder_alarm",
    )
