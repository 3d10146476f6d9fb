"""What the contract suite must know of each connector: how to set it up, and what each trouble must come to."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from itertools import count
from typing import Any, Final, get_args

from forwarder.alert import Alert, Change
from forwarder.connector import (
    Action,
    Broken,
    Connector,
    Delivered,
    Delivery,
    Failed,
    Kind,
    Link,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Resolution,
    Response,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.server import Service
from tests.kit.samples import alert, delivery

Kinds = tuple[type[Outcome], ...]
"""The outcomes that are right in one cell of the table."""

BRIEF: Final = "500ms"
"""A time-out that only the request meets which a fault strikes: a busy machine needs longer than HASTY for others."""
HASTY: Final = "150ms"
"""The time-out where a service hangs on purpose. Elsewhere the connectors' own holds: a busy machine is no fault."""

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
_UNSEEN_STATUSES: Final = (204, 301, 302, 304, *_FINAL, 402, 405, 407, 408, 409, 421, 423, 425, 451, *_SERVER)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One connector, set up against the sandbox.

    ``kind`` is its type in the config, ``config`` gives its part of it, ``secrets`` what must never be seen of that,
    ``service`` the stand-in that it talks to. ``send`` is the request that brings an alert there, ``find_path`` the one
    that looks for it (parts of ``METHOD /path``); ``count`` tells how often an alert stands there. ``lost`` is what an
    answer that never came whole must come to, ``statuses`` what each HTTP status of ``send`` must. ``once`` is false
    where the remote cannot tell what it has, so that a repeat shows twice; ``edits`` where it cannot change it.
    ``again`` is how often more an alert stands there once it was reopened, ``for_people`` is false where what is told
    is data for a program.
    """

    name: str
    kind: str
    config: Callable[[Sandbox], Mapping[str, Any]]
    service: Callable[[Sandbox], Service]
    send: str
    secrets: Callable[[Sandbox], tuple[str, ...]]
    count: Callable[[Sandbox, Alert], int]
    lost: Kinds
    statuses: Mapping[int, Kinds]
    once: bool = True
    edits: bool = True
    again: int = 0
    for_people: bool = True
    find_path: str = ""

    def connect(self, sandbox: Sandbox, **config: Any) -> Connector[Any]:
        """A connector as the daemon makes it: found by its entry point, with a validated config."""
        connector = connector_class(self.kind)
        settings = {"type": self.kind, **self.config(sandbox), **config}
        return connector("target", connector.Config.model_validate(settings))


def connector_class(name: str) -> type[Connector[Any]]:
    """The class that the entry-point group registers under ``name``."""
    (point,) = entry_points(group="forwarder.connectors", name=name)
    return point.load()  # type: ignore[no-any-return]


def registered() -> set[str]:
    """The names of all connectors that the entry-point group registers."""
    return {point.name for point in entry_points(group="forwarder.connectors")}


def settle(
    connector: Connector[Any], outstanding: Delivery, *, advance: Callable[[float], object], attempts: int = 6
) -> Receipt:
    """Brings a delivery home by the contract's rules: after an Uncertain it is looked for, and only then sent again."""
    for _ in range(attempts):
        outcome = connector.deliver(outstanding, connector.render(outstanding))
        if isinstance(outcome, Delivered):
            return outcome.receipt
        assert isinstance(outcome, Retry | RateLimited | Uncertain), outcome
        if isinstance(outcome, Uncertain) and (receipt := look(connector, outstanding, advance=advance)):
            return receipt
    raise AssertionError(f"still owed after {attempts} attempts: {outcome}")


def look(connector: Connector[Any], outstanding: Delivery, *, advance: Callable[[float], object]) -> Receipt | None:
    """Asks ``find`` at each of the connector's looks; a look that failed is repeated, for nothing is sent before."""
    passed = 0.0
    for seconds in connector.reconcile_after:
        advance(seconds - passed)
        passed = seconds
        if receipt := _look_once(connector, outstanding):
            return receipt
    return None


