"""Lets out what was held, when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from forwarder.common.clock import Now, instant
from forwarder.config import Config
from forwarder.lifecycle.digests import compose
from forwarder.lifecycle.schedules import next_opening, next_time
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
        self._config = config
        self._follows = False

    def use(self, config: Config) -> None:
        """Goes by another config's schedules and digests from now on, also for what is held already."""
        self._config = config
        self.retime()

    def retime(self) -> None:
        """Judges anew, with the next look, until when what is held already waits: the clock may have been set."""
        self._follows = False

    def release(self) -> float:
        """Makes due what may go out by now, and the digests of now; the seconds until more may."""
        self._hush()
        now = self._now()
        if not self._follows:
            # Before it is read: what comes meanwhile is for the next look.
            self._follows = True
            try:
                self._store.lifecycle.retime(*self._times(now), now=now)
            except Exception:
                self._follows = False
                raise
        connectors = self._store.lifecycle.release(now=now) | self._store.lifecycle.collect_digests(
            lambda connector, alerts: compose(connector, alerts, instant(now)), now=now
        )
        if connectors:
            log.info("released", to=sorted(connectors))
            self._wake(connectors)
        until = self._store.lifecycle.next_release()
        return RELEASE_EVERY if until is None else min(max(until - self._now(), 0.1), RELEASE_EVERY)

    def _times(self, now: float) -> tuple[dict[str, float], dict[str, float]]:
        """When each schedule opens, by what is held for it, and when the last of each connector's digests is due."""
        config = self._config
        openings = {
            held_during(name): next_opening(schedule, instant(now)).timestamp()
            for name, schedule in config.schedules.items()
        }
        digests: dict[str, float] = {}
        for route in config.routes:
            if route.digest:
                due = next_time(route.digest, instant(now)).timestamp()
                digests.update({name: max(due, digests.get(name, due)) for name in route.to})
        return openings, digests
