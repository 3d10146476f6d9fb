"""What `forwarder init` asks about a webhook."""

from __future__ import annotations

from typing import Final

from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="hook",
    offer="Post alerts to a webhook of your own, as signed JSON?",
    questions=(
        Question(key="url", prompt="Address that alerts are posted to", variable="WEBHOOK_URL"),
        Question(
            key="signing_key",
            prompt="Signing key, which the receiver has as well (whsec_ and base64)",
            variable="WEBHOOK_SIGNING_KEY",
        ),
    ),
    usual=False,
)
