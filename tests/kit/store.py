"""What tests of the store and of those that write to it share: configs, pages to commit, attempts to settle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import SecretStr

from forwarder.alert import Alert, Change, Vendor, Vendors
from forwarder.config import Config
from forwarder.connector import ConnectorConfig, Kind, Receipt
from forwarder.routing import Decision, Verdict
from forwarder.store import Store, StoreError
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine, GroupCommit
from forwarder.store.enqueue import enqueue as owe
from forwarder.store.enqueue import enqueue_withdrawal, record_change
from forwarder.store.records import AttemptResult, Claimed, RoutedAlert, Settlement, State
from forwarder.store.sqlite import SqliteEngine
from forwarder.testing import alert

NOW: Final = 1_772_366_400.0
"""2026-03-01T12:00:00Z."""
LEASE: Final = 60.0
REFUSED: Final = (sqlite3.IntegrityError, psycopg.IntegrityError, StoreError)
"""What a database raises where a row must not be as it is told."""
LASTING: Final = Change(field="lasting", old=None, new="1d")
"""A change to tell."""


@dataclass
class Time:
    """A time that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def config(
    routes: list[dict[str, Any]] | None = None,
    *,
    connectors: tuple[str, ...] = ("secops", "oncall", "tickets"),
    database: Path = Path("forwarder.db"),
    **sentrytex: Any,
) -> Config:
    """A config whose connectors are of no type, for what never delivers; every alert goes to secops by default."""
    return Config.model_validate(
        {
            "database": database,
            "sentrytex": {"api_key": SecretStr("vk_not-a-real-key"), **sentrytex},
            "connectors": {name: ConnectorConfig(type="none") for name in connectors},
            "routes": routes or [{"to": "secops"}],
        }
    )


def stack(*keys: str, **categories: str) -> Vendors:
    """The vendors of a stack, without names of their own; those that are named by a category belong to it."""
    plain = {key: Vendor(key=key, name=key) for key in keys}
    return plain | {key: Vendor(key=key, name=key, categories=(category,)) for key, category in categories.items()}


def routed(one: Alert, *to: str, known: Alert | None = None) -> RoutedAlert:
    """An alert as it is routed to ``to``."""
    targets = dict.fromkeys(to, "route 1: the route has no conditions")
    verdict = Verdict(route=1, matched=bool(to), why="the route has no conditions", to=to)
    return RoutedAlert(alert=one, known=known, decision=Decision(targets=targets, trail=(verdict,)), targets=targets)


def queue_of(engine: Engine) -> Sequence[object]:
    """What waits for a commit."""
    assert isinstance(engine, GroupCommit)
    return engine._queue


def enqueue(store: Store, one: Alert, *to: str, now: float = NOW) -> None:
    """Commits a page of one new alert that is owed to ``to``."""
    store.feed.commit_page([routed(one, *to)], now=now, connectors=to)


def claim(store: Store, connector: str = "secops", *, now: float = NOW, lease: float = LEASE) -> Claimed:
    """The connector's one due delivery, claimed."""
    (claimed,) = store.outbox.claim(connector, 1, now=now, lease=lease)
    return claimed


def delivered(
    remote_id: str = "R-1", url: str | None = None, *, payload: Mapping[str, Any] | None = None
) -> Settlement:
    return Settlement(
        state=State.DELIVERED,
        due_at=NOW,
        outcome=AttemptResult.DELIVERED,
        reason="",
        receipt=Receipt(remote_id=remote_id, url=url),
        payload=payload,
    )


def failed(due_at: float = NOW + 60, **changes: Any) -> Settlement:
    told: dict[str, Any] = {"outcome": "retry", "reason": "HTTP 500", "failing_since": NOW, **changes}
    return Settlement(state=State.READY, due_at=due_at, **told)


def uncertain(due_at: float = NOW + 10, lookups: int = 0) -> Settlement:
    return Settlement(
        state=State.UNCERTAIN,
        due_at=due_at,
        outcome=AttemptResult.UNCERTAIN,
        reason="timed out",
        lookups=lookups,
        failing_since=NOW,
    )


def dead(reason: str = "invalid_blocks") -> Settlement:
    return Settlement(state=State.DEAD, due_at=NOW, outcome=AttemptResult.REJECTED, reason=reason)


def paused(probe_at: float = NOW + 60, probes: int = 0) -> Settlement:
    return failed(
        NOW,
        outcome=AttemptResult.BROKEN,
        reason="token_revoked",
        spent=False,
        failing_since=None,
        probe_at=probe_at,
        probes=probes,
    )


def settle(store: Store, claimed: Claimed, settlement: Settlement, *, now: float = NOW, **more: Any) -> bool:
    return store.outbox.settle(claimed, settlement, now=now, seconds=0.25, **more)


def deliver(
    store: Store, connector: str, remote_id: str = "R-1", url: str | None = None, *, now: float = NOW, **more: Any
) -> Claimed:
    """Brings the connector's one due delivery to its end."""
    claimed = claim(store, connector, now=now)
    assert settle(store, claimed, delivered(remote_id, url), now=now, **more)
    return claimed


def file_of(store: Store) -> Path:
    """The file of a store that is one."""
    assert isinstance(store.engine, SqliteEngine)
    return store.engine.path


def of_sqlite(connection: Connection) -> sqlite3.Connection:
    """A connection to a file, as SQLite has it."""
    assert isinstance(connection, sqlite3.Connection)
    return connection


def rows(store: Store, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What the database itself says."""
    with store.engine.read() as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


def states(store: Store) -> dict[tuple[str, str, int], str]:
    """The state of each delivery by connector, kind and revision; of one alert at a time."""
    found = rows(store, "SELECT connector, kind, revision, state FROM deliveries ORDER BY id")
    return {(connector, kind, revision): state for connector, kind, revision, state in found}


def at(seconds: float) -> str:
    """``seconds`` after NOW, as the API writes times."""
    return datetime.fromtimestamp(NOW + seconds).astimezone().isoformat()


def ids(claimed: list[Claimed]) -> list[str]:
    """The alerts that were claimed, in that order."""
    return [one.delivery.alert.id for one in claimed]


def claim_all(store: Store, connector: str = "secops", now: float = NOW) -> list[Claimed]:
    """All that is due, claimed."""
    return store.outbox.claim(connector, 1000, now=now, lease=LEASE)


def pause(store: Store, connector: str = "oncall") -> str:
    """Lets a connector be paused since NOW, with its next probe in a minute and one delivery that waits."""
    enqueue(store, alert(id=f"pauses {connector}"), connector)
    settle(store, claim(store, connector), paused(probe_at=NOW + 60))
    return connector


def withdraw(store: Store, alert_id: str, *, now: float = NOW, why: str = "It is over.") -> frozenset[str]:
    """Owes a withdrawal of an alert to each connector that was sent it, as the end of an alarm does."""
    return store.engine.write(lambda connection: enqueue_withdrawal(connection, alert_id, why=why, now=now))


def remind(store: Store, alert_id: str, connectors: Iterable[str], *, change: Change, now: float, why: str) -> None:
    """Owes one more update of an alert, as an alarm that still stands does."""

    def work(connection: Connection) -> None:
        row = connection.execute(
            "UPDATE alerts SET revision = revision + 1 WHERE id = ? RETURNING revision", (alert_id,)
        ).fetchone()
        record_change(connection, alert_id, row["revision"], (change,), now)
        for name in connectors:
            owe(connection, alert_id, name, Kind.UPDATE, revision=row["revision"], why=why, now=now)

    store.engine.write(work)
