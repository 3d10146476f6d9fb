"""The database file: opened with care, owned by one process, written by many threads as if by one.

Threads that write at the same time share a transaction: whoever gets hold of the connection first carries out what
the others have queued meanwhile, and one commit makes all of it durable. A caller returns only after that commit, so
"written" always means "on the disk". Where one of them is at fault, each is carried out once more by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from forwarder.store.schema import APPLICATION_ID, MIGRATIONS, migrate

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process (a command such as retry) to end its own."""
QUICK_CHECK_BYTES: Final = 32 * 1024 * 1024
"""Up to this size the whole file is checked at the start; a larger one would delay it, and shows damage when read."""


class StoreError(Exception):
    """The database cannot be used, or could not take a write; the message is a sentence with the way out."""


class AlreadyRunning(StoreError):
    """Another process owns the database."""


class _Job(Generic[T]):
    """One piece of writing that waits for a commit."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class Engine:
    """One SQLite file. ``exclusive`` makes this process its only daemon, ``create`` allows it to be new."""

    def __init__(self, path: Path, *, exclusive: bool, create: bool) -> None:
        self.path = path
        self._lock_file: int | None = None
        self._queue: list[_Job[Any]] = []
        self._queue_lock, self._writing, self._reading = threading.Lock(), threading.Lock(), threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        with _sentences(path):
            self._check_place(create)
        try:
            if exclusive:
                self._lock()
            with _sentences(path):
                self._writer = self._connect()
                self._prepare(self._writer, exclusive)
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self.close()
            raise

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Carries out ``work`` in a write transaction and returns its result once that is durable.

        It may be called twice, with nothing left of the first time.

        Raises StoreError where the database cannot take it; nothing of ``work`` is kept then.
        """
        job = _Job(work)
        with self._queue_lock:
            self._queue.append(job)
        with self._writing:
            if not job.done:
                with self._queue_lock:
                    jobs, self._queue = self._queue, []
                self._commit(jobs)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value] # set by _commit wherever there is no error

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write, for one thread at a time, with one unchanging view of the data."""
        with self._reading, _sentences(self.path):
            reader = self._open(self._reader)
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                reader.execute("ROLLBACK")

    def backup(self, target: Path) -> None:
        """Copies the database to ``target`` while it is in use: one whole file; raises StoreError where it is not."""
        with _sentences(target):
            target.touch(mode=0o600)
            target.chmod(0o600)
            with (
                contextlib.closing(self._connect()) as source,
                contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
            ):
                # In one step, from one view of the data: in several, every write would make it begin anew.
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                found: str = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(f"The copy {target} is damaged, and so may be the database: keep your older backups.")

    def close(self) -> None:
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        try:
            with _sentences(self.path):
                self._carry_out(self._open(self._writer), jobs)
        except BaseException as error:
            for job in jobs:
                job.error = job.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for job in jobs:
                job.done = True

    @staticmethod
    def _carry_out(writer: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        try:
            _transact(writer, jobs)
        except Exception as error:
            # A failing disk is everybody's trouble. All else is one job's own fault, and the others go on without it.
            if _of_the_disk(error):
                raise
            for job in jobs:
                try:
                    _transact(writer, [job])
                except Exception as fault:
                    if _of_the_disk(fault):
                        raise
                    job.error = fault

    def _open(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreError(f"The database {self.path} is closed.")
        return connection

    def _check_place(self, create: bool) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreError(f"The folder {folder} for the database does not exist: make it, or change `database`.")
        if not self.path.exists():
            if not create:
                raise StoreError(f"There is no database {self.path} yet: `forwarder run` makes it.")
            if not os.access(folder, os.W_OK):
                raise StoreError(f"The folder {folder} cannot be written: the database needs a place that can.")
            self._create()
        elif not os.access(self.path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise StoreError(f"The database {self.path} or its folder cannot be written: give this user the right to.")

    def _create(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"The database {self.path} cannot be made: {error.strerror}.") from None

    def _lock(self) -> None:
        """Makes this process the owner, for as long as it lives."""
        lock = Path(f"{self.path}.lock")
        try:
            self._lock_file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The lock file {lock} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock_file, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"Another forwarder (process {pid}) already runs on {self.path}: "
                "stop it first, or give this one a `database` of its own."
            ) from None
        with contextlib.suppress(OSError):
            # Only a courtesy to the next one's message; a full disk must not keep us from starting.
            os.ftruncate(self._lock_file, 0)
            os.pwrite(self._lock_file, str(os.getpid()).encode(), 0)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            # With WAL, FULL is what makes a commit survive a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -4096")
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
        if self.path.stat().st_size <= QUICK_CHECK_BYTES:
            found: str = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _damaged(self.path)
        if version < len(MIGRATIONS):
            if not exclusive:
                raise StoreError(f"The database {self.path} is of an older version: start `forwarder run` once.")
            migrate(writer, version)
        if exclusive:
            writer.execute("PRAGMA journal_mode = WAL")


def _transact(writer: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
    """Carries out all of ``jobs`` in one transaction, or none of them."""
    writer.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            job.result = job.work(writer)
        writer.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full.
        if writer.in_transaction:
            writer.execute("ROLLBACK")
        raise


def _of_the_disk(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError)


def _damaged(path: Path) -> StoreError:
    return StoreError(f"The database {path} is damaged: restore a backup, or move it away to start anew.")


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turns SQLite's and the system's errors into a StoreError that a person can act on."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path) from error
        reasons = {
            sqlite3.SQLITE_FULL: "the disk is full: make room",
            sqlite3.SQLITE_READONLY: "it cannot be written: give this user the right to",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at its folder's rights",
            sqlite3.SQLITE_BUSY: "another process holds it for too long",
            sqlite3.SQLITE_IOERR: "reading or writing failed: look at the disk",
        }
        raise StoreError(f"The database {path} failed: {reasons.get(primary or 0, str(error))}.") from error
    except OSError as error:
        raise StoreError(f"The database {path} failed: {error.strerror or error}.") from error
