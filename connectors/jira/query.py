"""Jira's search: all tickets that a query finds, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connectors.jira.client import MAX_PAGES, PAGE_SIZE, RequestFailed, Site, cut_short, unreadable
from forwarder.ticket import LABEL

if TYPE_CHECKING:
    from connectors.jira.identity import Identity


def changed_in(minutes: int, *, by_text: bool = False, by_label: bool = True) -> str:
    """The query for the forwarder's tickets that were changed in the last ``minutes``, the latest first.

    ``by_text`` finds those without its label, also where people have taken its line away.
    """
    ways = [f'labels = "{LABEL}"'] if by_label else []
    ways += ["creator = currentUser()", _says(LABEL)] if by_text else []
    ours = f"({' OR '.join(ways)})" if len(ways) > 1 else ways[0]
    return f"{ours} AND updated >= -{minutes}m ORDER BY updated DESC"


def bearing(identities: Sequence[Identity], *, by_text: bool = False, by_label: bool = True) -> str:
    """The query for tickets that bear one of the ``identities``, the oldest first; ``by_text`` finds some more."""
    labels = ", ".join(f'"{one.label}"' for one in identities)
    ways = [f"labels = {labels}" if len(identities) == 1 else f"labels in ({labels})"] if by_label else []
    ways += [_says(one.word) for one in identities] if by_text else []
    return f"{' OR '.join(ways)} ORDER BY created ASC"


def with_or_without_labels(
    ask: Callable[[bool], Iterable[Mapping[str, Any]]],
) -> list[Mapping[str, Any]]:
    """What ``ask`` answers by labels, too; and without them where the site has none. Raises RequestFailed.

    Where a field is hidden everywhere, Jira refuses each query that names it, and no ticket has it.
    """
    try:
        return list(ask(True))
    except RequestFailed as failed:
        if failed.status != 400 or "'labels'" not in failed.outcome.reason:
            raise
    return list(ask(False))


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


def _says(word: str) -> str:
    # In quotes of its own, so that it is searched as it stands, without its stem. Comments may quote it: they are no
    # description.
    return rf'description ~ "\"{word}\""'


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
