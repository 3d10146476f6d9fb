"""Lets out what was held, when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from forwarder.common.clock import Now
from forwarder.logs import get_logger
from forwarder.store import Store

log = get_logger(__name__)

RELEASE_EVERY: Final = 10.0
"""Seconds between two looks at what is held, at most: other processes may hold something for a shorter time."""


class Held:
    """What waits for its time; ``wake`` calls those who are owed it then."""

    def __init__(self, store: Store, *, now: Now, wake: Callable[[Collection[str]], None]) -> None:
        self._store, self._now, self._wake = store, now, wake

    def release(self) -> float:
        """Makes due what may go out by now; the seconds until more may."""
        connectors = self._store.lifecycle.release(now=self._now())
        if connectors:
            log.info("released", to=sorted(connectors))
            self._wake(connectors)
        until = self._store.lifecycle.next_release()
        return RELEASE_EVERY if until is None else min(max(until - self._now(), 0.1), RELEASE_EVERY)
