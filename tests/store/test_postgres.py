"""What the store has on a PostgreSQL server alone: whose it is, what a lost connection does, and what is said of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.common.databases import PostgresAddress, parse_database
from forwarder.delivery.memory import StoredMemory
from forwarder.store import AlreadyRunning, Store, StoreError, presence_of
from forwarder.store.errors import LeaseLost
from forwarder.store.membership import Membership, boot_clock
from forwarder.store.postgres import engine as engine_module
from forwarder.store.postgres.dialect import translated
from forwarder.store.postgres.engine import PostgresEngine
from forwarder.store.postgres.membership import LASTS, PostgresMembership
from forwarder.store.postgres.schema import MIGRATIONS
from forwarder.store.postgres.wire import PREPARED_AFTER, connect
from forwarder.store.query_records import Filter
from forwarder.testing import alert
from tests.kit.core import PATIENCE, until
from tests.kit.pgbouncer import pooling
from tests.kit.postgres import PASSWORD, Proxy, Server
from tests.kit.store import NOW, claim, delivered, enqueue, queue_of, routed, rows, settle, states

DATABASES: Final = ("postgres",)

OTHERS: Final = "application_name = 'sentrytex-forwarder' AND datname = '{}'"


@pytest.fixture
def address(server: Server) -> PostgresAddress:
    return server.empty_store()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    between = Proxy(server)
    yield between
    between.close()


def cut_off(server: Server, address: PostgresAddress) -> None:
    """Ends every connection to the database, as a restart does."""
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS.format(address.name)}")


def taken_over(server: Server, address: PostgresAddress) -> None:
    """Lets another process have every role, as after a pause that was too long."""
    elsewhere = "owner = '1@elsewhere x', until = now() + interval '1 hour'"
    server.run(
        f"BEGIN; SELECT 1 FROM forwarder.turn FOR UPDATE; UPDATE forwarder.leases SET {elsewhere}; COMMIT", address.name
    )


def member_of(store: Store) -> Membership:
    assert store.engine.membership is not None
    return store.engine.membership


# Opening it


def test_it_is_opened_again_with_what_is_in_it(address: PostgresAddress) -> None:
    """A second start applies nothing again and finds everything, at once after one that ended in order."""
    with Store.open_exclusive(address) as first:
        enqueue(first, alert(), "secops")
    with Store.open_exclusive(address) as second:
        assert rows(second, "SELECT count(*) FROM deliveries") == [(1,)]
        assert rows(second, "SELECT count(*) FROM migrations") == [(len(MIGRATIONS),)]


def test_a_migration_and_its_record_commit_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails half-way leaves neither a table nor a record, and the next start goes on."""
    new = server.new()
    from forwarder.store.postgres import schema

    (name, sql), *_ = MIGRATIONS
    with monkeypatch.context() as broken:
        broken.setattr(schema, "MIGRATIONS", ((name, f"{sql}; SELECT 1 / 0"),))
        with pytest.raises(StoreError, match="division by zero"):
            Store.open_exclusive(new)
    assert server.run("SELECT count(*) FROM forwarder.migrations", new.name) == [(0,)]
    assert server.run("SELECT to_regclass('forwarder.alerts')", new.name) == [(None,)]
    with Store.open_exclusive(new) as store:
        enqueue(store, alert(), "secops")


