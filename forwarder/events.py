"""What happens, passed on to those who count it, raise alarms or wake workers. Listeners never raise or block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forwarder.logs import get_logger
from forwarder.store.life_records import Responded
from forwarder.store.records import Claimed, Settlement

if TYPE_CHECKING:
    from forwarder.feed.client import SentrytexError
    from forwarder.store.records import PollResult

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFinished:
    """One attempt of one delivery: how long it took and what became of it.

    ``paused`` and ``resumed`` say that with it the connector stopped or began to take deliveries.
    """

    connector: str
    claimed: Claimed
    settlement: Settlement
    seconds: float
    paused: bool = False
    resumed: bool = False


class Listener:
    """Takes note of nothing: the base of those who do."""

    def polled(self, result: PollResult, seconds: float) -> None:
        """The feed was read, by a poll or a sweep."""

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:
        """The feed could not be read."""

    def sweep_failed(self, error: SentrytexError) -> None:
        """A sweep could not read the feed."""

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        """A delivery was tried."""

    def store_failed(self, reason: str) -> None:
        """The database refused a write."""

    def template_failed(self, connector: str, reason: str) -> None:
        """A template failed, and the built-in text was sent."""

    def reloaded(self, *, ok: bool) -> None:
        """Another config was taken over, or refused."""

    def responded(self, responded: Responded) -> None:
        """A person decided something about an alert, and it changed how that stands."""


class Listeners(Listener):
    """Several listeners as one."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def polled(self, result: PollResult, seconds: float) -> None:
        self._tell(lambda listener: listener.polled(result, seconds))

    def poll_failed(self, error: SentrytexError, seconds: float) -> None:
        self._tell(lambda listener: listener.poll_failed(error, seconds))

    def sweep_failed(self, error: SentrytexError) -> None:
        self._tell(lambda listener: listener.sweep_failed(error))

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        self._tell(lambda listener: listener.attempt_finished(attempt))

    def store_failed(self, reason: str) -> None:
        self._tell(lambda listener: listener.store_failed(reason))

    def template_failed(self, connector: str, reason: str) -> None:
        self._tell(lambda listener: listener.template_failed(connector, reason))

    def reloaded(self, *, ok: bool) -> None:
        self._tell(lambda listener: listener.reloaded(ok=ok))

    def responded(self, responded: Responded) -> None:
        self._tell(lambda listener: listener.responded(responded))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        """Tells each of them; one that fails keeps it neither from the others nor from those to whom it happened."""
        for listener in self._listeners:
            try:
                what(listener)
            except Exception:
                log.exception("listener_failed", listener=type(listener).__name__)
