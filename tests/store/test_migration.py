"""A database of the version before opens as one of this: nothing in it is lost, and nothing of it is sent again.

``before.db.gz`` was written by that version's own code, through the verbs that its daemon used: deliveries in every
state and attempts with every outcome, an alarm whose type has another name now, a gap, a pause, a text set aside.
"""

from __future__ import annotations

import gzip
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alarms import AlarmType
from forwarder.connector import Kind
from forwarder.store import Store, StoreError
from forwarder.store import schema as store_schema
from forwarder.store.alarm_records import Alarm
from forwarder.store.records import AttemptResult, State
from forwarder.store.schema import MIGRATIONS, migrate
from tests.kit.store import LEASE, NOW, claim, claim_all, delivered, of_sqlite, rows, settle

BEFORE: Final = Path(__file__).with_name("before.db.gz")

KEPT: Final = {
    "deliveries": 11,
    "attempts": 9,
    "alarms": 2,
    "alerts": 8,
    "changes": 1,
    "gaps": 1,
    "pauses": 1,
    "set_aside": 1,
    "feed": 1,
}
"""How many rows of each table are in that file."""

RENAMED: Final = {
    "wait": "rate_limited",
    "look": "not_found",
    "reject": "rejected",
    "unsure": "uncertain",
    "owed_at": "enqueued_at",
    "looks": "lookups",
    "kind": "type",
    "told_at": "notified_at",
    "wording_failed": "template_failed",
    "wording_failed-secops": "template_failed-secops",
}
"""The words of that version that have another name now."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "forwarder.db"
    path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open_exclusive(path) as opened:
        yield opened


def dump(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """Every row of a table, in the order in which they went in."""
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    return sorted((dict(zip(names, row, strict=True)) for row in cursor.fetchall()), key=repr)


def renamed(row: dict[str, Any], columns: set[str], fields: set[str]) -> dict[str, Any]:
    """A row of the version before in today's words."""
    return {
        RENAMED.get(name, name) if name in columns else name: RENAMED.get(value, value) if name in fields else value
        for name, value in row.items()
    }


@pytest.mark.parametrize(
    ("table", "columns", "fields"),
    [
        ("deliveries", {"owed_at", "looks"}, {"state"}),
        ("attempts", set(), {"outcome"}),
        ("alarms", {"kind", "told_at"}, {"kind", "key"}),
        ("alerts", set(), set()),
        ("changes", set(), set()),
        ("gaps", set(), set()),
        ("pauses", set(), set()),
        ("set_aside", set(), set()),
        ("feed", set(), set()),
    ],
)
def test_every_row_is_kept(path: Path, table: str, columns: set[str], fields: set[str]) -> None:
    """Each row is there with all its values; only the words that have another name now are changed."""
    with closing(sqlite3.connect(path)) as before:
        old = [renamed(row, columns, fields) for row in dump(before, table)]
    assert len(old) == KEPT[table]
    for row in old:
        row.pop("stack", None)  # it has a table of its own now
    with Store.open_exclusive(path) as store, store.engine.read() as connection:
        found = dump(of_sqlite(connection), table)
    # A column that a later version added is no loss.
    assert [{name: row[name] for name in old[0]} for row in found] == sorted(old, key=repr)


def test_the_stack_s_keys_are_kept(store: Store) -> None:
    """Who joins while the version changes is noticed; names and categories are still to be read."""
    assert store.vendors.keys() == frozenset({"aws-lambda", "github"})
    assert store.vendors.known() == {}