def _look_once(connector: Connector[Any], outstanding: Delivery, attempts: int = 20) -> Receipt | None:
    for _ in range(attempts):
        with suppress(Failed):
            return connector.find(outstanding)
    raise AssertionError(f"{attempts} looks failed")


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


def _issues(sandbox: Sandbox, alert: Alert) -> int:
    return sum(f"sentrytex-{alert.id}" in issue["fields"]["labels"] for issue in sandbox.jira.issues.values())


def _cards(sandbox: Sandbox, alert: Alert) -> int:
    # Nor does a card; what Teams refused stands nowhere.
    return sum(alert.title in json.dumps(card, ensure_ascii=False) for card in sandbox.teams.cards)


def _duty_alerts(sandbox: Sandbox, alert: Alert) -> int:
    return len(sandbox.jsm.about(f"sentrytex:{alert.id}"))


def _posted(sandbox: Sandbox, alert: Alert) -> int:
    # One that comes again under its id is the same one to a receiver.
    return sum(message["type"] == "alert.opened" for message in sandbox.webhook.about(alert.id))


def _basic(email: str, token: str) -> str:
    return base64.b64encode(f"{email}:{token}".encode()).decode()


_SLACK_STATUSES: Final[Mapping[int, Kinds]] = {
    **_FINAL,
    408: (Retry,),
    409: (Retry,),
    **dict.fromkeys(_SERVER, (Uncertain,)),
}

TARGETS: Final = (
    Target(
        name="slack-token",
        kind="slack",
        config=lambda sandbox: {
            "token": sandbox.slack.token,
            "channel": "#secops",
            "base_url": sandbox.slack.url,
        },
        service=lambda sandbox: sandbox.slack,
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
        send="/services/",
        secrets=lambda sandbox: (sandbox.slack.webhook_url, sandbox.slack.webhook_url.rpartition("/")[2]),
        count=_webhook_messages,
        lost=(Uncertain,),
        statuses=_SLACK_STATUSES,
        once=False,
        edits=False,
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
        send="POST /rest/api/2/issue",
        find_path="/rest/api/2/search",
        secrets=lambda sandbox: (sandbox.jira.token,),
        count=_issues,
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
)
"""Every connector that talks to a service. The console has no wire, and a suite of its own."""


# What the suite sends


OUTCOMES: Final = get_args(Outcome)
ROSE: Final = (Change(field="severity", old="high", new="critical"), Change(field="cisa_kev", old=False, new=True))
TICKET: Final = Link(connector="tickets", text="SEC-12", url="https://jira.example.com/browse/SEC-12")
numbers: Final = count(1)
"""What tells the alerts of the suite apart, for one sandbox serves all its tests."""


def new_delivery(**changes: Any) -> Delivery:
    """A delivery of an alert that no other test sends, owed since now."""
    number = next(numbers)
    one = alert(id=f"contract-{number}", title=f"Trouble number {number} of the contract")
    return delivery(**{"alert": one, "connector": "target", "enqueued_at": datetime.now(UTC), **changes})


def send(connector: Connector[Any], one: Delivery) -> Outcome:
    """One attempt, as the dispatcher makes it."""
    return connector.deliver(one, connector.render(one))


UNSEEN: Final = (
    *(Fault(kind=FaultKind.STATUS, status=status, body="no word of this service") for status in _UNSEEN_STATUSES),
    *(
        Fault(kind=FaultKind.STATUS, status=200, body=body)
        for body in (
            "",
            "{}",
            "[]",
            "null",
            '"ok"',
            "<html>",
            '{"ok": true}',
            '{"ok": false}',
            '{"ok": true, "messages": {}}',
        )
    ),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.TRUNCATED),
)
"""Answers to a look that show nothing of what is at the destination."""


