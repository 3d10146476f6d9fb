"""What the roles are for: jobs, dispatchers, and what an earlier holder left, as a role comes and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from forwarder.common.clock import Now
from forwarder.config import Config
from forwarder.delivery.dispatchers import Dispatchers
from forwarder.delivery.leftovers import Leftovers
from forwarder.feed.account import Feeds
from forwarder.jobs import Jobs
from forwarder.lifecycle import Life
from forwarder.replicas.roles import SCHEDULER, UPKEEP, accounts_in, connectors_in, is_feed, of_feed, roles_of
from forwarder.store import Store

JOBS_END: Final = 1.0
"""Seconds that jobs under way may take once the process ends."""
WAKE: Final = "wake:"
REVIEW: Final = "review"
"""What replicas tell each other: that a connector is owed something, and that the alarms may be others."""


class Duties:
    """What this process does for the roles that it has. ``config`` is the one of now."""

    def __init__(
        self,
        store: Store,
        config: Callable[[], Config],
        *,
        delivering: Dispatchers,
        leftovers: Leftovers,
        jobs: Jobs,
        feeds: Feeds,
        life: Life,
        now: Now,
        shared: bool,
    ) -> None:
        self._store, self._config = store, config
        self._delivering, self._leftovers = delivering, leftovers
        self._jobs, self._feeds, self._life = jobs, feeds, life
        self._now, self._shared = now, shared
        self._ends_at: float | None = None
        self.changing = threading.RLock()
        """Held by whoever changes what runs: a reload, or a role that comes or goes."""
        self.schedules = True
        """Whether the jobs are done again and again."""

    def roles(self) -> Collection[str]:
        """Every role that the config has."""
        config = self._config()
        return roles_of(config.connectors, config.sentrytex.keys)

    def take_up(self, roles: Collection[str]) -> None:
        """Begins what ``roles`` are for, after what an earlier holder left; raises StoreError."""
        with self.changing:
            names = connectors_in(roles)
            self._leftovers.take_over(names)
            if accounts := [account for account in accounts_in(roles) if account in self._feeds]:
                self._take_feeds(accounts)
            if self.schedules:
                self._jobs.start()
            self._jobs.begin([role for role in roles if is_feed(role) or role in (SCHEDULER, UPKEEP)])
            self._delivering.take(names, shared=self._shared)
            self._jobs.follow(connector for name, connector in self._delivering.in_use().items() if name in names)

    def _take_feeds(self, accounts: Sequence[str]) -> None:
        if self._shared:
            for account in accounts:
                self._feeds[account].poller.begin_anew()
        # All of them were taken in one write a moment ago: that one is still held says so of the others.
        told = self._store.acting_as(of_feed(accounts[0])).accounts
        told.open(accounts)
        told.count_start(accounts, now=self._now())

    def lay_down(self, role: str, *, lost: bool) -> None:
        """Begins nothing more for ``role``; where it was lost, nobody waits for what is under way."""
        with self.changing:
            for name in connectors_in([role]):
                self._delivering.lay_down(name, self._config(), lost=lost)
                self._life.responses.leave(name)

    def has_ended(self, role: str) -> bool:
        """Whether nothing is under way any more for a role that was laid down."""
        with self.changing:
            sent = all(map(self._delivering.has_ended, connectors_in([role])))
        late = self._ends_at is not None and time.monotonic() > self._ends_at
        return sent and (late or self._jobs.have_ended(role))

    def end(self) -> None:
        """The process ends: for its jobs nobody waits for long."""
        self._ends_at = time.monotonic() + JOBS_END
        self._jobs.stop()

    def heard(self, topics: Iterable[str]) -> None:
        """What another replica announced; it must not wait for anything."""
        for topic in topics:
            if topic == REVIEW:
                self._jobs.review()
            elif topic.startswith(WAKE):
                self._delivering.wake([topic.removeprefix(WAKE)])