def test_who_stands_still_while_it_migrates_holds_up_nobody_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step locks out all writes of all replicas, so the server ends it where its process does not go on."""
    new = server.new()
    step = ("0001_seen", "CREATE TABLE seen AS SELECT current_setting('idle_in_transaction_session_timeout') AS limit_")
    from forwarder.store.postgres import schema

    monkeypatch.setattr(schema, "MIGRATIONS", (step,))
    with connect(new) as connection:
        schema.migrate(connection)
    assert server.run("SELECT limit_ FROM forwarder.seen", new.name) == [("10s",)]


def test_nothing_to_visit(server: Server) -> None:
    """A command beside a daemon that never ran makes no tables."""
    new = server.new()
    with pytest.raises(StoreError, match="has no tables of ours: start `forwarder run` once"):
        Store.open_shared(new)
    assert server.run("SELECT to_regnamespace('forwarder')", new.name) == [(None,)]


def test_a_newer_version_s_database(server: Server, address: PostgresAddress) -> None:
    """A database of a newer version is not touched by an older one."""
    server.run("INSERT INTO forwarder.migrations (number, name) VALUES (999, 'x')", address.name)
    known = len(MIGRATIONS)
    newer = rf"was written by a newer version \(step {known + 1}, this one knows {known}\)"
    try:
        for opened in (Store.open_exclusive, Store.open_shared):
            with pytest.raises(StoreError, match=newer):
                opened(address)
    finally:
        server.run("DELETE FROM forwarder.migrations WHERE number = 999", address.name)


# One owner


def test_a_second_owner_is_refused(address: PostgresAddress) -> None:
    """A database has one daemon: another one is told which process that is, and what to do; commands work beside it."""
    with Store.open_exclusive(address) as first:
        with pytest.raises(AlreadyRunning) as raised:
            Store.open_exclusive(address)
        assert re.fullmatch(
            rf"Another forwarder \(process \d+ on \S+\) already runs on {re.escape(str(address))}: "
            "stop it first, or give this one a `database` of its own.",
            str(raised.value),
        )
        assert presence_of(address).owned()
        with Store.open_shared(address) as visitor:
            enqueue(visitor, alert(), "secops")
        assert claim(first).delivery.alert == alert()
    assert not presence_of(address).owned()


def test_a_killed_owner_locks_nobody_out(server: Server, address: PostgresAddress) -> None:
    """What nobody renews ends by itself, and is waited for."""
    server.run(
        "INSERT INTO forwarder.replicas (id, host, pid, version, once, since, until)"
        " VALUES ('1@gone x', 'gone', 1, '0', 0, now() - interval '1 hour', now() + interval '1 second')",
        address.name,
    )
    with Store.open_exclusive(address) as store:
        enqueue(store, alert(), "secops")


# Roles


def test_a_role_is_one_replica_s(address: PostgresAddress) -> None:
    """Of two that want it one gets it, and the other one once that gives it up."""
    with Store.open_replica(address) as one, Store.open_replica(address) as other:
        assert [tenure.role for tenure in member_of(one).take(["feed", "upkeep"])] == ["feed", "upkeep"]
        assert member_of(other).take(["feed"]) == []
        member_of(one).give_up(["feed"])
        assert [tenure.role for tenure in member_of(other).take(["feed", "upkeep"])] == ["feed"]
        assert set(member_of(one).held) == {"upkeep"}


def test_who_lost_a_role_commits_nothing_for_it(server: Server, address: PostgresAddress) -> None:
    """A replica that was paused while another one took the role over writes nothing more for it, and all else."""
    with Store.open_replica(address) as store:
        acting = store.acting_as("connector:secops")
        (tenure,) = member_of(store).take(["connector:secops"])
        enqueue(store, alert(), "secops")
        claimed = claim(acting)
        assert tenure.lasts()
        taken_over(server, address)
        for _ in range(2):
            with pytest.raises(LeaseLost, match="does not have the role connector:secops any more"):
                settle(acting, claimed, delivered())
        assert states(store) == {("secops", "open", 1): "sending"}
        until(lambda: tenure.lost)
        assert not tenure.lasts()
        enqueue(store, alert(id="a2"), "secops")
    assert server.run("SELECT owner FROM forwarder.leases", address.name) == [("1@elsewhere x",)]


def test_a_claim_for_a_role_knows_what_a_rename_handed_over(address: PostgresAddress) -> None:
    """Whoever acts for the connector reads its memory anew with the claim of any who do."""
    with Store.open_replica(address) as store:
        member_of(store).take(["connector:old", "connector:new"])
        StoredMemory(store.acting_as("connector:old").memory, "old").put("channel", "C1")
        memory = StoredMemory(store.acting_as("connector:new").memory, "new")
        assert memory.get("channel") == ""
        with Store.open_shared(address) as person:
            person.operations.rename("old", "new")
        store.acting_as("connector:new").outbox.claim("new", 1, now=0.0, lease=60.0)
        assert memory.get("channel") == "C1"


def test_a_lost_role_costs_nobody_else_a_write(address: PostgresAddress) -> None:
    """Of those that share a commit, who has no role for it fails alone."""
    with Store.open_replica(address) as store, ThreadPoolExecutor(3) as threads:
        held, go = threading.Event(), threading.Event()

        def hold(_: Any) -> None:
            held.set()
            assert go.wait(PATIENCE)

        def note(name: str, role: str | None) -> str:
            sql = "INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES (?, '', '', 0)"
            store.engine.write(lambda connection: connection.execute(sql, (name,)), role=role)
            return name

        first = threads.submit(store.engine.write, hold)
        assert held.wait(PATIENCE)
        refused, kept = threads.submit(note, "for a role", "feed"), threads.submit(note, "for nobody", None)
        until(lambda: len(queue_of(store.engine)) == 2)
        go.set()
        first.result(PATIENCE)
        with pytest.raises(LeaseLost):
            refused.result(PATIENCE)
        assert kept.result(PATIENCE) == "for nobody"
        assert rows(store, "SELECT digest FROM set_aside") == [("for nobody",)]


def test_a_write_under_way_keeps_the_next_holder_waiting(server: Server, address: PostgresAddress) -> None:
    """Nobody takes a role over in the midst of a write for it: it is done under the old holder, or not at all."""
    with Store.open_replica(address) as store, ThreadPoolExecutor(1) as threads:
        member_of(store).take(["feed"])

        def work(connection: Any) -> None:
            connection.execute("INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES ('x', '', '', 0)")
            taking.append(threads.submit(taken_over, server, address))
            waits = f"wait_event_type = 'Lock' AND datname = '{address.name}'"
            until(lambda: server.run(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}") == [(1,)])

        taking: list[Future[None]] = []
        store.engine.write(work, role="feed")
        taking[0].result(PATIENCE)
        assert rows(store, "SELECT digest FROM set_aside") == [("x",)]
        with pytest.raises(LeaseLost):
            store.engine.write(lambda _: None, role="feed")


def test_a_lease_is_renewed_in_the_midst_of_a_long_write(server: Server, address: PostgresAddress) -> None:
    """However long a write takes, whoever's it is: nobody loses a role by that."""
    ends = "SELECT extract(epoch FROM until) FROM forwarder.leases"
    with Store.open_replica(address) as store:
        (tenure,) = member_of(store).take(["feed"])
        before, until_then = server.run(ends, address.name), tenure.until
        store.engine.write(lambda _: until(lambda: server.run(ends, address.name) != before))
        until(lambda: tenure.until > until_then)


