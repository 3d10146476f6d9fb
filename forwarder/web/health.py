"""Whether it works: for load balancers, Kubernetes and the like."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from forwarder.alarms import is_unread, last_poll
from forwarder.store import Store, StoreError

if TYPE_CHECKING:
    from forwarder.app import Forwarder

WRITE_EVERY: Final = 5.0
"""Seconds for which a verdict on the database stays good: probes must not keep the disk busy."""


class Health:
    """Judges readiness: the feed is read, and the database takes writes."""

    def __init__(self, forwarder: Forwarder, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._forwarder, self._store, self._clock = forwarder, store, clock
        self._lock = threading.Lock()
        self._good_until = 0.0
        self._refused: str | None = None

    def reasons(self) -> list[str]:
        """Why it is not ready, in sentences; nothing where it is."""
        reasons = []
        try:
            if unread := self._unread():
                reasons.append(unread)
        except StoreError as error:
            return [str(error)]
        if refused := self._write():
            reasons.append(refused)
        return reasons

    def _unread(self) -> str | None:
        feed, now = self._store.feed.state(), self._forwarder.clock()
        if not is_unread(feed, self._forwarder.config, started_at=self._forwarder.started_at, now=now):
            return None
        return last_poll(feed, now)

    def _write(self) -> str | None:
        with self._lock:
            if self._clock() >= self._good_until:
                try:
                    self._forwarder.store.retention.prove_writable()
                    self._refused = None
                except StoreError as error:
                    self._refused = str(error)
                self._good_until = self._clock() + WRITE_EVERY
            return self._refused
