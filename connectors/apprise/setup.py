"""What `forwarder init` asks about a service that is reached through Apprise."""

from __future__ import annotations

from typing import Final

from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="push",
    offer="Send alerts to another service, such as Discord, Telegram or ntfy, through Apprise?",
    questions=(
        Question(
            key="url",
            prompt="Address of the service as Apprise writes it, such as discord://… or ntfys://…",
            variable="APPRISE_URL",
        ),
    ),
    usual=False,
)
