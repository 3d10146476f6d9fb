"""The store on a PostgreSQL server; needs the extra ``postgres``, and is imported only where an address asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from forwarder.common.databases import EXTRA, PostgresAddress
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.errors import StoreError
from forwarder.store.presence import Presence


def open_engine(address: PostgresAddress, *, replica: bool = False, alone: bool = False) -> Engine:
    """The database at ``address``; raises StoreError, also where the extra is missing."""
    with _driver(address):
        from forwarder.store.postgres.engine import PostgresEngine
    return PostgresEngine(address, replica=replica, alone=alone)


def has_store(address: PostgresAddress) -> bool:
    """Whether the store's tables are there; raises StoreError as ``open_engine`` does."""
    with _driver(address):
        from psycopg import Error

        from forwarder.store.postgres import faults
        from forwarder.store.postgres.schema import applied
        from forwarder.store.postgres.wire import connect
    try:
        with contextlib.closing(connect(address)) as raw:
            return applied(raw) is not None
    except Error as error:
        raise faults.in_words(address, error) from error


def visit(address: PostgresAddress) -> Presence:
    """What shows of the daemon there, for who looks once: each question opens the database and closes it again."""
    from forwarder.store.postgres.presence import ReplicaPresence

    @contextlib.contextmanager
    def read() -> Iterator[Connection]:
        engine = open_engine(address)
        try:
            with engine.read() as connection:
                yield connection
        finally:
            engine.close()

    return ReplicaPresence(read)


@contextlib.contextmanager
def _driver(address: PostgresAddress) -> Iterator[None]:
    """Says what brings the driver where an import fails for want of it."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        raise StoreError(f"The database {address} needs the extra `postgres`: {EXTRA}.") from None
