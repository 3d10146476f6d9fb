"""What the fields of a Jira issue take, and what Jira says to what they do not.

Limits: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from forwarder.sandbox import adf

MAX_SUMMARY: Final = 255
MAX_TEXT: Final = 32_767
MAX_LABEL: Final = 255


class FieldErrors(Exception):
    """What Jira says to fields that it does not take: a message for each."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = dict(errors)


def named(value: Any, names: Mapping[str, str]) -> tuple[str, str] | None:
    """The id and name that ``{"id": …}`` or ``{"name": …}`` means; None where there is none such."""
    if not isinstance(value, dict):
        return None
    for key, name in names.items():
        if value.get("id") == key or value.get("name") == name:
            return key, name
    return None


def plain(text: Any) -> str:
    """A text or a document as text."""
    return text if isinstance(text, str) else adf.to_text(text)


def summary_problem(value: Any) -> str | None:
    """What is wrong with a summary; None where nothing is, as of the other fields."""
    if not isinstance(value, str):
        return None
    if "\n" in value or "\r" in value:
        return "The summary is invalid because it contains newline characters."
    return f"Summary must be less than {MAX_SUMMARY} characters." if len(value) > MAX_SUMMARY else None


def text_problem(value: Any, *, rich: bool) -> str | None:
    """What is wrong with a long text; ``rich`` says that texts are documents (API v3)."""
    if value is None:
        return None
    if not rich and not isinstance(value, str):
        return "Operation value must be a string"
    if rich and (not isinstance(value, dict) or adf.problem(value)):
        return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    if len(plain(value)) > MAX_TEXT:
        return f"The entered text is too long. It exceeds the allowed limit of {MAX_TEXT:,} characters."
    return None


def labels_problem(value: Any) -> str | None:
    """What is wrong with a list of labels."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        return "data was not an array of strings"
    for label in value:
        if any(char.isspace() for char in label):
            return f"The label '{label}' contains spaces which is invalid."
        if len(label) > MAX_LABEL:
            return f"The label '{label}' exceeds the maximum length for a single label of {MAX_LABEL} characters."
    return None


def date_problem(value: Any) -> str | None:
    """What is wrong with a day."""
    if value is None:
        return None
    try:
        if len(value) == len("2026-01-31"):
            date.fromisoformat(value)
            return None
    except (TypeError, ValueError):
        pass
    return "Error parsing date string: specify a valid date in the format yyyy-MM-dd."


def name_problem(what: str, values: Any, names: Mapping[str, str]) -> str | None:
    """The first of ``values`` that is none of ``names`` (id to name); ``what`` is what they are called."""
    if not isinstance(values, list):
        return "data was not an array"
    for value in values:
        if value is not None and named(value, names) is None:
            shown = value.get("name", value.get("id")) if isinstance(value, dict) else value
            return f"The {what} '{shown}' is not valid."
    return None


def applied(old: Any, verbs: Iterable[Mapping[str, Any]]) -> Any:
    """The value of a field after the verbs of an ``update``: set, add and remove."""
    for verb in verbs:
        for name, value in verb.items():
            if name == "set":
                old = value
            elif name == "add":
                old = [*(one for one in old or [] if one != value), value]
            elif name == "remove":
                old = [one for one in old or [] if one != value]
    return old
