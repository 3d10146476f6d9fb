"""The figures: counted from what is kept with each alert, whatever became of it, at the same cost among a million."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.connector import Action, Connector, Kind
from forwarder.lifecycle.reminders import overdue_before
from forwarder.lifecycle.reports import overdue, summarize
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.store import schema as store_schema
from forwarder.store.figures import WEEK
from forwarder.store.life_records import Hold
from forwarder.store.mute_records import MutedBy
from forwarder.store.records import RoutedAlert
from forwarder.store.schema import MIGRATIONS
from forwarder.testing import alert
from tests.kit.store import NOW, claim_all, dead, delivered, enqueue, of_sqlite, routed, rows, settle

DAY: Final = 86400.0
PLACES: Final = ("secops", "oncall", "tickets", "tickets-old")
BY: Final = MutedBy(id="1", until=NOW + DAY, reason="noise", who="Ada")

# What is kept, as it follows from the rows that it is kept of.
TRUTH: Final = """
SELECT a.id, d.connector, a.severity, d.enqueued_at FROM alerts AS a JOIN deliveries AS d ON d.alert_id = a.id
WHERE d.kind = 'open' AND d.state <> 'held' AND a.origin = 'feed' AND a.past = 0 AND a.unrouted = 0
  AND a.muted_by IS NULL AND a.status <> 'resolved' ORDER BY 1, 2
"""
FIRSTS: Final = """
SELECT id, (SELECT min(at) FROM responses WHERE alert_id = id AND action IN ('acknowledge', 'resolve')),
  (SELECT min(at) FROM responses WHERE alert_id = id AND action = 'resolve') FROM alerts ORDER BY id
"""


class Dated(Connector[Any]):
    """A place with dates: so many days after an alert came to be owed, at the end of that day."""

    render = deliver = check = preview = lambda *_: None  # type: ignore[assignment] # nothing is sent here

    def __init__(self, name: str, days: int) -> None:
        super().__init__(name, None)
        self.days = days

    def due(self, severity: Severity, since: datetime) -> datetime | None:
        if severity is Severity.LOW:
            return None
        return (since + timedelta(days=self.days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)


class Life:
    """Whatever can become of alerts, by chance."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self.rng, self.now, self.made = store, rng, NOW, 0

    def step(self) -> None:
        self.now += self.rng.uniform(1, DAY)
        self.rng.choice(self.steps)(self)

    def some(self) -> str:
        return f"a{self.made - self.rng.randint(1, 10)}"

    def comes(self) -> None:
        to = self.rng.sample(PLACES, self.rng.randrange(4))
        item = routed(alert(id=f"a{self.made}", severity=self.rng.choice(list(Severity)).value), *to)
        self.made += 1
        if self.rng.random() < 0.2:
            item = replace(item, muted=BY)
        elif self.rng.random() < 0.2:
            item = replace(item, holds={name: Hold(until=self.now + DAY, reason="during office hours") for name in to})
        elif self.rng.random() < 0.1:
            item = RoutedAlert(alert=item.alert, decision=None, targets={})
        self.store.feed.commit_page([item], now=self.now, connectors=PLACES)

    def changes(self) -> None:
        history = self.store.queries.history(self.some())
        if history is not None:
            known = history.row.alert
            to = self.rng.sample(PLACES, self.rng.randrange(3))
            later = alert(id=known.id, severity=self.rng.choice(list(Severity)).value)
            self.store.feed.commit_page([routed(later, *to, known=known)], now=self.now, connectors=PLACES)

    def is_told(self) -> None:
        for claimed in claim_all(self.store, self.rng.choice(PLACES), self.now):
            settle(self.store, claimed, dead() if self.rng.random() < 0.1 else delivered(), now=self.now)

    def is_acted_on(self) -> None:
        action, at = self.rng.choice(list(Action)), self.now - self.rng.uniform(0, DAY)
        self.store.lifecycle.respond(self.some(), action, place=PAGE, now=at, connectors=PLACES)

    def is_released(self) -> None:
        self.store.lifecycle.release(now=self.now)

    def is_muted(self) -> None:
        name = self.some()
        self.store.mutes.hush(lambda one, *_: BY if one.id == name else None)

    def is_let_out(self) -> None:
        self.store.mutes.route_anew(lambda one, *_: routed(one, "tickets", known=one), standing=(), now=self.now)

    def is_renamed(self) -> None:
        self.store.operations.rename("tickets-old", "tickets", now=self.now)

    def is_sent_again(self) -> None:
        if self.store.queries.history(name := self.some()):
            self.store.operations.replay([name], [self.rng.choice(PLACES)], why="a person asked", now=self.now)

    def is_given_up(self) -> None:
        self.store.operations.discard([number for (number,) in rows(self.store, "SELECT id FROM deliveries LIMIT 2")])

    def clock_is_set(self) -> None:
        self.store.outbox.shift_deadlines(self.rng.uniform(-DAY, DAY))

    def is_forgotten(self) -> None:
        self.store.retention.prune(seen_before=self.now - 40 * DAY, published_before=self.now)

    steps: Final[tuple[Callable[[Life], None], ...]] = (
        *(comes, comes, comes, is_told, is_told, is_acted_on, is_acted_on, changes, is_released, is_muted),
        *(is_let_out, is_renamed, is_sent_again, is_given_up, clock_is_set, is_forgotten),
    )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_follows_from_what_became_of_the_alerts(store: Store, seed: int) -> None:
    """Whatever happens to an alert and to what is owed for it, what the figures go by says the same as the rows."""
    life = Life(store, random.Random(seed))
    for _ in range(150):
        life.step()
        kept = rows(store, "SELECT alert_id, connector, severity, enqueued_at FROM unfinished ORDER BY 1, 2")
        assert kept == rows(store, TRUTH)
    assert kept
    assert rows(store, "SELECT id, acknowledged_at, resolved_at FROM alerts ORDER BY id") == rows(store, FIRSTS)
    assert rows(store, "SELECT count(*) FROM alerts WHERE resolved_at IS NOT NULL") != [(0,)]


