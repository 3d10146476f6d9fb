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
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

import psycopg
from psycopg import sql

from forwarder import __version__
from forwarder.common.databases import PostgresAddress
from forwarder.logs import get_logger
from forwarder.store.connection import Connection
from forwarder.store.membership import Lease, Muster, Replica, Tenure, boot_clock
from forwarder.store.postgres import faults
from forwarder.store.postgres.schema import SCHEMA
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

Write = Callable[[Callable[[Connection], Any]], Any]
"""What carries out a write that is for no role."""


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
        self._muster: Muster | None = None
        self._heard: Callable[[Collection[str]], None] = lambda _: None
        self._kept: Raw | None = None
        self._keeping, self._closed = threading.Lock(), threading.Event()
        self._failing = False
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

    def take(self, roles: Collection[str]) -> list[Tenure]:
        at = 0.0

        def work(connection: Connection) -> list[str]:
            nonlocal at
            at = boot_clock()
            asked = json.dumps(sorted(roles))
            connection.execute(_KNOWN, (asked,))
            taken = [role for (role,) in connection.execute(_TAKE, (asked, self.id, self.id, LASTS)).fetchall()]
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
            connection.execute(_GIVE_UP, (json.dumps(sorted(roles)), self.id))
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
            connection.execute(_LEAVE_ROLES, (self.id,))
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
        rows = _rows(
            raw,
            sql.SQL(_RENEW).format(
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
        mine = {str(row["role"]) for row in rows}
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
            raw.execute(f"UPDATE {SCHEMA}.{_GIVEN_BACK}", (role, self.id))

    def _look(self) -> None:
        raw = self._connected()
        (row,) = _rows(raw, sql.SQL(_LOOK))
        if not self._in_touch_since:
            self._in_touch_since = boot_clock()
        self._failing = False
        self._muster = muster_of(row, in_touch=boot_clock() - self._in_touch_since)

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
        if not self._failing and not self._closed.is_set():
            self._failing = True
            log.warning("lease_not_renewed", reason=str(faults.in_words(self._address, error)))
        self._heard(())
        self._closed.wait(LOOKED_EVERY / 2)

    def _told(self, topics: Collection[str]) -> str:
        return json.dumps({"by": self.id, "topics": list(topics)})


def look(connection: Connection) -> Muster:
    """Who is there and who has what, for who has a connection that reads."""
    return muster_of(connection.execute(_LOOK).fetchone())


def muster_of(row: Any, *, in_touch: float = 0.0) -> Muster:
    """What ``_LOOK`` found."""
    replicas = (
        Replica(**{**one, "offers": frozenset(json.loads(one["offers"])), "once": bool(one["once"])})
        for one in json.loads(row["replicas"])
    )
    leases = (Lease(**{**one, "owner": one["owner"] or None}) for one in json.loads(row["leases"]))
    return Muster(replicas=tuple(replicas), leases=tuple(leases), in_touch=in_touch)


def _rows(raw: Raw, statement: sql.Composable) -> list[Any]:
    """What a statement finds, in a transaction of its own in which nothing may take long, in one round trip."""
    rows: list[Any] = []
    cursor = raw.execute(sql.SQL("BEGIN; SET LOCAL statement_timeout = '5s'; {}; COMMIT").format(statement))
    more: bool | None = True
    while more:
        if cursor.description:
            rows = cursor.fetchall()
        more = cursor.nextset()
    return rows


_KNOWN: Final = """
INSERT INTO leases (role, owner, since, until)
SELECT value, '', clock_timestamp(), clock_timestamp() FROM json_each(?) ON CONFLICT DO NOTHING
"""
# Who does all by itself, and ends soon, is not disturbed. Rows are locked in one order, for two that lock several.
_TAKE: Final = """
WITH free AS (
  SELECT role FROM leases WHERE role IN (SELECT value FROM json_each(?)) AND (owner = '' OR until < clock_timestamp())
    AND NOT EXISTS (SELECT 1 FROM replicas WHERE once = 1 AND id <> ? AND until > clock_timestamp())
  ORDER BY role FOR UPDATE
)
UPDATE leases AS l SET owner = ?, since = clock_timestamp(), until = clock_timestamp() + make_interval(secs => ?)
FROM free WHERE l.role = free.role RETURNING l.role
"""
_FREE: Final = "owner = '', since = clock_timestamp(), until = clock_timestamp()"
_GIVE_UP: Final = f"""
WITH mine AS (
  SELECT role FROM leases WHERE role IN (SELECT value FROM json_each(?)) AND owner = ? ORDER BY role FOR UPDATE
)
UPDATE leases AS l SET {_FREE} FROM mine WHERE l.role = mine.role
"""
_GIVEN_BACK: Final = f"leases SET {_FREE} WHERE role = $1 AND owner = $2"
_LEAVE_ROLES: Final = f"UPDATE leases SET {_FREE} WHERE owner = ?"
_RENEW: Final = f"""
WITH me AS (
  INSERT INTO {SCHEMA}.replicas AS r (id, host, pid, version, once, since, until, offers, turned_at)
  VALUES ({{id}}, {{host}}, {{pid}}, {{version}}, {{once}}, clock_timestamp(),
    clock_timestamp() + make_interval(secs => {{lasts}}), {{offers}}, {{turned}})
  ON CONFLICT (id) DO UPDATE SET until = excluded.until, offers = excluded.offers,
    turned_at = coalesce(excluded.turned_at, r.turned_at)
), gone AS (
  DELETE FROM {SCHEMA}.replicas WHERE until < clock_timestamp() - interval '1 day'
), mine AS (
  SELECT role FROM {SCHEMA}.leases WHERE owner = {{id}} ORDER BY role FOR UPDATE
)
UPDATE {SCHEMA}.leases AS l SET until = clock_timestamp() + make_interval(secs => {{lasts}})
FROM mine WHERE l.role = mine.role AND l.owner = {{id}} RETURNING l.role
"""
_LOOK: Final = f"""
SELECT
  (SELECT coalesce(json_agg(json_build_object('id', id, 'host', host, 'pid', pid, 'version', version, 'once', once,
      'since', extract(epoch FROM since), 'offers', offers,
      'silence', extract(epoch FROM clock_timestamp() - turned_at)) ORDER BY since, id), '[]')
    FROM {SCHEMA}.replicas WHERE until > clock_timestamp()) AS replicas,
  (SELECT coalesce(json_agg(json_build_object('role', role, 'owner', owner, 'since', extract(epoch FROM since),
      'free_for', extract(epoch FROM clock_timestamp() - until), 'left', owner = '') ORDER BY role), '[]')
    FROM {SCHEMA}.leases) AS leases
"""
