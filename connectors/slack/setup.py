"""What `forwarder init` asks about a Slack connector."""

from __future__ import annotations

from typing import Final

from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="secops",
    offer="Show alerts in Slack?",
    questions=(
        Question(
            key="token",
            prompt="Bot token (xoxb-…), or the URL of an incoming webhook",
            variable="SLACK_BOT_TOKEN",
            if_address=Question(key="webhook_url", prompt="URL of an incoming webhook", variable="SLACK_WEBHOOK_URL"),
        ),
        Question(key="channel", prompt="Channel", default="#secops"),
        Question(
            key="app_token",
            prompt="App-level token (xapp-…), for buttons to acknowledge and resolve alerts; empty for none",
            variable="SLACK_APP_TOKEN",
            default="",
        ),
    ),
)
