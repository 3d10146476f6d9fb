"""Where on an alert's way the process is killed."""

from __future__ import annotations

from enum import StrEnum


class Point(StrEnum):
    """A named point of the path. Each but NEVER ends in SIGKILL."""

    NEVER = "never"
    START = "at any moment of a run"
    FETCH = "after the fetch"
    WRITE = "within a transaction"
    COMMIT = "after the commit"
    CLAIM = "after the claim"
    EFFECT = "between the effect and the reply"
    REPLY = "after the reply"
    SETTLE = "after the settle"
    RESPONSE = "after a response's commit"
    """Only while people respond."""
