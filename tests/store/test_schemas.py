"""Both kinds of database have one schema: the same tables, columns and constraints, by steps that keep every row.

SQLite's tables are made once more in a schema of a PostgreSQL server, from what SQLite says of them. So one and the
same server describes both, in its own words, and nothing passes for a difference that is only written otherwise.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.common.databases import PostgresAddress
from forwarder.store import Store
from forwarder.store import schema as sqlite_schema
from forwarder.store.postgres import schema as postgres_schema
from forwarder.store.postgres.wire import Raw, connect
from forwarder.store.schema import migrate
from tests.kit.postgres import Server
from tests.kit.store import NOW, rows

BEFORE: Final = Path(__file__).with_name("before.db.gz")

SHARED: Final = 17
"""SQLite's steps until PostgreSQL's first one, which makes what all of these had made."""

SQLITE_ALONE: Final = {"search", "search_config", "search_data", "search_docsize", "search_idx", "_sqlite_migrations"}
"""The full-text index, and the record of the steps."""
STEPS_ALONE: Final = ("replicas", "reloads")
"""Steps of the server's that a file has no need of."""
POSTGRES_ALONE: Final = {"leases", "marks", "migrations", "replicas", "turn"}
"""A file has a lock instead, and a record of its own."""

MEANT: Final = {
    # PostgreSQL indexes no text of any length, and knows no NOCASE.
    "INDEX alerts_cve ON alerts USING btree (cve_id) WHERE (cve_id IS NOT NULL)": (
        "INDEX alerts_cve ON alerts USING btree (cve_id) WHERE ((cve_id IS NOT NULL) AND (length(cve_id) < 100))"
    ),
    'INDEX deliveries_receipt ON deliveries USING btree (receipt_id COLLATE "NOCASE") WHERE (receipt_id IS NOT NULL)': (
        'INDEX deliveries_receipt ON deliveries USING btree (lower("left"(receipt_id, 200)))'
        " WHERE (receipt_id IS NOT NULL)"
    ),
    # What is NULL stands last in PostgreSQL, unless it is told otherwise.
    "INDEX deliveries_tried ON deliveries USING btree (connector, tried_at, rank, published_at, id)"
    " WHERE ((state = ANY (ARRAY['ready'::text, 'uncertain'::text])) AND (early = 0))": (
        "INDEX deliveries_tried ON deliveries USING btree (connector, tried_at NULLS FIRST, rank, published_at, id)"
        " WHERE ((state = ANY (ARRAY['ready'::text, 'uncertain'::text])) AND (early = 0))"
    ),
    # In SQLite the table of that index is one by itself.
    "": "INDEX searchable_trigrams ON searchable USING gin (trigrams(words))",
}
"""All that is described otherwise in SQLite (left) and in PostgreSQL (right), and why."""

_DESCRIBED: Final = """
SELECT format('%I.%I %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT format('%I %s', c.relname, pg_get_constraintdef(k.oid))
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid WHERE k.connamespace = '{schema}'::regnamespace
UNION ALL
SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE ', '')
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = '{schema}'::regnamespace
  AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
"""


def described(server: Server, address: PostgresAddress, schema: str) -> list[str]:
    """Each column, constraint and index of a schema, in the server's words, without the schema's name."""
    server.run(f"SET search_path = {schema}, forwarder, pg_catalog", address.name)
    said = server.run(_DESCRIBED.format(schema=schema), address.name)
    told = [re.sub(rf"\b{schema}\.", "", str(one)) for (one,) in said]
    return sorted(one for one in told if not one.startswith(tuple(f"{table}." for table in POSTGRES_ALONE)))


