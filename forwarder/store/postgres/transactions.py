"""How transactions begin on a server: with what holds for each, for a pooler keeps nothing from one to the next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from psycopg import sql

from forwarder.store.postgres.schema import MIGRATIONS, SCHEMA
from forwarder.store.postgres.wire import NOT_IDLE, Raw

LIMITS: Final = f"SET LOCAL search_path = {SCHEMA}, pg_catalog; SET LOCAL statement_timeout = '60s'"
READ: Final = (
    f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {LIMITS}; SET LOCAL plan_cache_mode = force_custom_plan"
)
# Plans are kept, for to make one costs as much as to carry it out. One that was made when its table was nearly empty
# must not read that as a whole, whatever that is called to cost; and what is called dear for this is not compiled.
_WRITE: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {LIMITS}; SET LOCAL lock_timeout = '20s'; {NOT_IDLE};"
    " SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL jit = off; "
)
TURN: Final = "SELECT id FROM turn FOR NO KEY UPDATE"
"""By this each write waits for the one before it, whichever process's that is."""
_ANEW: Final = "; DISCARD PLANS"
_MARK: Final = (
    "; INSERT INTO marks (replica, mark, at) VALUES ({replica}, {mark}, clock_timestamp())"
    " ON CONFLICT (replica) DO UPDATE SET mark = excluded.mark, at = excluded.at"
    "; SELECT role FROM leases WHERE owner = {replica} AND role IN ({roles})"
    " UNION ALL SELECT {newer} FROM migrations HAVING count(*) > {steps}"
)
"""What a replica's writes begin with beyond that; it finds the roles that these may be for."""
NEWER: Final = ""
"""What it finds besides where a newer version has changed the database: nothing may be written for any role then."""


def begin_write(raw: Raw, replica: str | None, mark: str, asked: Collection[str], *, anew: bool) -> frozenset[str]:
    """Begins a write of ``replica`` that will be known by ``mark``; returns those of the roles ``asked`` that it has.

    ``anew`` has all be planned for the tables as they are now.
    """
    begun = f"{_WRITE}{TURN}{_ANEW if anew else ''}"
    if replica is None:
        raw.execute(begun)
        return frozenset()
    told = {"replica": replica, "mark": mark, "newer": NEWER, "steps": len(MIGRATIONS)}
    roles = sql.SQL(", ").join(map(sql.Literal, sorted(asked) or [""]))
    marked = sql.SQL(_MARK).format(roles=roles, **{name: sql.Literal(value) for name, value in told.items()})
    cursor = raw.execute(sql.SQL(begun) + marked)
    rows: list[Any] = []
    more: bool | None = True
    while more:
        rows = cursor.fetchall() if cursor.description else []
        more = cursor.nextset()
    return frozenset(str(row["role"]) for row in rows)
