"""The database as a SQLite file: opened with care, owned by one process."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from forwarder.store.connection import Connection
from forwarder.store.engine import GroupCommit, Job, decide
from forwarder.store.errors import StoreError
from forwarder.store.owner import Owner, real_path, refuse_hard_links
from forwarder.store.presence import FilePresence
from forwarder.store.schema import APPLICATION_ID, MIGRATIONS, create, migrate
from forwarder.store.unreadable import decode

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process (a command such as retry) to end its own."""
MERGED: Final = 500
"""Pages of the search index that are merged after a prune."""
PAGES: Final = 2000
"""Pages that are given back after it."""
LOG_BYTES: Final = 4 * 1024 * 1024
"""What the log of changes keeps of the disk once it begins anew, however much one write took.

SQLite begins it anew after 1,000 pages, which fit.
"""
QUICK_CHECK_BYTES: Final = 32 * 1024 * 1024
"""Up to this size the whole file is checked at the start; a larger one would delay it, and shows damage when read."""


class SqliteEngine(GroupCommit):
    """One SQLite file. ``exclusive`` makes this process its only daemon, ``create`` allows it to be new."""

    def __init__(self, path: Path, *, exclusive: bool, create: bool) -> None:
        super().__init__()
        self.path = self.place = path
        self.presence = FilePresence(path)
        self._reading = threading.Lock()
        self._owner: Owner | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        with _sentences(path):
            self._check_place(create)
        try:
            with _sentences(path):
                if exclusive:
                    self._owner = Owner(path)
                refuse_hard_links(path)
                self._writer = self._connect()
                self._prepare(self._writer, exclusive)
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write, for one thread at a time, with one unchanging view of the data."""
        with self._reading, _sentences(self.path):
            reader = self._open(self._reader)
            _leave(reader)
            try:
                reader.execute("BEGIN")
                yield reader
            finally:
                _leave(reader)

    def backup(self, target: Path) -> None:
        """Copies the database to ``target`` while it is in use: one whole file; raises StoreError where it is not."""
        with _sentences(target, "copy"):
            target.touch(mode=0o600)
            target.chmod(0o600)
            with (
                contextlib.closing(self._connect()) as source,
                contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
            ):
                # In one step, from one view of the data: in several, every write would make it begin anew.
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                whole = _is_whole(copy, "integrity_check")
        if not whole:
            raise StoreError(f"The copy {target} is damaged, and so may be the database: keep your older backups.")

    def close(self) -> None:
        with self._writing, self._reading:
            spared = self._owner is not None and self._owner.spare()
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            if spared:
                # They are of the content that is gone, and would damage the one that is there.
                for suffix in ("-wal", "-shm"):
                    Path(f"{real_path(self.path)}{suffix}").unlink(missing_ok=True)
            if self._owner is not None:
                self._owner.close()
                self._owner = None

    def tidy(self, removed: int) -> None:
        """Merges the search index with what was deleted from it, and hands free pages back to the file system."""
        if removed:
            # What is deleted from the index leaves a mark there, until it is merged with what it deletes.
            merge = "INSERT INTO search (search, rank) VALUES ('merge', ?)"
            self.write(lambda connection: connection.execute(merge, (-MERGED,)))
        self.write(_give_back)

    def free_bytes(self) -> int | None:
        """What is free on the file's disk."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return None

    def size_bytes(self) -> int:
        """The file and its write-ahead log."""
        return sum(size for name in (self.path, Path(f"{self.path}-wal")) if (size := _size(name)))

    def _transact(self, jobs: Sequence[Job[Any]]) -> None:
        if self._owner is not None:
            self._owner.check()
        _transact(self._open(self._writer), jobs)

    def _is_everybodys(self, fault: BaseException) -> bool:
        return _of_the_disk(fault)

    def _in_words(self, fault: BaseException) -> BaseException:
        return _in_words(self.path, fault)

    def _open(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreError(f"The database {self.path} is closed.")
        return connection

    def _check_place(self, create: bool) -> None:
        folder = (real_path(self.path) if self.path.is_symlink() else self.path).parent
        if not folder.is_dir():
            raise StoreError(f"The folder {folder} for the database does not exist: make it, or change `database`.")
        if not self.path.exists():
            if not create:
                raise StoreError(f"There is no database {self.path} yet: `forwarder run` makes it.")
            if not os.access(folder, os.W_OK):
                raise StoreError(f"The folder {folder} cannot be written, as the database needs: {_remedy(folder)}.")
            self._create()
        elif self.path.is_dir():
            raise StoreError(f"The database {self.path} is a folder: name a file in it, such as forwarder.db.")
        elif not os.access(self.path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise StoreError(f"The database {self.path} or its folder cannot be written: {_remedy(folder)}.")

    def _create(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"The database {self.path} cannot be made: {error.strerror}.") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory, connection.text_factory = sqlite3.Row, decode
            connection.execute("PRAGMA foreign_keys = ON")
            # With WAL, FULL is what makes a commit survive a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -4096")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, writer: sqlite3.Connection, exclusive: bool) -> None:
        version: int = writer.execute("PRAGMA user_version").fetchone()[0]
        tables: int = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and writer.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{self.path} is a database of another program: change `database`.")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The database {self.path} was written by a newer version (step {version}, this one knows "
                f"{len(MIGRATIONS)}): install that version again, or restore a backup."
            )
        if self.path.stat().st_size <= QUICK_CHECK_BYTES and not _is_whole(writer, "quick_check"):
            raise _damaged(self.path)
        if version < len(MIGRATIONS):
            if not exclusive:
                raise StoreError(f"The database {self.path} is of an older version: start `forwarder run` once.")
            if tables:
                migrate(writer, version)
            else:
                create(writer)
        if exclusive:
            writer.execute("PRAGMA journal_mode = WAL")


def _is_whole(connection: sqlite3.Connection, check: str) -> bool:
    """Whether the file is a whole database. A row that breaks a constraint is that row's trouble, and no damage."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        return bool(connection.execute(f"PRAGMA {check}(1)").fetchone()[0] == "ok")
    finally:
        connection.execute("PRAGMA ignore_check_constraints = OFF")


def _transact(writer: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    """Carries out all of ``jobs`` in one transaction, or none of them; those that are durable are decided."""
    _leave(writer)
    committing = False
    try:
        writer.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.result = job.work(writer)
            _still_within(writer)
        committing = True
        writer.execute("COMMIT")
    except BaseException as error:
        # SQLite has rolled back by itself where the disk was full.
        if writer.in_transaction or not committing or isinstance(error, sqlite3.Error):
            _leave(writer)
            raise
        # An interrupt between the commit and the next step: it is on the disk all the same.
        decide(jobs)
        raise
    decide(jobs)


def _still_within(writer: sqlite3.Connection) -> None:
    """Raises where a job ended the transaction: what followed would be committed statement by statement."""
    if not writer.in_transaction:
        raise sqlite3.OperationalError("the transaction ended before its commit")


def _leave(connection: sqlite3.Connection) -> None:
    """Ends a transaction that failed or was interrupted, where there is one."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _give_back(connection: Connection) -> None:
    """Hands free pages back to the file system."""
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, PAGES)):
        # Python carries out one step of a statement without columns, and here a step is a page.
        connection.execute("PRAGMA incremental_vacuum(1)")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