def test_the_first_response_is_the_one_that_was_given_first(store: Store) -> None:
    """A place may tell late of what was done there before."""
    enqueue(store, alert(id="a", severity="high"), "secops")
    for action, at in ((Action.RESOLVE, 100), (Action.REOPEN, 110), (Action.RESOLVE, 50)):
        store.lifecycle.respond("a", action, place=PAGE, now=NOW + at, connectors=())
    figures = store.figures.between(NOW, NOW + DAY)
    assert figures.to_acknowledge == figures.to_resolve == {Severity.HIGH: [50]}


def test_an_alert_is_overdue_once_however_many_dates_have_passed(store: Store) -> None:
    """Of several connectors the first date counts; where none has a date, or it lies ahead, nothing is overdue."""
    connectors = {"tickets": Dated("tickets", 3), "tickets-old": Dated("tickets-old", 1)}
    enqueue(store, alert(id="both", severity="high"), "tickets", "tickets-old", now=NOW)
    enqueue(store, alert(id="later", severity="high"), "tickets", "secops", now=NOW)
    enqueue(store, alert(id="undated", severity="low"), "tickets", now=NOW)
    enqueue(store, alert(id="elsewhere", severity="high"), "secops", now=NOW)
    counts = [overdue(store, connectors, NOW + days * DAY) for days in (1, 2, 5)]
    assert counts == [{}, {Severity.HIGH: 1}, {Severity.HIGH: 2}]
    store.lifecycle.respond("both", Action.RESOLVE, place=PAGE, now=NOW, connectors=())
    assert overdue(store, connectors, NOW + 5 * DAY) == {Severity.HIGH: 1}
    assert overdue(store, {}, NOW + 5 * DAY) == {}


@pytest.mark.parametrize("days", [-1, 0, 2])
def test_the_time_before_which_what_was_owed_is_overdue_is_exact(days: int) -> None:
    """To the microsecond, and whatever the connector's dates go by."""
    connector = Dated("tickets", days)
    limit = overdue_before(Severity.HIGH, {"tickets": connector}, NOW)["tickets"]
    last, first = (connector.due(Severity.HIGH, instant(at)) for at in (limit - 1e-6, limit))
    assert last is not None
    assert first is not None
    assert last.timestamp() < NOW
    assert first.timestamp() >= NOW or limit == NOW
    assert overdue_before(Severity.LOW, {"tickets": connector}, NOW) == {}


def test_the_longest_unresolved_come_first_whoever_has_them(store: Store) -> None:
    """Those that somebody acknowledged among those that nobody did."""
    for number in range(6):
        enqueue(store, alert(id=f"a{number}", severity="high"), "secops", now=NOW + number)
    for name in ("a1", "a4"):
        store.lifecycle.respond(name, Action.ACKNOWLEDGE, place=PAGE, now=NOW + 60, connectors=())
    store.lifecycle.respond("a0", Action.RESOLVE, place=PAGE, now=NOW + 60, connectors=())
    assert [one.alert.id for one in store.figures.unfinished(Severity.HIGH, 3)] == ["a1", "a2", "a3"]


