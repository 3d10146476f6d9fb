"""How often a connector may send. The clock is the caller's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from forwarder.connector import Rate


class RateLimiter:
    """At most one send in every interval; the first is free."""

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limited = rate is not None
        self._interval = rate.interval if rate else 0.0
        self._clock = clock
        self._next, self._sends = clock(), 0
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until the next send may go."""
        return max(self._next - self._clock(), 0.0) if self.limited else 0.0

    def follow(self, predecessor: RateLimiter) -> None:
        """Goes on from the last send of another one for the same destination, at its own rate."""
        with self._lock:
            self._sends = predecessor._sends
            if self._sends:
                self._next = max(self._next, predecessor._next - predecessor._interval + self._interval)

    def wait_first(self) -> None:
        """The first is not free: another process may have sent something just now."""
        with self._lock:
            self._next = max(self._next, self._clock() + self._interval)

    def spend(self) -> None:
        """Counts one send."""
        with self._lock:
            # A pause earns no burst: at most one interval of it is credited.
            self._next = max(self._next, self._clock() - self._interval) + self._interval
            self._sends += 1

    def refund(self) -> None:
        """Takes back one send that did not take place."""
        with self._lock:
            self._next -= self._interval
            self._sends -= 1
