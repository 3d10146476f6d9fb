"""Jira's search: all tickets that a query finds, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.jira.client import MAX_PAGES, PAGE_SIZE, RequestFailed, Site, cut_short, unreadable
from forwarder.ticket import LABEL


def changed_in(minutes: int) -> str:
    """The query for the forwarder's tickets that were changed in the last ``minutes``, the latest first."""
    return f'labels = "{LABEL}" AND updated >= -{minutes}m ORDER BY updated DESC'


def tickets(
    site: Site, jql: str, *, fields: str, most: int = PAGE_SIZE, expand: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """Each ticket that ``jql`` finds, with its key and ``fields``; raises RequestFailed where not all are shown.

    They come by pages of ``most`` at most. ``expand`` is what else is to come with each.
    """
    query: dict[str, Any] = {"jql": jql, "fields": fields, "maxResults": most}
    if expand is not None:
        query["expand"] = expand
    seen = 0
    for _ in range(MAX_PAGES):
        answer = site.ask("GET", "search/jql" if site.cloud else "search", params=query)
        found = answer.get("issues")
        # An answer that cannot be read must not pass for "there is none", or the next step makes a duplicate.
        if not isinstance(found, list) or not all(_is_ticket(issue) for issue in found):
            raise RequestFailed(unreadable(writes=False))
        yield from found
        seen += len(found)
        if not _turn(site, query, answer, seen, len(found)):
            return
    raise RequestFailed(cut_short())


def _is_ticket(issue: object) -> bool:
    return isinstance(issue, Mapping) and isinstance(issue.get("key"), str)


def _turn(site: Site, query: dict[str, Any], answer: Mapping[str, Any], seen: int, found: int) -> bool:
    """Turns ``query`` to the next page; whether there is one."""
    if site.cloud:
        query["nextPageToken"] = more = answer.get("nextPageToken")
        if not more and answer.get("isLast") is False:
            raise RequestFailed(cut_short())
        return bool(more)
    query["startAt"] = seen
    total = answer.get("total")
    if not isinstance(total, int):
        raise RequestFailed(unreadable(writes=False))
    if seen < total and not found:
        raise RequestFailed(cut_short())
    return seen < total