_OWN_FAULTS: Final = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_MISUSE,
    }
)
"""What SQLite says of a statement or of a value, and not of the file."""


def _of_the_disk(error: BaseException) -> bool:
    own = sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.DataError
    if not isinstance(error, sqlite3.Error) or isinstance(error, own):
        return False
    code = _primary(error)
    return code is None or code not in _OWN_FAULTS


def _primary(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _damaged(path: Path) -> StoreError:
    return StoreError(f"The database {path} is damaged: restore a backup, or move it away to start anew.")


@contextlib.contextmanager
def _sentences(path: Path, what: str = "database") -> Iterator[None]:
    """Turns SQLite's and the system's errors into a StoreError that a person can act on."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        told = _in_words(path, error, what)
        if told is error:
            raise
        raise told from error


def _in_words(path: Path, error: BaseException, what: str = "database") -> BaseException:
    """The StoreError for an error of SQLite's or the system's; any other one as it is."""
    if isinstance(error, OSError):
        return StoreError(f"The {what} {path} failed: {error.strerror or error}.")
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.IntegrityError):
        return error
    primary = _primary(error)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path)
    if primary == sqlite3.SQLITE_READONLY:
        return StoreError(f"The {what} {path} failed: it cannot be written: {_remedy(path.parent)}.")
    return StoreError(f"The {what} {path} failed: {_REASONS.get(primary or 0, str(error))}.")


def _remedy(folder: Path) -> str:
    """What a person does about a file there that cannot be written: no right helps on a disk that is read-only."""
    with contextlib.suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return "its file system is read-only, as after a fault of the disk: look at the disk, and mount it writable"
    return "give this user the right to"


_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at its folder's rights",
    sqlite3.SQLITE_BUSY: "another process holds it for too long",
    sqlite3.SQLITE_IOERR: "reading or writing failed: look at the disk",
}
