"""What the tests of the Jira connector share: configs, deliveries and what stands in the sandbox's Jira."""

from __future__ import annotations

import json
from typing import Any, Final

from connectors.jira import Jira, JiraConfig
from connectors.jira.markup import plain
from forwarder.connector import Change, Delivered, Delivery, Kind, Outcome, Receipt, Response, Sighting
from forwarder.sandbox import Sandbox
from forwarder.testing import ALERT_ID, delivery

LABEL = f"sentrytex-{ALERT_ID}"
CREATE, SEARCH = "/issue", "/search"
MINUTE: Final = 60.0
SHORT, LONG = "2s", "60s"


def config(**changes: Any) -> JiraConfig:
    """A config for Cloud, with ``changes``; None takes a key out."""
    values = {
        "type": "jira",
        "url": "https://example.atlassian.net",
        "email": "bot@example.com",
        "token": "not-a-real-token",
        "project": "SEC",
        **changes,
    }
    return JiraConfig.model_validate({key: value for key, value in values.items() if value is not None})


def send(jira: Jira, outstanding: Delivery) -> Outcome:
    return jira.deliver(outstanding, jira.render(outstanding))


def opened(jira: Jira, outstanding: Delivery) -> Receipt:
    outcome = send(jira, outstanding)
    assert isinstance(outcome, Delivered), outcome
    return outcome.receipt


def follow_up(kind: Kind, receipt: Receipt | None, **changes: Any) -> Delivery:
    seen = (Change(field="severity", old="high", new="critical"),) if kind is Kind.UPDATE else ()
    return delivery(id=2, kind=kind, receipt=receipt, **{"revision": 2, "changes": seen, **changes})


def comments(sandbox: Sandbox, key: str = "SEC-1") -> list[str]:
    return [plain(comment["body"]) for comment in sandbox.jira.issues[key]["comments"]]


def units(body: Any) -> int:
    """What Jira counts: UTF-16 units, over a document's JSON."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def told(response: Response, receipt: Receipt | None, **changes: Any) -> Delivery:
    """What a person decided, and nobody since."""
    kind = Kind(response.action.value)
    told = {"revision": response.number, "response": response, "latest": response, "receipt": receipt, **changes}
    return delivery(id=3, kind=kind, **told)


class Looks:
    """Looks one after the other, a minute apart."""

    def __init__(self, jira: Jira, sandbox: Sandbox) -> None:
        self.jira, self._sandbox, self.cursor = jira, sandbox, ""

    def __call__(self, after: float = MINUTE) -> list[Sighting]:
        self._sandbox.clock.advance(after)
        look = self.jira.look(self.cursor)
        self.cursor = look.cursor
        return list(look.sightings)
