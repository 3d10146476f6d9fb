"""What `forwarder init` asks about a PagerDuty connector."""

from __future__ import annotations

from typing import Final

from forwarder.alert import Severity
from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="oncall",
    offer="Page someone through PagerDuty?",
    questions=(
        Question(
            key="routing_key",
            prompt="Integration key of an Events API v2 integration",
            variable="PAGERDUTY_ROUTING_KEY",
        ),
        Question(key="region", prompt="Service region", choices=("us", "eu"), default="us"),
        Question(
            key="api_token",
            prompt="Read-only REST API key, to hear who acknowledges and resolves incidents (empty: none)",
            variable="PAGERDUTY_API_TOKEN",
            default="",
        ),
    ),
    severities=(Severity.CRITICAL,),
)