def test_what_one_announces_the_others_hear(address: PostgresAddress) -> None:
    """At once, and nobody hears himself."""
    with Store.open_replica(address) as one, Store.open_replica(address) as other:
        heard: dict[str, list[str]] = {"one": [], "other": []}
        member_of(one).begin(["feed"], heard["one"].extend)
        member_of(other).begin(["feed"], heard["other"].extend)
        member_of(one).announce("wake:secops", "review")
        until(lambda: heard["other"] == ["wake:secops", "review"])
        assert "review" not in heard["one"]


def test_who_is_there(address: PostgresAddress) -> None:
    """Each replica with what its config has, the roles with their holders; none who has left."""
    with Store.open_replica(address) as one:
        with Store.open_replica(address) as other:
            member_of(one).begin(["feed", "upkeep"], lambda _: None)
            member_of(other).begin(["feed"], lambda _: None)
            member_of(one).take(["upkeep"])
            muster = presence_of(address).muster()
            assert muster is not None
            assert [sorted(replica.offers) for replica in muster.replicas] == [["feed", "upkeep"], ["feed"]]
            assert [[lease.role for lease in muster.roles_of(replica)] for replica in muster.replicas] == [
                ["upkeep"],
                [],
            ]
        muster = presence_of(address).muster()
        assert muster is not None
        assert [replica.id for replica in muster.replicas] == [member_of(one).id]


# What a lost connection does


def test_a_connection_that_is_lost_is_made_anew(server: Server, address: PostgresAddress) -> None:
    """Neither reads nor writes notice that the server ended their connections meanwhile."""
    with Store.open_exclusive(address) as store:
        for number in range(3):
            cut_off(server, address)
            enqueue(store, alert(id=f"a{number}"), "secops")
            cut_off(server, address)
            assert rows(store, "SELECT count(*) FROM deliveries") == [(number + 1,)]


def test_what_is_asked_again_is_asked_in_one_statement(address: PostgresAddress) -> None:
    """Where the connection is to the server itself it is prepared at once, and stays so when a read ends."""
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT max(settled_at)%'"
    with Store.open_exclusive(address) as store:
        for _ in range(2):
            store.outbox.answered_at("secops")
            rows(store, "SELECT 1")
        assert [number for (number,) in store.engine.find(prepared)] == [1]


