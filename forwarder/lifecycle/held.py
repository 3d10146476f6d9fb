"""Lets out what was held, when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from forwarder.common.clock import Now, instant
from forwarder.config import Config
from forwarder.lifecycle.digests import compose
from forwarder.lifecycle.schedules import next_opening
from forwarder.logs import get_logger
from forwarder.store import Store
from forwarder.store.life_records import held_during

log = get_logger(__name__)

RELEASE_EVERY: Final = 10.0
"""Seconds between two looks at what is held, at most: other processes may hold something for a shorter time."""


class Held:
    """What waits for its time; ``wake`` calls those who are owed it then, ``hush`` takes out before what is muted."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        now: Now,
        wake: Callable[[Collection[str]], None],
        hush: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._now, self._wake, self._hush = store, now, wake, hush
        self._schedules = config.schedules
        self._follows = False

    def use(self, config: Config) -> None:
        """Goes by another config's schedules from now on, also for what is held already."""
        self._schedules, self._follows = config.schedules, False

    def release(self) -> float:
        """Makes due what may go out by now, and the digests of now; the seconds until more may."""
        self._hush()
        now = self._now()
        if not self._follows:
            openings = {
                held_during(name): next_opening(schedule, instant(now)).timestamp()
                for name, schedule in self._schedules.items()
            }
            self._store.lifecycle.retime(openings, now=now)
            self._follows = True
        connectors = self._store.lifecycle.release(now=now) | self._store.lifecycle.collect_digests(
            lambda connector, alerts: compose(connector, alerts, instant(now)), now=now
        )
        if connectors:
            log.info("released", to=sorted(connectors))
            self._wake(connectors)
        until = self._store.lifecycle.next_release()
        return RELEASE_EVERY if until is None else min(max(until - self._now(), 0.1), RELEASE_EVERY)
