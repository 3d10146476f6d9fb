"""A shared commit: what was made durable is told as done, and what was not as failed, wherever it breaks."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.store import Store, StoreError
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.sqlite import SqliteEngine
from tests.kit.core import PATIENCE, until
from tests.kit.store import queue_of

Work = Callable[[Connection], str]

DATABASES: Final = ("sqlite",)


ROOM: Final = 60
"""Pages that a disk has left: some pieces of writing fit, and large ones do not."""
LARGE: Final = "x" * 400_000


class Odd(Exception):
    """A piece of writing's own fault."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open_exclusive(tmp_path / "forwarder.db")
    yield opened
    opened.close()


def insert(name: str, text: str = "", *, then: BaseException | None = None) -> Work:
    """A piece of writing that adds a row, and fails afterwards where it is told to."""

    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES (?, ?, '', 0)", (name, text))
        if then is not None:
            raise then
        return name

    return work


def swallow(name: str) -> Work:
    """A piece of writing that says nothing of it where SQLite rolled everything back for want of room."""

    def work(connection: Connection) -> str:
        with contextlib.suppress(sqlite3.OperationalError):
            insert(name, LARGE)(connection)
        return name

    return work


def broken(name: str) -> Work:
    """A piece of writing with a statement that SQLite does not take."""
    return lambda connection: connection.execute("INSERT INTO nowhere VALUES (?)", (name,)).fetchone()


KINDS: Final[dict[str, Callable[[str], Work]]] = {
    "fits": insert,
    "does not fit": lambda name: insert(name, LARGE),
    "its own fault": lambda name: insert(name, then=Odd()),
    "refused by a constraint": lambda name: insert(name, then=sqlite3.IntegrityError("x")),
    "no statement": broken,
    "ends its thread": lambda name: insert(name, then=SystemExit()),
    "ends the transaction": swallow,
}


def names(store: Store) -> set[str]:
    with store.engine.read() as connection:
        return {name for (name,) in connection.execute("SELECT digest FROM set_aside")}


def together(engine: Engine, works: list[Work]) -> list[str | BaseException]:
    """What each piece of writing is told, all of them waiting for one commit in this order."""
    held, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        held.set()
        go.wait(PATIENCE)

    def told(work: Work) -> str | BaseException:
        try:
            return engine.write(work)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(len(works) + 1) as threads:
        first = threads.submit(engine.write, hold)
        assert held.wait(PATIENCE)
        others = []
        for number, work in enumerate(works, start=1):
            others.append(threads.submit(told, work))
            until(lambda: len(queue_of(engine)) >= number)  # noqa: B023
        go.set()
        first.result(PATIENCE)
        return [other.result(PATIENCE) for other in others]


def limit_disk(store: Store, pages: int | None) -> None:
    """Lets the database grow by ``pages`` and no more."""

    def work(connection: Connection) -> None:
        has: int = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {2**30 if pages is None else has + pages}").fetchone()

    store.engine.write(work)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8), small=st.booleans())
def test_what_is_told_is_what_is_there(tmp_path_factory: pytest.TempPathFactory, kinds: list[str], small: bool) -> None:
    """Of any batch, with failing pieces at any place, those told as done are there, and none of the others."""
    store = Store.open_exclusive(tmp_path_factory.mktemp("commit") / "forwarder.db")
    try:
        if small:
            limit_disk(store, ROOM)
        works = [KINDS[kind](f"{number} {kind}") for number, kind in enumerate(kinds)]
        results = together(store.engine, works)
        limit_disk(store, None)
        assert names(store) == {result for result in results if isinstance(result, str)}
        assert all(
            not isinstance(result, SystemExit) or kind == "ends its thread"
            for result, kind in zip(results, kinds, strict=True)
        )
        assert store.engine.write(insert("later")) == "later"
    finally:
        store.close()


