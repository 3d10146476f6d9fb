"""What `forwarder init` asks about a GitHub connector."""

from __future__ import annotations

from typing import Final

from forwarder.alert import Severity
from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="issues",
    offer="Open issues on GitHub?",
    questions=(
        Question(key="repository", prompt="Repository, such as example/security"),
        Question(
            key="token",
            prompt="Fine-grained token of a machine account (Issues: read and write)",
            variable="GITHUB_TOKEN",
        ),
    ),
    severities=(Severity.CRITICAL, Severity.HIGH),
    usual=False,
)
