"""How much of a connector's sending goes to what keeps failing, while others wait. Time is the caller's."""

from __future__ import annotations

from typing import Final

YIELDS: Final = (0, 3, 15, 19)
"""Sends that what keeps failing leaves to others after so many failures in a row; after more it is one send in 20."""
REST: Final = 60.0
"""Seconds that it leaves to others at most, where one failure takes as long as many sends."""


class Share:
    """The part of what keeps failing. It has its turn by severity like any other, until it fails once more."""

    def __init__(self) -> None:
        self._failures = self._others = 0
        self._rested_at = 0.0

    def yields(self, now: float) -> bool:
        """Whether it goes only where nothing else is due."""
        return self._others < self._owed or now < self._rested_at

    def spend(self, others: int) -> None:
        """Counts sends of others."""
        self._others += others

    def record(self, *, failed: bool, seconds: float, now: float) -> None:
        """Counts what became of one of those that keep failing: how long it took is made up for, too."""
        self._failures = self._failures + 1 if failed else 0
        self._others = 0
        self._rested_at = now + min(self._owed * seconds, REST)

    def shift_deadlines(self, seconds: float) -> None:
        """Moves the rest along with a clock that was set."""
        self._rested_at += seconds

    @property
    def _owed(self) -> int:
        return YIELDS[min(self._failures, len(YIELDS) - 1)]