def test_every_figure_is_read_from_an_index_alone(store: Store, path: Path) -> None:
    """So that none costs more for the alerts that it does not count, nor for how long these are."""
    enqueue(store, alert(id="a", severity="high"), "tickets")
    store.lifecycle.respond("a", Action.ACKNOWLEDGE, place=PAGE, now=NOW, connectors=())
    statements: list[str] = []
    with store.engine.read() as connection:
        of_sqlite(connection).set_trace_callback(statements.append)
    store.figures.weeks(NOW - WEEK, 2)
    store.figures.unresolved()
    overdue(store, {"tickets": Dated("tickets", 1)}, NOW)
    store.queries.totals()
    read = {"alerts", "a", "unfinished"}
    with closing(sqlite3.connect(path)) as connection:
        steps = {
            (statement.strip(), row[3])
            for statement in statements
            if statement not in ("BEGIN", "ROLLBACK")
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        }
    of_alerts = [step for step in steps if step[1].split()[0] in ("SCAN", "SEARCH") and step[1].split()[1] in read]
    assert len(of_alerts) >= 5
    assert [step for step in of_alerts if "COVERING INDEX" not in step[1]] == []


def test_the_status_page_s_times_are_read_from_the_last_ones_alone(store: Store, path: Path) -> None:
    """Neither how long deliveries took nor how late alerts were seen is looked for among all there ever were."""
    statements: list[str] = []
    with store.engine.read() as connection:
        of_sqlite(connection).set_trace_callback(statements.append)
    store.queries.latencies(NOW)
    store.queries.lateness(NOW)
    with closing(sqlite3.connect(path)) as connection:
        steps = [
            row[3]
            for statement in statements
            if statement not in ("BEGIN", "ROLLBACK")
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert any("deliveries_settled (connector=? AND settled_at>?)" in step for step in steps)
    assert any("alerts_seen (seen_at>?)" in step for step in steps)
    assert [step for step in steps if step == "SCAN deliveries" or "alerts_published" in step] == []


def test_an_older_database_has_the_same_figures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people decided, and what is not resolved, is counted of alerts from before the figures were kept."""
    before = MIGRATIONS[: [name.split("_")[1] for name, _ in MIGRATIONS].index("figures")]
    with monkeypatch.context() as older:
        older.setattr(store_schema, "MIGRATIONS", before)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            store_schema.migrate(connection, 0)
            for number, status in enumerate(("open", "acknowledged", "resolved", "open")):
                connection.execute(
                    "INSERT INTO alerts (id, origin, severity, published_at, body, seen_at, trail, unrouted, status)"
                    " VALUES (?1, 'feed', 'high', ?2, '{}', ?2, '[{}]', 0, ?3)",
                    (f"a{number}", NOW + number, status),
                )
                connection.execute(
                    "INSERT INTO deliveries (alert_id, connector, kind, revision, state, rank, published_at, why,"
                    " enqueued_at, due_at) VALUES (?1, 'tickets', 'open', 1, 'ready', 1, ?2, '', ?2, 0)",
                    (f"a{number}", NOW + number),
                )
            # The last one was resolved, and is open again: it took somebody as long as it did.
            told = [("a1", 1, "acknowledge", 60), ("a2", 1, "resolve", 90), ("a3", 1, "acknowledge", 30)]
            told += [("a3", 2, "resolve", 120), ("a3", 3, "reopen", 150)]
            for name, number, action, seconds in told:
                resolution = "done" if action == "resolve" else None
                connection.execute(
                    "INSERT INTO responses VALUES (?, ?, ?, ?, ?, 'secops', 'Ada', '')",
                    (name, number, action, resolution, NOW + int(name[1]) + seconds),
                )
    with Store.open_exclusive(path) as store:
        summary = summarize(store, {"tickets": Dated("tickets", 1)}, since=NOW - DAY, until=NOW + 5 * DAY)
        assert summary.figures.to_acknowledge == {Severity.HIGH: [30, 60, 90]}
        assert summary.figures.to_resolve == {Severity.HIGH: [90, 120]}
        assert (summary.figures.open, summary.figures.acknowledged) == ({Severity.HIGH: 2}, {Severity.HIGH: 1})
        assert summary.overdue == {Severity.HIGH: 3}
        assert rows(store, "SELECT count(*) FROM deliveries WHERE kind = ?", Kind.OPEN.value) == [(4,)]