def test_what_is_asked_again_finds_what_a_write_left(server: Server, address: PostgresAddress) -> None:
    """Behind a pooler as well, where each question may be another session's."""
    with pooling(server) as by_way_of, Store.open_exclusive(by_way_of(address)) as store:
        for number in range(3):
            enqueue(store, alert(id=f"a{number}"), "secops")
            assert store.outbox.next_due("secops") == 0.0
            assert [row["id"] for row in store.engine.find("SELECT id FROM alerts WHERE id = ?", (f"a{number}",))]
        with pytest.raises(StoreError):
            store.engine.find("SELECT 1 / 0")
        ((path, cannot_write),) = store.engine.find(
            "SELECT current_setting('search_path'), current_setting('transaction_read_only')"
        )
        assert (path, cannot_write) == ("forwarder, pg_catalog", "on")


PREPARED: Final = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%FROM feed%'"


def test_what_comes_again_is_prepared(address: PostgresAddress) -> None:
    """Where the connection is to the server itself."""
    with Store.open_exclusive(address) as store:
        assert prepared(store) == [("SELECT id FROM feed",)]


def test_nothing_is_prepared_behind_a_pooler(server: Server, address: PostgresAddress) -> None:
    """The next transaction may be another session's, which would not have it."""
    with pooling(server) as by_way_of, Store.open_exclusive(by_way_of(address)) as store:
        assert prepared(store) == []
        assert store.outbox.next_due("secops") is None


def prepared(store: Store) -> list[tuple[str]]:
    for _ in range(PREPARED_AFTER + 1):
        store.engine.write(lambda connection: connection.execute("SELECT id FROM feed").fetchall())
    found = store.engine.write(lambda connection: connection.execute(PREPARED).fetchall())
    return [(statement,) for (statement,) in found]


def test_what_was_not_committed_is_carried_out_anew(server: Server, address: PostgresAddress) -> None:
    """A connection that ends in the midst of a write leaves nothing of it, and it is done once."""
    with Store.open_exclusive(address) as store:
        tries = 0

        def work(connection: Any) -> None:
            nonlocal tries
            tries += 1
            connection.execute("INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES ('x', '', '', 0)")
            if tries == 1:
                cut_off(server, address)
            connection.execute("UPDATE set_aside SET raw = 'done'")

        store.engine.write(work)
        assert (tries, rows(store, "SELECT digest, raw FROM set_aside")) == (2, [("x", "done")])


@pytest.mark.parametrize("where", ["before the server has it", "before the client has the answer"])
def test_a_commit_without_an_answer_is_done_once(address: PostgresAddress, proxy: Proxy, where: str) -> None:
    """Whether it came about is found out: it is neither lost nor done twice, and its result is known."""
    with Store.open_exclusive(proxy.address(address)) as store:
        for number in range(3):
            proxy.cuts.append(where)
            enqueue(store, alert(id=f"a{number}"), "secops")
            claimed = store.outbox.claim("secops", 1, now=NOW, lease=60)
            assert [one.delivery.alert.id for one in claimed] == [f"a{number}"]
            proxy.cuts.append(where)
            # Nothing guards this one: done twice, it would count two.
            assert store.daemon.request_reload() == number + 1
        assert proxy.cut == 6
        assert rows(store, "SELECT count(*) FROM alerts") == [(3,)]


def test_a_command_says_that_it_does_not_know(address: PostgresAddress, proxy: Proxy) -> None:
    """Who holds no lease cannot find out, and a person is told to look."""
    with Store.open_shared(proxy.address(address)) as store:
        proxy.cuts.append("before the server has it")
        with pytest.raises(StoreError, match=r"it may have been done\. Look before you do it again"):
            enqueue(store, alert(), "secops")
        enqueue(store, alert(), "secops")


def test_a_server_that_is_away_is_told_and_comes_back(server: Server, address: PostgresAddress) -> None:
    """While it is stopped everything says so in a sentence; once it is back everything goes on."""
    with Store.open_exclusive(address) as store:
        enqueue(store, alert(id="before"), "secops")
        server.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreError, match="the server is not reachable: look whether it runs"):
                    enqueue(store, alert(id="meanwhile"), "secops")
            with pytest.raises(StoreError, match="the server is not reachable"):
                store.feed.state()
        finally:
            server.start()
        enqueue(store, alert(id="after"), "secops")
        assert rows(store, "SELECT id FROM alerts ORDER BY seen_at, id") == [("after",), ("before",)]


