"""What the tests of the GitHub connector share: configs, deliveries, and looks one after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from connectors.github import GitHub, GitHubConfig
from forwarder.connector import Action, Change, Delivered, Delivery, Kind, Outcome, Receipt, Resolution, Response
from forwarder.sandbox import Sandbox
from forwarder.testing import ALERT_ID, delivery

LABEL: Final = f"sentrytex-{ALERT_ID}"
OPEN: Final = "POST /repos/example/security/issues"
LIST: Final = "GET /repos/example/security/issues"
WORSE: Final = Change(field="severity", old="high", new="critical")


def config(**changes: Any) -> GitHubConfig:
    values = {"type": "github", "repository": "example/security", "token": "github_pat_not-a-real-token", **changes}
    return GitHubConfig.model_validate(values)


def github(sandbox: Sandbox, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: Any) -> GitHub:
    settings = {"token": sandbox.github.token, "base_url": sandbox.github.url, **changes}
    return GitHub("issues", config(**settings), now=now)


def send(connector: GitHub, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


def opened(connector: GitHub, outstanding: Delivery) -> Receipt:
    outcome = send(connector, outstanding)
    assert isinstance(outcome, Delivered), outcome
    return outcome.receipt


def follow_up(kind: Kind, receipt: Receipt | None, **changes: Any) -> Delivery:
    seen = (WORSE,) if kind is Kind.UPDATE else ()
    return delivery(id=2, kind=kind, receipt=receipt, **{"revision": 2, "changes": seen, **changes})


def decided(action: Action, receipt: Receipt | None, *, at: datetime, **changes: Any) -> Delivery:
    """What a person decided elsewhere, and nobody since."""
    said = {"resolution": Resolution.DONE if action is Action.RESOLVE else None, **changes}
    response = Response(number=3, action=action, at=at, place="secops", person="Ada", reason="patched", **said)
    told = {"revision": 3, "response": response, "latest": response, "receipt": receipt}
    return delivery(id=3, kind=Kind(action.value), **told)
