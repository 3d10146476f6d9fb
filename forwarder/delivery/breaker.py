"""Whether a destination is accepting deliveries, and how many may try it. Time and randomness are the caller's."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from enum import Enum
from typing import Final

from forwarder.common.backoff import Backoff
from forwarder.store.records import AttemptResult, Pause, Settlement

FAILURES: Final = 3
"""Failures in a row, over all deliveries, after which a destination counts as down and is tried by one at a time."""
DOWN: Final = Backoff(first=1.0, most=60.0)
"""Between two tries of a destination that is down, and of a paused one with what was never tried."""
_COUNTED: Final = frozenset({AttemptResult.RETRY, AttemptResult.UNCERTAIN, AttemptResult.GAVE_UP})
"""The results that speak against the destination, and not against one delivery or its config."""


class Health(Enum):
    """What is known of a destination: it works, asked to wait, fails again and again, or is paused until a person acts.

    But for the first, it is tried by one at a time.
    """

    WORKING = "working"
    LIMITED = "limited"
    DOWN = "down"
    PAUSED = "paused"

    @property
    def fails(self) -> bool:
        """Whether it takes nothing, for all that is known."""
        return self in (Health.DOWN, Health.PAUSED)


class Breaker:
    """What the outcomes of all deliveries together say of one destination. Safe to use from several threads."""

    def __init__(self, random: Callable[[], float]) -> None:
        self.pause: Pause | None = None
        """As the store last had it. The store's is the truth, since commands in other processes change it."""
        self.answered_at = -math.inf
        """When the destination last took or refused a delivery: what began to fail before, fails by itself."""
        self._random = random
        self._failures = self._refusals = self._early_probes = 0
        self._is_limited = False
        self._held_until = self._early_probe_at = 0.0
        self._held_since: float | None = None
        self._lock = threading.Lock()

    @property
    def health(self) -> Health:
        """A pause outranks failures, and these a rate limit: only an answer ends any of them."""
        if self.pause is not None:
            return Health.PAUSED
        if self._failures >= FAILURES:
            return Health.DOWN
        return Health.LIMITED if self._is_limited else Health.WORKING

    @property
    def probe(self) -> int:
        """The number of the attempt to find a paused destination working again; 0 where it is not paused."""
        pause = self.pause
        return 0 if pause is None else pause.probes + 1

    def probes_early(self, now: float) -> Pause | None:
        """The pause, where an attempt that begins now comes before its next probe."""
        pause = self.pause
        return pause if pause is not None and now < pause.probe_at else None

    def tries(self, now: float) -> int:
        """The number of the attempt to find a rate limit passed; 0 where none was reached, or it is still to last."""
        with self._lock:
            return self._refusals + 1 if self._is_limited and now >= self._held_until else 0

    def waited(self, now: float) -> float:
        """The seconds since the destination asked to wait or was found down; 0 where it has answered since."""
        since = self._held_since
        return 0.0 if since is None else now - since

    def follow(self, predecessor: Breaker) -> None:
        """Keeps to what the destination asked another one to wait; what failed there is tried anew."""
        if predecessor.health is not Health.DOWN:
            self._held_until, self._held_since = predecessor._held_until, predecessor._held_since
            self._is_limited, self._refusals = predecessor._is_limited, predecessor._refusals
        self._early_probe_at, self._early_probes = predecessor._early_probe_at, predecessor._early_probes

    @property
    def searches(self) -> bool:
        """Whether the next one is to be what was tried least recently, for the most severe may fail by itself.

        After a rate limit the most severe is the first to go, and only where it is refused once more, another one.
        """
        return self.health.fails or self._refusals > 0

    @property
    def draws(self) -> bool:
        """Whether the next one is to be drawn from all that was never tried.

        So is the last one before the destination counts as down, and every second probe.
        """
        if (pause := self.pause) is not None:
            return (pause.probes + self._early_probes) % 2 == 1
        failures = self._failures - FAILURES
        return failures % 2 == 1 if failures >= -1 else self._refusals % 2 == 1

    def keeps_failing(self, since: float | None) -> bool:
        """Whether others got an answer since a delivery began to fail, or was refused: then it fails by itself."""
        return since is not None and since <= self.answered_at

    def record(self, settlement: Settlement, now: float, *, keeps_failing: bool = False) -> Health:
        """Counts one result, and returns the health before it.

        The failure of one that keeps failing while others arrive is no reason to take the destination for down, and
        a message that could not be made is none at all.
        """
        with self._lock:
            before = self.health
            if settlement.probe_at is not None:
                self._pause(settlement, now, was_paused=before is Health.PAUSED)
            if settlement.outcome is AttemptResult.RATE_LIMITED:
                self._limit(settlement.due_at, now)
            elif settlement.answers:
                self._answer(now)
            elif settlement.outcome in _COUNTED and not settlement.own and (before.fails or not keeps_failing):
                self._fail(now)
            return before

    def room(self, most: int, *, busy: int, now: float, untried: bool = False) -> tuple[int, float]:
        """How many of ``most`` may go out while ``busy`` are under way, and the seconds until any may.

        The seconds are infinite where one that is under way must end first. With ``untried``, something that was never
        tried is due: it may show that not the destination is at fault, and a paused one is probed early with it.
        """
        pause = self.pause
        with self._lock:
            health, held = self.health, self._held_until - now
            if pause is not None:
                held = (min(pause.probe_at, self._early_probe_at) if untried else pause.probe_at) - now
        if health is Health.WORKING:
            return most - busy, held
        return 1, math.inf if busy else held

    def holds_back(self, due: float, *, now: float, patience: float) -> bool:
        """Whether what is due at ``due`` cannot go now, nor after a rate limit that passes within ``patience``."""
        pause, held = self.pause, self._held_until
        if pause is not None:
            return max(due, pause.probe_at) > now
        return due > max(now, held) or held - now > patience

    def shift_deadlines(self, seconds: float) -> None:
        """Moves what is held along with a clock that was set."""
        with self._lock:
            self._held_until += seconds
            self._early_probe_at += seconds
            self.answered_at += seconds
            if self._held_since is not None:
                self._held_since += seconds

    def _answer(self, now: float) -> None:
        self._failures = self._early_probes = 0
        self.answered_at, self._held_since = now, None
        if now >= self._held_until:
            # An answer that was under way before the rate limit was reached does not show that it has passed.
            self._is_limited, self._refusals = False, 0

    def _limit(self, until: float, now: float) -> None:
        if self._is_limited and now >= self._held_until:
            self._refusals += 1
        self._is_limited = True
        self._hold(until, now)

    def _pause(self, settlement: Settlement, now: float, *, was_paused: bool) -> None:
        self._early_probes = self._early_probes + settlement.early if was_paused else 0
        self._early_probe_at = now + DOWN.after(settlement.probes + self._early_probes + 1, self._random)

    def _fail(self, now: float) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._hold(now + DOWN.after(self._failures - FAILURES + 1, self._random), now)

    def _hold(self, until: float, now: float) -> None:
        # A shorter hold never cuts a longer one short.
        self._held_until = max(self._held_until, until)
        if self._held_since is None:
            self._held_since = now
