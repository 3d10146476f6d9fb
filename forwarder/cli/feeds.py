"""How far the feeds of named accounts were read, in a table and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from forwarder.cli.output import age, moment
from forwarder.cli.tables import Column, print_table
from forwarder.common.accounts import DEFAULT
from forwarder.common.clock import iso
from forwarder.config import Config
from forwarder.store import Store
from forwarder.store.records import Feed


def print_feeds(feeds: Mapping[str, Feed], config: Config | None, now: float) -> None:
    """A line for each feed; nothing where the config names no accounts."""
    if DEFAULT in feeds:
        return
    configured = feeds.keys() if config is None else config.sentrytex.keys
    print_table(
        ["account", "last poll", "read up to", "last sweep", Column("error", prose=True)],
        [_feed_row(account, feed, now, configured) for account, feed in feeds.items()],
        empty="No accounts.",
    )


def shown_accounts(store: Store, config: Config | None) -> list[str]:
    """The accounts of the config by name, and then those that were read before and left it."""
    begun = store.accounts.begun()
    if config is None:
        return begun or [DEFAULT]
    keys = config.sentrytex.keys
    return list(keys) if DEFAULT in keys else [*sorted(keys), *(one for one in begun if one not in keys)]


def feed_json(account: str, feed: Feed) -> dict[str, Any]:
    """One account's feed as JSON has it."""
    return {
        "name": account,
        "cursor": None if feed.cursor is None else iso(feed.cursor),
        "last_poll": None if feed.polled_at is None else iso(feed.polled_at),
        "poll_error": feed.poll_error,
        "last_sweep": None if feed.swept_at is None else iso(feed.swept_at),
        "sweep_error": feed.sweep_error,
    }


def _feed_row(account: str, feed: Feed, now: float, configured: Collection[str]) -> list[Any]:
    error = feed.poll_error or feed.sweep_error or ""
    return [
        account,
        age(feed.polled_at, now),
        "nothing yet" if feed.cursor is None else moment(feed.cursor),
        age(feed.swept_at, now),
        error if account in configured else "not in the config: it is not read",
    ]