def test_the_file_is_whole_afterwards(store: Store) -> None:
    """The tables are those of a new database, every reference holds, and each step is recorded once."""
    assert rows(store, "PRAGMA integrity_check") == [("ok",)]
    assert rows(store, "PRAGMA foreign_key_check") == []
    assert rows(store, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert rows(store, "SELECT name FROM _sqlite_migrations ORDER BY id") == [(name,) for name, _ in MIGRATIONS]
    assert store.engine.write(lambda connection: connection.execute("PRAGMA foreign_keys").fetchone()[0]) == 1
    # The index that a claim walks, and the references to a table that was rebuilt, still work.
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        store.engine.write(lambda db: db.execute("INSERT INTO attempts VALUES (999, 1, 0, 0, 'retry', '')"))


def test_a_file_that_was_lived_in_is_whole_after_the_step_of_accounts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rows in each table that the step makes anew; SQLite's own checks, by which a start judges it, find none."""
    accounts = next(number for number, (name, _) in enumerate(MIGRATIONS) if name.endswith("accounts"))
    with monkeypatch.context() as older, closing(sqlite3.connect(path, isolation_level=None)) as file:
        older.setattr(store_schema, "MIGRATIONS", MIGRATIONS[:accounts])
        migrate(file, 1)
        file.execute("INSERT INTO uncategorized VALUES ('ready', '[\"github\"]')")
        file.execute("UPDATE vendors SET name = 'GitHub', categories = '[]' WHERE key = 'github'")
    for _ in range(2):
        with Store.open_exclusive(path) as store:
            assert [rows(store, f"PRAGMA {check}") for check in ("quick_check", "integrity_check")] == [[("ok",)]] * 2
            assert rows(store, "SELECT * FROM uncategorized") == [("ready", "default", '["github"]')]
            assert [gap.account for gap in store.queries.gaps()] == [""]
            assert store.vendors.keys() == frozenset({"aws-lambda", "github"})
            begun = {(account, floor is None) for account, floor in rows(store, "SELECT account, floor FROM feed")}
            assert begun == {("default", False)}
            seen = rows(store, "SELECT count(*) FROM alert_accounts WHERE account = 'default'")
            assert seen == rows(store, "SELECT count(*) FROM alerts WHERE origin = 'feed'")


def test_a_key_s_columns_come_first_in_a_table_without_rowids(store: Store) -> None:
    """SQLite's checks read other columns than they name where they do not, and call a whole file damaged."""
    tables = [name for (name,) in rows(store, "SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID'")]
    assert "gaps" in tables
    for table in tables:
        keys = [key for (key,) in rows(store, f"SELECT pk FROM pragma_table_info('{table}')")]
        assert keys == [*range(1, max(keys) + 1), *[0] * keys.count(0)], table


def test_an_alarm_that_stood_is_known_to_last(store: Store) -> None:
    """What had left no row but the alarm's own has one now, so that no start ends it before its time."""
    (failure,) = [symptom for symptom in store.alarms.symptoms(0.0, now=math.inf) if symptom.type == "template_failed"]
    assert (failure.subject, failure.reason, failure.last_at) == ("secops", "The template title fails.", NOW + 2)


def test_every_word_is_one_that_the_code_knows(store: Store) -> None:
    """No state, outcome or type of alarm is left that this version cannot read."""
    assert {State(state) for (state,) in rows(store, "SELECT state FROM deliveries")} == set(State) - {State.HELD}
    outcomes = {AttemptResult(outcome) for (outcome,) in rows(store, "SELECT outcome FROM attempts")}
    assert outcomes >= {AttemptResult(RENAMED[old]) for old in ("wait", "look", "reject", "unsure")}
    known = {str(one) for one in AlarmType}
    alarms = {alarm.type: alarm for alarm in store.alarms.active()}
    assert set(alarms) == {"template_failed", "gap"} <= known
    assert alarms["template_failed"] == Alarm(
        key="template_failed-secops",
        type="template_failed",
        subject="secops",
        text="The template title fails.",
        alert_id="alarm-wording_failed-secops-1",
        since=NOW,
        notified_at=NOW + 1,
        last_at=NOW + 2,
    )


def test_what_was_sent_is_not_sent_again(store: Store) -> None:
    """Nothing that arrived or was given up is claimed; what follows it finds where it stands."""
    store.outbox.reclaim_expired(now=NOW + 100, due_at={}, all_claims=True)
    connectors = ("secops", "tickets", "oncall", "tickets-old", "pager", "archive", "chat")
    claimed = [one for connector in connectors for one in claim_all(store, connector, NOW + 1000)]
    assert [(one.delivery.alert.id, one.delivery.connector, one.delivery.kind, one.uncertain) for one in claimed] == [
        ("delivered", "secops", Kind.UPDATE, False),
        ("delivered", "tickets", Kind.UPDATE, False),
        ("unsure", "oncall", Kind.OPEN, True),
        ("paused", "pager", Kind.OPEN, False),
        ("ready", "archive", Kind.OPEN, False),
        ("sending", "chat", Kind.OPEN, True),
    ]
    receipts = [one.delivery.receipt and one.delivery.receipt.remote_id for one in claimed]
    assert receipts == ["1700000000.000100", "SEC-1", None, None, None, None]
    assert claimed[2].lookups == 1


def test_what_was_claimed_is_settled_as_any_other(store: Store) -> None:
    """The one whose process was killed is looked for first, and settled once."""
    store.outbox.reclaim_expired(now=NOW + LEASE + 1, due_at={}, all_claims=True)
    found = claim(store, "chat", now=NOW + LEASE + 1)
    assert found.uncertain
    assert settle(store, found, delivered("M-1"))
    assert claim_all(store, "chat", NOW + 1e6) == []


def test_the_story_is_told_as_before(store: Store) -> None:
    """An alert's attempts, what was sent and what changed are shown from the older version's rows."""
    history = store.queries.history("delivered")
    assert history is not None
    first = history.row.deliveries[0]
    assert [attempt.outcome for attempt in history.attempts[first.id]] == ["rate_limited", "delivered"]
    assert history.payloads[first.id] == {"text": "ü", "blocks": [1]}
    assert [change.field for revision in history.revisions for change in revision.changes] == ["severity"]
    assert [pause.connector for queue in store.queries.queues(["pager"]) if (pause := queue.pause)] == ["pager"]


def test_a_visitor_waits_for_the_daemon_to_migrate(path: Path) -> None:
    """A command beside the daemon changes nothing of an older database, and says who does."""
    before = path.read_bytes()
    with pytest.raises(StoreError, match="older version: start `forwarder run` once"):
        Store.open_shared(path)
    assert path.read_bytes() == before


def test_a_failing_step_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails at its end is undone as a whole, references are enforced again, and the next try succeeds."""
    first, (name, sql), *_ = MIGRATIONS
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        old = list(connection.iterdump())
        with monkeypatch.context() as broken:
            broken.setattr(store_schema, "MIGRATIONS", (first, (name, sql + "SELECT no_such_function();")))
            with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
                migrate(connection, 1)
        assert list(connection.iterdump()) == old
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    with Store.open_exclusive(path) as store:
        assert rows(store, "SELECT count(*) FROM deliveries") == [(KEPT["deliveries"],)]
