"""What `forwarder init` asks about a Jira connector."""

from __future__ import annotations

from typing import Final

from forwarder.alert import Severity
from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="tickets",
    offer="Create tickets in Jira?",
    questions=(
        Question(key="url", prompt="Address of the site, such as https://example.atlassian.net"),
        Question(key="email", prompt="Email of the account (leave it empty for Data Center)", default=""),
        Question(
            key="token",
            prompt="API token (Data Center: personal access token)",
            variable="JIRA_API_TOKEN",
        ),
        Question(key="project", prompt="Key of the project", default="SEC"),
        Question(key="issue_type", prompt="Issue type", default="Task"),
        Question(
            key="identity",
            prompt="By what a ticket is found again (text where the screens have no field Labels)",
            default="label",
            choices=("label", "text"),
        ),
    ),
    severities=(Severity.CRITICAL, Severity.HIGH),
)
