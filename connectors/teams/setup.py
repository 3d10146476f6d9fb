"""What `forwarder init` asks about a Teams connector."""

from __future__ import annotations

from typing import Final

from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="room",
    offer="Show alerts in Microsoft Teams?",
    questions=(Question(key="url", prompt="Address of a Workflows webhook", variable="TEAMS_WORKFLOW_URL"),),
    usual=False,
)
