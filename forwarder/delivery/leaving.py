"""A dispatcher that was replaced, removed or laid down, while what it sends is still under way."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol

from forwarder.common.clock import Now
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.events import AttemptFinished, Listener
from forwarder.store import Store, StoreError


class Leaving:
    """A dispatcher that claims nothing more, until what it sends has ended, or was given up by the store."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._until = time.monotonic() + dispatcher.lease

    def is_over(self, now: float) -> bool:
        """Whether it has ended; then its connector is closed. After its lease another one may have what it sends."""
        if not self.dispatcher.ended and now < self._until:
            return False
        self.dispatcher.join(0.0)
        return True


class Delivering(Protocol):
    """Who has dispatchers, those that leave among them; ``forwarder.app.Forwarder`` does."""

    store: Store

    @property
    def leaving(self) -> list[Leaving]: ...

    @property
    def dispatchers(self) -> dict[str, Dispatcher]: ...

    @property
    def clock(self) -> Now: ...


class Pauses(Listener):
    """Tells a connector's dispatcher of a pause that its predecessor's last attempts began or ended."""

    def __init__(self, delivering: Delivering) -> None:
        self._delivering = delivering

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        delivering, name = self._delivering, attempt.connector
        if not (attempt.paused or attempt.resumed) or name not in delivering.dispatchers:
            return
        if any(leaving.dispatcher.name == name for leaving in delivering.leaving):
            # What the old settings led to says nothing of the new ones: they are tried at once.
            with suppress(StoreError):
                delivering.store.operations.probe_now(name, now=delivering.clock())
        delivering.dispatchers[name].recall()
