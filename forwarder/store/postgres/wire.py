"""Connections to a PostgreSQL server that take statements, and give rows, as SQLite's do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import FloatLoader
from psycopg.types.string import StrDumper, TextLoader

from forwarder.common.databases import PostgresAddress
from forwarder.store.connection import Values
from forwarder.store.postgres.dialect import translated

CONNECT_SECONDS: Final = 5
"""How long a server may take to answer at first."""
_SETTINGS: Final[Mapping[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "sentrytex-forwarder",
    "client_encoding": "utf8",
    # A server that is gone without a word is noticed within half a minute, also in the midst of a statement.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""What every connection has (https://www.postgresql.org/docs/current/libpq-connect.html)."""

PREPARED_AFTER: Final = 5
"""How often a statement is carried out before it is prepared."""

NOT_IDLE: Final = "idle_in_transaction_session_timeout = '10s'"
"""What every transaction sets that locks: who stands still in it holds up nobody for longer than a lease."""


class Raw(psycopg.Connection[Any]):
    """A connection, and what is known of what it leads to."""

    is_direct = False
    """Whether that is the server itself: what is set or prepared there stays from one transaction to the next."""
    planned_at = 0.0
    """When it last forgot its plans, by ``time.monotonic``."""


class Row(Sequence[Any]):
    """A row: its values by name or place."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, key: Any) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        """The names of its columns."""
        return list(self._places)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    places: dict[str, int] = {}
    for place, column in enumerate(cursor.description or ()):
        places.setdefault(column.name, place)
    return lambda values: Row(places, values)


class _Text(StrDumper):
    """A text; a zero byte, which PostgreSQL's texts cannot hold, becomes the mark for what cannot be shown."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(str, _Text)
    adapters.register_loader("numeric", FloatLoader)
    # The store reads JSON by itself, and knows what to do with what is none.
    adapters.register_loader("json", TextLoader)
    return adapters


ADAPTERS: Final = _adapters()


def settings(address: PostgresAddress) -> dict[str, Any]:
    """What a connection to ``address`` is made with; what the address itself says counts."""
    told = psycopg.conninfo.conninfo_to_dict(address.url)
    return {**_SETTINGS, **{key: value for key, value in told.items() if value is not None}}


def connect(address: PostgresAddress, **more: Any) -> Raw:
    """A new connection, with ``more`` settings; raises psycopg.Error. Who uses it begins and ends transactions."""
    return Raw.connect(**{**settings(address), **more}, **OPTIONS)


def look_behind(raw: Raw) -> None:
    """Finds out whether a connection is direct; then what it is asked again and again is prepared."""
    asked = raw.execute("SELECT pg_backend_pid()").fetchone()
    # A pooler answers for the server, under a number of its own, and each transaction may be another session's.
    if asked is not None and asked[0] == raw.info.backend_pid:
        raw.is_direct, raw.prepare_threshold = True, PREPARED_AFTER


OPTIONS: Final[Mapping[str, Any]] = {
    "autocommit": True,
    "context": ADAPTERS,
    "cursor_factory": psycopg.RawCursor,
    "row_factory": _rows,
    # A pooler between us and the server may give each transaction another of its connections.
    "prepare_threshold": None,
}


class PostgresConnection:
    """A connection with a transaction open, as the store's statements know it."""

    Error = psycopg.Error

    def __init__(self, raw: Raw, *, prepare: bool | None = None) -> None:
        self.raw, self._prepare = raw, prepare

    def execute(self, sql: str, values: Values = ()) -> psycopg.Cursor[Any]:
        statement = translated(sql)
        return self.raw.execute(statement.sql.encode(), statement.values(values) or None, prepare=self._prepare)

    def executemany(self, sql: str, values: Iterable[Values]) -> psycopg.Cursor[Any]:
        statement = translated(sql)
        cursor = self.raw.cursor()
        # For none there would be a question to the server all the same.
        if given := [statement.values(one) for one in values]:
            cursor.executemany(statement.sql.encode(), given)
        return cursor


def still_within(raw: Raw) -> None:
    """Raises where a job ended the transaction, or went on after a fault: a commit would keep only a part of it."""
    if raw.info.transaction_status is not pq.TransactionStatus.INTRANS:
        raise psycopg.OperationalError("the transaction ended before its commit")


def leave(raw: Raw) -> None:
    """Ends a transaction that failed or was interrupted; the connection goes where even that fails."""
    try:
        if not raw.closed and raw.info.transaction_status is not pq.TransactionStatus.IDLE:
            raw.execute("ROLLBACK")
    except BaseException:
        raw.close()
