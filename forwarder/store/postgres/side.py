"""A PostgreSQL database as rows of whole tables go in and out of it, by COPY."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final

import psycopg

from forwarder.store.connection import Connection
from forwarder.store.postgres.schema import SCHEMA
from forwarder.store.postgres.wire import PostgresConnection, Raw
from forwarder.store.sides import Table, Values

_KINDS: Final = {"INTEGER": "int8", "REAL": "float8", "TEXT": "text", "BLOB": "bytea"}
"""What the columns' types are called on the wire."""

_UNLIMITED: Final = (
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;"
    " SET LOCAL maintenance_work_mem = '128MB'"
)
"""A statement is as long as the table, and waits for as long as the other database takes."""


class PostgresSide:
    """A database on a server. Its triggers rest while it is filled, and its indexes are made afterwards."""

    unkept = "\0"
    refusals = (psycopg.IntegrityError, psycopg.DataError)

    def __init__(self) -> None:
        self._dropped: list[str] = []

    def begin(self, connection: Connection, *, filled: bool) -> None:
        raw = _raw(connection)
        raw.execute(_UNLIMITED)
        if not filled:
            return
        for (table,) in raw.execute(_WATCHED).fetchall():
            raw.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        for name, sql in raw.execute(_INDEXES).fetchall():
            raw.execute(f"DROP INDEX {name}".encode())
            self._dropped.append(sql)

    def end(self, connection: Connection) -> None:
        raw = _raw(connection)
        for sql in self._dropped:
            raw.execute(sql.encode())
        for (table,) in raw.execute(_WATCHED).fetchall():
            raw.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())
        # Else the first claims would be planned for empty tables.
        for (table,) in raw.execute(_ALL).fetchall():
            raw.execute(f"ANALYZE {table}".encode())

    def rows(self, connection: Connection, table: Table) -> Generator[Values, None, None]:
        with _copying(connection, f"{table.name} ({table.listed}) TO STDOUT", table) as copy:
            yield from copy.rows()

    def put(self, connection: Connection, table: Table, rows: Iterable[Values]) -> None:
        with _copying(connection, f"{table.name} ({table.listed}) FROM STDIN", table) as copy:
            for row in rows:
                copy.write_row(row)

    def last_numbers(self, connection: Connection) -> Mapping[str, int]:
        raw = _raw(connection)
        last = {}
        for table, sequence in raw.execute(_NUMBERED).fetchall():
            given = raw.execute(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}".encode())
            last[str(table)] = int(given.fetchone()[0])  # type: ignore[index] # a sequence has one row
        return last

    def go_on(self, connection: Connection, numbers: Mapping[str, int]) -> None:
        raw = _raw(connection)
        for table, _ in raw.execute(_NUMBERED).fetchall():
            # As a part of the transaction, which setval is not.
            raw.execute(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH {numbers.get(table, 0) + 1}".encode())


@contextlib.contextmanager
def _copying(connection: Connection, told: str, table: Table) -> Iterator[psycopg.Copy]:
    """What takes or gives a table's rows; by their types, for a value on the wire does not say its own."""
    with _raw(connection).cursor() as cursor, cursor.copy(f"COPY {told} (FORMAT binary)".encode()) as copy:
        copy.set_types([_KINDS[kind] for kind in table.kinds])
        yield copy


def _raw(connection: Connection) -> Raw:
    assert isinstance(connection, PostgresConnection)  # noqa: S101 - the engine gives no other one
    return connection.raw


_ALL: Final = f"""
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind = 'r' ORDER BY 1
"""
_WATCHED: Final = f"""
SELECT DISTINCT t.tgrelid::regclass::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND NOT t.tgisinternal ORDER BY 1
"""
_INDEXES: Final = f"""
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = '{SCHEMA}'::regnamespace
  AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.indexrelid) ORDER BY 1
"""
_NUMBERED: Final = f"""
SELECT c.oid::regclass::text, pg_get_serial_sequence(c.oid::regclass::text, a.attname)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind = 'r' AND a.attidentity <> '' ORDER BY 1
"""
