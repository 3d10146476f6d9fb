"""Databases of both kinds to measure on, and many alerts of the past in them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from forwarder.common.clock import iso
from forwarder.common.databases import Database, PostgresAddress
from tests.bench.stand_ins import alerts
from tests.kit import postgres

# As a server is by itself: what it calls written is on the disk.
_SETTINGS: Final = (
    *("fsync=on", "full_page_writes=on", "autovacuum=on", "wal_level=replica", "max_wal_senders=10"),
    *("shared_buffers=128MB", "max_wal_size=4GB"),
)
AT_ONCE: Final = 100_000
"""Alerts that are put in with one statement."""

_NUMBERS: Final = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)",
    "postgresql": "WITH numbers (n) AS (SELECT generate_series($1::bigint, $2::bigint - 1))",
}
_ALERTS: Final = """
INSERT INTO alerts (id, origin, severity, cve_id, published_at, body, seen_at, trail, unrouted)
{numbers} SELECT 'old-' || n, 'feed', 'high', 'CVE-2020-' || n, {when} + n, {body}, {when} + n, '[]', 0 FROM numbers
"""
_DELIVERIES: Final = """
INSERT INTO deliveries (id, alert_id, connector, kind, revision, state, rank, published_at, why, enqueued_at, due_at,
  attempts, settled_at, receipt_id)
{numbers}, connectors (k, name) AS (VALUES (0, 'secops'), (1, 'oncall'), (2, 'tickets'))
SELECT 100000000 + n * 3 + k, 'old-' || n, name, 'open', 1, 'delivered', 1, {when} + n, '', {when} + n, 0, 1,
  {when} + n, 'x' FROM numbers CROSS JOIN connectors
"""
_ATTEMPTS: Final = """
INSERT INTO attempts {numbers}, connectors (k) AS (VALUES (0), (1), (2))
SELECT 100000000 + n * 3 + k, 1, {when} + n, 0.1, 'delivered', '' FROM numbers CROSS JOIN connectors
"""
_UNFINISHED: Final = """
INSERT INTO unfinished {numbers}, connectors (name) AS (VALUES ('secops'), ('oncall'), ('tickets'))
SELECT 'old-' || n, name, 'high', {when} + n FROM numbers CROSS JOIN connectors
"""
_WORDS: Final = """
INSERT INTO searchable (alert_id, words)
{numbers} SELECT id, words_of(id, cve_id, body) FROM numbers JOIN alerts ON id = 'old-' || n
"""


@contextmanager
def server() -> Iterator[postgres.Server | None]:
    """A server of its own that keeps what it says that it keeps; None where none is installed."""
    if postgres.missing() is not None:
        yield None
        return
    with postgres.server(_SETTINGS) as running:
        yield running


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Database | None]:
    """Where a database of this kind may be; None where no server is installed."""
    if kind == "sqlite":
        yield folder / "forwarder.db"
        return
    with server() as running:
        yield None if running is None else running.new()


def fill(where: Database, first: int, until: int, *, searched: bool = False) -> None:
    """Puts settled alerts with three deliveries and an attempt each into the tables; ``searched`` for the search, too.

    A server's triggers rest meanwhile.
    """
    old = (datetime.now(UTC) - timedelta(days=400)).timestamp()
    raw = {**alerts(1)[0], "published_at": iso(datetime.fromtimestamp(old, UTC))}
    body = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    parts = [(start, min(start + AT_ONCE, until)) for start in range(first, until, AT_ONCE)]
    if isinstance(where, PostgresAddress):
        with psycopg.connect(where.url, autocommit=True, cursor_factory=psycopg.RawCursor) as server:
            server.execute("SET search_path = forwarder, pg_catalog")
            server.execute("SET session_replication_role = replica")
            server.execute("SET synchronous_commit = off")
            for part in parts:
                for sql in (_ALERTS, _DELIVERIES, _ATTEMPTS, _UNFINISHED, *((_WORDS,) if searched else ())):
                    server.execute(_said(sql, "postgresql", old, body).encode(), part)
        tend(where)
        return
    with closing(sqlite3.connect(where)) as file:
        file.execute("PRAGMA synchronous = OFF")
        for part in parts:
            with file:
                # Its triggers keep what is unfinished, and what is searched.
                for sql in (_ALERTS, _DELIVERIES, _ATTEMPTS):
                    file.execute(_said(sql, "sqlite", old, body), part)


def tend(where: Database) -> None:
    """Vacuums and analyzes a server's tables, as it does by itself before long."""
    if isinstance(where, PostgresAddress):
        with psycopg.connect(where.url, autocommit=True) as server:
            server.execute("VACUUM ANALYZE")


def _said(sql: str, kind: str, when: float, body: str) -> str:
    return sql.format(numbers=_NUMBERS[kind], when=when, body="'" + body.replace("'", "''") + "'")
