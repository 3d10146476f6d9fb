"""What a ticket says of an alert, and the labels it carries. Pure: nothing here knows the way to Jira."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.jira.identity import Identity, without_words
from connectors.jira.markup import Content, cut_line, plain
from forwarder.connector import Delivery, Texts
from forwarder.ticket import LABEL, facts, links, row, small_print, title

MAX_SUMMARY: Final = 255
"""Characters of a summary, which is one line.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
"""

MAX_LABEL: Final = 255
"""Characters of a label, none of them white space."""

OURS: Final = frozenset({"summary", "description", "project", "issuetype", "labels"})
"""Fields that every ticket gets from the forwarder."""

EXTRAS: Final = frozenset({"priority", "duedate"})
"""Fields that a ticket gets where the config asks for them."""

_PLAIN_LABEL: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def labels(delivery: Delivery, further: tuple[str, ...]) -> list[str]:
    """``further`` labels, then the forwarder's own: its name, the alert's identity, the CVE."""
    own = [LABEL, Identity.of(delivery.alert.id).label]
    if (cve := delivery.alert.cve_id) and _PLAIN_LABEL.fullmatch(cve):
        own.append(cve)
    return list(dict.fromkeys([*further, *own]))


def summary(delivery: Delivery, texts: Texts) -> str:
    """One line of at most MAX_SUMMARY characters."""
    built_in = title(delivery.alert)
    return cut_line(texts.title(delivery, built_in), MAX_SUMMARY) or cut_line(built_in, MAX_SUMMARY)


def description(delivery: Delivery, texts: Texts) -> Content:
    """What is known of the alert, and its text; of a digest its alerts, a row each."""
    if delivery.items:
        rows = [row(alert) for alert in delivery.items]
        return without_words(Content(text="", facts=links(delivery), table=rows, small_print=small_print(delivery)))
    text = texts.text(delivery, delivery.alert.description)
    return without_words(Content(text=text, facts=facts(delivery), small_print=small_print(delivery)))


def preview(fields: Mapping[str, Any]) -> str:
    """A ticket with these ``fields``, line by line."""
    lines = [f"{fields['project']['key']} · {fields['issuetype']['name']}", f"Summary: {fields['summary']}"]
    if "priority" in fields:
        lines.append(f"Priority: {_named(fields['priority'])}")
    if "duedate" in fields:
        lines.append(f"Due: {fields['duedate']}")
    if "labels" in fields:
        lines.append(f"Labels: {', '.join(fields['labels'])}")
    lines += [f"{name}: {value}" for name, value in fields.items() if name not in OURS | EXTRAS]
    return "\n".join(lines) + "\n\n" + plain(fields["description"])


def _named(value: object) -> str:
    return str(value["name"] if isinstance(value, Mapping) and "name" in value else value)
