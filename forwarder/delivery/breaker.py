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
"""Between two tries of a destination that is down."""
_COUNTED: Final = frozenset({AttemptResult.RETRY, AttemptResult.UNCERTAIN, AttemptResult.GAVE_UP})
"""The results that speak against the destination, and not against one delivery or its config."""


class Health(Enum):
    """What is known of a destination: it works, fails again and again, or is paused until a person acts."""

    WORKING = "working"
    DOWN = "down"
    PAUSED = "paused"


class Breaker:
    """What the outcomes of all deliveries together say of one destination. Safe to use from several threads."""

    def __init__(self, random: Callable[[], float]) -> None:
        self.pause: Pause | None = None
        """As the store last had it. The store's is the truth, since commands in other processes change it."""
        self.answered_at = -math.inf
        """When the destination last took or refused a delivery: what began to fail before, fails by itself."""
        self._random = random
        self._failures = 0
        self._held_until = 0.0
        self._called_broken: dict[int, float] = {}
        self._lock = threading.Lock()

    @property
    def health(self) -> Health:
        """A pause outranks failures: only an answer ends it."""
        if self.pause is not None:
            return Health.PAUSED
        return Health.DOWN if self._failures >= FAILURES else Health.WORKING

    @property
    def probe(self) -> int:
        """The number of the attempt to find a paused destination working again; 0 where it is not paused."""
        pause = self.pause
        return 0 if pause is None else pause.probes + 1

    def follow(self, predecessor: Breaker) -> None:
        """Keeps to what the destination asked another one to wait; what failed there is tried anew."""
        if predecessor.health is not Health.DOWN:
            self._held_until = predecessor._held_until

    @property
    def draws(self) -> bool:
        """Whether the next one is to be drawn from all that was never tried, for the most severe may fail by itself.

        So does the last one before the destination counts as down, and every second probe.
        """
        if (pause := self.pause) is not None:
            return pause.probes % 2 == 1
        failures = self._failures - FAILURES
        return failures >= -1 and failures % 2 == 1

    def keeps_failing(self, failing_since: float | None) -> bool:
        """Whether others got an answer since a delivery began to fail: then it fails by itself."""
        return failing_since is not None and failing_since <= self.answered_at

    def fails_alone(self, delivery_id: int) -> bool:
        """Whether others got an answer since a delivery last called the destination broken."""
        return self._called_broken.get(delivery_id, math.inf) <= self.answered_at

    def remember(self, delivery_id: int, settlement: Settlement, now: float) -> None:
        """Takes note of which deliveries call the destination broken."""
        with self._lock:
            if settlement.outcome is AttemptResult.BROKEN:
                self._called_broken[delivery_id] = now
            elif settlement.state.settled:
                self._called_broken.pop(delivery_id, None)

    def record(self, settlement: Settlement, now: float, *, keeps_failing: bool = False) -> Health:
        """Counts one result, and returns the health before it.

        The failure of one that keeps failing while others arrive is no reason to take the destination for down, and
        a message that could not be made is none at all.
        """
        with self._lock:
            before = self.health
            if settlement.outcome is AttemptResult.RATE_LIMITED:
                self._hold(settlement.due_at)
            elif settlement.answers:
                self._failures, self.answered_at = 0, now
            elif (
                settlement.outcome in _COUNTED
                and not settlement.own
                and (before is not Health.WORKING or not keeps_failing)
            ):
                self._fail(now)
            return before

    def room(self, most: int, *, busy: int, now: float) -> tuple[int, float]:
        """How many of ``most`` may go out while ``busy`` are under way, and the seconds until any may.

        The seconds are infinite where one that is under way must end first.
        """
        pause = self.pause
        with self._lock:
            down, held = self._failures >= FAILURES, self._held_until - now
        if pause is not None:
            return 1, math.inf if busy else pause.probe_at - now
        if down:
            return 1, math.inf if busy else held
        return most - busy, held

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
            self.answered_at += seconds
            self._called_broken = {one: at + seconds for one, at in self._called_broken.items()}

    def _fail(self, now: float) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._hold(now + DOWN.after(self._failures - FAILURES + 1, self._random))

    def _hold(self, until: float) -> None:
        # A shorter hold never cuts a longer one short.
        self._held_until = max(self._held_until, until)
