"""The deliveries of one connector that are being sent. Not safe by itself: its dispatcher guards it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from forwarder.store.records import Claimed

_Key = tuple[int, str]

HANGS_AFTER: Final = 2.0
"""Seconds after which one that is under way may well end in a time-out."""


class UnderWay:
    """Which they are, and which of them need watching."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: dict[_Key, float] = {}
        self._probes: set[_Key] = set()
        self._failing: set[_Key] = set()

    @property
    def busy(self) -> int:
        """How many workers are at it."""
        return len(self._began)

    @property
    def probes(self) -> int:
        """How many were picked to learn whether the destination works."""
        return len(self._probes)

    def expect(self, *, probes: Iterable[Claimed], failing: Iterable[Claimed]) -> None:
        """Takes note of what was claimed: probes, and what keeps failing while others arrive."""
        self._probes.update(map(_key, probes))
        self._failing.update(map(_key, failing))

    def begin(self, claimed: Claimed) -> None:
        """A worker took one."""
        self._began[_key(claimed)] = self._clock()

    def end(self, claimed: Claimed) -> bool:
        """A worker is done with one; whether that frees a place for which others had to wait."""
        key = _key(claimed)
        watched = key in self._probes | self._failing
        del self._began[key]
        self._probes.discard(key)
        self._failing.discard(key)
        return watched

    def room_for_failing(self, workers: int) -> int:
        """How many of those that keep failing may join: a time-out of theirs must never hold up all ``workers``."""
        now = self._clock()
        hanging = {key for key, began in self._began.items() if now - began > HANGS_AFTER}
        return max(workers // 2, 1) - len(self._failing | hanging)


def _key(claimed: Claimed) -> _Key:
    # A delivery whose lease ended may be under way a second time.
    return claimed.delivery.id, claimed.token
