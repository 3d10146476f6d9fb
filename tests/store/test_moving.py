"""A store that moves from a file to a server, or back: all of it and nothing twice, or nothing at all."""

from __future__ import annotations

import gzip
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alert import Alert
from forwarder.common.databases import Database, PostgresAddress
from forwarder.config import Mute
from forwarder.store import AlreadyRunning, Store, StoreError, presence_of
from forwarder.store.connection import Connection
from forwarder.store.moving import DAEMON, move
from forwarder.store.query_records import Filter
from forwarder.store.sides import SqliteSide, Table, Values, tables
from forwarder.testing import alert, hostile_alerts, odd_alerts
from tests.kit.core import PATIENCE
from tests.kit.postgres import Server
from tests.kit.samples import real_alerts
from tests.kit.store import NOW, claim, claim_all, dead, delivered, enqueue, routed, rows, settle, uncertain
from tests.store.test_schemas import BEFORE, LIVED, columns_in_order, described

SET_ASIDE: Final = "INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES (?, ?, ?, ?)"


@pytest.fixture
def address(server: Server) -> PostgresAddress:
    """A database with none of our tables."""
    return server.new()


@pytest.fixture
def back(tmp_path: Path) -> Path:
    """Where a file will be that all of it comes back to."""
    return tmp_path / "back.db"


def content(place: Database) -> dict[str, list[Values]]:
    """Every row of every table, the process' own aside."""
    with Store.open_exclusive(place) as store, store.engine.read() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(f"SELECT {table.listed} FROM {table.name}")), key=repr
            )
            for table in tables()
            if table.name != DAEMON
        }


def write(place: Database, *statements: str, values: Iterable[tuple[Any, ...]] = ()) -> None:
    """Carries out statements, or one of them with each of ``values``."""

    def work(connection: Connection) -> None:
        for sql in statements:
            for one in values or ((),):
                connection.execute(sql, one)

    with Store.open_exclusive(place) as store:
        store.engine.write(work)


def many(place: Database, count: int = 2500) -> None:
    """A store with more rows than are moved between two words of how far that has come."""
    write(place, SET_ASIDE, values=[(f"d{number}", "raw", "reason", NOW) for number in range(count)])


def test_real_alerts_there_and_back(path: Path, address: PostgresAddress, back: Path) -> None:
    """Real alerts, delivered in part: every row arrives as it was, and comes back as it was."""
    with Store.open_exclusive(path) as store:
        for number, one in enumerate(real_alerts()):
            item = routed(alert(**one), "secops", "tickets")
            store.feed.commit_page([item], now=NOW + number, connectors=["secops", "tickets"])
        for number, claimed in enumerate(store.outbox.claim("secops", 600, now=NOW + 9999, lease=60)):
            answer = (delivered(f"R-{number}", payload={"text": "ü"}), dead(), uncertain())[number % 3]
            assert number < 500 or settle(store, claimed, answer, now=NOW + 9999.125)
    before = content(path)
    there = move(path, address)
    assert there.rows == {table.name: len(before.get(table.name, "1")) for table in tables()}
    assert content(address) == before
    assert move(address, back) == there
    assert content(back) == before
    assert content(path) == before


def test_what_an_older_version_left_in_every_table(path: Path, address: PostgresAddress, back: Path) -> None:
    """The source is first brought up to date, as a start would, and nothing of any table is left behind."""
    path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    write(path, *LIVED)
    write(path, "INSERT INTO undated VALUES ('u', 1.5)", "INSERT INTO vendors VALUES ('k', 'K', NULL)")
    write(
        path,
        "INSERT INTO uncategorized VALUES ('ready', 'default', '[]')",
        "INSERT INTO failures VALUES ('t', 's', 1, 'r')",
    )
    write(path, "INSERT INTO digest_items VALUES ('ready', 0, 'unsure')", "INSERT INTO reports VALUES ('weekly', 1)")
    write(path, "INSERT INTO missed VALUES ('ready', 'jira', 1)")
    before = content(path)
    assert [name for name, found in before.items() if not found] == []
    move(path, address)
    assert content(address) == before
    move(address, back)
    assert content(back) == before


