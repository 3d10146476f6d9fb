"""Whether it works: for load balancers, Kubernetes and the like."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from forwarder.alarms import is_unread, last_poll
from forwarder.common.text import counted
from forwarder.feed.account import AccountFeed
from forwarder.replicas.roles import of_feed
from forwarder.store import Store, StoreError
from forwarder.store.records import Feed

if TYPE_CHECKING:
    from forwarder.app import Forwarder

WRITE_EVERY: Final = 5.0
"""Seconds for which a verdict on the database stays good: probes must not keep the disk busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """One thing that keeps the forwarder from being ready: ``feed``, ``store``, ``threads`` or ``process``, and why."""

    what: str
    why: str


class Health:
    """Judges whether its threads turn, and readiness: beyond that the feed is read, and the database takes writes."""

    def __init__(self, forwarder: Forwarder, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._forwarder, self._store, self._clock = forwarder, store, clock
        self._lock = threading.Lock()
        self._good_until = 0.0
        self._refused: str | None = None

    def stalled(self) -> list[str]:
        """What does not turn any more, in sentences; it waits for nothing, least of all the database."""
        return self._forwarder.stalled()

    def missing(self) -> list[Missing]:
        """What it lacks to be ready; nothing where it is. That a destination is down is no reason: others work."""
        return [Missing(what=what, why=self._forwarder.redactor(why)) for what, why in self._missing()]

    def _missing(self) -> Iterator[tuple[str, str]]:
        for why in self.stalled():
            yield "threads", why
        if self._forwarder.stopping:
            yield "process", "The forwarder is stopping."
        try:
            unread = self._unread()
        except StoreError as error:
            yield "store", str(error)
            return
        if unread:
            yield "feed", unread
        if refused := self.write_refused():
            yield "store", refused

    def _unread(self) -> str | None:
        """Why the feed is not read. Of several accounts it is enough that one is read: each has an alarm of its own.

        Of those that are read here, where there are any: a key that is refused says nothing of this process.
        """
        feeds = self._forwarder.feeds
        states = self._store.accounts.feeds(feeds)
        found = {account: self._unread_of(feeds[account], state) for account, state in states.items()}
        if not feeds.are_named:
            return next(iter(found.values()))
        here = [
            account
            for account, state in states.items()
            if state.key_refused is None and self._forwarder.holds(of_feed(account))
        ]
        why = {account: found[account] for account in here or found}
        if None in why.values():
            return None
        account, *others = why
        same = f" The same goes for {counted(len(others), 'other account')}." if others else ""
        return f"{account}: {why[account]}{same}"

    def _unread_of(self, feed: AccountFeed, state: Feed) -> str | None:
        now = self._forwarder.clock()
        # Where another replica reads it, what that one has written down counts.
        if self._forwarder.holds(of_feed(feed.account)) and not feed.has_read:
            # That another process could read it says nothing of this one's key and network.
            return f"No poll was complete since {feed.reads_since}. {state.poll_error or ''}".strip()
        if state.key_refused is not None:
            return state.key_refused  # that does not pass by itself, as an outage does
        if not is_unread(state, self._forwarder.config, started_at=self._forwarder.started_at, now=now):
            return None
        return last_poll(state, now)

    def write_refused(self) -> str | None:
        """Why the database takes no writes, in a sentence; None where it does."""
        with self._lock:
            if self._clock() >= self._good_until:
                try:
                    self._forwarder.store.retention.prove_writable()
                    self._refused = None
                except StoreError as error:
                    self._refused = str(error)
                self._good_until = self._clock() + WRITE_EVERY
            return self._refused
