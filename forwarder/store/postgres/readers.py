"""The connections that read: a few that many threads share, and one more for who finds none of them free."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from forwarder.common.databases import PostgresAddress
from forwarder.store.connection import Connection, Values
from forwarder.store.postgres.transactions import FORGET_PLANS, begin_read, end_read, settle_in
from forwarder.store.postgres.wire import OPTIONS, PostgresConnection, Raw, connect, settings

T = TypeVar("T")

# Whoever wants a connection is told why there is none; the pool would say the same again and again.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

READERS: Final = 4
"""Connections that read at once."""
POOL_SECONDS: Final = 2.0
"""How long a reader waits for one of these; then it connects by itself, and hears why that fails."""
PLANNED_EVERY: Final = 2.0
"""Seconds after which nothing is carried out by a plan that was made for tables as they were then."""

Awaited = Callable[[Raw], contextlib.AbstractContextManager[None]]


class Readers:
    """Reads a database; ``awaited`` is within what the server is waited for. All raise psycopg.Error."""

    def __init__(self, address: PostgresAddress, awaited: Awaited) -> None:
        self._address, self._awaited = address, awaited
        self._pool: ConnectionPool[Raw] = ConnectionPool(
            connection_class=Raw,
            kwargs={**settings(address), **OPTIONS},
            configure=partial(settle_in, to_write=False),
            min_size=1,
            max_size=READERS,
            timeout=POOL_SECONDS,
            reconnect_timeout=2.0,
            name="forwarder",
            open=True,
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection with a transaction open that only reads."""
        raw, _ = self._ready(begin_read)
        try:
            with self._awaited(raw):
                # It is planned for what is asked: lists and searches ask for anything.
                yield PostgresConnection(raw, prepare=False)
        finally:
            end_read(raw)
            self._give_back(raw)

    def find(self, sql: str, values: Values) -> list[Any]:
        """What one statement finds, by a plan that is kept where the connection is direct."""
        raw, found = self._ready(partial(_found, sql=sql, values=values))
        self._give_back(raw)
        return found

    def close(self) -> None:
        """Closes what nobody reads with, and the others as they are given back."""
        self._pool.close(timeout=1.0)

    def _ready(self, first: Callable[[Raw], T]) -> tuple[Raw, T]:
        """A connection on which ``first`` was done, and what that came to."""
        for _ in range(READERS):
            try:
                raw = self._pool.getconn()
            except PoolTimeout:
                break
            try:
                with self._awaited(raw):
                    return raw, first(raw)
            except psycopg.OperationalError:
                is_lost = raw.closed
                self._give_back(raw)
                # It was lost while nobody used it.
                if not is_lost:
                    raise
            except BaseException:
                self._give_back(raw)
                raise
        # The pool does not tell why; and it may wait for a while before it looks again.
        raw = connect(self._address)
        try:
            settle_in(raw, to_write=False)
            return raw, first(raw)
        except BaseException:
            raw.close()
            raise

    def _give_back(self, raw: Raw) -> None:
        # The pool marks the connections that are its own, and no others.
        marked: object = getattr(raw, "_pool", None)
        if marked is self._pool:
            self._pool.putconn(raw)
        else:
            raw.close()


def _found(raw: Raw, sql: str, values: Values) -> list[Any]:
    if not raw.is_direct:
        begin_read(raw)
        try:
            return PostgresConnection(raw).execute(sql, values).fetchall()
        finally:
            end_read(raw)
    if time.monotonic() - raw.planned_at > PLANNED_EVERY:
        raw.planned_at = time.monotonic()
        raw.execute(FORGET_PLANS)
    # A statement has one view of the data without a transaction around it.
    return PostgresConnection(raw, prepare=True).execute(sql, values).fetchall()
