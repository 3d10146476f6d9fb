"""This process among the replicas: their rows, the roles' rows, and the thread that keeps its own from ending.

No lock of the server's says who has a role: those die with a pooler between us and the server, and outlive a node that
is gone. Rows are renewed on a connection of their own, so that no long write, whoever's it is, lets a lease end; that
connection also listens for what the others announce. A pooler that gives each transaction another connection lets
nothing be heard, and then each looks by itself, once a second.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

import psycopg
from psycopg import sql

from forwarder import __version__
from forwarder.common.databases import PostgresAddress
from forwarder.logs import get_logger
from forwarder.store.connection import Connection
from forwarder.store.membership import Muster, Reload, Tenure, Verdict, boot_clock
from forwarder.store.postgres import faults
from forwarder.store.postgres.rows import (
    ANSWER,
    GIVE_UP,
    GIVEN_BACK,
    KNOWN,
    LEAVE_ROLES,
    LOOK,
    REFUSED,
    RENEW,
    TAKE,
    muster_of,
    rows,
)
from forwarder.store.postgres.schema import MIGRATIONS, SCHEMA, applied
from forwarder.store.postgres.silence import Silence
from forwarder.store.postgres.wire import Raw, connect

log = get_logger(__name__)

LASTS: Final = float(os.environ.get("FORWARDER_LEASE_SECONDS", "15"))
"""Seconds for which a row is held without another word of its holder; the same for all replicas."""
RENEWED_EVERY: Final = LASTS * 4 / 15
LOOKED_EVERY: Final = min(1.0, LASTS / 15)
CHANNEL: Final = "forwarder"
ROLES: Final = "roles"
"""What is announced where who has what is different."""

_KEPT: Final[dict[str, Any]] = {
    # A connection that leads nowhere any more must be given up before the lease ends.
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 6_000,
    "connect_timeout": 3,
}

PROMPT: Final = 1.0
"""Seconds within which the server must answer for its clock to be known well enough."""

Write = Callable[[Callable[[Connection], Any]], Any]
"""What carries out a write that is for no role."""


def newer_version(address: PostgresAddress, steps: int) -> str:
    """Why this version cannot use the database, in a sentence."""
    return (
        f"The database {address} was written by a newer version (step {steps}, this one knows {len(MIGRATIONS)}): "
        "install that version here as well, or restore a backup."
    )


def replica_id() -> str:
    """This process, by a name that no other one has: its number, its machine, and something random."""
    return f"{os.getpid()}@{host_name()} {secrets.token_hex(8)}"


def host_name() -> str:
    """This machine's name, as replicas are known by it."""
    return re.sub(r"[^\w.-]", "", socket.gethostname())


