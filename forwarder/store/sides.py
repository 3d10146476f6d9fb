"""One kind of database as rows of whole tables go in and out of it, in one transaction: what ``moving`` asks of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

from forwarder.store.connection import Connection
from forwarder.store.schema import create

Values = tuple[Any, ...]
"""A row: None, int, float, str and bytes, the same from each kind of database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table that both kinds have: its columns, their types as SQLite calls them, and its rows in a new database."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    first: tuple[Values, ...]

    @property
    def listed(self) -> str:
        """Its columns, as a statement names them."""
        return ", ".join(self.columns)


class Side(Protocol):
    """A database in a transaction that only this process has, and that may last for long."""

    @property
    def unkept(self) -> str | None:
        """A character that no text can hold there."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What it raises where a row is not as its tables allow."""

    def begin(self, connection: Connection, *, filled: bool) -> None:
        """Makes ready to read all of it; where it is to be ``filled``, what follows from rows does not follow now."""

    def end(self, connection: Connection) -> None:
        """Makes the one that was filled what it is otherwise."""

    def rows(self, connection: Connection, table: Table) -> Generator[Values, None, None]:
        """All rows of a table, in no order, a few at a time; closed, or the connection may be of no more use."""

    def put(self, connection: Connection, table: Table, rows: Iterable[Values]) -> None:
        """Adds rows to a table."""

    def last_numbers(self, connection: Connection) -> Mapping[str, int]:
        """The last number that was given to a row, of each table that numbers its rows."""

    def go_on(self, connection: Connection, numbers: Mapping[str, int]) -> None:
        """Lets each table that numbers its rows by itself go on after the last number that was ever given."""


@cache
def tables() -> tuple[Table, ...]:
    """The tables that both kinds have, each after those that it refers to."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        create(made)
        names = [name for (name,) in made.execute(_TABLES)]
        needed = {name: {row[2] for row in made.execute(f"PRAGMA foreign_key_list({name})")} for name in names}
        ordered: list[str] = []
        while waiting := [name for name in names if name not in ordered]:
            ordered += [name for name in waiting if needed[name] <= {*ordered, name}]
        return tuple(_table(made, name) for name in ordered)


_TABLES: Final = """
SELECT name FROM pragma_table_list
WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlite_migrations'
ORDER BY name
"""


def _table(made: sqlite3.Connection, name: str) -> Table:
    columns = made.execute(f"PRAGMA table_info({name})").fetchall()
    return Table(
        name=name,
        columns=tuple(column[1] for column in columns),
        kinds=tuple(column[2] for column in columns),
        first=tuple(made.execute(f"SELECT * FROM {name}")),
    )


class SqliteSide:
    """A SQLite file. Its triggers and indexes are dropped while it is filled, and made again from what made them."""

    CACHE: Final = 64 * 1024
    """KiB of pages that are kept in memory while it is filled, else 4,096: keys come in no order."""
    unkept = None
    refusals = (sqlite3.IntegrityError, sqlite3.DataError)

    def __init__(self) -> None:
        self._dropped: list[str] = []

    def begin(self, connection: Connection, *, filled: bool) -> None:
        if not filled:
            return
        connection.execute(f"PRAGMA cache_size = -{self.CACHE}")
        watching = connection.execute(_DROPPED).fetchall()
        for kind, name, _ in watching:
            connection.execute(f"DROP {kind} {name}")
        self._dropped = [sql for _, _, sql in watching]

    def end(self, connection: Connection) -> None:
        connection.execute("INSERT INTO search (search) VALUES ('rebuild')")
        for sql in self._dropped:
            connection.execute(sql)
        connection.execute("PRAGMA cache_size = -4096")

    def rows(self, connection: Connection, table: Table) -> Generator[Values, None, None]:
        yield from map(tuple, connection.execute(f"SELECT {table.listed} FROM {table.name}"))

    def put(self, connection: Connection, table: Table, rows: Iterable[Values]) -> None:
        places = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {table.name} ({table.listed}) VALUES ({places})", rows)

    def last_numbers(self, connection: Connection) -> Mapping[str, int]:
        numbered = [table.name for table in tables() if table.columns[0] == "id" and table.kinds[0] == "INTEGER"]
        last = {name: connection.execute(f"SELECT coalesce(max(id), 0) FROM {name}").fetchone()[0] for name in numbered}
        given = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        return last | {name: max(seq, last.get(name, 0)) for name, seq in given}

    def go_on(self, connection: Connection, numbers: Mapping[str, int]) -> None:
        for (name,) in connection.execute(_NUMBERED).fetchall():
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, numbers.get(name, 0)))


# Indexes last: they are made anew before the triggers, which use them.
_DROPPED: Final = """
SELECT type, name, sql FROM sqlite_master
WHERE type IN ('trigger', 'index') AND sql IS NOT NULL AND tbl_name NOT LIKE '\\_sqlite%' ESCAPE '\\' ORDER BY type
"""
_NUMBERED: Final = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
