"""The services' time, and the limits that are counted in it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """The time by which all services of a sandbox go: ``source``'s, moved forward by hand."""

    def __init__(self, source: Callable[[], datetime] | None = None) -> None:
        self._source = source or (lambda: datetime.now(UTC))
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return self._source() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self._ahead += timedelta(seconds=seconds)


class SlidingWindow:
    """At most ``limit`` requests in any ``per`` seconds. A refused request does not count."""

    def __init__(self, limit: int, per: float) -> None:
        self.limit = limit
        self._per = timedelta(seconds=per)
        self._taken: deque[datetime] = deque()
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """How many requests may pass yet."""
        with self._lock:
            return max(self.limit - len(self._taken), 0)

    def take(self, now: datetime) -> float:
        """0 where the request may pass, else the seconds until one may."""
        with self._lock:
            while self._taken and self._taken[0] <= now - self._per:
                self._taken.popleft()
            if len(self._taken) >= self.limit:
                return (self._taken[0] + self._per - now).total_seconds()
            self._taken.append(now)
            return 0.0


class Trickle:
    """One request in ``per`` seconds on the long run, and a burst of ``burst`` after a pause."""

    def __init__(self, per: float, burst: int) -> None:
        self._per = timedelta(seconds=per)
        self._slack = timedelta(seconds=per * (burst - 1))
        self._next: datetime | None = None
        self._lock = threading.Lock()

    def take(self, now: datetime) -> float:
        """0 where the request may pass, else the seconds until one may."""
        with self._lock:
            due = max(self._next or now, now)
            if due - self._slack > now:
                return (due - self._slack - now).total_seconds()
            self._next = due + self._per
            return 0.0