def test_a_restart_of_the_server_moves_no_role(server: Server, address: PostgresAddress) -> None:
    """Whoever had a role has it afterwards, for the time that a lease lasts is the row's, and no connection's."""
    with Store.open_replica(address) as one, Store.open_replica(address) as other:
        (tenure,) = member_of(one).take(["feed"])
        server.stop("immediate")
        server.start()
        until(lambda: tenure.until > boot_clock() + LASTS / 2)
        assert member_of(other).take(["feed"]) == []
        one.engine.write(lambda _: None, role="feed")
        assert not tenure.lost


def test_a_connection_that_dies_in_silence_is_given_up(address: PostgresAddress, proxy: Proxy) -> None:
    """What answers nothing and ends nothing, as a pooler that stands still, holds up no write and no read for long."""
    with Store.open_replica(proxy.address(address)) as store, ThreadPoolExecutor(2) as threads:
        assert isinstance(store.engine, PostgresEngine)
        assert isinstance(store.engine.membership, PostgresMembership)
        assert store.outbox.next_due("secops") is None
        proxy.swallow()
        silence = store.engine.membership.silence
        waiting: list[Future[Any]] = [threads.submit(enqueue, store, alert(), "secops")]
        waiting.append(threads.submit(store.outbox.next_due, "secops"))
        ended = 0

        def both_went_on() -> bool:
            nonlocal ended
            ended += silence.end(0.1)
            return all(one.done() for one in waiting)

        until(both_went_on)
        assert ended
        assert [one.exception() for one in waiting] == [None, None]
        assert states(store) == {("secops", "open", 1): "ready"}


def test_many_threads_lose_nothing(server: Server, address: PostgresAddress) -> None:
    """Every write that returned is there, also while connections end again and again."""
    with Store.open_exclusive(address) as store, ThreadPoolExecutor(8) as threads:
        over = threading.Event()

        def disturb() -> None:
            while not over.wait(0.05):
                cut_off(server, address)

        disturbing = threads.submit(disturb)

        def write(number: int) -> int:
            sql = "INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES (?, '', '', 0)"
            try:
                store.engine.write(lambda connection: connection.execute(sql, (f"n{number}",)))
            except StoreError:
                return -1
            return number

        written = set(threads.map(write, range(200))) - {-1}
        over.set()
        disturbing.result(PATIENCE)
        there = {name for (name,) in rows(store, "SELECT digest FROM set_aside")}
        assert {f"n{number}" for number in written} <= there


# What cannot be used, in a sentence each


def refused(address: PostgresAddress, words: str) -> None:
    with pytest.raises(StoreError, match=words) as raised:
        Store.open_exclusive(address)
    told = str(raised.value)
    assert told.endswith(".")
    assert "\n" not in told
    assert PASSWORD not in told
    assert "other-secret" not in told


def test_what_is_wrong_is_said(server: Server, address: PostgresAddress, proxy: Proxy, tmp_path: Path) -> None:
    """Each with the way out, and none with the password."""
    server.run("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 'other-secret'")
    stranger = server.address(address.name, user="stranger", password="wrong-other-secret")
    refused(stranger, "refuses the user or the password: correct `database`")
    refused(server.address(address.name, user="stranger", password="other-secret"), "the role lacks a right to it")
    refused(server.address(address.name, user="nobody-there"), "refuses the user or the password|no such user")
    refused(server.address("nowhere"), "has no database of that name: create it with `createdb`")
    refused(proxy.address(address, "?sslmode=require"), "demands TLS, and the server has none")
    refused(parse_database(f"postgresql://a:{PASSWORD}@127.0.0.1:1/x"), "is not reachable: look whether it runs")  # type: ignore[arg-type]
    refused(parse_database(f"postgresql://a:{PASSWORD}@no.such.host.invalid/x"), "not known|not reachable")  # type: ignore[arg-type]


