"""What this process knows of its own writes: a database that refuses them cannot keep an alarm that says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from forwarder.common.clock import Now
from forwarder.events import AttemptFinished, Listener

if TYPE_CHECKING:
    from forwarder.store.records import PollResult

QUIET: Final = 300.0
"""Seconds without a refusal after which smaller writes than a poll's show that the database is well again."""
SAME: Final = 120.0
"""Seconds within which a further refusal belongs to the trouble that seemed to be over."""
PATIENCE: Final = 1.0
"""Seconds that a page waits for a write that proves how things stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A stretch in which the database refused writes, by our clock; ``until`` is None while it goes on."""

    since: float
    last_at: float
    reason: str
    until: float | None = None


class Writes(Listener):
    """Takes note of refused writes, and of those that show that it is over.

    A full disk still takes a write that needs no further room, so not every success counts: a complete poll does, for
    it is what had to be put off, and any other once nothing was refused for a while.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._lock, self._probing = threading.Lock(), threading.Lock()
        self._latest: Refusal | None = None
        self._taken_at: float | None = None

    def latest(self) -> Refusal | None:
        """The stretch that goes on, or the last one; None where no write was refused since the start."""
        with self._lock:
            return self._latest

    def look(self, probe: Callable[[], str | None]) -> Refusal | None:
        """As ``latest``, after a write that proves it; ``probe`` makes one, and returns why it was refused."""
        if self._probing.acquire(blocking=False):
            # A write may wait for long, and whoever looks must be told what is known.
            thread = threading.Thread(target=self._probe, args=(probe,), name="web-probe", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no thread: the page says what is known without it.
                self._probing.release()
            else:
                thread.join(PATIENCE)
        return self.latest()

    def store_failed(self, reason: str) -> None:
        now = self._now()
        with self._lock:
            latest, self._taken_at = self._latest, None
            if latest is None or (latest.until is not None and now - latest.until > SAME):
                self._latest = Refusal(since=now, last_at=now, reason=reason)
            else:
                self._latest = replace(latest, last_at=now, reason=reason, until=None)

    def polled(self, result: PollResult, seconds: float) -> None:  # noqa: ARG002
        if not result.sweep:
            self._taken(surely=True)

    def attempt_finished(self, attempt: AttemptFinished) -> None:  # noqa: ARG002
        self._taken()

    def _probe(self, probe: Callable[[], str | None]) -> None:
        try:
            if reason := probe():
                self.store_failed(reason)
            else:
                self._taken()
        finally:
            self._probing.release()

    def _taken(self, *, surely: bool = False) -> None:
        now = self._now()
        with self._lock:
            latest = self._latest
            if latest is None or latest.until is not None:
                return
            self._taken_at = now if self._taken_at is None else self._taken_at
            if surely or now - latest.last_at >= QUIET:
                self._latest = replace(latest, until=now if surely else self._taken_at)
