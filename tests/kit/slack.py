"""What the tests of Slack share: connectors set up against the sandbox, and how things are sent through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from connectors.slack import Slack, SlackConfig
from forwarder.connector import Change, Delivered, Delivery, Link, Outcome
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import delivery

WORSE: Final = (
    Change(field="severity", old="high", new="critical"),
    Change(field="cisa_kev", old=False, new=True),
)
ELSEWHERE: Final = Link(connector="tickets", text="Ticket SEC-12", url="https://jira.example/browse/SEC-12")


def by_token(sandbox: Sandbox, now: Callable[[], datetime] = lambda: datetime.now(UTC), **config: Any) -> Slack:
    """A connector with a bot token."""
    known = {"type": "slack", "token": sandbox.slack.token, "channel": "#secops", "base_url": sandbox.slack.url}
    return Slack("secops", SlackConfig.model_validate({"timeout": "2s", **known, **config}), now=now)


def by_webhook(sandbox: Sandbox) -> Slack:
    """A connector with an incoming webhook."""
    config = {"type": "slack", "timeout": "2s", "webhook_url": sandbox.slack.webhook_url}
    return Slack("hook", SlackConfig.model_validate(config))


def new_delivery(**changes: Any) -> Delivery:
    """A delivery that is owed since now, as the sandbox's clock has it."""
    return delivery(**{"enqueued_at": datetime.now(UTC), **changes})


def send(connector: Slack, thing: Delivery) -> Outcome:
    """What one attempt came to."""
    return connector.deliver(thing, connector.render(thing))


def sent(connector: Slack, thing: Delivery) -> Delivered:
    """What one attempt came to that must succeed."""
    outcome = send(connector, thing)
    assert isinstance(outcome, Delivered), outcome
    return outcome


def says(code: str, path: str, times: int = 1) -> Fault:
    """Slack refuses ``path`` with ``code``."""
    body = json.dumps({"ok": False, "error": code})
    return Fault(kind=FaultKind.STATUS, status=200, body=body, path=path, times=times)
