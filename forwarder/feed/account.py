"""The feed of one account in this process: its key, its requests, its poller, and whether it could be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from forwarder.common.accounts import DEFAULT
from forwarder.common.clock import Now
from forwarder.config import Config, SentrytexConfig
from forwarder.feed.budgets import Budgets
from forwarder.feed.client import FeedClient, RequestBudget
from forwarder.feed.connections import Connections
from forwarder.feed.poller import Poller
from forwarder.replicas.roles import of_feed
from forwarder.store import Store

SINCE_START: Final = "the start of this process"
SINCE_RELOAD: Final = "the reload that changed the feed"


class AccountFeed:
    """All that one account's feed needs; whoever has it reads the feed, and nothing of any other account.

    ``connections`` are shared with other accounts, None where it has its own.
    """

    def __init__(
        self,
        account: str,
        key: str,
        config: Config,
        store: Store,
        *,
        now: Now,
        budget: RequestBudget,
        connections: Connections | None = None,
    ) -> None:
        self.account, self._key = account, key
        self.budget = budget
        """What is left of this minute's requests."""
        self.has_read = False
        """Whether one poll was complete since the start of this process, or since a reload changed the feed."""
        self.reads_since = SINCE_START
        self._store, self._now = store, now
        self._settings = config.sentrytex
        self.client = self._make_client(connections)
        self.poller = Poller(config, self.client, store, now=now, account=account)
        self._retired: list[FeedClient] = []

    def use(self, key: str, config: Config, *, budget: RequestBudget, connections: Connections | None = None) -> bool:
        """Goes by another key and config from now on; whether the feed is read otherwise by that.

        The old client stays open until the next poll, for the last one may still be under way with it.
        """
        before, settings = self._settings, config.sentrytex
        same_place = (settings.base_url, key) == (before.base_url, self._key)
        self._settings, self._key, self.budget = settings, key, budget
        self.poller.use(config)
        if same_place and _habits(settings) == _habits(before):
            return False
        self._retired.append(self.client)
        self.client = self._make_client(connections)
        self.poller.read_from(self.client)
        if not same_place:
            self.has_read, self.reads_since = False, SINCE_RELOAD
        return True

    def until_sweep(self) -> float:
        """Seconds until a sweep is due; zero or below where it is."""
        now, swept_at = self._now(), self._store.feed_of(self.account).state().swept_at
        if swept_at is None or swept_at > now:
            # A clock that was set back while nothing ran must not put the sweep off by as much.
            return 0.0
        return swept_at + self._settings.sweep_every.total_seconds() - now

    def close_retired(self) -> None:
        """Closes the clients that a reload replaced; called once no poll uses them any more."""
        with suppress(IndexError):
            while True:
                self._retired.pop().close()

    def close(self) -> None:
        """Lets go of all connections; a poll that is under way fails."""
        self._retired.append(self.client)
        self.close_retired()

    def _make_client(self, connections: Connections | None) -> FeedClient:
        return FeedClient(
            self._settings.base_url,
            self._key,
            key_at=self._settings.key_at(self.account),
            budget=self.budget,
            connections=connections,
        )


def _habits(settings: SentrytexConfig) -> dict[str, Any]:
    """How feeds are read, whosever they are."""
    return settings.model_dump(exclude={"api_key", "accounts"})


class Feeds(Mapping[str, AccountFeed]):
    """The feeds of a config's accounts, by name; of a config with a single key there is one, named DEFAULT."""

    def __init__(self, config: Config, store: Store, *, now: Now) -> None:
        self._store, self._now = store, now
        self._connections: Connections | None = None
        self._budgets = Budgets()
        self._feeds: dict[str, AccountFeed] = {}
        self._left: list[AccountFeed] = []
        """Those that a reload took away, until they are closed: a poll of theirs may be under way."""
        self.use(config)

    def __getitem__(self, account: str) -> AccountFeed:
        return self._feeds[account]

    def __iter__(self) -> Iterator[str]:
        return iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def are_named(self) -> bool:
        """Whether the config names accounts; else nobody is told of any."""
        return DEFAULT not in self._feeds

    def use(self, config: Config) -> list[str]:
        """Goes by another config: makes, changes and takes away feeds; returns those that are read otherwise now."""
        shared, before = self._share(config.sentrytex), self._feeds
        feeds, changed = dict[str, AccountFeed](), []
        for account, key in config.sentrytex.keys.items():
            feed = before.get(account)
            budget = self._budgets.of(key, feed.budget if feed else None)
            if feed is None:
                acting = self._store.acting_as(of_feed(account))
                feed = AccountFeed(account, key, config, acting, now=self._now, budget=budget, connections=shared)
                feed.reads_since = SINCE_RELOAD if before else SINCE_START
                changed.append(account)
            elif feed.use(key, config, budget=budget, connections=shared):
                changed.append(account)
            feeds[account] = feed
        self._budgets.forget_all_but(config.sentrytex.keys.values())
        # As a whole: others look at it meanwhile.
        self._feeds = feeds
        self._left += [feed for account, feed in before.items() if account not in feeds]
        return changed

    def tidy(self) -> None:
        """Closes what left the config, once nothing of it is under way."""
        for feed in [feed for feed in self._left if not feed.poller.is_busy]:
            feed.close()
            self._left.remove(feed)

    def close(self) -> None:
        """Closes all of them; polls that are under way fail."""
        for feed in (*self._feeds.values(), *self._left):
            feed.close()
        if self._connections is not None:
            self._connections.let_go()

    def _share(self, settings: SentrytexConfig) -> Connections | None:
        """What the clients of named accounts have in common: a thousand of them each with its own would be too many."""
        before = self._connections
        if before is not None and before.base_url == settings.base_url and settings.accounts:
            return before
        self._connections = Connections(settings.base_url) if settings.accounts else None
        if self._connections is not None:
            self._connections.hold()
        if before is not None:
            before.let_go()
        return self._connections
