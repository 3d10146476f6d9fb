"""What a route sends later is held until then, goes out once at that time, and at once where it gets worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from forwarder import routing
from forwarder.common.clock import instant
from forwarder.config import Config
from forwarder.delivery.waiting import Cause, Waiting, waiting
from forwarder.lifecycle import Held
from forwarder.lifecycle.holds import holds
from forwarder.store import Store
from forwarder.store.life_records import DIGEST, Hold
from forwarder.store.records import RoutedAlert
from forwarder.testing import alert
from tests.kit.store import NOW, Time, claim, claim_all, config, deliver, routed, rows, states

OFFICE: Final = {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "09:00-18:00", "timezone": "Europe/Berlin"}
MONDAY: Final = NOW + 20 * 3600.0
"""NOW is a Sunday's noon in UTC; on Monday the office opens at eight."""


def office(*routes: dict[str, Any]) -> Config:
    made = config([*routes], database=Path("unused.db"))
    return Config.model_validate({**dict(made), "schedules": {"office": OFFICE}})


def held(store: Store, one: Any, at: Config, *, now: float = NOW) -> RoutedAlert:
    """Commits one alert as the poller does."""
    decision = routing.targets(one, at.routes)
    item = RoutedAlert(alert=one, decision=decision, targets=decision.targets, holds=holds(decision, at, instant(now)))
    store.feed.commit_page([item], now=now)
    return item


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def test_outside_its_hours_a_schedule_holds_what_is_sent() -> None:
    at = office({"to": "secops", "during": "office"})
    decision = routing.targets(alert(), at.routes)
    assert holds(decision, at, instant(NOW)) == {"secops": Hold(until=MONDAY, reason="during office")}
    assert holds(decision, at, instant(MONDAY + 60)) == {}


def test_a_route_that_sends_at_once_wins() -> None:
    """Whether it comes before one that waits or after it."""
    later, now = {"to": "secops", "during": "office"}, {"to": "secops", "severity": "high"}
    for routes in ([later, now], [now, later]):
        at = office(*routes)
        decision = routing.targets(alert(severity="high"), at.routes)
        assert decision.later == {}
        assert decision.targets["secops"].endswith("severity is high")


def test_what_is_held_goes_out_once_when_its_time_comes(store: Store) -> None:
    """The most severe first, and nothing before."""
    at, time, woken = office({"to": "secops", "during": "office"}), Time(), list[str]()
    held(store, alert(id="low", severity="low"), at)
    held(store, alert(id="high", severity="high"), at)
    release = Held(store, at, now=time, wake=woken.extend).release
    assert release() == 10.0
    assert states(store) == {("secops", "open", 1): "held"}
    assert claim_all(store, now=MONDAY - 1) == []
    time.now = MONDAY
    release()
    assert woken == ["secops"]
    assert [one.delivery.alert.id for one in claim_all(store, now=MONDAY)] == ["high", "low"]
    release()
    assert woken == ["secops"]


def test_the_last_look_before_it_is_due_comes_in_time(store: Store) -> None:
    at = office({"to": "secops", "during": "office"})
    held(store, alert(), at)
    assert Held(store, at, now=Time(MONDAY - 3), wake=lambda _: None).release() == pytest.approx(3)


def test_an_alert_that_gets_worse_is_held_no_longer(store: Store) -> None:
    at = office({"to": "secops", "during": "office"})
    known = alert(id="a", severity="low")
    held(store, known, at)
    worse = alert(id="a", severity="low", cisa_kev=True)
    result = store.feed.commit_page([routed(worse, "secops", known=known)], now=NOW + 60, connectors=("secops",))
    assert result.connectors == {"secops"}
    assert claim(store, now=NOW + 60).delivery.alert == worse


def test_any_other_change_is_told_with_it(store: Store) -> None:
    at = office({"to": "secops", "during": "office"})
    known = alert(id="a", severity="high")
    held(store, known, at)
    store.feed.commit_page(
        [routed(alert(id="a", severity="low"), "secops", known=known)], now=NOW + 60, connectors=("secops",)
    )
    assert states(store) == {("secops", "open", 1): "held"}


def test_a_replay_lets_it_out(store: Store) -> None:
    held(store, alert(id="a"), office({"to": "secops", "during": "office"}))
    assert store.operations.replay(["a"], ["secops"], why="asked for", now=NOW) == 1
    deliver(store, "secops")


def test_a_digest_is_no_schedule(store: Store) -> None:
    """What waits for it is not released by the time alone."""
    held(store, alert(id="a"), office({"to": "secops", "digest": "monday 09:00"}))
    assert rows(store, "SELECT held_until, held_for FROM deliveries") == [(NOW + 21 * 3600.0, DIGEST)]
    assert store.lifecycle.release(now=NOW + 10**6) == frozenset()


def test_what_is_held_says_until_when(store: Store) -> None:
    """Its schedule or its digest, and the time."""
    at = office({"to": "secops", "during": "office", "severity": "high"}, {"to": "oncall", "digest": "daily 13:00"})
    held(store, alert(severity="high"), at)
    waits = waiting(store, [1, 2], connectors=["secops", "oncall"], rates={}, now=NOW)
    assert waits[1] == Waiting(
        cause=Cause.SCHEDULE,
        text="The schedule office is closed: it goes out in 20h, or at once where it gets worse.",
        until=MONDAY,
    )
    assert waits[2].text == "It is told in the digest that is due in 1h, or at once where it gets worse."


def test_other_hours_hold_what_is_held_already(store: Store) -> None:
    """A reload may open a schedule, or take it out of the config."""
    at, time, woken = office({"to": "secops", "during": "office"}), Time(), list[str]()
    held(store, alert(), at)
    release = Held(store, at, now=time, wake=woken.extend)
    release.release()
    later = Config.model_validate({**dict(at), "schedules": {"office": {**OFFICE, "hours": "10:00-18:00"}}})
    release.use(later)
    time.now = MONDAY
    release.release()
    assert woken == []
    release.use(Config.model_validate({**dict(at), "schedules": {}, "routes": [{"to": "secops"}]}))
    release.release()
    assert woken == ["secops"]


def test_a_clock_that_was_ahead_holds_nothing_too_long(store: Store) -> None:
    """Once it is set right, what waits goes by the openings and digests of the right time."""
    at = office({"to": "secops", "during": "office", "severity": "high"}, {"to": "oncall", "digest": "daily 13:00"})
    ahead = NOW + 28 * 86400.0
    time = Time(ahead)
    held(store, alert(severity="high"), at, now=ahead)
    waiting_for = Held(store, at, now=time, wake=lambda _: None)
    waiting_for.release()
    assert min(until for (until,) in rows(store, "SELECT held_until FROM deliveries")) > ahead
    time.now = NOW
    waiting_for.retime()
    waiting_for.release()
    assert dict(rows(store, "SELECT connector, held_until FROM deliveries")) == {
        "secops": MONDAY,
        "oncall": NOW + 3600.0,
    }
