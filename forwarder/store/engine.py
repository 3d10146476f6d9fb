"""The database file: opened with care, owned by one process, written by many threads as if by one.

Threads that write at the same time share a transaction: whoever gets hold of the connection first carries out what
the others have queued meanwhile, and one commit makes all of it durable. A caller returns only after that commit, so
"written" always means "on the disk". Where one of them is at fault, each is carried out once more by itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from forwarder.store.errors import StoreError
from forwarder.store.owner import Owner, real_path, refuse_hard_links
from forwarder.store.schema import APPLICATION_ID, MIGRATIONS, migrate
from forwarder.store.unreadable import decode

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process (a command such as retry) to end its own."""
QUICK_CHECK_BYTES: Final = 32 * 1024 * 1024
"""Up to this size the whole file is checked at the start; a larger one would delay it, and shows damage when read."""


class _Job(Generic[T]):
    """One piece of writing that waits for a commit."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.decided = False
        """Whether it is durable, or known to have failed."""
        self.result: T | None = None
        self.error: BaseException | None = None


class Engine:
    """One SQLite file. ``exclusive`` makes this process its only daemon, ``create`` allows it to be new."""

    def __init__(self, path: Path, *, exclusive: bool, create: bool) -> None:
        self.path = path
        self._owner: Owner | None = None
        self.exclusive = exclusive
        self.changes = 0
        """Goes up where others have written, and with ``changed``: what was read before may be out of date."""
        self._foreign_version: int | None = None
        self._queue: list[_Job[Any]] = []
        self._queue_lock, self._writing, self._reading = threading.Lock(), threading.Lock(), threading.Lock()
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

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Carries out ``work`` in a write transaction and returns its result once that is durable.

        It may be called twice, with nothing left of the first time.

        Raises StoreError where the database cannot take it; nothing of ``work`` is kept then.
        """
        job = _Job(work)
        try:
            with self._queue_lock:
                self._queue.append(job)
            with self._writing:
                if not job.decided:
                    with self._queue_lock:
                        jobs, self._queue = self._queue, []
                    # Whoever took it out of the queue was interrupted.
                    self._carry_out(jobs if job in jobs else [*jobs, job])
        except BaseException:
            with self._queue_lock, contextlib.suppress(ValueError):
                self._queue.remove(job)
            raise
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value] # it was carried out wherever there is no error

    def changed(self) -> None:
        """Tells those who keep something of the database in memory that it is to be read anew."""
        with self._queue_lock:
            self.changes += 1

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

    def _carry_out(self, jobs: Sequence[_Job[Any]]) -> None:
        """Decides each of ``jobs``: it is durable, or it failed and nothing of it is kept.

        Only an interrupt of this thread leaves some undecided; their own threads carry these out.
        """
        fault = self._attempt(jobs)
        if fault is None:
            return
        # A failing disk is everybody's trouble. All else is one job's own fault, and the others go on without it.
        if len(jobs) == 1 or _of_the_disk(fault):
            self._fail(jobs, fault)
            return
        for number, job in enumerate(jobs):
            fault = self._attempt([job])
            if fault is not None and _of_the_disk(fault):
                # What went before is durable, and what follows would fail in the same way.
                self._fail(jobs[number:], fault)
                return
            if fault is not None:
                self._fail([job], fault)

    def _attempt(self, jobs: Sequence[_Job[Any]]) -> BaseException | None:
        """Makes all of ``jobs`` durable, or none of them and returns why."""
        try:
            if self._owner is not None:
                self._owner.check()
            _transact(self._open(self._writer), [_Job(self._notice_others), *jobs])
        except Exception as error:
            return error
        except BaseException as error:
            # Signals interrupt the main thread alone; anywhere else it is what the job itself raised.
            if threading.current_thread() is threading.main_thread():
                raise
            return error
        return None

    def _notice_others(self, writer: sqlite3.Connection) -> None:
        """Notes, within a transaction, whether another process has written since the one before."""
        version: int = writer.execute("PRAGMA data_version").fetchone()[0]
        if version != self._foreign_version:
            self._foreign_version = version
            self.changed()

    def _fail(self, jobs: Sequence[_Job[Any]], fault: BaseException) -> None:
        """Tells those who wait for ``jobs`` of ``fault``, in a sentence where it is the database's."""
        told = _in_words(self.path, fault)
        for job in jobs:
            job.error, job.decided = told, True

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
                raise StoreError(f"The folder {folder} cannot be written: the database needs a place that can.")
            self._create()
        elif not os.access(self.path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise StoreError(f"The database {self.path} or its folder cannot be written: give this user the right to.")

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
            migrate(writer, version)
        if exclusive:
            writer.execute("PRAGMA journal_mode = WAL")


def _is_whole(connection: sqlite3.Connection, check: str) -> bool:
    """Whether the file is a whole database. A row that breaks a constraint is that row's trouble, and no damage."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        return bool(connection.execute(f"PRAGMA {check}(1)").fetchone()[0] == "ok")
    finally:
        connection.execute("PRAGMA ignore_check_constraints = OFF")


def _transact(writer: sqlite3.Connection, jobs: Sequence[_Job[Any]]) -> None:
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
        _decide(jobs)
        raise
    _decide(jobs)


def _still_within(writer: sqlite3.Connection) -> None:
    """Raises where a job ended the transaction: what followed would be committed statement by statement."""
    if not writer.in_transaction:
        raise sqlite3.OperationalError("the transaction ended before its commit")


def _decide(jobs: Sequence[_Job[Any]]) -> None:
    for job in jobs:
        job.decided = True


def _leave(connection: sqlite3.Connection) -> None:
    """Ends a transaction that failed or was interrupted, where there is one."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


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
def _sentences(path: Path) -> Iterator[None]:
    """Turns SQLite's and the system's errors into a StoreError that a person can act on."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        told = _in_words(path, error)
        if told is error:
            raise
        raise told from error


def _in_words(path: Path, error: BaseException) -> BaseException:
    """The StoreError for an error of SQLite's or the system's; any other one as it is."""
    if isinstance(error, OSError):
        return StoreError(f"The database {path} failed: {error.strerror or error}.")
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.IntegrityError):
        return error
    primary = _primary(error)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path)
    return StoreError(f"The database {path} failed: {_REASONS.get(primary or 0, str(error))}.")


_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: "it cannot be written: give this user the right to",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at its folder's rights",
    sqlite3.SQLITE_BUSY: "another process holds it for too long",
    sqlite3.SQLITE_IOERR: "reading or writing failed: look at the disk",
}
