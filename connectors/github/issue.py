"""What an issue says of an alert, the labels it carries, and what a comment says of what became of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from connectors.github.markdown import Content, markdown
from forwarder.connector import Delivery, Kind, Texts, clean, cut, one_line
from forwarder.ticket import LABEL, evidence, facts, identity, is_alert, links, marker, news, row, small_print, title

if TYPE_CHECKING:
    from connectors.github.config import GitHubConfig, GitHubOwner

MAX_TITLE: Final = 256
"""Characters of a title, by what GitHub answers to a longer one: ``title is too long (maximum is 256 characters)``."""

MAX_LABEL: Final = 50
"""Characters of a label: https://github.com/github/docs/issues/32156"""

MAX_ASSIGNEES: Final = 10
"""Whom an issue can be assigned to: https://docs.github.com/en/rest/issues/assignees#add-assignees-to-an-issue"""


def identity_label(alert_id: str) -> str:
    """The label by which the issue of an alert is found."""
    return identity(alert_id, MAX_LABEL)


def new_issue(delivery: Delivery, config: GitHubConfig, texts: Texts) -> dict[str, Any]:
    """The issue to open, as the API takes it."""
    issue: dict[str, Any] = {
        "title": _title(delivery, texts),
        "body": _body(delivery, texts),
        "labels": labels(delivery, config),
    }
    if names := _assignees(delivery, config):
        issue["assignees"] = names
    return issue


def labels(delivery: Delivery, config: GitHubConfig) -> list[str]:
    """The config's labels, then the severity's, then the forwarder's own: its name and the alert's identity."""
    severity = config.severity_labels.get(delivery.alert.severity) if is_alert(delivery) else None
    own = [*([severity] if severity else []), LABEL, identity_label(delivery.alert.id)]
    return list({label.lower(): label for label in [*config.labels, *own]}.values())


def label_names(found: Mapping[str, Any]) -> list[str]:
    """The labels of an issue as GitHub shows it."""
    shown = found.get("labels")
    # Each is an object, or its name alone.
    return [str(one.get("name") if isinstance(one, Mapping) else one) for one in shown or ()]


def comment(delivery: Delivery, texts: Texts) -> str:
    """What became of the alert, or what a person decided about it elsewhere."""
    # Only a change brings evidence that is new to those who have the issue.
    shown = evidence(delivery) if delivery.kind is Kind.UPDATE else []
    return markdown(
        Content(
            text=texts.text(delivery, news(delivery, "issue")),
            facts=[*shown, *links(delivery)],
            mark=marker(delivery),
        )
    )


def preview(issue: Mapping[str, Any], repository: str) -> str:
    """The head of an issue, line by line."""
    lines = [repository, f"Title: {issue['title']}", f"Labels: {', '.join(issue['labels'])}"]
    if names := issue.get("assignees"):
        lines.append(f"Assignees: {', '.join(names)}")
    return "\n".join(lines)


def _title(delivery: Delivery, texts: Texts) -> str:
    built_in = title(delivery.alert)
    return _line(texts.title(delivery, built_in)) or _line(built_in)


def _line(text: str) -> str:
    return cut(one_line(clean(text)), MAX_TITLE)


def _body(delivery: Delivery, texts: Texts) -> str:
    mentions = dict.fromkeys(owner.mention for owner in _owners(delivery) if owner.mention)
    if delivery.items:
        content = Content(
            text="",
            facts=links(delivery),
            table=[row(alert) for alert in delivery.items],
            small_print=small_print(delivery),
        )
    else:
        content = Content(
            text=texts.text(delivery, delivery.alert.description),
            facts=facts(delivery),
            small_print=small_print(delivery),
            mentions=tuple(mentions),
        )
    return markdown(content)


def _assignees(delivery: Delivery, config: GitHubConfig) -> list[str]:
    """The owners' first, then those of every issue."""
    theirs = [name for owner in _owners(delivery) for name in owner.assignees]
    return list({name.lower(): name for name in [*theirs, *config.assignees]}.values())[:MAX_ASSIGNEES]


def _owners(delivery: Delivery) -> list[GitHubOwner]:
    owners: list[Any] = [owner for owner in delivery.owners if hasattr(owner, "assignees")]
    return owners
