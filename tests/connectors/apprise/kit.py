"""What the tests of services that Apprise knows share: connectors, and addresses of theirs."""

from __future__ import annotations

from typing import Any, Final

from connectors.apprise import Apprise, AppriseConfig
from forwarder.connector import Delivery, Outcome

DISCORD: Final = f"discord://123456789012345678/{'not-a-real-token-' * 4}"
TWILIO: Final = f"twilio://AC{'0' * 32}:{'1' * 32}@+15551231234"
TELEGRAM: Final = "tgram://123456789:not_a_real_token_of_a_bot/12315544/"
KINDS: Final = ("url", "ntfy_url", "gotify_url", "mattermost_url", "rocket_url")
"""The addresses that the stand-in has."""


def connect(url: str, **more: Any) -> Apprise:
    return Apprise("push", AppriseConfig.model_validate({"type": "apprise", "url": url, **more}))


def send(connector: Apprise, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))