def test_a_claim_before_a_full_disk_is_told_as_done(store: Store) -> None:
    """Where each piece is carried out by itself, one that was committed stays done when a later one finds no room."""
    limit_disk(store, ROOM)
    works = [insert("small"), insert("odd", then=Odd()), insert("large", LARGE), insert("after")]
    small, odd, large, after = together(store.engine, works)
    assert (small, type(odd), type(large), type(after)) == ("small", Odd, StoreError, StoreError)
    assert names(store) == {"small"}


def test_a_broken_statement_is_its_own_fault(store: Store) -> None:
    """A statement or a value that SQLite does not take is no failure of the disk: the others go on."""
    first, second, third = together(store.engine, [insert("first"), broken("x"), insert("third")])
    assert (first, third) == ("first", "third")
    assert isinstance(second, StoreError)
    assert names(store) == {"first", "third"}


def test_a_disk_that_fails_at_the_commit(store: Store) -> None:
    """An error of the commit itself is told to all, and nothing of theirs is there."""
    store.engine.write(lambda connection: connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
    store.engine.write(
        lambda connection: connection.execute(
            "CREATE TABLE children (id INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
        )
    )

    def orphan(connection: Connection) -> str:
        connection.execute("INSERT INTO children VALUES (7)")
        return "orphan"

    before, fault, after = together(store.engine, [insert("before"), orphan, insert("after")])
    assert (before, type(fault), after) == ("before", sqlite3.IntegrityError, "after")
    assert names(store) == {"before", "after"}


def test_another_process_that_holds_it_too_long(store: Store, tmp_path: Path) -> None:
    """Where the transaction cannot even begin, all who wait are told so, and the next ones are served."""
    store.engine.write(lambda connection: connection.execute("PRAGMA busy_timeout = 1").fetchone())
    other = sqlite3.connect(tmp_path / "forwarder.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(3) as threads:
        works = [insert(f"{number}") for number in range(3)]
        told = [threads.submit(store.engine.write, work).exception(10) for work in works]
    assert [str(error) for error in told] == [
        f"The database {tmp_path / 'forwarder.db'} failed: another process holds it for too long."
    ] * 3
    other.execute("ROLLBACK")
    other.close()
    assert store.engine.write(insert("later")) == "later"
    assert names(store) == {"later"}


class Struck:
    """A connection that interrupts the main thread after the statement ``at``, once."""

    def __init__(self, connection: sqlite3.Connection, at: str, interrupt: type[BaseException]) -> None:
        self._connection, self._at, self._interrupt = connection, at, interrupt
        self.struck = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor = self._connection.execute(sql, *values)
        main = threading.current_thread() is threading.main_thread()
        if main and not self.struck and sql.startswith(self._at):
            self.struck = True
            raise self._interrupt
        return cursor

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        self._connection.close()


class MainFirst:
    """A lock that the main thread gets first, whoever else waits for it."""

    def __init__(self) -> None:
        self._lock, self._through = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert self._through.wait(PATIENCE)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread() is threading.main_thread():
            self._through.set()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("at", ["BEGIN IMMEDIATE", "INSERT", "COMMIT"])
def test_an_interrupt_of_one_thread_is_no_other_s(store: Store, interrupt: type[BaseException], at: str) -> None:
    """Whoever is interrupted while carrying out what others queued ends alone; theirs is done once, and told so."""
    engine = store.engine
    assert isinstance(engine, SqliteEngine)
    assert engine._writer is not None
    struck = Struck(engine._writer, at, interrupt)
    engine._writer = struck  # type: ignore[assignment]
    engine._writing = MainFirst()  # type: ignore[assignment]
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(engine.write, insert(letter)) for letter in "abc"]
        until(lambda: len(queue_of(engine)) == len(others))
        with contextlib.suppress(interrupt):
            engine.write(insert("ours"))
        told = [other.result(PATIENCE) for other in others]
    assert struck.struck
    assert told == ["a", "b", "c"]
    assert names(store) - {"ours"} == {"a", "b", "c"}
