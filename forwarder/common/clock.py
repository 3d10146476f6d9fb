"""The time that deadlines are kept in: it starts as the wall clock and then runs on by itself.

A wall clock that is set an hour back would put off every retry and every poll by an hour; one set forth would end every
lease at once. So the forwarder reads the wall clock at its start, goes on with the clock that nobody can set (and that
counts while the machine sleeps), and follows a step of the wall clock only when ``follow`` is called, which says by how
much, so that what was written down can be moved along.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Now = Callable[[], float]
"""Seconds since the epoch."""

STEP: Final = 5.0
"""Seconds of difference that count as a step of the wall clock: slewing and leap seconds stay below."""


def _uptime() -> float:
    # Linux has a clock that also counts suspended time; elsewhere the monotonic one must do.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock:
    """A wall clock without steps."""

    def __init__(self, wall: Now = time.time, uptime: Now = _uptime) -> None:
        self._wall, self._uptime = wall, uptime
        self._offset = wall() - uptime()

    def __call__(self) -> float:
        """Seconds since the epoch, never running backwards between two calls of ``follow``."""
        return self._uptime() + self._offset

    def uptime(self) -> float:
        """Seconds of the clock that nobody can set: for how long something is to wait, whatever the wall clock does."""
        return self._uptime()

    def follow(self) -> float:
        """Takes over a step of the wall clock and returns its seconds; 0.0 where there was none."""
        step = self._wall() - self()
        if abs(step) < STEP:
            return 0.0
        self._offset += step
        return step


def instant(seconds: float) -> datetime:
    """Seconds since the epoch as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float | datetime) -> str:
    """An instant as the API and people write it: ``2026-05-01T12:34:56Z``, with a fraction only where there is one."""
    when = seconds if isinstance(seconds, datetime) else instant(seconds)
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
