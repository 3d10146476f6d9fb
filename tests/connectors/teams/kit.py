"""What the tests of Teams share: a connector, and a card as the stand-in posted it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.teams import Teams, TeamsConfig
from forwarder.connector import Delivered, Delivery, Outcome
from forwarder.sandbox import Sandbox


def connect(sandbox: Sandbox, **more: Any) -> Teams:
    return Teams("teams", TeamsConfig.model_validate({"type": "teams", "url": sandbox.teams.url, **more}))


def send(connector: Teams, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


def posted(sandbox: Sandbox, connector: Teams, outstanding: Delivery) -> dict[str, Any]:
    """The card that Teams shows of it."""
    assert isinstance(send(connector, outstanding), Delivered)
    assert sandbox.teams.failed == []
    return sandbox.teams.cards[-1]


def text_of(card: Mapping[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False)
