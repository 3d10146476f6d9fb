"""Whose the database is: the row of the daemon in ``leases``, which names its process, until a time in its own clock.

No lock of the server's says it: those die with a pooler between us and the server, and outlive a node that is gone.
Whoever holds the row names itself in each write, in the same transaction. So a process that was paused, or cut off,
while another one took the row over can commit nothing more, whatever its own clock says.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from psycopg import sql

from forwarder.common.databases import PostgresAddress
from forwarder.store.connection import Connection
from forwarder.store.errors import AlreadyRunning, LeaseLost
from forwarder.store.postgres.schema import SCHEMA
from forwarder.store.postgres.wire import Raw
from forwarder.store.pulse import Refusal

ROLE: Final = "daemon"
LASTS: Final = 15.0
"""Seconds for which the row is held without another word of its holder."""
RENEWED_EVERY: Final = 4.0
LOOKED_EVERY: Final = 0.5

_OWNER: Final = re.compile(r"(\d+)@(\S*) \w+")


def owner_name() -> str:
    """This process, by a name that no other one has: its number, its machine, and something random."""
    host = re.sub(r"[^\w.-]", "", socket.gethostname())
    return f"{os.getpid()}@{host} {secrets.token_hex(8)}"


class Lease:
    """This process's hold on the database at ``address``."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self.owner = owner_name()
        self.turns = threading.Event()
        """Set where the daemon has turned since it was last written down."""

    def acquire(self, raw: Raw) -> None:
        """Takes the row once nobody holds it; raises AlreadyRunning where its holder is seen to live.

        One that was killed leaves it held for a while, in which it is not renewed.
        """
        seen, pause = None, threading.Event()
        while True:
            with raw.transaction():
                raw.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog; SET LOCAL lock_timeout = '30s'")
                row = raw.execute(_LOOK, (ROLE,)).fetchone()
                if row is None or not row["lives"]:
                    raw.execute(_TAKE, (ROLE, self.owner, LASTS))
                    return
            if seen is not None and row["until"] != seen:
                raise AlreadyRunning(
                    f"Another forwarder ({_process(row['owner'])}) already runs on {self._address}: "
                    "stop it first, or give this one a `database` of its own."
                )
            seen = row["until"]
            pause.wait(LOOKED_EVERY)

    def fence(self, mark: str) -> sql.Composable:
        """The statement that begins each write: it renews the row, and changes none where that is not ours any more.

        It waits for another process's write to end, so that each write stands as if there were no other.
        """
        turned = "clock_timestamp()" if self.turns.is_set() else "turned_at"
        self.turns.clear()
        return sql.SQL(_FENCE).format(
            turned=sql.SQL(turned),
            lasts=sql.Literal(LASTS),
            mark=sql.Literal(mark),
            role=sql.Literal(ROLE),
            owner=sql.Literal(self.owner),
        )

    def came_about(self, raw: Raw, mark: str) -> bool:
        """Whether the write of this ``mark`` was committed, which is known once its transaction is over."""
        with raw.transaction():
            raw.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog; SET LOCAL lock_timeout = '30s'")
            row = raw.execute("SELECT owner, mark FROM leases WHERE role = $1 FOR UPDATE", (ROLE,)).fetchone()
        if row is None or row["owner"] != self.owner:
            raise self.lost()
        return bool(row["mark"] == mark)

    def lost(self) -> LeaseLost:
        """What is to be told where the row is another's."""
        return LeaseLost(
            f"Another forwarder has taken over the database {self._address}, because this one was not heard of for "
            f"{LASTS:g} seconds: nothing more is written by this one, which ends."
        )

    def release(self, raw: Raw) -> None:
        """Gives the row up, so that the next process need not wait for its end."""
        raw.execute(f"UPDATE {SCHEMA}.{_RELEASE}", (ROLE, self.owner))


class LeasePresence:
    """What shows of the daemon in its row. ``beat`` is called where the daemon turns."""

    def __init__(
        self, read: Callable[[], AbstractContextManager[Connection]], turns: threading.Event | None = None
    ) -> None:
        self._read, self._turns = read, turns

    def owned(self) -> bool:
        return bool(self._row()["lives"])

    def pid(self) -> int | None:
        row = self._row()
        found = _OWNER.fullmatch(row["owner"]) if row["lives"] else None
        return int(found[1]) if found else None

    def beat(self) -> None:
        if self._turns is not None:
            self._turns.set()

    def last(self) -> float | None:
        # By this machine's clock, for it is compared with that.
        silent: float | None = self._row()["silence"]
        return None if silent is None else time.time() - silent

    def silence(self) -> float:
        silent: float | None = self._row()["silence"]
        return silent or 0.0

    def note(self, refusal: Refusal | None) -> None:
        """Nothing: a server that takes no writes takes no note of that either."""

    def noted(self) -> Refusal | None:
        return None

    def _row(self) -> Any:
        with self._read() as connection:
            row = connection.execute(_SHOWN, (ROLE,)).fetchone()
        return row or {"lives": False, "owner": "", "silence": None}


def _process(owner: str) -> str:
    found = _OWNER.fullmatch(owner)
    return f"process {found[1]} on {found[2] or 'another machine'}" if found else "of another version"


_LOOK: Final = (
    "SELECT owner, until::text AS until, until > clock_timestamp() AS lives FROM leases WHERE role = $1 FOR UPDATE"
)
_TAKE: Final = """
INSERT INTO leases (role, owner, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (role) DO UPDATE SET owner = excluded.owner, until = excluded.until, turned_at = NULL, mark = ''
"""
_FENCE: Final = """
UPDATE leases SET until = clock_timestamp() + make_interval(secs => {lasts}), turned_at = {turned}, mark = {mark}
WHERE role = {role} AND owner = {owner}
"""
_RELEASE: Final = "leases SET owner = '', until = '-infinity' WHERE role = $1 AND owner = $2"
_SHOWN: Final = """
SELECT owner, until > clock_timestamp() AS lives, extract(epoch FROM clock_timestamp() - turned_at) AS silence
FROM leases WHERE role = ?
"""
