"""A reminder is told once for each alert and step, of what nobody acted on since it was asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from forwarder.alert import Alert, Severity
from forwarder.common.clock import instant
from forwarder.config import Config
from forwarder.connector import Action, Connector, Kind
from forwarder.lifecycle import Reminders
from forwarder.lifecycle.reminders import key_of
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.store.life_records import DIGEST, Hold
from forwarder.store.records import RoutedAlert
from forwarder.store.responses import respond
from forwarder.testing import alert
from tests.kit.store import NOW, Time, claim, claim_all, config, deliver, enqueue, routed, rows

MINUTE: Final = 60.0
DAY: Final = 86400.0
EVERYWHERE: Final = ("secops", "oncall", "tickets")


class Dated(Connector[Any]):
    """A place where alerts are due a day after they came to be owed."""

    render = deliver = check = preview = lambda *_: None  # type: ignore[assignment] # nothing is sent here

    def due(self, severity: Severity, since: datetime) -> datetime | None:
        return since + timedelta(days=1) if severity is Severity.CRITICAL else None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


class Desk:
    """The reminders of a config, at a time that the test moves."""

    def __init__(self, store: Store, *reminders: dict[str, Any]) -> None:
        self.time, self.woken, self._store = Time(), list[str](), store
        self.connectors = {"tickets": Dated("tickets", None)}
        self.judges = Reminders(
            store, with_(*reminders), now=self.time, connectors=lambda: self.connectors, wake=self.woken.extend
        )
        self.judges.judge()

    def at(self, seconds: float) -> list[str]:
        """Whom the reminders that are due ``seconds`` after NOW wake."""
        self.time.now, self.woken[:] = NOW + seconds, []
        self.judges.judge()
        return sorted(self.woken)


def with_(*reminders: dict[str, Any]) -> Config:
    return Config.model_validate({**dict(config()), "reminders": list(reminders)})


PAGE_AFTER_15: Final = {"severity": "critical", "unacknowledged_for": "15m", "to": "oncall"}


def critical(store: Store, *to: str, now: float = NOW, alert_id: str = "a") -> None:
    enqueue(store, alert(id=alert_id, severity="critical"), *to, now=now)
    for connector in to:
        deliver(store, connector, f"R-{connector}-{alert_id}", now=now)


def test_a_clock_that_was_ahead_keeps_no_reminder_quiet(store: Store) -> None:
    desk = Desk(store)
    desk.time.now = NOW + 30 * DAY
    desk.judges.use(with_(PAGE_AFTER_15))
    desk.judges.judge()
    desk.at(0)
    critical(store, "secops")
    assert desk.at(15 * MINUTE) == ["oncall"]


def test_nobody_reacted_so_somebody_is_paged_once(store: Store) -> None:
    desk = Desk(store, PAGE_AFTER_15)
    critical(store, "secops")
    assert desk.at(14 * MINUTE) == []
    assert desk.at(15 * MINUTE) == ["oncall"]
    opening = claim(store, "oncall", now=NOW + 15 * MINUTE).delivery
    assert opening.kind is Kind.OPEN
    assert desk.at(16 * MINUTE) == []
    assert rows(store, "SELECT why FROM deliveries WHERE connector = 'oncall'") == [
        ("Nobody has acknowledged it for 15m",)
    ]


def test_who_has_it_is_reminded_where_it_stands(store: Store) -> None:
    desk = Desk(store, {**PAGE_AFTER_15, "to": "secops"})
    critical(store, "secops")
    assert desk.at(15 * MINUTE) == ["secops"]
    told = claim(store, now=NOW + 15 * MINUTE).delivery
    assert (told.kind, told.reminder) == (Kind.REMIND, "Nobody has acknowledged it for 15m")
    assert told.receipt is not None
    assert told.receipt.remote_id == "R-secops-a"


def test_whoever_acts_in_time_is_not_reminded(store: Store) -> None:
    desk = Desk(store, PAGE_AFTER_15)
    critical(store, "secops")
    store.lifecycle.respond("a", Action.ACKNOWLEDGE, place=PAGE, now=NOW + MINUTE, connectors=())
    assert desk.at(15 * MINUTE) == []


def test_an_alert_that_is_open_again_is_told_again(store: Store) -> None:
    """Counted from then on."""
    desk = Desk(store, {**PAGE_AFTER_15, "to": "secops"})
    critical(store, "secops")
    assert desk.at(15 * MINUTE) == ["secops"]
    store.lifecycle.respond("a", Action.ACKNOWLEDGE, place=PAGE, now=NOW + 16 * MINUTE, connectors=())
    store.lifecycle.respond("a", Action.REOPEN, place=PAGE, now=NOW + 20 * MINUTE, connectors=())
    assert desk.at(34 * MINUTE) == []
    assert desk.at(35 * MINUTE) == ["secops"]
    assert desk.at(36 * MINUTE) == []


def test_one_that_comes_again_counts_what_was_missed_as_one(store: Store) -> None:
    desk = Desk(store, {"overdue_for": "0s", "every": "1d", "to": "secops"})
    critical(store, "secops", "tickets")
    assert desk.at(DAY - 1) == []
    told = [time for time in (1.0, 1.5, 2.0, 2.9, 5.5, 5.9, 6.0) if desk.at(time * DAY) == ["secops"]]
    assert told == [1.0, 2.0, 5.5, 6.0]
    store.lifecycle.respond("a", Action.RESOLVE, place=PAGE, now=NOW + 6.5 * DAY, connectors=())
    assert desk.at(7 * DAY) == []


def test_what_is_acknowledged_is_overdue_all_the_same(store: Store) -> None:
    desk = Desk(store, {"overdue_for": "1h", "to": "secops"})
    critical(store, "secops", "tickets")
    store.lifecycle.respond("a", Action.ACKNOWLEDGE, place=PAGE, now=NOW, connectors=())
    assert desk.at(DAY + 3599) == []
    assert desk.at(DAY + 3600) == ["secops"]
    (told,) = claim_all(store, now=NOW + DAY + 3600)
    assert told.delivery.reminder == "It is overdue for 1h, and nobody has resolved it"


def test_without_a_date_nothing_is_overdue(store: Store) -> None:
    desk = Desk(store, {"overdue_for": "0s", "to": "secops"})
    enqueue(store, alert(id="a", severity="low"), "tickets")
    enqueue(store, alert(id="b", severity="critical"), "secops")
    assert desk.at(100 * DAY) == []


def test_the_past_stays_quiet(store: Store) -> None:
    """What was open for long before a reminder was asked for is no news, also with each further step."""
    critical(store, "secops", "tickets", now=NOW - 30 * DAY)
    desk = Desk(store, PAGE_AFTER_15, {"overdue_for": "0s", "every": "1d", "to": "secops"})
    assert desk.at(5 * DAY) == []


def test_a_restart_tells_nothing_again(store: Store) -> None:
    """Nor does naming others to tell."""
    critical(store, "secops")
    Desk(store, PAGE_AFTER_15).at(15 * MINUTE)
    assert Desk(store, {**PAGE_AFTER_15, "to": ["oncall", "secops"]}).at(16 * MINUTE) == []
    assert key_of(with_(PAGE_AFTER_15).reminders[0]) != key_of(
        with_({**PAGE_AFTER_15, "unacknowledged_for": "16m"}).reminders[0]
    )


def test_what_has_not_gone_out_reminds_nobody(store: Store) -> None:
    desk = Desk(store, PAGE_AFTER_15)
    held = routed(alert(id="a", severity="critical"), "secops")
    hold = {"secops": Hold(until=NOW + DAY, reason=DIGEST)}
    item = RoutedAlert(alert=held.alert, decision=held.decision, targets=held.targets, holds=hold)
    store.feed.commit_page([item, routed(alert(id="b", severity="critical"))], now=NOW)
    assert desk.at(20 * MINUTE) == []


def test_an_open_that_waits_will_tell_it_by_itself(store: Store) -> None:
    desk = Desk(store, {**PAGE_AFTER_15, "to": "secops"})
    enqueue(store, alert(id="a", severity="critical"), "secops")
    assert desk.at(15 * MINUTE) == []
    assert [one.delivery.kind for one in claim_all(store, now=NOW + DAY)] == [Kind.OPEN]


def test_other_conditions_hold_too(store: Store) -> None:
    desk = Desk(store, {**PAGE_AFTER_15, "cisa_kev": True})
    critical(store, "secops")
    enqueue(store, alert(id="kev", severity="critical", cisa_kev=True), "secops")
    assert desk.at(15 * MINUTE) == ["oncall"]
    assert claim(store, "oncall", now=NOW + DAY).delivery.alert.id == "kev"


def test_dates_are_those_of_the_connectors_in_use() -> None:
    assert Dated("tickets", None).due(Severity.CRITICAL, instant(NOW)) == instant(NOW + DAY)


# --- only what moved is looked at ----------------------------------------------------------------------------------

SHORT: Final = timedelta(minutes=3)
EAGER: Final = (
    {"severity": "critical", "unacknowledged_for": "2m", "to": "oncall"},
    {"unacknowledged_for": "5m", "every": "4m", "to": "secops"},
    {"overdue_for": "0s", "every": "90s", "to": ["secops", "oncall"]},
    {"severity": ["high", "medium"], "overdue_for": "2m", "cisa_kev": True, "to": "oncall"},
)
names = st.sampled_from("abcd")
events = st.one_of(
    st.tuples(st.just("new"), names, st.sampled_from(("critical", "high", "low")), st.sampled_from(EVERYWHERE)),
    st.tuples(st.just("change"), names, st.sampled_from(("critical", "high")), st.booleans()),
    st.tuples(st.sampled_from(tuple(Action)), names, st.integers(0, 600)),
)
turns = st.lists(st.tuples(st.integers(1, 150), st.lists(events, max_size=2)), min_size=5, max_size=25)


class Soon(Dated):
    """A place where what is not low is due in a few minutes."""

    def due(self, severity: Severity, since: datetime) -> datetime | None:
        return None if severity is Severity.LOW else since + SHORT


def befall(store: Store, known: dict[str, Alert], event: tuple[Any, ...], now: float) -> None:
    """Lets something happen to an alert, where it can."""
    what, name, *more = event
    before = known.get(name)
    if what == "new":
        severity, connector = more
        if before is None:
            known[name] = alert(id=name, severity=severity)
            enqueue(store, known[name], connector, now=now)
            deliver(store, connector, f"R-{name}", now=now)
    elif before is not None and what == "change":
        severity, kev = more
        known[name] = alert(id=name, severity=severity, cisa_kev=kev)
        store.feed.commit_page([routed(known[name], known=before)], now=now, connectors=EVERYWHERE)
    elif before is not None:
        (late,) = more
        store.engine.write(
            lambda connection: respond(connection, name, what, place=PAGE, at=now - late, now=now, connectors=())
        )


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(turns=turns)
@example(
    turns=[(30, [("new", "a", "high", "tickets")]), (30, []), *[(30, [])] * 9, (30, [("change", "a", "high", True)])]
)
@example(
    turns=[
        (30, [("new", "a", "critical", "tickets"), (Action.ACKNOWLEDGE, "a", 0)]),
        *[(30, [])] * 20,
        (30, [(Action.REOPEN, "a", 600)]),
        (30, []),
    ]
)
def test_a_look_at_what_moved_finds_what_a_look_at_all_does(turns: list[tuple[int, list[Any]]]) -> None:
    """Whatever happens to alerts, and however late it is told: each reminder comes at the same turn."""
    told: dict[bool, list[Any]] = {True: [], False: []}
    for anew in (False, True):
        with TemporaryDirectory() as folder, Store.open_exclusive(Path(folder) / "forwarder.db") as store:
            desk, known, now = Desk(store, *EAGER), dict[str, Alert](), 0.0
            desk.connectors = {"tickets": Soon("tickets", None)}
            for seconds, happens in turns:
                now += seconds
                for event in happens:
                    befall(store, known, event, NOW + now)
                if anew:
                    desk.judges.use(with_(*EAGER))
                desk.at(now)
                told[anew].append(rows(store, "SELECT alert_id, reminder, response, step FROM reminded ORDER BY 1, 2"))
    assert told[False] == told[True]


def test_what_has_been_told_is_read_no_more(store: Store) -> None:
    """Until it is to be told again, however many are unresolved."""
    desk = Desk(store, PAGE_AFTER_15, {"overdue_for": "0s", "every": "30m", "to": "secops"})
    desk.connectors = {"tickets": Soon("tickets", None)}
    for number in range(20):
        critical(store, "tickets", alert_id=f"a{number}")
    desk.at(15 * MINUTE)
    desk.at(16 * MINUTE + 1)
    assert read_by(store, desk, 17 * MINUTE + 2) == 0
    assert read_by(store, desk, 33 * MINUTE) > 0
    assert read_by(store, desk, 34 * MINUTE + 1) == 0


def read_by(store: Store, desk: Desk, seconds: float) -> int:
    """How many alerts that look reads."""
    read: list[str] = []
    with store.engine.read() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(read.append)
    desk.at(seconds)
    connection.set_trace_callback(None)
    return sum(statement.count('"a') for statement in read if "json_group_object" in statement)
