"""A store moved from one database to another, whatever the kind of each: all of it, compared, or nothing.

Both are held as by a daemon, so that none runs on either. The rows go from one transaction into one other, which is
committed only where each table has the same number of rows and the same digest on both sides, read back from where they
went. What ends it before that, a signal or a lost connection, leaves the target as empty as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from forwarder.common.databases import Database, PostgresAddress
from forwarder.common.text import one_line
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.errors import StoreError
from forwarder.store.owner import real_path
from forwarder.store.sides import Side, SqliteSide, Table, Values, tables
from forwarder.store.sqlite import SqliteEngine

DAEMON: Final = "daemon"
"""The table of the process that runs on a database."""
SHOWN_EVERY: Final = 1000
"""Rows between two words of how far it has come."""

Progress = Callable[[int, int], None]
"""Is told how many steps are done, and of how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What was moved: rows by table, and how many of them had a text that the target cannot keep as it is."""

    rows: Mapping[str, int]
    mended: int


@dataclass(slots=True)
class Tally:
    """How many rows there are, and the sum of what each of them comes to, in whatever order they are."""

    count: int = 0
    sum: int = 0

    def add(self, row: Values) -> None:
        """Counts a row in, by what it is in Python, which is the same from each kind of database."""
        told = repr(row).encode("utf-8", "surrogatepass")
        self.count += 1
        self.sum = (self.sum + int.from_bytes(blake2b(told, digest_size=16).digest(), "big")) % 2**128


def move(source: Database, target: Database, progress: Progress | None = None) -> Moved:
    """Moves the store at ``source`` to ``target``, which is new or empty; the source stays as it is.

    Either is first brought to this version's tables. Raises AlreadyRunning where a daemon runs on either, and
    StoreError where nothing was moved.
    """
    _refuse_nonsense(source, target)
    with contextlib.closing(_held(source, new=False)) as old, contextlib.closing(_held(target, new=True)) as new:
        moved: list[Moved] = []

        def read(connection: Connection) -> None:
            # Where the end of this transaction, which changed nothing, is in doubt, it is carried out once more.
            if not moved:
                moved.append(
                    new.write(lambda filled: _Move(old, new, connection, filled, progress or _unseen).carry_out())
                )

        try:
            # A write, so that no command changes anything meanwhile that would be left behind.
            old.write(read)
        except StoreError:
            if not moved:
                raise
        return moved[0]


class _Move:
    """One try to move everything, within a transaction on each side."""

    def __init__(self, old: Engine, new: Engine, reading: Connection, writing: Connection, progress: Progress) -> None:
        self._old, self._new = old, new
        self._reading, self._writing = reading, writing
        self._from, self._to = side_of(old), side_of(new)
        self._progress = progress
        self._done = self._total = self._mended = 0

    def carry_out(self) -> Moved:
        self._refuse_rows()
        self._from.begin(self._reading, filled=False)
        self._to.begin(self._writing, filled=True)
        counts = {table: self._count(table) for table in tables()}
        # Each row is written, and read back.
        self._total = sum(counts.values()) * 2
        sent = {table: self._send(table) for table in tables()}
        self._to.go_on(self._writing, self._from.last_numbers(self._reading))
        for table, tally in sent.items():
            self._compare(table, counts[table], tally)
        self._to.end(self._writing)
        self._progress(self._total, self._total)
        return Moved(rows={table.name: tally.count for table, tally in sent.items()}, mended=self._mended)

    def _refuse_rows(self) -> None:
        """Raises StoreError where the target holds more than a new one."""
        for table in tables():
            sql = f"SELECT {table.listed} FROM {table.name} LIMIT {len(table.first) + 1}"
            found = [tuple(row) for row in self._writing.execute(sql)]
            if table.name != DAEMON and found != list(table.first):
                raise StoreError(
                    f"The database {self._new.place} is in use already (it has rows of its own in `{table.name}`): "
                    "name a new one. Nothing was moved."
                )

    def _count(self, table: Table) -> int:
        return int(self._reading.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])

    def _send(self, table: Table) -> Tally:
        """Writes a table's rows, and says what was written."""
        tally = Tally()
        if table.first:
            self._writing.execute(f"DELETE FROM {table.name}")
        try:
            # A server waits until all was read, or the reading is given up.
            with contextlib.closing(self._from.rows(self._reading, table)) as rows:
                self._to.put(self._writing, table, self._passing(table, rows, tally))
        except self._to.refusals as error:
            told = one_line(str(error).partition("\n")[0])
            raise StoreError(
                f"A row of `{table.name}` in {self._old.place} is not as a database of this version may hold it "
                f"({told}): nothing was moved."
            ) from error
        return tally

    def _passing(self, table: Table, rows: Iterable[Values], tally: Tally) -> Iterator[Values]:
        """The rows of a table as the target keeps them, each counted in as it passes."""
        # The source's process is not the target's, also where it was killed and has left its number.
        forgotten = {table.columns.index(name) for name in ("pid", "began")} if table.name == DAEMON else set()
        for row in self._stepping(rows):
            kept = self._kept(row)
            if forgotten:
                kept = tuple(None if place in forgotten else value for place, value in enumerate(kept))
            tally.add(kept)
            yield kept

    def _kept(self, row: Values) -> Values:
        unkept = self._to.unkept
        if unkept is None or not any(isinstance(value, str) and unkept in value for value in row):
            return row
        self._mended += 1
        return tuple(value.replace(unkept, "\ufffd") if isinstance(value, str) else value for value in row)

    def _compare(self, table: Table, count: int, sent: Tally) -> None:
        """Raises StoreError where the target does not hold what was there, and what was sent."""
        there = Tally()
        with contextlib.closing(self._to.rows(self._writing, table)) as rows:
            for row in self._stepping(rows):
                there.add(row)
        if count != sent.count or there != sent:
            raise StoreError(
                f"What {self._new.place} holds of `{table.name}` is not what {self._old.place} holds "
                f"({there.count:,} of {count:,} rows, digest {there.sum:032x} for {sent.sum:032x}): nothing was moved."
            )

    def _stepping(self, rows: Iterable[Values]) -> Iterator[Values]:
        for row in rows:
            self._done += 1
            if self._done % SHOWN_EVERY == 0:
                self._progress(self._done, self._total)
            yield row


def _refuse_nonsense(source: Database, target: Database) -> None:
    """Raises StoreError where there is nothing at ``source``, or both are the same."""
    if isinstance(source, PostgresAddress):
        from forwarder.store.postgres import has_store

        if source == target:
            raise StoreError(f"{source} is named twice: nothing was moved.")
        if not has_store(source):
            raise StoreError(f"The database {source} has no tables of ours: there is nothing to move.")
    elif not isinstance(target, PostgresAddress) and real_path(source) == real_path(target):
        raise StoreError(f"{source} is named twice: nothing was moved.")


def _unseen(_done: int, _total: int) -> None:
    """Tells nobody."""


def _held(place: Database, *, new: bool) -> Engine:
    if isinstance(place, PostgresAddress):
        from forwarder.store.postgres import open_engine

        return open_engine(place, alone=True)
    return SqliteEngine(place, exclusive=True, create=new)


def side_of(engine: Engine) -> Side:
    """What moves the rows of a database of its kind."""
    if isinstance(engine, SqliteEngine):
        return SqliteSide()
    from forwarder.store.postgres.side import PostgresSide

    return PostgresSide()
