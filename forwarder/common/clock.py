"""The time that deadlines are kept in: it starts as the wall clock and then runs on by itself.

A wall clock that is set an hour back would put off every retry and every poll by an hour; one set forth would end every
lease at once. So the forwarder reads the wall clock at its start, goes on with the clock that nobody can set (and that
counts while the machine sleeps), and follows a step of the wall clock only when ``follow`` is called, which says by how
much, so that what was written down can be moved along. Who reads the clock and writes down what follows from that keeps
it ``still`` meanwhile: a deadline from before a step that is written after it would be off by all of the step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Final

Now = Callable[[], float]
"""Seconds since the epoch."""

STEP: Final = 5.0
"""Seconds of difference that count as a step of the wall clock: slewing and leap seconds stay below."""
PATIENCE: Final = 0.5
"""Seconds that a step waits for those who keep the clock still; after that it is for another call to follow it."""


def _uptime() -> float:
    # Linux has a clock that also counts suspended time; elsewhere the monotonic one must do.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock:
    """A wall clock without steps. Safe to use from several threads."""

    def __init__(self, wall: Now = time.time, uptime: Now = _uptime) -> None:
        self._wall, self._uptime = wall, uptime
        self._offset = wall() - uptime()
        self._changed = threading.Condition()
        self._holders = 0
        self._steps = False
        self._here = threading.local()

    def __call__(self) -> float:
        """Seconds since the epoch, never running backwards between two calls of ``follow``."""
        return self._uptime() + self._offset

    def uptime(self) -> float:
        """Seconds of the clock that nobody can set: for how long something is to wait, whatever the wall clock does."""
        return self._uptime()

    @contextmanager
    def still(self) -> Iterator[None]:
        """No step is followed meanwhile: what is read of the clock fits what is written down, here and in the store.

        By a thread that waits for no request meanwhile, and entered before any lock that is taken within it elsewhere.
        """
        if getattr(self._here, "within", False):
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._steps)
            self._holders += 1
        self._here.within = True
        try:
            yield
        finally:
            self._here.within = False
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    def follow(self, move: Callable[[float], bool] = lambda _: True) -> float:
        """Takes over a step of the wall clock and returns its seconds; 0.0 where there was none.

        ``move`` is given them, to move along what was written down; where it says that it could not, or somebody keeps
        the clock still for long, nothing is changed, and the step is for a later call.
        """
        if abs(self._wall() - self()) < STEP:
            return 0.0
        with self._changed:
            self._steps = True  # so nobody else keeps it still before this one is over
            try:
                if not self._changed.wait_for(lambda: not self._holders, PATIENCE):
                    return 0.0
                return self._follow(move)
            finally:
                self._steps = False
                self._changed.notify_all()

    def _follow(self, move: Callable[[float], bool]) -> float:
        step, moved = self._wall() - self(), False
        self._here.within = True
        self._offset += step
        try:
            moved = move(step)
        finally:
            self._here.within = False
            if not moved:
                self._offset -= step
        return step if moved else 0.0


def still(now: Now) -> AbstractContextManager[None]:
    """Keeps a clock still, see there; of any other source of the time nobody follows steps."""
    return now.still() if isinstance(now, Clock) else nullcontext()


def instant(seconds: float) -> datetime:
    """Seconds since the epoch as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float | datetime) -> str:
    """An instant as the API and people write it: ``2026-05-01T12:34:56Z``, with a fraction only where there is one."""
    when = seconds if isinstance(seconds, datetime) else instant(seconds)
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
