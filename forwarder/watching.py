"""What happens, told to those who count it, alarm people or wake workers. Watchers never raise and never block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forwarder.store.records import Claimed, Settlement

if TYPE_CHECKING:
    from forwarder.poller import Turn
    from forwarder.sentrytex import SentrytexError


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempted:
    """One attempt of one delivery: how long it took and what became of it.

    ``paused`` and ``resumed`` say that with it the connector stopped or began to take deliveries.
    """

    connector: str
    claimed: Claimed
    settlement: Settlement
    seconds: float
    paused: bool = False
    resumed: bool = False


class Watcher:
    """Takes note of nothing: the base of those who do."""

    def polled(self, turn: Turn, seconds: float) -> None:
        """The feed was read, by a poll or a sweep."""

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:
        """The feed could not be read."""

    def sweep_failed(self, error: SentrytexError) -> None:
        """A sweep could not read the feed."""

    def attempted(self, attempt: Attempted) -> None:
        """A delivery was tried."""

    def store_failed(self, reason: str) -> None:
        """The database did not take a write."""

    def wording_failed(self, connector: str, reason: str) -> None:
        """A template failed, and the built-in words went out."""

    def reloaded(self, *, ok: bool) -> None:
        """Another config was taken over, or refused."""


class Watchers(Watcher):
    """Several watchers as one."""

    def __init__(self, watchers: Sequence[Watcher] = ()) -> None:
        self._watchers = list(watchers)

    def add(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def polled(self, turn: Turn, seconds: float) -> None:
        for watcher in self._watchers:
            watcher.polled(turn, seconds)

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:
        for watcher in self._watchers:
            watcher.poll_failed(error, seconds)

    def sweep_failed(self, error: SentrytexError) -> None:
        for watcher in self._watchers:
            watcher.sweep_failed(error)

    def attempted(self, attempt: Attempted) -> None:
        for watcher in self._watchers:
            watcher.attempted(attempt)

    def store_failed(self, reason: str) -> None:
        for watcher in self._watchers:
            watcher.store_failed(reason)

    def wording_failed(self, connector: str, reason: str) -> None:
        for watcher in self._watchers:
            watcher.wording_failed(connector, reason)

    def reloaded(self, *, ok: bool) -> None:
        for watcher in self._watchers:
            watcher.reloaded(ok=ok)
