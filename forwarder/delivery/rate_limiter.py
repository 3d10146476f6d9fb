"""How often a connector may send. The clock is the caller's."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from forwarder.connector import Rate

CREDITED: Final = 0.25
"""The share of an interval that a pause earns: what is late by less does not make those after it late as well."""
HELD: Final = 2.0
"""Seconds that a worker waits at most until what it has claimed is due: its request has a time-out."""


class Departure:
    """What was claimed and is about to leave: it holds its place until then, for one interval at most."""

    def __init__(self, limiter: RateLimiter, since: float) -> None:
        self._limiter, self.since = limiter, since
        self._left = self._begun = False

    def begin(self) -> None:
        """A request comes now; one that is not the first waits until it is due."""
        if self._begun:
            self.end()
            self._limiter.queue(self)
        self._begun, self._left = True, False

    def leave(self) -> None:
        """Right before it is sent: from now on it counts. It waits where others were let out because it was slow."""
        if not self._left:
            self._left = True
            self._limiter.left(self)

    def end(self) -> None:
        """Nothing more is sent, and where nothing was, its place is another one's."""
        self._limiter.give_back(self, counts=self._begun and not self._left)


class RateLimiter:
    """At most one send in every interval; the first is free.

    A send counts from when it leaves, and not from its claim: what a busy machine held up, or a process that stood
    still, would else leave together with what has become due since.
    """

    def __init__(
        self,
        rate: Rate | None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.limited = rate is not None
        self._interval = rate.interval if rate else 0.0
        self._clock, self._pause = clock, pause
        self._next, self._sends = clock(), 0
        self._claimed: deque[Departure] = deque()
        self._held: list[Departure] = []
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until the next send may be claimed."""
        with self._lock:
            return self._wait()

    def follow(self, predecessor: RateLimiter) -> None:
        """Goes on from the last send of another one for the same destination, at its own rate."""
        with predecessor._lock:
            # What is about to leave there leaves at once.
            before, held = predecessor._interval, len(predecessor._held)
            sends = predecessor._sends + held
            following = predecessor._after(held, self._clock()) if held else predecessor._next
        with self._lock:
            self._sends = sends
            if self._sends:
                self._next = max(self._next, following - before + self._interval)

    def wait_first(self) -> None:
        """The first is not free: another process may have sent something just now."""
        with self._lock:
            self._next = max(self._next, self._clock() + self._interval)

    @contextmanager
    def claiming(self) -> Iterator[Callable[[int], None]]:
        """While something is claimed, for which a place is held: it is called with how many there are to leave.

        Each of these leaves by a ``departure``.
        """
        first = Departure(self, math.inf)
        with self._lock:
            self._held.append(first)

        def claim(sends: int) -> None:
            with self._lock:
                self._held.remove(first)
                claimed = [Departure(self, self._clock()) for _ in range(sends)]
                self._claimed.extend(claimed)
                self._held += claimed

        try:
            yield claim
        finally:
            with self._lock:
                if first in self._held:
                    self._held.remove(first)

    @contextmanager
    def departure(self) -> Iterator[Departure]:
        """That of the first which was claimed and has none yet."""
        with self._lock:
            departure = self._claimed.popleft()
        try:
            yield departure
        finally:
            departure.end()

    def queue(self, departure: Departure) -> None:
        """Holds another place for it, and waits until it is its turn."""
        with self._lock:
            wait = min(self._wait(), HELD)
            departure.since = self._clock() + wait
            self._held.append(departure)
        if wait:
            self._pause(wait)

    def left(self, departure: Departure) -> None:
        """It leaves now, or as soon as it is due where it has lost its place."""
        with self._lock:
            holds = departure in self._held
        if not holds:
            self.queue(departure)
        with self._lock:
            if departure in self._held:
                self._held.remove(departure)
            self._count(self._clock())

    def give_back(self, departure: Departure, *, counts: bool) -> None:
        """It holds its place no more; where it ``counts``, it has left as soon as it was claimed, for all we know."""
        with self._lock:
            if departure in self._held:
                self._held.remove(departure)
            if counts:
                self._count(departure.since)

    def _wait(self) -> float:
        if not self.limited:
            return 0.0
        now = self._clock()
        # Others do not wait for what is slow.
        self._held = [departure for departure in self._held if now - departure.since < self._interval]
        return max(self._after(len(self._held), now) - now, 0.0)

    def _count(self, at: float) -> None:
        self._next, self._sends = self._after(1, at), self._sends + 1

    def _after(self, sends: int, at: float) -> float:
        """When another one may leave after so many at a moment."""
        return max(self._next, at - self._interval * CREDITED) + sends * self._interval
