"""The database as a schema on a PostgreSQL server: each process writes as if it were alone, and for what it holds.

**Whose turn it is.** Each write begins by locking one row, whichever process makes it: so no two of them are under way
at once, and each finds what the one before left, as on a file. What is written for a role is carried out only where
the role's row names this process; and that is changed by nobody in the midst of a write.

**What a lost connection means.** Before the commit nothing is kept, and the transaction is carried out once more on a
new connection. A commit without an answer may have come about: the mark that the transaction left tells,
once the server can be asked. Where it cannot be asked soon enough, the caller is told that the write failed, though it
may stand. That harms nothing, for everything is guarded: a page is read again, and what the store has of it is known;
a claim that nobody holds ends, and what it claimed is looked for; to settle once more under the same claim changes
nothing.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg_pool import PoolTimeout

from forwarder.common.databases import PostgresAddress
from forwarder.logs import get_logger
from forwarder.store.connection import Connection, Values
from forwarder.store.engine import Acting, Engine, GroupCommit, Job, decide
from forwarder.store.errors import AlreadyRunning, LeaseLost, StoreError
from forwarder.store.postgres import faults
from forwarder.store.postgres.membership import PostgresMembership, newer_version
from forwarder.store.postgres.presence import ReplicaPresence
from forwarder.store.postgres.readers import PLANNED_EVERY, Readers
from forwarder.store.postgres.schema import MIGRATIONS, SCHEMA, applied, migrate
from forwarder.store.postgres.transactions import LIMITS, NEWER, TURN, begin_write, settle_in
from forwarder.store.postgres.wire import PostgresConnection, Raw, connect, leave, still_within

log = get_logger(__name__)

OLDEST: Final = 150_000
"""The oldest version of the server that is supported: 15."""
DOUBT_SECONDS: Final = 10.0
"""How long a server is waited for that has not said whether a commit came about; what that claimed waits for longer."""
DOUBT_PAUSE: Final = 0.25
CONFLICTS: Final = 5
"""How often a write is tried again that another one got in the way of."""

_OWN_ROWS: Final = "own rows"
"""What is written of this process as a replica: that it comes and goes, which is for no role."""
LOOKED_EVERY: Final = 0.5
"""Seconds between two looks at whether one that may be gone is heard of again."""


class _Unanswered(Exception):
    """A commit to which no answer came."""


class PostgresEngine(GroupCommit):
    """A database on a server. ``replica`` makes this process one of its replicas, ``alone`` its only one.

    Both bring its tables up to date.
    """

    def __init__(self, address: PostgresAddress, *, replica: bool, alone: bool) -> None:
        super().__init__()
        self.place = self._address = address
        self.membership = self._member = (
            PostgresMembership(address, partial(self.write, role=_OWN_ROWS), once=alone) if replica or alone else None
        )
        self.presence = ReplicaPresence(self.read, self._member)
        self._writer: Raw | None = None
        self._readers: Readers | None = None
        self._closed = threading.Event()
        try:
            with self._sentences():
                self._writer = connect(address)
                self._prepare(self._writer)
                settle_in(self._writer, to_write=True)
                self._readers = Readers(address, self._awaited)
                if self._member is not None:
                    self._join(self._member, alone=alone)
        except BaseException:
            self.close()
            raise

    def acting_as(self, role: str) -> Engine:
        return self if self._member is None else Acting(self, role)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        with self._sentences(), self._reading().read() as connection:
            yield connection

    def find(self, sql: str, values: Values = ()) -> list[Any]:
        with self._sentences():
            return self._reading().find(sql, values)

    def backup(self, target: Path) -> None:
        raise StoreError(
            f"The database {self._address} is on a PostgreSQL server, and is copied by its own tools: "
            f"pg_dump --format=custom --schema={SCHEMA} --file={target}."
        )

    def tidy(self, removed: int) -> None:
        """Nothing: the server does it by itself."""

    def free_bytes(self) -> int | None:
        return None

    def size_bytes(self) -> int:
        try:
            with self.read() as connection:
                return int(connection.execute(_SIZE).fetchone()[0])
        except StoreError:
            return 0

    def close(self) -> None:
        if self._member is not None and self._readers is not None and not self._closed.is_set():
            with contextlib.suppress(Exception):  # then it ends by itself
                self._member.leave()
        self._closed.set()
        with self._writing:
            if self._readers is not None:
                self._readers.close()
            if self._writer is not None:
                self._writer.close()
            self._readers = self._writer = None

    def _join(self, member: PostgresMembership, *, alone: bool) -> None:
        """Becomes a replica; who has to be alone waits for those to end that are not heard of any more."""
        member.register()
        member.start()
        seen: dict[str, str] | None = None
        while alone:
            others = self.write(lambda connection: connection.execute(_OTHERS, (member.id,) * 2).fetchall())
            for other in others:
                if seen is not None and seen.get(other["id"], other["until"]) != other["until"]:
                    raise AlreadyRunning(
                        f"Another forwarder (process {other['pid']} on {other['host'] or 'another machine'}) already "
                        f"runs on {self._address}: stop it first, or give this one a `database` of its own."
                    )
            if not others:
                return
            seen = {other["id"]: other["until"] for other in others}
            self._closed.wait(LOOKED_EVERY)

    # Writing

    def _transact(self, jobs: Sequence[Job[Any]]) -> None:
        conflicts, lost = 0, False
        while True:
            mark = secrets.token_hex(8)
            try:
                with self._awaited(self._connected()):
                    self._commit(jobs, mark)
                return
            except _Unanswered as unanswered:
                if self._came_about(mark, unanswered):
                    decide(jobs)
                    return
                if lost:
                    raise StoreError(
                        f"The database {self._address} failed: the connection was lost again and again."
                    ) from None
                lost = True
            except faults.CONFLICTS:
                conflicts += 1
                if conflicts > CONFLICTS:
                    raise
            except psycopg.Error:
                # Only where a connection was there, and is lost, would another try find anything else.
                if lost or self._writer is None or not self._writer.closed:
                    raise
                lost = True

    def _commit(self, jobs: Sequence[Job[Any]], mark: str) -> None:
        """Makes ``jobs`` durable; raises _Unanswered where nobody knows whether that came about."""
        raw = self._connected()
        connection = PostgresConnection(raw)
        lost: list[Job[Any]] = []
        try:
            roles = self._begin(raw, mark, {job.role for job in jobs if job.role is not None})
            for job in jobs:
                job.error = None
                if job.role != _OWN_ROWS and (NEWER in roles or job.role not in (None, *roles)):
                    lost.append(job)
                    continue
                job.result = job.work(connection)
                still_within(raw)
        except BaseException:
            leave(raw)
            raise
        for job in lost:
            job.error = self._why_not(job.role, newer=NEWER in roles)
        try:
            raw.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, psycopg.Error) and not raw.closed:
                leave(raw)
                raise
            # An interrupt leaves the same doubt as a connection that was lost.
            raw.close()
            if isinstance(error, psycopg.Error):
                raise _Unanswered(str(error)) from error
            raise
        decide(jobs)

    def _why_not(self, role: str | None, *, newer: bool) -> StoreError:
        if newer:
            why = f"A newer version has changed the database {self._address}: this one writes nothing to it any more."
            # Whoever has the role now finds what was done for it.
            return StoreError(why) if role is None else LeaseLost(why)
        return LeaseLost(f"This process does not have the role {role} any more: another one does.")

    def _begin(self, raw: Raw, mark: str, asked: Collection[str]) -> frozenset[str]:
        """Begins a write, and returns those of the roles that it is to be for, ``asked``, for which it may be."""
        anew = time.monotonic() - raw.planned_at > PLANNED_EVERY
        if anew:
            raw.planned_at = time.monotonic()
        return begin_write(raw, None if self._member is None else self._member.id, mark, asked, anew=anew)

    def _came_about(self, mark: str, unanswered: _Unanswered) -> bool:
        """Whether the transaction of this ``mark`` was committed; raises StoreError where that cannot be told."""
        if self._member is None:
            raise StoreError(
                f"The database {self._address} failed: the connection was lost in the midst of a commit, so it may have"
                " been done. Look before you do it again."
            ) from unanswered
        end = time.monotonic() + DOUBT_SECONDS
        while True:
            try:
                raw = self._connected()
                with self._awaited(raw), raw.transaction():
                    # Once it is our turn, that transaction is over.
                    raw.execute(f"{LIMITS}; SET LOCAL lock_timeout = '30s'; {TURN}")
                    found = raw.execute("SELECT mark FROM marks WHERE replica = $1", (self._member.id,)).fetchone()
                return found is not None and found["mark"] == mark
            except psycopg.Error:
                # Nothing that is ours is written meanwhile: a server that restarts is worth waiting for.
                if time.monotonic() > end or self._closed.wait(DOUBT_PAUSE):
                    raise

    def _awaited(self, raw: Raw) -> contextlib.AbstractContextManager[None]:
        """Within it the server is waited for, by a replica not for ever."""
        return contextlib.nullcontext() if self._member is None else self._member.silence.awaited(raw)

    def _connected(self) -> Raw:
        if self._closed.is_set():
            raise StoreError(f"The database {self._address} is closed.")
        if self._writer is None or self._writer.closed:
            self._writer = None
            self._writer = connect(self._address)
            settle_in(self._writer, to_write=True)
        return self._writer

    def _is_everybodys(self, fault: BaseException) -> bool:
        return faults.is_everybodys(fault)

    def _in_words(self, fault: BaseException) -> BaseException:
        return faults.in_words(self._address, fault)

    def _reading(self) -> Readers:
        if self._readers is None or self._closed.is_set():
            raise StoreError(f"The database {self._address} is closed.")
        return self._readers

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, PoolTimeout) as error:
            told = self._in_words(error)
            if told is error:
                raise
            raise told from error

    def _prepare(self, raw: Raw) -> None:
        if raw.info.server_version < OLDEST:
            raise StoreError(
                f"The server of {self._address} is PostgreSQL {raw.info.server_version // 10_000}, which is too old: "
                f"it needs {OLDEST // 10_000} or newer."
            )
        encoding = raw.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            raise StoreError(
                f"The database {self._address} keeps texts as {encoding}: create it with the encoding UTF8."
            )
        version = applied(raw)
        if version is not None and version > len(MIGRATIONS):
            raise StoreError(newer_version(self._address, version))
        if version == len(MIGRATIONS):
            return
        if self._member is None:
            missing = "has no tables of ours" if version is None else "is of an older version"
            raise StoreError(f"The database {self._address} {missing}: start `forwarder run` once.")
        migrate(raw)


_OTHERS: Final = """
SELECT id, host, pid, until::text AS until FROM replicas
WHERE id <> ? AND until > clock_timestamp() AND (since, id) < (SELECT since, id FROM replicas WHERE id = ?)
"""
_SIZE: Final = f"""
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r'
"""