def test_every_value_is_the_same(path: Path, address: PostgresAddress, back: Path) -> None:
    """The least and largest numbers, any text and any bytes, as they are and not as they are written."""
    texts = ["", "\t\n\r\\N\\.", "\\x00", '{"a": "\\u0000\\ud800"}', "\U0001f6a8é\u0301", "x" * 100_000, "NULL", "'\""]
    floats = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1.0, float("inf"), -float("inf"), 1 / 3, NOW, 0.0]
    write(path, SET_ASIDE, values=[(f"t{place}", text, text, 0.5) for place, text in enumerate(texts)])
    write(path, SET_ASIDE, values=[(f"f{place}", "", "", value) for place, value in enumerate(floats)])
    write(path, "UPDATE feed SET unread_starts = 9223372036854775807")
    write(path, "INSERT INTO web_token VALUES (1, ?, ?)", values=[(bytes(range(256)), b"")])
    before = content(path)
    move(path, address)
    assert content(address) == before
    move(address, back)
    assert content(back) == before


def test_a_zero_byte_is_told(path: Path, address: PostgresAddress) -> None:
    """What PostgreSQL's texts cannot hold becomes the mark for what cannot be shown, and is counted."""
    write(path, SET_ASIDE, values=[("a", "x\0y", "\0", 1.0), ("b", "", "", 1.0)])
    assert move(path, address).mended == 1
    assert content(address)["set_aside"] == [("a", "x\ufffdy", "\ufffd", 1.0, None, ""), ("b", "", "", 1.0, None, "")]


def test_alerts_of_any_form(path: Path, address: PostgresAddress, back: Path) -> None:
    """Alerts that break whatever can be broken are the same after both ways, zero bytes in their JSON too."""
    with Store.open_exclusive(path) as store:
        odd = [one for one in (*hostile_alerts(), *odd_alerts()) if len(one.title) < 5000]
        for number, one in enumerate(odd):
            # What JSON does not have never gets this far.
            raw = {**one.raw, "id": f"a{number}", "cvss_score": None, "epss_score": None, "score_of_tomorrow": None}
            store.feed.commit_page([routed(Alert.parse(raw), "secops")], now=NOW + number, connectors=["secops"])
        texts = {one.delivery.alert.title for one in claim_all(store, now=NOW + 999)}
    before = content(path)
    moved = move(path, address)
    move(address, back)
    after = content(back)
    # Only what alerts are found by holds the zero bytes themselves.
    mended = [(number, name, words.replace("\0", "\ufffd")) for number, name, words in before["searchable"]]
    assert moved.mended == len([words for *_, words in before["searchable"] if "\0" in words])
    assert {**before, "searchable": sorted(mended, key=repr)} == after
    with Store.open_exclusive(back) as store:
        store.outbox.reclaim_expired(now=NOW + 9999, due_at={}, all_claims=True)
        assert {one.delivery.alert.title for one in claim_all(store, now=NOW + 99999)} == texts


def test_the_tables_are_as_in_any_other(
    server: Server, path: Path, address: PostgresAddress, back: Path, tmp_path: Path
) -> None:
    """Indexes, constraints and triggers are those of a new database, and do their work again, for new rows alone."""
    other = tmp_path / "new.db"
    with Store.open_exclusive(path) as store, Store.open_exclusive(other):
        enqueue(store, alert(title="Log4Shell again"), "secops")
    move(path, address)
    move(address, back)
    fresh = server.new_store()
    for look in (described, columns_in_order):
        assert look(server, address, "forwarder") == look(server, fresh, "forwarder")
    enabled = "SELECT tgname, tgenabled FROM pg_trigger ORDER BY 1, 2"
    watching = [
        server.run(f"{enabled.replace(' ORDER', ' WHERE NOT tgisinternal ORDER')}", one.name)
        for one in (address, fresh)
    ]
    assert watching[0] == watching[1]
    schemas = []
    for file in (back, other):
        with closing(sqlite3.connect(file)) as opened:
            schemas.append(sorted(opened.execute("SELECT type, name, sql FROM sqlite_master"), key=repr))
            assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            opened.execute("INSERT INTO search (search) VALUES ('integrity-check')")
    assert schemas[0] == schemas[1]
    for place in (address, back):
        with Store.open_exclusive(place) as store:
            assert settle(store, claim(store), delivered())
            enqueue(store, alert(id="later", title="A later one"), "secops")
            for words, found in (("log4shell", "Log4Shell again"), ("a later one", "A later one")):
                (row,) = store.queries.alerts(Filter(text=words))
                assert row.alert.title == found
            assert len(rows(store, "SELECT * FROM unfinished")) == 2
            assert len(rows(store, "SELECT * FROM searchable")) == 2