def test_a_server_that_is_too_old(address: PostgresAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which it is, and which it must be."""
    monkeypatch.setattr(engine_module, "OLDEST", 990_000)
    refused(address, r"is PostgreSQL \d+, which is too old: it needs 99 or newer")


def test_an_encoding_that_does_not_hold_every_text(server: Server) -> None:
    """A database that is not in UTF-8 is refused before anything is in it."""
    server.run("CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
    refused(server.address("latin"), "keeps texts as LATIN1: create it with the encoding UTF8")


def test_a_backup_is_the_server_s(store: Store, tmp_path: Path) -> None:
    """Whoever asks for a copy is told how it is made there."""
    with pytest.raises(StoreError, match="pg_dump --format=custom --schema=forwarder"):
        store.engine.backup(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_says_so(store: Store) -> None:
    """After its end a store takes no write and gives no answer."""
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.feed.state()
    with pytest.raises(StoreError, match="is closed"):
        store.feed.poll_failed("x")


# What differs


def test_a_read_has_one_view_and_cannot_write(store: Store) -> None:
    """What is written during a read is not seen by it, and the read holds nobody up."""
    sql = "INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES ('x', '', '', 0)"
    with store.engine.read() as connection:
        assert connection.execute("SELECT count(*) FROM set_aside").fetchone()[0] == 0
        store.engine.write(lambda writer: writer.execute(sql))
        assert connection.execute("SELECT count(*) FROM set_aside").fetchone()[0] == 0
    with pytest.raises(StoreError), store.engine.read() as connection:
        connection.execute("DELETE FROM feed")
    with pytest.raises(StoreError):
        store.engine.find("DELETE FROM feed RETURNING id")


def test_reads_do_not_wait_for_each_other(store: Store) -> None:
    """A page that is slow holds up no dispatcher."""
    with store.engine.read() as one, store.engine.read() as other:
        assert one.execute("SELECT 1 AS a").fetchone()["a"] == other.execute("SELECT 1 AS a").fetchone()["a"]


def test_a_zero_byte_is_kept_as_what_cannot_be_shown(store: Store) -> None:
    """No text of a destination's stops its delivery from being settled."""
    enqueue(store, alert(), "secops")
    assert settle(store, claim(store), delivered("R\0-1"))
    assert rows(store, "SELECT receipt_id FROM deliveries") == [("R\ufffd-1",)]


def test_a_text_of_any_length_is_kept_at_once(store: Store) -> None:
    """An alert is found by its beginning; to look for all of a megabyte would take longer than a write may."""
    enqueue(store, alert(title=f"Beginning {'x' * 20_000} end"), "secops")
    assert [row.alert.id for row in store.queries.alerts(Filter(text="beginning"))] == [alert().id]
    assert rows(store, "SELECT 'end' = ANY (trigrams(words)), 'ing' = ANY (trigrams(words)) FROM searchable") == [
        (False, True)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT * FROM a WHERE b = ? AND c = ?", "SELECT * FROM a WHERE b = $1 AND c = $2"),
        ("SELECT ?2, ?1, ?2", "SELECT $1, $2, $1"),
        ("SELECT :now, ':now', :now -- :not", "SELECT $1, ':now', $1 "),
        ("SELECT 1 FROM d INDEXED BY x WHERE e LIKE 'LIKE %'", "SELECT 1 FROM d  WHERE e ILIKE 'LIKE %'"),
        ("SELECT json_group_array(a) ORDER BY +a.b", "SELECT json_agg(a) ORDER BY a.b"),
        (
            "SELECT 1 WHERE a.b IN (SELECT value FROM json_each(?))",
            "SELECT 1 WHERE a.b = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
        ),
        (
            "SELECT 1 WHERE a NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:b))",
            "SELECT 1 WHERE a <> ALL (ARRAY(SELECT json_array_elements_text($1::json)::bigint))",
        ),
    ],
)
def test_statements_are_put_over(ours: str, theirs: str) -> None:
    """Parameters, hints and words of SQLite's, and nothing within a text."""
    assert translated(ours).sql == theirs


def test_what_is_listed_may_hold_any_character(store: Store) -> None:
    """What no text can hold is looked for as what it was kept as."""
    enqueue(store, alert(id="a\ufffd\U0001f600"), "secops")
    listed = json.dumps(["a\0\U0001f600", "\ud800"])
    with store.engine.read() as connection:
        found = connection.execute("SELECT id FROM alerts WHERE id IN (SELECT value FROM json_each(?))", (listed,))
        assert [one for (one,) in found] == ["a\ufffd\U0001f600"]


def test_claims_of_many_threads_are_never_the_same(store: Store) -> None:
    """Workers share out the work, each delivery once."""
    store.feed.commit_page([routed(alert(id=f"a{number}"), "secops") for number in range(40)], now=NOW)
    with ThreadPoolExecutor(4) as threads:
        claims = threads.map(lambda _: store.outbox.claim("secops", 3, now=NOW, lease=60), range(20))
        got = [one.delivery.alert.id for claimed in claims for one in claimed]
    assert isinstance(store.engine, PostgresEngine)
    assert sorted(got) == sorted({f"a{number}" for number in range(40)})
