"""How transactions begin on a server: with what holds for each, for a pooler keeps nothing from one to the next.

A connection that is direct is told that once, and each of its transactions begins with a word.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final

import psycopg
from psycopg import sql

from forwarder.store.postgres.schema import MIGRATIONS, SCHEMA
from forwarder.store.postgres.wire import NOT_IDLE, Raw, look_behind


def _set(names: str, *, local: bool) -> str:
    """The statements that set these, for a transaction or for all that follow."""
    return "; ".join(f"SET {'LOCAL ' * local}{one}" for one in names.split("; "))


_LIMITS: Final = f"search_path = {SCHEMA}, pg_catalog; statement_timeout = '60s'"
# Plans are kept, for to make one costs as much as to carry it out. One that was made when its table was nearly empty
# must not read that as a whole, whatever that is called to cost; and what is called dear for this is not compiled.
_KEPT_PLANS: Final = "plan_cache_mode = force_generic_plan; enable_seqscan = off; jit = off"
_OWN_PLANS: Final = "plan_cache_mode = force_custom_plan"
_WRITER_LIMITS: Final = f"lock_timeout = '20s'; {NOT_IDLE}"

LIMITS: Final = _set(f"{_LIMITS}; {_WRITER_LIMITS}", local=True)
"""What holds for a transaction that writes."""
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
_READ_ANYWHERE: Final = _READ + _set(f"{_LIMITS}; {_OWN_PLANS}", local=True)
_READ_DIRECT: Final = _READ + _set(f"{_OWN_PLANS}; enable_seqscan TO DEFAULT; jit TO DEFAULT", local=True)
_WRITE_ANYWHERE: Final = f"{_WRITE}{LIMITS}; {_set(_KEPT_PLANS, local=True)}; "
_TO_READ: Final = _set(f"{_LIMITS}; {_KEPT_PLANS}; default_transaction_read_only = on", local=False)
_TO_WRITE: Final = _set(f"{_LIMITS}; {_KEPT_PLANS}; {_WRITER_LIMITS}", local=False)

TURN: Final = "SELECT id FROM turn FOR NO KEY UPDATE"
"""By this each write waits for the one before it, whichever process's that is."""
FORGET_PLANS: Final = "DISCARD PLANS"
# Once it is its turn: what the one before has left is seen by no statement that began earlier.
_BEGUN: Final = """
WITH marked AS (
  INSERT INTO marks (replica, mark, at) VALUES ({replica}, {mark}, clock_timestamp())
  ON CONFLICT (replica) DO UPDATE SET mark = excluded.mark, at = excluded.at
)
SELECT role FROM leases WHERE owner = {replica} AND role = ANY ({roles}::text[])
UNION ALL SELECT '' FROM migrations HAVING count(*) > {steps}
"""
"""What a replica's writes begin with beyond that; it finds the roles that these may be for."""
_BEGUN_DIRECT: Final = _BEGUN.format(replica="$1", mark="$2", roles="$3", steps="$4").encode()
NEWER: Final = ""
"""What it finds besides where a newer version has changed the database: nothing may be written for any role then."""


def settle_in(raw: Raw, *, to_write: bool) -> None:
    """Tells a new connection, where it is direct, what holds for all its transactions."""
    look_behind(raw)
    if raw.is_direct:
        raw.execute(_TO_WRITE if to_write else _TO_READ)


def begin_read(raw: Raw) -> None:
    """Begins to read with one view of the data."""
    raw.execute(_READ_DIRECT if raw.is_direct else _READ_ANYWHERE)


def end_read(raw: Raw) -> None:
    """Ends that. After a rollback the driver would forget all that was prepared."""
    with suppress(psycopg.Error):
        raw.execute("END")


def begin_write(raw: Raw, replica: str | None, mark: str, asked: Collection[str], *, anew: bool) -> frozenset[str]:
    """Begins a write of ``replica`` that will be known by ``mark``; returns those of the roles ``asked`` that it has.

    ``anew`` has all be planned for the tables as they are now.
    """
    begun = f"{_WRITE if raw.is_direct else _WRITE_ANYWHERE}{TURN}{f'; {FORGET_PLANS}' if anew else ''}"
    told = {"replica": replica, "mark": mark, "roles": sorted(asked), "steps": len(MIGRATIONS)}
    if replica is None or raw.is_direct:
        raw.execute(begun)
        rows = raw.execute(_BEGUN_DIRECT, list(told.values()), prepare=True).fetchall() if replica else []
    else:
        literals = {name: sql.Literal(value) for name, value in told.items()}
        # In one question, as such a connection keeps no plan that it could go by.
        cursor = raw.execute(sql.SQL(f"{begun}; {_BEGUN}").format(**literals))
        while cursor.nextset():
            pass
        rows = cursor.fetchall()
    return frozenset(str(row["role"]) for row in rows)
