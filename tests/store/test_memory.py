"""What connectors remember: kept by name and key, beyond a process and a rename."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forwarder.connector import NOTICE, Failed, Retry
from forwarder.delivery.memory import StoredMemory
from forwarder.store import Store
from forwarder.store.memory import MemoryStore
from forwarder.store.sqlite import SqliteEngine
from tests.kit.store import rows


def test_what_is_put_is_there_in_the_next_process(path: Path) -> None:
    """Each connector has its own; what is replaced or forgotten is gone."""
    with Store.open_exclusive(path) as store:
        for connector, value in (("secops", "C1"), ("secops", "C2"), ("chat", "C3")):
            StoredMemory(store.memory, connector).put("channel", value)
        StoredMemory(store.memory, "secops").put("other", "x")
        StoredMemory(store.memory, "secops").put("other", "")
    with Store.open_exclusive(path) as store:
        assert StoredMemory(store.memory, "secops").get("channel") == "C2"
        assert StoredMemory(store.memory, "secops").get("other") == ""
        assert StoredMemory(store.memory, "chat").get("channel") == "C3"
        assert StoredMemory(store.memory, "new").get("channel") == ""
        assert rows(store, "SELECT count(*) FROM connector_memory") == [(2,)]


def test_a_renamed_connector_takes_its_memory_along(store: Store) -> None:
    """What the new name has found out by itself stays as it is."""
    StoredMemory(store.memory, "old").put("channel", "C1")
    StoredMemory(store.memory, "old").put("other", "x")
    StoredMemory(store.memory, "new").put("channel", "C2")
    store.operations.rename("old", "new")
    assert store.memory.of("new") == {"channel": "C2", "other": "x", "renamed.channel": "C1"}
    assert store.memory.of("old") == {}


def test_what_a_rename_hands_over_is_known_with_the_next_claim(path: Path) -> None:
    """The daemon runs while a person renames from another process, and asked for its memory before."""
    with Store.open_exclusive(path) as store:
        StoredMemory(store.memory, "old").put("channel", "C1")
        memory = StoredMemory(store.memory, "new")
        assert memory.get("channel") == ""
        with Store.open_shared(path) as person:
            person.operations.rename("old", "new")
        store.outbox.claim("new", 1, now=0.0, lease=60.0)
        assert memory.get("channel") == "C1"
        memory.put("channel", "")
        assert store.memory.of("new") == {}


class Refusing(SqliteEngine):
    """A database that says no as long as ``refuses`` is set."""

    refuses = False

    def write(self, work: Callable[..., object]) -> object:  # type: ignore[override]
        if not self.refuses:
            return super().write(work)

        def refused(connection: object) -> object:
            raise sqlite3.OperationalError("database or disk is full")

        return super().write(refused)


def test_what_the_database_does_not_take_is_known_and_tried_again(path: Path) -> None:
    """Nothing is raised: a connector that just delivered must be able to say so."""
    engine = Refusing(path, exclusive=True, create=True)
    with Store(engine) as store, capture_logs() as logs:
        memory = StoredMemory(store.memory, "secops")
        engine.refuses = True
        for _ in range(2):
            memory.put("channel", "C1")
        assert memory.get("channel") == "C1"
        assert store.memory.of("secops") == {}
        engine.refuses = False
        for _ in range(2):
            memory.put("channel", "C1")
        assert store.memory.of("secops") == {"channel": "C1"}
    assert [line["event"] for line in logs] == ["store_failed"] * 2


def test_what_cannot_be_read_is_not_taken_for_nothing(path: Path) -> None:
    """The connector hears that it could not look, and the same sentence that everybody hears."""
    with Store.open_exclusive(path) as store:
        memory = StoredMemory(MemoryStore(store.engine), "secops")
    with pytest.raises(Failed) as failed:
        memory.get("channel")
    assert isinstance(failed.value.outcome, Retry)
    with capture_logs() as logs:
        memory.put("channel", "C1")
    assert [line["event"] for line in logs] == ["store_failed"]


def test_a_notice_is_shown_and_logged_once(store: Store) -> None:
    """Once for each thing to put right, whatever process says it; the queue has it until it is taken back."""
    with capture_logs() as logs:
        for text in ("Do this.", "Do this.", "Do that.", "", "Do that."):
            StoredMemory(store.memory, "secops").put(NOTICE, text)
            (queue,) = store.queries.queues(["secops"])
            assert queue.notice == text
    told = [(line["event"], line["connector"], line["reason"]) for line in logs]
    assert told == [("connector_notice", "secops", text) for text in ("Do this.", "Do that.", "Do that.")]
