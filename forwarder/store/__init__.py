"""The store: alerts, what is owed for them, and how far the feed was read. The only rooms that hold SQL.

``engine`` is the file and its transactions, ``schema`` the tables, ``records`` the facts that go in and out. The poller
writes through ``intake``, the dispatchers through ``outbox``, the alarms through ``troubles``; ``views`` is what people
look at, ``upkeep`` forgets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from forwarder.store.engine import AlreadyRunning, StoreError
from forwarder.store.intake import Intake
from forwarder.store.outbox import Outbox
from forwarder.store.troubles import Troubles
from forwarder.store.upkeep import Upkeep
from forwarder.store.views import Views

__all__ = ["AlreadyRunning", "Store", "StoreError"]


class Store(Intake, Outbox, Troubles, Views, Upkeep):
    """A SQLite database. Safe to use from several threads."""

    @classmethod
    def own(cls, path: Path) -> Self:
        """The database for the one process that polls and delivers; made or brought up to date where need be.

        Raises AlreadyRunning where another process has it, StoreError where it cannot be used.
        """
        return cls(path, own=True, create=True)

    @classmethod
    def visit(cls, path: Path) -> Self:
        """The database for a command beside the daemon; raises StoreError where there is none."""
        return cls(path, own=False, create=False)
