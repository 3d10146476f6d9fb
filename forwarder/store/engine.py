"""A database that is owned by one process, and written by many threads as if by one.

Threads that write at the same time share a transaction: whoever gets hold of the connection first carries out what
the others have queued meanwhile, and one commit makes all of it durable. A caller returns only after that commit, so
"written" always means "on the disk". Where one of them is at fault, each is carried out once more by itself.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from forwarder.common.databases import Database
from forwarder.store.connection import Connection, Values
from forwarder.store.membership import Membership
from forwarder.store.presence import Presence

T = TypeVar("T")


class Job(Generic[T]):
    """One piece of writing that waits for a commit."""

    def __init__(self, work: Callable[[Connection], T], role: str | None = None) -> None:
        self.work, self.role = work, role
        self.decided = False
        """Whether it is durable, or known to have failed."""
        self.result: T | None = None
        self.error: BaseException | None = None


class Engine(ABC):
    """A database and its transactions; what is said here holds for each kind of it."""

    place: Database
    """Where it is."""
    presence: Presence
    """Which processes own it, and whether these live."""
    membership: Membership | None = None
    """This process among the replicas on it; None where it is the only one, and has every role."""

    @abstractmethod
    def write(self, work: Callable[[Connection], T], *, role: str | None = None) -> T:
        """Carries out ``work`` in a write transaction and returns its result once that is durable.

        It may be called twice, with nothing left of the first time. ``role`` is what it is done for: where this process
        does not have that role any more, LeaseLost is raised.

        Raises StoreError where the database cannot take it; nothing of ``work`` is kept then.
        """

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A connection that cannot write, for one thread at a time, with one unchanging view of the data."""

    def find(self, sql: str, values: Values = ()) -> list[Any]:
        """What one statement finds, of those that come again and again: each must read by an index."""
        with self.read() as connection:
            return connection.execute(sql, values).fetchall()

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Copies the database to ``target`` while it is in use: one whole file; raises StoreError where it is not."""

    @abstractmethod
    def tidy(self, removed: int) -> None:
        """Gives back room after a prune that ``removed`` so many alerts; raises StoreError."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """What is free on its disk; None where that cannot be told from here."""

    @abstractmethod
    def size_bytes(self) -> int:
        """How large it is, its log of changes included; 0 where that cannot be told."""

    @abstractmethod
    def close(self) -> None:
        """Closes it and gives it up."""

    def acting_as(self, role: str) -> Engine:  # noqa: ARG002
        """The same, all of whose writes are for ``role``; itself where this process has every role."""
        return self


class Acting(Engine):
    """An engine all of whose writes are for one role."""

    def __init__(self, engine: Engine, role: str) -> None:
        self._engine, self._role = engine, role
        self.place, self.presence, self.membership = engine.place, engine.presence, engine.membership

    def write(self, work: Callable[[Connection], T], *, role: str | None = None) -> T:
        return self._engine.write(work, role=role or self._role)

    def read(self) -> AbstractContextManager[Connection]:
        return self._engine.read()

    def find(self, sql: str, values: Values = ()) -> list[Any]:
        return self._engine.find(sql, values)

    def backup(self, target: Path) -> None:
        self._engine.backup(target)

    def tidy(self, removed: int) -> None:
        self._engine.tidy(removed)

    def free_bytes(self) -> int | None:
        return self._engine.free_bytes()

    def size_bytes(self) -> int:
        return self._engine.size_bytes()

    def close(self) -> None:
        self._engine.close()

    def acting_as(self, role: str) -> Engine:
        return self._engine.acting_as(role)


class GroupCommit(Engine):
    """An engine whose writers share transactions."""

    def __init__(self) -> None:
        self._queue: list[Job[Any]] = []
        self._queue_lock, self._writing = threading.Lock(), threading.Lock()

    def write(self, work: Callable[[Connection], T], *, role: str | None = None) -> T:
        job = Job(work, role)
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

    @abstractmethod
    def _transact(self, jobs: Sequence[Job[Any]]) -> None:
        """Carries out all of ``jobs`` in one transaction, or none of them; those that are durable are decided.

        One whose role is another's is decided as well, with that as its error.
        """

    @abstractmethod
    def _is_everybodys(self, fault: BaseException) -> bool:
        """Whether a fault is the database's own, and would meet any other job, too."""

    @abstractmethod
    def _in_words(self, fault: BaseException) -> BaseException:
        """The StoreError for a fault of the database's; any other one as it is."""

    def _carry_out(self, jobs: Sequence[Job[Any]]) -> None:
        """Decides each of ``jobs``: it is durable, or it failed and nothing of it is kept.

        Only an interrupt of this thread leaves some undecided; their own threads carry these out.
        """
        fault = self._attempt(jobs)
        if fault is None:
            return
        # A failing disk is everybody's trouble. All else is one job's own fault, and the others go on without it.
        if len(jobs) == 1 or self._is_everybodys(fault):
            self._fail(jobs, fault)
            return
        for number, job in enumerate(jobs):
            fault = self._attempt([job])
            if fault is not None and self._is_everybodys(fault):
                # What went before is durable, and what follows would fail in the same way.
                self._fail(jobs[number:], fault)
                return
            if fault is not None:
                self._fail([job], fault)

    def _attempt(self, jobs: Sequence[Job[Any]]) -> BaseException | None:
        """Makes all of ``jobs`` durable, or none of them and returns why."""
        try:
            self._transact(jobs)
        except Exception as error:
            return error
        except BaseException as error:
            # Signals interrupt the main thread alone; anywhere else it is what the job itself raised.
            if threading.current_thread() is threading.main_thread():
                raise
            return error
        return None

    def _fail(self, jobs: Sequence[Job[Any]], fault: BaseException) -> None:
        """Tells those who wait for ``jobs`` of ``fault``, in a sentence where it is the database's."""
        told = self._in_words(fault)
        for job in jobs:
            job.error, job.decided = told, True


def decide(jobs: Sequence[Job[Any]]) -> None:
    """They are durable."""
    for job in jobs:
        job.decided = True
