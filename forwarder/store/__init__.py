"""The store: alerts, what is owed for them, and how far the feed was read. The only room that holds SQL.

``engine`` is the file and its transactions, ``schema`` the tables, ``records`` the facts that go in and out. A Store is
composed of one part for each of those who use it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from forwarder.common.accounts import DEFAULT
from forwarder.common.databases import Database, PostgresAddress
from forwarder.store.accounts import AccountStore
from forwarder.store.alarms import AlarmStore
from forwarder.store.daemon import DaemonStore
from forwarder.store.engine import Engine
from forwarder.store.errors import AlreadyRunning, LeaseLost, StoreError
from forwarder.store.evidence import EvidenceStore
from forwarder.store.feed import FeedStore
from forwarder.store.figures import FigureStore
from forwarder.store.lifecycle import LifecycleStore
from forwarder.store.memory import MemoryStore
from forwarder.store.mutes import MuteStore
from forwarder.store.operations import Operations
from forwarder.store.outbox import Outbox
from forwarder.store.presence import FilePresence, Presence
from forwarder.store.queries import Queries
from forwarder.store.reminders import ReminderStore
from forwarder.store.retention import Retention
from forwarder.store.sessions import SessionStore
from forwarder.store.sqlite import SqliteEngine
from forwarder.store.vendors import VendorStore
from forwarder.store.waits import Waits

__all__ = ["AlreadyRunning", "LeaseLost", "Store", "StoreError", "presence_of"]


class Store:
    """A database. Safe to use from several threads.

    ``accounts`` knows whose feeds are read; ``feed`` is written by the poller, ``vendors`` by the reader of the
    stack, ``evidence`` by that of single alerts, ``outbox`` by the dispatchers, ``operations`` by commands and the
    status page, ``alarms`` by the alarms, ``lifecycle``, ``mutes``, ``reminders`` and ``figures`` by an alert's
    life, ``memory`` by the connectors, ``sessions`` by the page's sign-in, ``daemon`` by the process itself;
    ``queries`` is what people look at, ``waits`` why something has not gone out yet, and ``retention`` removes what
    is old.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.accounts = AccountStore(engine)
        self.feed = FeedStore(engine)
        self.vendors = VendorStore(engine)
        self.evidence = EvidenceStore(engine)
        self.memory = MemoryStore(engine)
        self.outbox = Outbox(engine, self.memory)
        self.operations = Operations(engine)
        self.alarms = AlarmStore(engine)
        self.lifecycle = LifecycleStore(engine)
        self.mutes = MuteStore(engine)
        self.reminders = ReminderStore(engine)
        self.figures = FigureStore(engine)
        self.queries = Queries(engine)
        self.waits = Waits(engine)
        self.retention = Retention(engine)
        self.sessions = SessionStore(engine)
        self.daemon = DaemonStore(engine)
        self._acting: dict[str, Store] = {}

    def feed_of(self, account: str) -> FeedStore:
        """What ``feed`` is for a config with a single key, for one of several accounts."""
        return self.feed if account == DEFAULT else FeedStore(self.engine, account)

    def vendors_of(self, account: str) -> VendorStore:
        """What ``vendors`` is for a config with a single key, for one of several accounts."""
        return self.vendors if account == DEFAULT else VendorStore(self.engine, account)

    @classmethod
    def open_exclusive(cls, place: Database) -> Self:
        """The database for the one process that polls and delivers; created or migrated if necessary.

        Raises AlreadyRunning if another process has it open, StoreError if it cannot be used.
        """
        if isinstance(place, PostgresAddress):
            return cls(_engine_at(place, alone=True))
        return cls(SqliteEngine(place, exclusive=True, create=True))

    @classmethod
    def open_replica(cls, place: Database) -> Self:
        """The database for one of several processes that poll and deliver, each for its roles; else as the only one.

        A file has only one. Raises AlreadyRunning, where there may be no other, and StoreError.
        """
        return cls(_engine_at(place, replica=True)) if isinstance(place, PostgresAddress) else cls.open_exclusive(place)

    @classmethod
    def open_shared(cls, place: Database) -> Self:
        """The database for a command beside the daemon; raises StoreError if there is none."""
        if isinstance(place, PostgresAddress):
            return cls(_engine_at(place))
        return cls(SqliteEngine(place, exclusive=False, create=False))

    def acting_as(self, role: str) -> Store:
        """The same, all of whose writes are for ``role``: where another process has it, they raise LeaseLost."""
        engine = self.engine.acting_as(role)
        if engine is self.engine:
            return self
        if role not in self._acting:
            # One for all who act so: a claim has the connector's memory read anew, for whoever reads it.
            acting = Store(engine)
            acting.outbox.set_aside = self.outbox.set_aside
            return self._acting.setdefault(role, acting)
        return self._acting[role]

    def close(self) -> None:
        """Closes the database and gives up the lock."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def presence_of(place: Database) -> Presence:
    """What shows of the daemon on the database at ``place``; what it is asked raises StoreError where that fails."""
    if not isinstance(place, PostgresAddress):
        return FilePresence(place)
    from forwarder.store.postgres import visit

    return visit(place)


def _engine_at(address: PostgresAddress, *, replica: bool = False, alone: bool = False) -> Engine:
    # Only who keeps the state there needs it, and has it.
    from forwarder.store.postgres import open_engine

    return open_engine(address, replica=replica, alone=alone)