def columns_in_order(server: Server, address: PostgresAddress, schema: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{}' ORDER BY 1, {}"
    for table, column in server.run(sql.format(schema, "ordinal_position"), address.name):
        found.setdefault(str(table), []).append(str(column))
    return found


def tables_of(file: sqlite3.Connection) -> dict[str, str]:
    """What made each table, those first to which others refer."""
    found = dict(file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"))
    kept = {name: sql for name, sql in found.items() if name not in SQLITE_ALONE}
    return dict(sorted(kept.items(), key=lambda one: (one[0] != "alerts", one[0] != "deliveries", one[0])))


def put_over(sql: str) -> str:
    """A statement of SQLite's schema as the server reads it; only what means the same is changed."""
    sql = re.sub(r"\)\s*STRICT(, WITHOUT ROWID)?\s*$", ")", sql)
    sql = sql.replace(" AUTOINCREMENT", "").replace("COLLATE NOCASE", 'COLLATE "NOCASE"')
    return postgres_schema.in_types(sql)


@pytest.fixture
def copied(server: Server, path: Path) -> PostgresAddress:
    """A database with the store's tables, and with those of a new SQLite file in the schema ``copied``."""
    Store.open_exclusive(path).close()
    address = server.new_store()
    server.run("CREATE SCHEMA copied", address.name)
    server.run("SET search_path = copied, forwarder, pg_catalog", address.name)
    server.run("""CREATE COLLATION copied."NOCASE" FROM "C" """, address.name)
    with closing(sqlite3.connect(path)) as file:
        for sql in tables_of(file).values():
            server.run(put_over(sql), address.name)
        for (sql,) in file.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"):
            if "_sqlite_migrations" not in sql:
                server.run(put_over(sql), address.name)
    return address


def test_both_kinds_have_the_same_tables(server: Server, copied: PostgresAddress) -> None:
    """The same columns in the same order, defaults, keys, references, checks and indexes, but for what is meant."""
    ours, theirs = (columns_in_order(server, copied, schema) for schema in ("copied", "forwarder"))
    assert {table: names for table, names in theirs.items() if table not in POSTGRES_ALONE} == ours
    ours_told, theirs_told = (described(server, copied, schema) for schema in ("copied", "forwarder"))
    theirs_told = [one for one in theirs_told if one.split(" ")[0] not in POSTGRES_ALONE]
    assert sorted(set(ours_told) - set(theirs_told)) == sorted(set(MEANT) - {""})
    assert sorted(set(theirs_told) - set(ours_told)) == sorted(MEANT.values())
    # Two checks of one column that say the same would count as one.
    assert len(theirs_told) == len(ours_told) + 1


def test_each_step_is_there_in_both() -> None:
    """A step of SQLite's that PostgreSQL lacks would be noticed by the first daemon that writes."""
    ours, theirs = (
        [name.partition("_")[2] for name, _ in steps]
        for steps in (sqlite_schema.MIGRATIONS[SHARED:], postgres_schema.MIGRATIONS[1:])
    )
    assert ours == [one for one in theirs if one not in STEPS_ALONE]
    assert set(STEPS_ALONE) < set(theirs)


LIVED: Final = (
    """UPDATE alerts SET status = 'resolved' WHERE id = 'delivered'""",
    """UPDATE alerts SET status = 'acknowledged' WHERE id = 'unsure'""",
    f"""INSERT INTO responses VALUES ('delivered', 1, 'acknowledge', NULL, {NOW + 5}, 'secops', 'Ada', '')""",
    f"""INSERT INTO responses VALUES ('delivered', 2, 'reopen', NULL, {NOW + 6}, 'secops', 'Ada', '')""",
    f"""INSERT INTO responses VALUES ('delivered', 3, 'resolve', 'done', {NOW + 7.5}, 'tickets', 'Eve', 'patched')""",
    f"""INSERT INTO responses VALUES ('unsure', 1, 'acknowledge', NULL, {NOW + 8}, 'page', 'Ada', '')""",
    f"""INSERT INTO mutes (conditions, even_if_worse, until, reason, person, place, created_at)
        VALUES ('{{"vendors": ["wordpress"]}}', 0, {NOW + 9}, 'ünused', 'Ada', 'page', {NOW})""",
    """UPDATE alerts SET muted_by = '1', mute = '{}' WHERE id = 'ready'""",
    f"""INSERT INTO heard VALUES ('secops', 'a\\b\tc', {NOW})""",
    f"""INSERT INTO looks (connector, cursor, looked_at) VALUES ('tickets', '{{}}', {NOW})""",
    """INSERT INTO sightings VALUES ('delivered', 'tickets', 'resolved')""",
    f"""INSERT INTO reminders VALUES ('critical', {NOW})""",
    """INSERT INTO reminded (alert_id, reminder, response, step) VALUES ('delivered', 'critical', 1, 0)""",
    f"""INSERT INTO evidence VALUES ('delivered', 1, '["a: b"]', 0, {NOW})""",
    f"""INSERT INTO sessions VALUES ('d', {NOW}, {NOW})""",
    """INSERT INTO web_token VALUES (1, x'00ff', x'')""",
    """INSERT INTO connector_memory VALUES ('secops', 'k', 'v')""",
    f"""INSERT INTO discards VALUES ('ready', 'tickets', {NOW}, 0, NULL)""",
)
"""What people did with the alerts of that file, as a version wrote it that had PostgreSQL's first step."""


Rows = tuple[list[str], list[tuple[Any, ...]]]
"""The names of a table's columns, and its rows."""


def rows_of(file: sqlite3.Connection) -> dict[str, Rows]:
    """All that is in a file, in no order of its own."""
    found = {}
    for table in tables_of(file):
        cursor = file.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        found[table] = (names, sorted((tuple(row) for row in cursor), key=repr))
    return found


def fill(connection: Raw, tables: Mapping[str, Rows]) -> None:
    """Puts rows into PostgreSQL's tables; the words by which alerts are found follow by themselves."""
    connection.execute("SET search_path = forwarder")
    for table, (names, known) in tables.items():
        if table != "searchable":
            connection.execute(f"DELETE FROM {table}".encode())
            places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
            sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"
            connection.cursor().executemany(sql.encode(), known)


def test_an_older_database_keeps_every_row(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the oldest step stand after the newest one as they do in SQLite after the same steps."""
    path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    address = server.new()
    with monkeypatch.context() as older:
        older.setattr(sqlite_schema, "MIGRATIONS", sqlite_schema.MIGRATIONS[:SHARED])
        older.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:1])
        with closing(sqlite3.connect(path, isolation_level=None)) as file, closing(connect(address)) as connection:
            migrate(file, 1)
            for sql in LIVED:
                file.execute(sql)
            postgres_schema.migrate(connection)
            fill(connection, rows_of(file))
    Store.open_exclusive(path).close()
    with closing(sqlite3.connect(path)) as file:
        wanted = rows_of(file)
    assert len(wanted["unfinished"][1]) > 0
    # The words have numbers of their own in each.
    columns, words = wanted["searchable"]
    wanted["searchable"] = (columns[1:], sorted((row[1:] for row in words), key=repr))
    with Store.open_exclusive(address) as store:
        for table, (columns, old) in wanted.items():
            assert sorted(rows(store, f"SELECT {', '.join(columns)} FROM {table}"), key=repr) == old, table
        assert rows(store, "SELECT count(*) FROM migrations") == [(len(postgres_schema.MIGRATIONS),)]
