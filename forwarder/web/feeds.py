"""How far feeds were read, for the pages: all of them as one, and those of named accounts one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from forwarder.alarms import together
from forwarder.store import Store
from forwarder.store.records import Feed

if TYPE_CHECKING:
    from forwarder.app import Forwarder


def as_one(forwarder: Forwarder, store: Store) -> Feed:
    """How far the feed was read; of several accounts, as far as the last of them."""
    feeds = forwarder.feeds
    return together(store.accounts.feeds(feeds)) if feeds.are_named else store.feed.state()


def names(forwarder: Forwarder) -> list[str]:
    """The accounts that the config names."""
    return sorted(forwarder.feeds) if forwarder.feeds.are_named else []


def by_account(forwarder: Forwarder, store: Store) -> Mapping[str, Feed]:
    """The feed of each account that the config names, by name; none where it names none."""
    return store.accounts.feeds(accounts) if (accounts := names(forwarder)) else {}


def requests_left(forwarder: Forwarder) -> int:
    """Requests that the API's limit leaves for this minute; of several accounts, to the one that has the fewest."""
    return min(feed.budget.left for feed in forwarder.feeds.values())
