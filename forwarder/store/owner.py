"""Whose the database is: one process at a time owns the file, under whatever name it was opened.

Two locks say so. One is on a lock file beside the database, where every symbolic link to it leads; it also names the
process to a person. The other one is on the file itself, for a hard link or a mount that shows it in another place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import threading
from pathlib import Path
from typing import Final

from forwarder.store.errors import AlreadyRunning, StoreError

OUR_BYTE: Final = 0x7000_0000_0000_0000
"""The byte of the file that is locked: far beyond any that SQLite reads, writes or locks."""
SHARED_BYTES: Final = (0x4000_0002, 510)
"""The bytes that every connection in WAL mode keeps locked (https://sqlite.org/src/file/src/os.h)."""
JOURNAL_BYTES: Final = (18, 2)
"""Where a database says whether it has a write-ahead log (https://sqlite.org/fileformat2.html)."""

_FLOCK: Final = "hhqqi0q"
"""The system's ``struct flock``: type, whence, start, length, process."""
_Identity = tuple[int, int]

_ours: set[_Identity | None] = set()
_ours_lock = threading.Lock()


def real_path(path: Path) -> Path:
    """Where all symbolic links of ``path`` lead; also where nothing is yet."""
    return Path(os.path.realpath(path))


def is_owned(path: Path) -> bool:
    """Whether a process holds the lock of the database ``path``."""
    try:
        lock = os.open(_lock_of(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def owner_pid(path: Path) -> int | None:
    """The number by which the process that holds the lock of the database ``path`` knows itself; None where none does.

    In another container the number may be another process's.
    """
    if not is_owned(path):
        return None
    try:
        return int(Path(_lock_of(path)).read_bytes()[:20])
    except (OSError, ValueError):
        return None


def refuse_hard_links(path: Path) -> None:
    """Raises StoreError where the file has a second name: SQLite would keep a log of changes for each of them."""
    if path.stat().st_nlink > 1:
        raise StoreError(
            f"The database {path} has a second name, a hard link, and a change made under one of them would damage it "
            "under the other: remove that name, or put a copy or a symbolic link in its place."
        )


class Owner:
    """This process's hold on the database ``path``, for as long as it lives; raises AlreadyRunning and StoreError.

    It must be closed after every connection to the database: closing any descriptor of a file ends the locks that
    SQLite holds on it for this process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: _Identity | None = None
        self._file: int | None = None
        self._journal = b""
        self._lock: int | None = self._lock_beside()
        try:
            self._lock_itself()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raises StoreError where what is written now would not be found at the database's path any more."""
        if self._file is None or self._identity is None:
            return
        try:
            there: _Identity | None = _identity(self._path.stat())
        except FileNotFoundError:
            there = None
        except OSError:
            return  # it cannot be looked at just now, which says nothing of where the file is
        if there == self._identity and self._is_as_it_was(self._file):
            return
        what = "moved or removed" if there is None else "replaced by another one"
        raise StoreError(
            f"The database {self._path} was {what} while the forwarder runs, so nothing more is written: put it back "
            "where it was, or restart the forwarder."
        )

    def spare(self) -> bool:
        """Whether the file's content is another's; then the connections that are closed next write nothing to it.

        SQLite would complete the file from its log when the last one is closed, which takes a lock that we hold then.
        """
        if self._file is None or self._identity is None:
            return False
        with contextlib.suppress(OSError):  # a file that cannot be read is not spared, nor written
            return not self._is_as_it_was(self._file) and _lock_bytes(self._file, "F_RDLCK", *SHARED_BYTES)
        return False

    def close(self) -> None:
        """Gives the database up."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        with _ours_lock:
            _ours.discard(self._identity)
        self._file = self._lock = self._identity = None

    def _lock_beside(self) -> int:
        lock = _lock_of(self._path)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The lock file {lock} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise self._owned_by(pid) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"The lock file {lock} cannot be locked: {error.strerror}.") from None
        with contextlib.suppress(OSError):
            # Only a courtesy to the next one's message; a full disk must not keep us from starting.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def _lock_itself(self) -> None:
        # Asked before the file is opened: in the same process, only closing it again would do harm.
        with _ours_lock:
            if _identity(self._path.stat()) in _ours:
                raise self._owned_by(str(os.getpid()))
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        if not _lock_bytes(self._file, "F_WRLCK", OUR_BYTE, 1):
            raise self._owned_by(_holder(self._file))
        opened = _identity(os.fstat(self._file))
        if opened == _identity(self._path.stat()):  # else the file system gives out numbers that mean nothing
            self._identity = opened
            with _ours_lock:
                _ours.add(opened)

    def _is_as_it_was(self, file: int) -> bool:
        """Whether the file says of its journal what it did at first: a backup copied over it says something else."""
        at, size = JOURNAL_BYTES
        says = os.pread(file, size, at)
        self._journal = self._journal or says
        return says == self._journal

    def _owned_by(self, pid: str) -> AlreadyRunning:
        return AlreadyRunning(
            f"Another forwarder (process {pid or 'unknown'}) already runs on {self._path}: "
            "stop it first, or give this one a `database` of its own."
        )


def _lock_of(path: Path) -> str:
    return f"{os.path.realpath(path)}.lock"


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _lock_bytes(descriptor: int, kind: str, start: int, length: int) -> bool:
    """Locks a range of the file; true too where the system or the file system has no such locks.

    The lock belongs to the descriptor and not to the process, so that SQLite, which opens and closes the same file,
    cannot lose it.
    """
    if sys.platform != "linux":
        return True
    wanted = struct.pack(_FLOCK, getattr(fcntl, kind), os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _holder(descriptor: int) -> str:
    """The process with a connection to the database; empty where it cannot be told, as from another container."""
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *SHARED_BYTES, 0)
    try:
        kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    except OSError:
        return ""
    return str(pid) if kind != fcntl.F_UNLCK and pid > 0 else ""
