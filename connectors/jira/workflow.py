"""The way of a ticket to a status that means done. Names are each site's own, and translated: categories are not."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from connectors.jira.client import RequestFailed, Site, dig
from connectors.jira.history import EXPAND, History
from forwarder.connector import Status

STATUSES: Final = {"new": Status.OPEN, "indeterminate": Status.ACKNOWLEDGED, "done": Status.RESOLVED}
"""What the categories of a ticket's status mean for its alert.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-status-categories/
"""


def path_of(key: str) -> str:
    """Where the ticket stands in the API."""
    return f"issue/{quote(key, safe='')}"


def status_of(issue: object) -> Status | None:
    """How the alert stands by its ticket; None where the status has no category."""
    return STATUSES.get(_category(issue, "fields", "status"))


def close(site: Site, key: str, *, unless_moved_after: datetime | None = None) -> str:
    """Moves the ticket to a status that means done; what kept it from that, in words.

    A ticket that was moved after ``unless_moved_after`` stays where it is: whoever moved it knew more.
    Raises RequestFailed.
    """
    history: dict[str, Any] = {} if unless_moved_after is None else {"expand": EXPAND}
    issue = site.ask("GET", path_of(key), params={"fields": "status", **history})
    if status_of(issue) is Status.RESOLVED:
        return ""
    if unless_moved_after is not None and _was_moved_after(issue, site.in_its_time(unless_moved_after)):
        return "the ticket stays as it is: it was moved after that"
    offered = site.ask("GET", f"{path_of(key)}/transitions").get("transitions")
    ways = offered if isinstance(offered, list) else []
    way = next((dig(way, "id") for way in ways if STATUSES.get(_category(way, "to")) is Status.RESOLVED), None)
    if way is None:
        return "the ticket stays open: its workflow offers no way to close it from where it stands"
    try:
        site.ask("POST", f"{path_of(key)}/transitions", body={"transition": {"id": way}}, writes=True)
    except RequestFailed as failed:
        if failed.status not in {400, 403}:
            raise
        return f"the ticket stays open: {failed.outcome.reason}"
    return ""


def _was_moved_after(issue: dict[str, Any], moment: datetime) -> bool:
    return any(edit.at > moment for edit in History.of(issue).of_field("status"))


def _category(value: object, *names: str) -> str:
    return str(dig(value, *names, "statusCategory", "key"))
