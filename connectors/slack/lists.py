"""Slack's lists, which come in pages: each is read to its end, or an error says that it was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.slack.client import Api, Refusal, Refused

PAGES: Final = 10
PAGE: Final = 200
"""Pages that one call reads, and entries a page; Slack advises no more than 200.
https://docs.slack.dev/apis/web-api/pagination"""

_SLOW: Final = timedelta(seconds=20)
"""When no further page is begun: a look must end well within the lease of its delivery."""

_MOST_LEFT_OFF: Final = 100


class Lists:
    """Reads lists. What is too long or too slow for one call is read on by the next one that asks for the same."""

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api, self._now = api, now
        self._left_off: dict[str, str] = {}

    def pages(self, method: str, **params: Any) -> Iterator[Mapping[str, Any]]:
        """Slack's answers, page by page; raises Refused, also where it ends before the list does."""
        wanted = f"{method} {sorted(params.items())}"
        cursor, begun, read = self._left_off.pop(wanted, ""), self._now(), 0
        while read < PAGES and self._now() - begun < _SLOW:
            data = self._api.read(method, limit=PAGE, **params, **({"cursor": cursor} if cursor else {})).data
            yield data
            read += 1
            cursor = _next_cursor(data)
            if not cursor:
                return
        if len(self._left_off) >= _MOST_LEFT_OFF:
            self._left_off.clear()
        self._left_off[wanted] = cursor
        raise Refused(
            Refusal.RETRY,
            f"Slack's list has more than the {read * PAGE:,} entries read: the next try reads on from there",
        )


def entries(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What a page lists under ``name``; raises Refused where that cannot be read: it may hide what is looked for."""
    listed = data.get(name)
    if not isinstance(listed, list) or not all(isinstance(entry, Mapping) for entry in listed):
        raise Refused(Refusal.RETRY, "Slack's list could not be read")
    return listed


def _next_cursor(data: Mapping[str, Any]) -> str:
    more = data.get("response_metadata")
    cursor = more.get("next_cursor") if isinstance(more, Mapping) else None
    if not cursor and data.get("has_more"):
        raise Refused(Refusal.RETRY, "Slack cut its list short without saying how to read on")
    return str(cursor or "")