def test_numbers_go_on(path: Path, address: PostgresAddress, back: Path) -> None:
    """A mute's number that was ever given is never given again, and a new delivery has one of its own."""
    rule = Mute.model_validate({"vendors": ["wordpress"], "until": "2099-01-01", "reason": "not in use"})
    with Store.open_exclusive(path) as store:
        for number in range(3):
            enqueue(store, alert(id=f"a{number}"), "secops")
            store.mutes.add(rule, person="Ada", place="page", now=NOW)
        store.engine.write(lambda connection: connection.execute("DELETE FROM mutes WHERE id = 3"))
    for source, target, expected in ((path, address, 4), (address, back, 5)):
        move(source, target)
        with Store.open_exclusive(target) as store:
            assert store.mutes.add(rule, person="Ada", place="page", now=NOW).id == str(expected)
            enqueue(store, alert(id=f"a{expected}"), "secops")
            assert rows(store, "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1") == [(expected,)]


def test_a_process_is_not_moved(path: Path, address: PostgresAddress) -> None:
    """A daemon that was killed is not taken for one that runs on the new database; what it did last is known there."""
    with Store.open_exclusive(path) as store:
        store.daemon.started(4711, 12, now=NOW, config="/etc/forwarder.yaml")
        store.daemon.request_reload()
    move(path, address)
    with Store.open_shared(address) as store:
        state = store.daemon.state()
        assert (state.pid, state.began, state.started_at, state.requested) == (None, None, NOW, 1)
    assert not presence_of(address).owned()


# What is refused


def refused(source: Database, target: Database, words: str, kind: type[Exception] = StoreError) -> None:
    with pytest.raises(kind, match=words) as raised:
        move(source, target)
    assert "\n" not in str(raised.value)


def test_a_daemon_on_either_is_not_disturbed(path: Path, address: PostgresAddress) -> None:
    """Nothing is moved under a daemon, whichever side it is on."""
    with Store.open_exclusive(path) as store:
        enqueue(store, alert(), "secops")
        refused(path, address, "already runs on .*: stop it first", AlreadyRunning)
    with Store.open_exclusive(address):
        refused(path, address, "already runs on .*: stop it first", AlreadyRunning)
    assert move(path, address).rows["alerts"] == 1


def test_nobody_starts_on_either_meanwhile(path: Path, address: PostgresAddress) -> None:
    """Who would start a daemon on one of them is refused until the move has ended."""
    many(path)
    heard: list[str] = []

    def meanwhile(_done: int, _total: int) -> None:
        if not heard:
            with pytest.raises(AlreadyRunning) as raised:
                Store.open_exclusive(path)
            heard.append(str(raised.value))

    move(path, address, meanwhile)
    assert len(heard) == 1


def test_a_target_in_use_is_left_alone(path: Path, server: Server, back: Path) -> None:
    """Only a new database is filled, so no two stores are ever mixed."""
    many(path, 1)
    used = server.new_store()
    write(used, "UPDATE feed SET cursor = 1")
    refused(path, used, r"is in use already \(it has rows of its own in `feed`\): name a new one")
    with Store.open_exclusive(back) as store:
        enqueue(store, alert(), "secops")
    refused(path, back, r"in use already \(it has rows of its own in `alerts`\)")
    refused(used, back, r"in use already \(it has rows of its own in `alerts`\)")


