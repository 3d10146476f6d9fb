"""What the account's stack says of its vendors: read now and then, and at once where a route depends on it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from forwarder.alert import Alert, Vendors
from forwarder.common.clock import Now
from forwarder.feed.client import SentrytexError, Share
from forwarder.feed.reader import Source
from forwarder.logs import get_logger
from forwarder.store.vendors import VendorStore
from forwarder.wire.deadline import deadline

log = get_logger(__name__)

STACK_EVERY: Final = 180.0
"""Seconds between two looks at the stack, which seldom changes; twice as long after each that fails."""
STACK_MOST: Final = 3600.0
STACK_SOONER: Final = 15.0
"""Seconds between two looks where alerts name vendors that the stack did not have."""
PATIENCE: Final = 10.0
"""Seconds for which the routing of a page waits for the stack."""


class StackReader:
    """Keeps the vendors of one account as its stack has them. Safe to use from several threads."""

    def __init__(self, vendors: VendorStore, *, now: Now) -> None:
        self._vendors, self._now = vendors, now
        self._failures = 0
        self._due = self._sooner = -math.inf
        self._grown: frozenset[str] = frozenset()
        self._asking = threading.Lock()
        self.settled: frozenset[str] = frozenset()
        """Alerts that were routed without their vendors' categories, and can be routed again: the stack was read."""

    def renew(self) -> None:
        """Reads the stack anew when it is asked for next: another account has other vendors."""
        self._due = self._sooner = -math.inf

    def grew(self, source: Source) -> frozenset[str]:
        """Vendors that joined the stack since this was asked last. It is read now and then: each call may ask."""
        if self._is_due(self._due) or (self._is_due(self._sooner) and self._vendors.uncategorized()):
            self._try(source)
        grown, self._grown = self._grown, frozenset()
        return grown

    def vendors_of(self, source: Source, alerts: Iterable[Alert]) -> tuple[Vendors, frozenset[str]]:
        """What the stack says of vendors, and those of the ``alerts``' vendors that it may have had since it was read.

        It is asked at once where it was read a while ago and does not have one of them.
        """
        vendors = self._vendors.known()
        unknown = frozenset(key for alert in alerts for key in alert.affected_vendors if key not in vendors)
        if not unknown:
            return vendors, frozenset()
        if self._is_due(self._sooner):
            with deadline(PATIENCE):
                if self._try(source):
                    return self._vendors.known(), frozenset()
        return vendors, unknown

    def read(self, source: Source, *, share: Share = Share.STACK) -> datetime | None:
        """Reads the stack, and returns the server's time; raises SentrytexError."""
        with self._asking:
            return self._read(source, share)

    def _try(self, source: Source) -> bool:
        """Whether the stack was read. Where it cannot be, it is asked for less and less often."""
        # Whoever comes while another one asks does not wait for that.
        if not self._asking.acquire(blocking=False):
            return False
        try:
            self._read(source, Share.STACK)
        except SentrytexError as error:
            if not self._failures:
                log.warning("stack_unread", reason=str(error))
            self._failures += 1
            wait = min(STACK_EVERY * 2.0 ** min(self._failures, 10), STACK_MOST)
            self._due = self._sooner = self._now() + wait
            return False
        finally:
            self._asking.release()
        return True

    def _read(self, source: Source, share: Share) -> datetime | None:
        # Before it is read: what is routed meanwhile may name vendors that the answer does not have yet.
        uncategorized = self._vendors.uncategorized()
        stack = source.stack(share=share)
        known = self._vendors.keys()
        self._vendors.keep(stack.vendors)
        if known is not None:
            self._grown |= stack.vendors.keys() - known
        self.settled |= uncategorized
        self._failures, self._due, self._sooner = 0, self._now() + STACK_EVERY, self._now() + STACK_SOONER
        return stack.server_time

    def _is_due(self, due: float) -> bool:
        # A clock that was set back must not put it off for long.
        return not self._now() < due <= self._now() + STACK_MOST