class PostgresMembership:
    """This process among the replicas at ``address``. ``once`` says that it ends by itself, and is the only one."""

    def __init__(self, address: PostgresAddress, write: Write, *, once: bool) -> None:
        self._address, self._write, self.once = address, write, once
        self.id = replica_id()
        self.held: dict[str, Tenure] = {}
        self.turned = threading.Event()
        """Set where all of the process has turned since that was last written down."""
        self._offers: tuple[str, ...] = ()
        self._offered_at = self._renewed_at = self._in_touch_since = 0.0
        self._changes = 0
        self._ahead = time.time() - boot_clock()
        """What the database's clock shows beyond ``boot_clock``."""
        self.outdated: str | None = None
        self._silence, self.silence = Silence(), Silence()
        """Of the connection by which the leases are renewed, and of all others."""
        self._config: str | None = None
        self._muster: Muster | None = None
        self._heard: Callable[[Collection[str]], None] = lambda _: None
        self._kept: Raw | None = None
        self._keeping, self._closed = threading.Lock(), threading.Event()
        self._told_of: set[str] = set()
        """Why it could not be renewed since it last was: each reason is told once."""
        self._to_tell: SimpleQueue[str | None] = SimpleQueue()
        """What the others are to be told; None ends that."""

    def register(self) -> None:
        """Shows itself to the others; raises psycopg.Error."""
        with self._keeping:
            self._renew()
            self._look()

    def start(self) -> None:
        """Keeps what it has from ending, in a thread of its own."""
        threading.Thread(target=self._keep, name="lease", daemon=True).start()
        threading.Thread(target=self._tell, name="announcer", daemon=True).start()

    def begin(self, offers: Collection[str], heard: Callable[[Collection[str]], None]) -> None:
        self.offer(offers)
        self._heard = heard
        with suppress(psycopg.Error):
            # Who starts alone has everything at once, and need not wait for the thread.
            self.register()

    def offer(self, roles: Collection[str]) -> None:
        self._offers, self._offered_at = tuple(sorted(roles)), boot_clock()

    def muster(self) -> Muster | None:
        return self._muster

    def tend(self) -> None:
        # What is asked there takes a moment; so where nothing comes back, the way there is dead for all the others.
        dead = self._silence.end(LASTS)
        self.silence.end(LASTS / 2 if dead else LASTS * 6)

    def wall(self) -> float:
        return boot_clock() + self._ahead

    def began(self, connection: Connection, config: str | None) -> Reload | None:
        self._config = config
        return self._refused(connection, 0)

    def judged(self, connection: Connection, reload: Reload) -> Reload:
        values = {
            "id": self.id,
            "config": self._config,
            "verdict": reload.verdict.value,
            "problems": json.dumps(list(reload.problems)),
            "request": reload.request,
        }
        connection.execute(ANSWER, values)
        return self._refused(connection, reload.request) or reload

    def _refused(self, connection: Connection, request: int) -> Reload | None:
        found = connection.execute(REFUSED).fetchall()
        if not found:
            return None
        told = [
            f"{row['host']} (process {row['pid']}): {problem}"
            for row in found
            for problem in json.loads(row["problems"])
        ]
        return Reload(verdict=Verdict(found[0]["verdict"]), problems=told, request=request)

    def take(self, roles: Collection[str]) -> list[Tenure]:
        at = 0.0

        def work(connection: Connection) -> list[str]:
            nonlocal at
            at = boot_clock()
            asked = json.dumps(sorted(roles))
            connection.execute(KNOWN, (asked,))
            taken = [role for (role,) in connection.execute(TAKE, (asked, self.id, self.id, LASTS)).fetchall()]
            if taken:
                connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, self._told([ROLES])))
            return taken

        self._changes += 1
        try:
            roles_taken: list[str] = self._write(work)
        finally:
            self._changes += 1
        tenures = [Tenure(role=role, until=at + LASTS, taken_at=boot_clock()) for role in roles_taken]
        self.held |= {tenure.role: tenure for tenure in tenures}
        return tenures

    def give_up(self, roles: Collection[str]) -> None:
        for role in roles:
            if (tenure := self.held.pop(role, None)) is not None:
                tenure.lost = True

        def work(connection: Connection) -> None:
            connection.execute(GIVE_UP, (json.dumps(sorted(roles)), self.id))
            connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, self._told([ROLES])))

        self._changes += 1
        try:
            self._write(work)
        finally:
            self._changes += 1

    def forget(self, tenure: Tenure) -> None:
        if self.held.get(tenure.role) is tenure:
            del self.held[tenure.role]

    def announce(self, *topics: str) -> None:
        # Whoever announces something has more to do than to wait for that; and what comes meanwhile goes together.
        for topic in topics:
            self._to_tell.put(topic)

    def leave(self) -> None:
        self._closed.set()
        self._to_tell.put(None)
        # A renewal under way would bring the row back.
        held = self._keeping.acquire(timeout=2.0)
        try:
            if self._kept is not None and held:
                self._kept.close()
        finally:
            if held:
                self._keeping.release()
        for tenure in self.held.values():
            tenure.lost = True

        def work(connection: Connection) -> None:
            connection.execute(LEAVE_ROLES, (self.id,))
            connection.execute("DELETE FROM replicas WHERE id = ?", (self.id,))
            connection.execute("DELETE FROM marks WHERE replica = ?", (self.id,))
            connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, self._told([ROLES])))

        self._write(work)

    # Its own threads

    def _tell(self) -> None:
        while (first := self._to_tell.get()) is not None:
            topics = {first: None}
            with suppress(Empty):
                while (another := self._to_tell.get_nowait()) is not None:
                    topics[another] = None
                return
            told = self._told(topics)

            def work(connection: Connection, told: str = told) -> None:
                connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, told))

            with suppress(Exception):  # then they look by themselves
                self._write(work)

    def _keep(self) -> None:
        while not self._closed.is_set():
            topics: list[str] = []
            try:
                with self._keeping:
                    if self._closed.is_set():
                        return
                    if boot_clock() - self._renewed_at >= RENEWED_EVERY:
                        self._renew()
                    self._look()
                self._heard(())
                topics = self._listen()
            except psycopg.Error as error:
                self._cut_off(error)
            if topics:
                self._heard(topics)

    def _connected(self) -> Raw:
        if self._kept is None or self._kept.closed:
            self._in_touch_since = 0.0
            self._kept = connect(self._address, **_KEPT)
            self._kept.execute(f"LISTEN {CHANNEL}")
        return self._kept

    def _renew(self) -> None:
        raw, changes = self._connected(), self._changes
        at, turned = boot_clock(), self.turned.is_set()
        self.turned.clear()
        offers = self._offers if at - self._offered_at < LASTS else ()
        found = self._ask(
            raw,
            sql.SQL(RENEW).format(
                id=sql.Literal(self.id),
                host=sql.Literal(host_name()),
                pid=sql.Literal(os.getpid()),
                version=sql.Literal(__version__),
                once=sql.Literal(int(self.once)),
                lasts=sql.Literal(LASTS),
                offers=sql.Literal(json.dumps(offers)),
                turned=sql.SQL("clock_timestamp()" if turned else "NULL"),
            ),
        )
        mine = {str(row["role"]) for row in found}
        self._renewed_at = at
        for tenure in list(self.held.values()):
            if tenure.role in mine:
                tenure.until = max(tenure.until, at + LASTS)
            elif tenure.taken_at < at and not tenure.lost:
                tenure.lost = True
                log.warning("role_lost", role=tenure.role)
        # What was taken, or given up, without this process having heard so.
        if strays := mine - self.held.keys():
            self._give_back(raw, strays, changes)

    def _give_back(self, raw: Raw, strays: Iterable[str], changes: int) -> None:
        if changes % 2 or self._changes != changes:
            return
        for role in sorted(strays):
            raw.execute(f"UPDATE {SCHEMA}.{GIVEN_BACK}", (role, self.id))

    def _look(self) -> None:
        raw, asked = self._connected(), boot_clock()
        (row,) = self._ask(raw, sql.SQL(LOOK))
        if (took := boot_clock() - asked) < PROMPT:
            self._ahead = float(row["now"]) - asked - took / 2
        self._see_steps(int(row["steps"]))
        if not self._in_touch_since:
            self._in_touch_since = boot_clock()
        self._told_of.clear()
        self._muster = muster_of(row, in_touch=boot_clock() - self._in_touch_since)

    def _ask(self, raw: Raw, statement: sql.Composable) -> list[Any]:
        with self._silence.awaited(raw):
            return rows(raw, statement)

    def _see_steps(self, steps: int) -> None:
        if steps > len(MIGRATIONS) and self.outdated is None:
            self.outdated = newer_version(self._address, steps)

    def _listen(self) -> list[str]:
        topics: list[str] = []
        raw = self._connected()
        for notification in raw.notifies(timeout=LOOKED_EVERY, stop_after=1):
            with suppress(ValueError, KeyError, TypeError):
                told = json.loads(notification.payload)
                if told["by"] != self.id:
                    topics += [str(topic) for topic in told["topics"]]
        return topics

    def _cut_off(self, error: psycopg.Error) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = self._muster = None
        if isinstance(error, psycopg.ProgrammingError):
            # What a newer version has changed may be what is asked for here.
            with suppress(psycopg.Error), closing(connect(self._address, **_KEPT)) as raw:
                self._see_steps(applied(raw) or 0)
        reason = str(faults.in_words(self._address, error))
        if reason not in self._told_of and not self._closed.is_set():
            self._told_of.add(reason)
            log.warning("lease_not_renewed", reason=reason)
        self._heard(())
        self._closed.wait(LOOKED_EVERY / 2)

    def _told(self, topics: Collection[str]) -> str:
        return json.dumps({"by": self.id, "topics": list(topics)})