def test_nothing_to_move_is_told(path: Path, address: PostgresAddress, back: Path) -> None:
    """A source that is not there is not made, and one that is named twice is no target."""
    refused(path, address, "There is no database .* yet")
    assert not path.exists()
    refused(address, back, "has no tables of ours: there is nothing to move")
    many(path, 1)
    refused(path, path, "is named twice")
    refused(address, address, "is named twice")


def test_a_row_that_breaks_a_rule_is_named(path: Path, address: PostgresAddress) -> None:
    """What a hand or a fault left in a file is told with its table, and nothing is moved."""
    Store.open_exclusive(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute("INSERT INTO looks (connector) VALUES ('')")
        file.commit()
    refused(path, address, r"A row of `looks` in .* may hold it \(.*looks_connector_check.*\): nothing was moved")
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM looks")
        file.commit()
    assert move(path, address).rows["looks"] == 0


def test_what_differs_afterwards_is_not_kept(server: Server, back: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table is read back: a row that got lost or changed on the way ends the move, and leaves the target empty."""
    source = server.new_store()
    write(source, SET_ASIDE, values=[("a", "x", "", 1.0), ("b", "y", "", 1.0)])
    put = SqliteSide.put

    def losing(self: SqliteSide, connection: Connection, table: Table, rows: Iterable[Values]) -> None:
        put(self, connection, table, list(rows)[:1] if table.name == "set_aside" else rows)

    def changing(self: SqliteSide, connection: Connection, table: Table, rows: Iterable[Values]) -> None:
        put(self, connection, table, (tuple("z" if value == "y" else value for value in row) for row in rows))

    for wrong, told in ((losing, "1 of 2 rows"), (changing, "2 of 2 rows")):
        with monkeypatch.context() as broken:
            broken.setattr(SqliteSide, "put", wrong)
            refused(source, back, f"holds of `set_aside` is not what .* holds \\({told}, digest .*: nothing was moved")
    assert move(source, back).rows["set_aside"] == 2


# What ends it half-way

HELD: Final = """
import signal, sys, threading
from forwarder.common.databases import parse_database
from forwarder.store.moving import move

# Who is started in the background is deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def hold(done, total):
    if done >= {after}:
        print("moving", flush=True)
        # Again and again: a signal just before a wait would not end it.
        while True:
            threading.Event().wait(0.1)

move(parse_database(sys.argv[1]), parse_database(sys.argv[2]), hold)
"""


@pytest.mark.parametrize(("ended_by", "after"), [(signal.SIGKILL, 1000), (signal.SIGKILL, 4000), (signal.SIGINT, 1000)])
def test_an_interrupted_move_leaves_nothing(
    path: Path, server: Server, back: Path, ended_by: signal.Signals, after: int
) -> None:
    """Killed or interrupted while it writes or reads back, it leaves a target that takes the same move once more."""
    many(path)
    before, address = content(path), server.new()
    for source, target in ((path, address), (address, back)):
        interrupted(source, target, ended_by, after)
        # A process that was killed holds it for a while yet.
        server.run(
            "UPDATE forwarder.leases SET until = now(); UPDATE forwarder.replicas SET until = now()", address.name
        )
        assert content(target)["set_aside"] == []
        move(source, target)
        assert content(target) == before


def interrupted(source: Database, target: Database, ended_by: signal.Signals, after: int) -> None:
    """A move that is ended by a signal once it has come so far."""
    told = [one.url if isinstance(one, PostgresAddress) else str(one) for one in (source, target)]
    with subprocess.Popen(
        [sys.executable, "-c", HELD.format(after=after), *told], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as moving:
        assert moving.stdout is not None
        assert moving.stdout.readline() == b"moving\n"
        moving.send_signal(ended_by)
        assert moving.wait(PATIENCE) != 0