class Unreadable:
    """A memory whose database cannot be read, nor take anything."""

    def get(self, key: str) -> str:
        raise Failed(Retry(f"what is kept as {key} cannot be read"))

    def put(self, key: str, value: str) -> None:
        pass


def follow_ups(one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    """What may be owed after ``one``: a change, a new link, a withdrawal."""
    common: dict[str, Any] = {"alert": one.alert, "enqueued_at": one.enqueued_at, "receipt": receipt}
    return [
        delivery(**common, kind=Kind.UPDATE, revision=2, changes=ROSE),
        delivery(**common, kind=Kind.UPDATE, revision=3, links=(TICKET,)),
        delivery(**common, kind=Kind.WITHDRAW, revision=4),
    ]


def responses_to(one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    """What people may decide about ``one``, in order, each told while it is the last thing that is known."""
    common: dict[str, Any] = {"alert": one.alert, "enqueued_at": one.enqueued_at, "receipt": receipt}
    resolved = [replace(_RESOLVED, number=number, resolution=how) for number, how in enumerate(Resolution, start=2)]
    said = [replace(_RESOLVED, number=1, action=Action.ACKNOWLEDGE, resolution=None), *resolved]
    said.append(replace(_RESOLVED, number=len(said) + 1, action=Action.REOPEN, resolution=None, person="", reason=""))
    return [
        delivery(**common, kind=Kind(each.action.value), revision=each.number, response=each, latest=each)
        for each in said
    ]


_RESOLVED: Final = Response(
    number=2,
    action=Action.RESOLVE,
    at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC),
    place="elsewhere",
    person="Ada",
    reason="We do not run it.",
    resolution=Resolution.DONE,
)


LOST: Final = (
    Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=30),
    Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=30),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.HTML),
    Fault(kind=FaultKind.TRUNCATED),
    Fault(kind=FaultKind.DRIP, seconds=10),
    Fault(kind=FaultKind.DRIP_BODY, seconds=30),
    Fault(kind=FaultKind.FLOOD),
    Fault(kind=FaultKind.BOMB),
)
"""After none of these does anybody know what became of the request."""


SLOW: Final = {FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER, FaultKind.DRIP, FaultKind.DRIP_BODY}
"""What only the connector's own time-out ends. The drips bring each byte well within it."""


def striking(target: Target, fault: Fault, path: str | None = None) -> Fault:
    """``fault``, to strike the request that brings an alert to ``target``, or ``path``."""
    return Fault(kind=fault.kind, seconds=fault.seconds, path=target.send if path is None else path)


def send_struck(target: Target, sandbox: Sandbox, one: Delivery, fault: Fault, path: str | None = None) -> Outcome:
    """What comes of ``one`` when ``fault`` strikes it, sent by a connector that does not wait for a hanging service."""
    service = target.service(sandbox)
    service.inject(striking(target, fault, path))
    with closing(target.connect(sandbox, **patience(fault))) as connector:
        outcome = send(connector, one)
    service.clear_faults()
    return outcome


def patience(fault: Fault) -> dict[str, Any]:
    """The time-out for a connector that meets ``fault``."""
    return {"timeout": BRIEF} if fault.kind in SLOW else {}


def _responses(connector: Connector[Any], one: Delivery, receipt: Receipt | None) -> list[Delivery]:
    return responses_to(one, receipt) if connector.tells_responses else []


def everything_told(connector: Connector[Any]) -> list[str]:
    """All that a connector says of one alert, its follow-ups, a look and a check."""
    one = new_delivery()
    outcome = send(connector, one)
    told = [repr(outcome), *(repr(finding) for finding in connector.check())]
    receipt = outcome.receipt if isinstance(outcome, Delivered) else None
    told += [
        repr(send(connector, later)) for later in (*follow_ups(one, receipt), *_responses(connector, one, receipt))
    ]
    try:
        told.append(repr(connector.find(one)))
    except Failed as error:
        told.append(repr(error) + repr(error.__cause__) + repr(error.__context__))
    return told
