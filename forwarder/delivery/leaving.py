"""A dispatcher that a reload replaced or removed, while what it sends is still under way."""

from __future__ import annotations

import time

from forwarder.delivery.dispatcher import Dispatcher


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
