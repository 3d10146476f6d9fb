"""What `forwarder init` asks about Jira Service Management's alerts."""

from __future__ import annotations

from typing import Final

from forwarder.alert import Severity
from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="duty",
    offer="Page someone through Jira Service Management (formerly Opsgenie)?",
    questions=(Question(key="api_key", prompt="Key of an API integration of a team", variable="JSM_API_KEY"),),
    severities=(Severity.CRITICAL,),
    usual=False,
)
