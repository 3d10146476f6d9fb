"""How each of our connectors is set up against the sandbox, and what each trouble must come to."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

from connectors.jira.identity import Identity
from forwarder.alert import Alert
from forwarder.connector import Broken, Delivered, RateLimited, Rejected, Retry, Uncertain
from forwarder.sandbox import Sandbox
from forwarder.testing import Kinds, Target

_FINAL: Final[Mapping[int, Kinds]] = {
    400: (Rejected,),
    401: (Broken,),
    403: (Broken,),
    404: (Broken,),
    410: (Broken,),
    413: (Rejected,),
    422: (Rejected,),
    429: (RateLimited,),
}
_SERVER: Final = (500, 501, 502, 503, 504, 520, 599)


# How often an alert stands at each destination


def _messages(sandbox: Sandbox, alert: Alert) -> int:
    stands = [message for message in sandbox.slack.messages if not message["deleted"] and not message["webhook"]]
    return sum(
        (message["metadata"] or {}).get("event_payload", {}).get("alert_id") == alert.id
        and message["thread_ts"] in (None, message["ts"])
        for message in stands
    )


def _webhook_messages(sandbox: Sandbox, alert: Alert) -> int:
    # A webhook's message holds no id; the suite gives each alert a title of its own.
    return sum(message["webhook"] and alert.title in json.dumps(message) for message in sandbox.slack.messages)


def _incidents(sandbox: Sandbox, alert: Alert) -> int:
    incident = sandbox.pagerduty.incidents.get(f"sentrytex:{alert.id}")
    return int(incident["count"]) if incident else 0


def is_ticket_of(issue: Mapping[str, Any], alert: Alert) -> bool:
    """Whether that is the alert's ticket in the sandbox's Jira, by whichever identity it was created."""
    word, description = Identity.of(alert.id).word, issue["fields"].get("description")
    return f"sentrytex-{alert.id}" in issue["fields"]["labels"] or word in json.dumps(description)


def _issues(sandbox: Sandbox, alert: Alert) -> int:
    return sum(is_ticket_of(issue, alert) for issue in sandbox.jira.issues.values())


def _cards(sandbox: Sandbox, alert: Alert) -> int:
    # Nor does a card; what Teams refused stands nowhere.
    return sum(alert.title in json.dumps(card, ensure_ascii=False) for card in sandbox.teams.cards)


def _labelled(sandbox: Sandbox, alert: Alert) -> int:
    return sum(f"sentrytex-{alert.id}" in issue.labels for issue in sandbox.github.issues.values())


def _duty_alerts(sandbox: Sandbox, alert: Alert) -> int:
    return len(sandbox.jsm.about(f"sentrytex:{alert.id}"))


def _posted(sandbox: Sandbox, alert: Alert) -> int:
    # One that comes again under its id is the same one to a receiver.
    return sum(message["type"] == "alert.opened" for message in sandbox.webhook.about(alert.id))


def _told(sandbox: Sandbox, alert: Alert) -> int:
    # Nor does a message; what breaks up a mention stands in no title of the suite.
    return sum(alert.title in message["title"] for message in sandbox.apprise.messages)


def _pings(sandbox: Sandbox) -> bool:
    return any(message["pings"] for message in sandbox.slack.messages)


def _index_late(sandbox: Sandbox, seconds: float) -> None:
    sandbox.jira.index_lag = seconds


def _by_text(target: Target[Sandbox]) -> Target[Sandbox]:
    """The same connector to a site on whose screens there is no field Labels."""

    def config(sandbox: Sandbox) -> Mapping[str, Any]:
        sandbox.jira.project.hidden_fields.add("labels")
        return {**target.config(sandbox), "identity": "text"}

    return replace(target, name=f"{target.name}-text", config=config)


def _mailed(sandbox: Sandbox, alert: Alert) -> int:
    # One that comes again under its id is the same one; what is no answer to another opened the alert.
    mails = [copies[0].message for copies in sandbox.email.by_id().values() if alert.id in copies[0].text]
    return sum("In-Reply-To" not in mail for mail in mails)


def _basic(email: str, token: str) -> str:
    return base64.b64encode(f"{email}:{token}".encode()).decode()


_SLACK_STATUSES: Final[Mapping[int, Kinds]] = {
    **_FINAL,
    408: (Retry,),
    409: (Retry,),
    **dict.fromkeys(_SERVER, (Uncertain,)),
}

_OURS: Final[tuple[Target[Sandbox], ...]] = (
    Target(
        name="slack-token",
        kind="slack",
        config=lambda sandbox: {
            "token": sandbox.slack.token,
            "channel": "#secops",
            "base_url": sandbox.slack.url,
        },
        service=lambda sandbox: sandbox.slack,
        pings=_pings,
        send="chat.postMessage",
        find_path="conversations.",
        secrets=lambda sandbox: (sandbox.slack.token,),
        count=_messages,
        lost=(Uncertain,),
        statuses=_SLACK_STATUSES,
    ),
    Target(
        name="slack-webhook",
        kind="slack",
        config=lambda sandbox: {"webhook_url": sandbox.slack.webhook_url},
        service=lambda sandbox: sandbox.slack,
        pings=_pings,
        send="/services/",
        secrets=lambda sandbox: (sandbox.slack.webhook_url, sandbox.slack.webhook_url.rpartition("/")[2]),
        count=_webhook_messages,
        lost=(Uncertain,),
        statuses=_SLACK_STATUSES,
        once=False,
        edits=False,
        checks=False,
    ),
    Target(
        name="pagerduty",
        kind="pagerduty",
        config=lambda sandbox: {"routing_key": sandbox.pagerduty.routing_key, "base_url": sandbox.pagerduty.url},
        service=lambda sandbox: sandbox.pagerduty,
        send="/v2/enqueue",
        secrets=lambda sandbox: (sandbox.pagerduty.routing_key,),
        count=_incidents,
        again=1,
        lost=(Retry,),
        statuses={**_FINAL, 407: (Broken,), 408: (Retry,), 409: (Rejected,), **dict.fromkeys(_SERVER, (Retry,))},
    ),
    Target(
        name="jira-cloud",
        kind="jira",
        config=lambda sandbox: {
            "url": sandbox.jira.url,
            "email": sandbox.jira.email,
            "token": sandbox.jira.token,
            "project": "SEC",
        },
        service=lambda sandbox: sandbox.jira,
        delay=_index_late,
        send="POST /rest/api/3/issue",
        find_path="/rest/api/3/search",
        secrets=lambda sandbox: (sandbox.jira.token, _basic(sandbox.jira.email, sandbox.jira.token)),
        count=_issues,
        lost=(Uncertain,),
        statuses={**_FINAL, 408: (Uncertain, Retry), 409: (Uncertain,), **dict.fromkeys(_SERVER, (Uncertain,))},
    ),
    Target(
        name="jira-data-center",
        kind="jira",
        config=lambda sandbox: {"url": sandbox.jira.url, "token": sandbox.jira.token, "project": "SEC"},
        service=lambda sandbox: sandbox.jira,
        delay=_index_late,
        send="POST /rest/api/2/issue",
        find_path="/rest/api/2/search",
        secrets=lambda sandbox: (sandbox.jira.token,),
        count=_issues,
        lost=(Uncertain,),
        statuses={**_FINAL, 408: (Uncertain, Retry), 409: (Uncertain,), **dict.fromkeys(_SERVER, (Uncertain,))},
    ),
    Target(
        name="github",
        kind="github",
        config=lambda sandbox: {
            "repository": sandbox.github.repository,
            "token": sandbox.github.token,
            "base_url": sandbox.github.url,
        },
        service=lambda sandbox: sandbox.github,
        pings=lambda sandbox: any(issue.mentions or issue.references for issue in sandbox.github.issues.values()),
        send="POST /repos/example/security/issues",
        find_path="GET /repos/example/security/issues",
        nothing="[]",
        secrets=lambda sandbox: (sandbox.github.token,),
        count=_labelled,
        lost=(Uncertain,),
        statuses={**_FINAL, 408: (Uncertain, Retry), 409: (Uncertain,), **dict.fromkeys(_SERVER, (Uncertain,))},
    ),
    Target(
        name="teams",
        kind="teams",
        config=lambda sandbox: {"url": sandbox.teams.url, "max_rate": None},
        service=lambda sandbox: sandbox.teams,
        send="POST /workflows/",
        secrets=lambda sandbox: (sandbox.teams.url, sandbox.teams.signature),
        count=_cards,
        lost=(Uncertain, Delivered),
        statuses={
            **_FINAL,
            408: (Retry,),
            409: (Retry,),
            **dict.fromkeys(_SERVER, (Uncertain,)),
            503: (Uncertain, Retry),
        },
        once=False,
        edits=False,
    ),
    Target(
        name="jsm",
        kind="jsm",
        config=lambda sandbox: {"api_key": sandbox.jsm.api_key, "base_url": sandbox.jsm.url, "max_rate": None},
        service=lambda sandbox: sandbox.jsm,
        send="POST /jsm/",
        secrets=lambda sandbox: (sandbox.jsm.api_key,),
        count=_duty_alerts,
        again=1,
        lost=(Uncertain, Delivered),
        statuses={
            **_FINAL,
            408: (Retry,),
            409: (Retry,),
            **dict.fromkeys(_SERVER, (Uncertain,)),
            503: (Uncertain, Retry),
        },
    ),
    Target(
        name="webhook",
        kind="webhook",
        for_people=False,
        config=lambda sandbox: {
            "url": sandbox.webhook.url,
            "signing_key": sandbox.webhook.signing_keys[0],
            "headers": {"Authorization": f"Bearer {sandbox.webhook.token}"},
        },
        service=lambda sandbox: sandbox.webhook,
        send="POST /hooks/",
        secrets=lambda sandbox: (
            sandbox.webhook.url,
            sandbox.webhook.url.rpartition("/")[2],
            sandbox.webhook.signing_keys[0].removeprefix("whsec_"),
            sandbox.webhook.token,
        ),
        count=_posted,
        # Who has said yes has said it, whatever becomes of the rest of the answer.
        lost=(Uncertain, Delivered),
        statuses={
            **_FINAL,
            408: (Retry,),
            409: (Retry,),
            **dict.fromkeys(_SERVER, (Uncertain,)),
            503: (Uncertain, Retry),
        },
    ),
    Target(
        name="email",
        kind="email",
        config=lambda sandbox: {
            "host": "127.0.0.1",
            "port": sandbox.email.port,
            "security": "none",
            "username": sandbox.email.username,
            "password": sandbox.email.password,
            "from": "Alerts <alerts@example.com>",
            "to": ["secops@example.com", "oncall@example.com"],
        },
        service=lambda sandbox: sandbox.email,
        send="MESSAGE",
        tell="MESSAGE",
        http=False,
        secrets=lambda sandbox: (
            sandbox.email.password,
            base64.b64encode(sandbox.email.password.encode()).decode(),
            base64.b64encode(f"\0{sandbox.email.username}\0{sandbox.email.password}".encode()).decode(),
        ),
        count=_mailed,
        # Who has said yes has said it, whatever becomes of the rest of the answer.
        lost=(Uncertain, Delivered),
        statuses={
            300: (Uncertain,),
            **dict.fromkeys((400, 421, 450, 451, 452), (Retry,)),
            **dict.fromkeys((500, 550, 552, 554), (Rejected,)),
            **dict.fromkeys((530, 534, 535), (Broken,)),
        },
    ),
    Target(
        name="apprise",
        kind="apprise",
        config=lambda sandbox: {"url": sandbox.apprise.url, "max_rate": None},
        service=lambda sandbox: sandbox.apprise,
        pings=lambda sandbox: bool(sandbox.apprise.pings),
        send="POST /notify/",
        secrets=lambda sandbox: (sandbox.apprise.url, sandbox.apprise.token),
        count=_told,
        lost=(Uncertain,),
        statuses={
            **_FINAL,
            408: (Retry,),
            409: (Retry,),
            **dict.fromkeys(_SERVER, (Uncertain,)),
            503: (Uncertain, Retry),
        },
        once=False,
        edits=False,
    ),
)

OPTIONAL: Final[Mapping[str, str]] = {"apprise": "apprise"}
"""Types of connectors that need a further package, and which."""

TARGETS: Final[tuple[Target[Sandbox], ...]] = tuple(
    one for one in _OURS if one.kind not in OPTIONAL or find_spec(OPTIONAL[one.kind])
)
"""Every connector that talks to a service and can be used here. The console has no wire, and a suite of its own."""

BY_TEXT: Final = tuple(_by_text(target) for target in TARGETS if target.kind == "jira")
"""Jira's once more, where tickets are found by a line of their description."""
