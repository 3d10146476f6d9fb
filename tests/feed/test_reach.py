"""What an answer does not show: the cap is learned from the answers, and what cannot be reached is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.feed.client import FeedClient, Page, Share, Stack, Unavailable
from forwarder.feed.poller import Poller
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from tests.feed.conftest import MakePoller
from tests.kit.feed import DAY, HOUR, asked, flood, new, outstanding, publish
from tests.kit.store import NOW, Time, config, rows

CAPS = (200, 100, 50, 73, 30)
"""How many alerts an answer holds at most: what the reference says, and what a server may do instead."""


@pytest.fixture
def lived(sandbox: Sandbox, make: MakePoller, time: Time) -> Poller:
    """A poller of a feed with a history: an alert of each severity every day, and no news for a day."""
    for day in range(1, 8):
        for severity in Severity:
            publish(sandbox, f"{severity} {day}", -day * DAY, severity=severity)
    poller = make(config(start_from="30d"))
    poller.poll()
    poller.sweep()
    return poller


# Polls


@pytest.mark.parametrize("cap", CAPS)
def test_a_burst_beyond_the_cap_arrives_by_severity(
    *, sandbox: Sandbox, store: Store, lived: Poller, time: Time, cap: int
) -> None:
    """However few an answer holds, four times as many arrive where they differ in severity, and nothing is missed."""
    sandbox.sentrytex.page = cap
    count = cap * 3
    for number in range(count):
        publish(sandbox, f"f{number}", number, severity=list(Severity)[number % 4])
    time.advance(count)
    turn = lived.poll()
    assert (len(turn.new), list(turn.gaps)) == (count, [])


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("cap", [200, 100, 50, 73, 30])
def test_a_burst_of_one_severity_beyond_the_cap_is_told(
    *, sandbox: Sandbox, store: Store, make: MakePoller, time: Time, cap: int, history: bool
) -> None:
    """What no answer shows is a gap, whatever the cap; without any history, where the number looks like a cap."""
    if history:
        publish(sandbox, "long ago", -20 * DAY)
    poller = make(config(start_from="30d"))
    poller.poll()
    sandbox.sentrytex.page = cap
    flood(sandbox, cap + 50, since=10)
    time.advance(cap + 60)
    turn = poller.poll()
    assert len(turn.new) == cap
    if history or cap in (200, 100, 50):
        assert [(gap.severity, gap.until) for gap in turn.gaps] == [(Severity.HIGH, NOW + 60)]


def test_an_odd_cap_is_learned_from_what_a_page_lacked(sandbox: Sandbox, poller: Poller, time: Time) -> None:
    """Without any history: by severity the feed shows what the page did not, so as many as that are no proof."""
    sandbox.sentrytex.page = 73
    for number in range(200):
        publish(sandbox, f"f{number}", 10 + number, severity=["high", "low"][number % 2])
    time.advance(300)
    turn = poller.poll()
    assert len(turn.new) == 146
    assert {(gap.severity, gap.until) for gap in turn.gaps} == {(Severity.HIGH, NOW + 64), (Severity.LOW, NOW + 65)}


@pytest.mark.parametrize("count", [1, 9, 10, 25, 64, 99, 100, 150, 190])
@pytest.mark.parametrize("one", [True, False])
def test_a_burst_within_the_cap_is_no_gap(
    *, sandbox: Sandbox, store: Store, lived: Poller, time: Time, count: int, one: bool
) -> None:
    """Any number that the feed showed whole raises no alarm, and needs one request."""
    for number in range(count):
        publish(sandbox, f"f{number}", number, severity="high" if one else list(Severity)[number % 4])
    time.advance(count)
    for expected in (count, 0, 0):
        before = len(sandbox.sentrytex.requests)
        turn = lived.poll()
        assert (len(turn.new), list(turn.gaps)) == (expected, [])
        assert asked(sandbox, before) == ["all"]
        time.advance(30)


@pytest.mark.parametrize("count", [1, 9, 10, 30, 60, 99, 140, 199])
def test_a_feed_without_a_history_raises_no_false_alarm(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time, count: int
) -> None:
    """Numbers that do not look like a cap are taken for what they are, even where nothing proves it."""
    flood(sandbox, count)
    time.advance(count)
    assert (len(poller.poll().new), store.queries.gaps()) == (count, [])


def test_quiet_polls_cost_one_request(sandbox: Sandbox, lived: Poller, time: Time) -> None:
    """A poll that finds nothing new asks once, hour after hour, and reads little."""
    for _ in range(50):
        before = len(sandbox.sentrytex.requests)
        time.advance(HOUR)
        assert lived.poll().read <= 8
        assert asked(sandbox, before) == ["all"]


def test_what_was_withdrawn_is_asked_for_once(sandbox: Sandbox, lived: Poller, time: Time) -> None:
    """A poll that misses what the feed showed before asks by severity once, raises no alarm, and is quiet again."""
    time.advance(HOUR)
    publish(sandbox, "new", HOUR)
    lived.poll()
    for raw in sandbox.sentrytex.alerts:
        if raw["id"] != "new":
            sandbox.sentrytex.withdraw(raw["id"])
    before = len(sandbox.sentrytex.requests)
    turns = [lived.poll() for _ in range(3)]
    assert [list(turn.gaps) for turn in turns] == [[]] * 3
    assert sorted(asked(sandbox, before)) == sorted(["all", *Severity, "all", "all"])


class Odd:
    """A server that does not do as its reference says: ``trim`` has the page, and leaves what it shows."""

    def __init__(self, source: FeedClient, trim: Callable[[list[Any], Severity | None], list[Any]]) -> None:
        self._source, self._trim = source, trim

    def alerts(self, since: datetime | None, severity: Severity | None = None, *, share: Share = Share.POLLS) -> Page:
        page = self._source.alerts(since, None, share=share)
        shown = [alert for alert in self._trim(list(page.alerts), severity) if severity in (None, alert.severity)]
        return Page(alerts=tuple(shown), set_aside=page.set_aside, size=len(shown), server_time=page.server_time)

    def stack(self, *, share: Share = Share.STACK) -> Stack:
        return self._source.stack(share=share)


def test_a_server_that_picks_before_it_filters(
    sandbox: Sandbox, make: MakePoller, source: FeedClient, time: Time
) -> None:
    """It shows those of a severity among its newest 60: asking by severity brings no more, and that is told."""
    publish(sandbox, "long ago", -20 * DAY)
    poller = make(config(start_from="30d"), Odd(source, lambda alerts, _: alerts[:60]))
    poller.poll()
    for number in range(90):
        publish(sandbox, f"f{number}", number, severity=["high", "low"][number % 2])
    time.advance(100)
    turn = poller.poll()
    assert len(turn.new) == 60
    assert {gap.severity for gap in turn.gaps} == {Severity.HIGH, Severity.LOW}


def test_a_server_that_ignores_the_limit(sandbox: Sandbox, lived: Poller, time: Time) -> None:
    """Fifty however many are asked for, which is what it shows when nobody says a limit; or all at once."""
    sandbox.sentrytex.page = 50
    flood(sandbox, 90)
    time.advance(100)
    assert [gap.until for gap in lived.poll().gaps] == [NOW + 40]
    sandbox.sentrytex.page = 100_000
    # Nothing but the sandbox's own answer holds more than was asked for.
    flood(sandbox, 500, name="g", since=100)
    time.advance(500)
    turn = lived.poll()
    assert len(turn.new) >= 200


STEPS = st.lists(
    st.tuples(st.integers(10, 200), st.integers(0, 150), st.sets(st.sampled_from(Severity), min_size=1)),
    min_size=1,
    max_size=6,
)
"""For each poll the cap, how many alerts came since the one before, and of which severities."""


@given(steps=STEPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_nothing_is_lost_in_silence(tmp_path: Path, steps: list[tuple[int, int, set[Severity]]]) -> None:
    """However the cap moves and however alerts burst: each is owed, or lies in a gap of its severity."""
    time = Time()
    path = tmp_path / "forwarder.db"
    path.unlink(missing_ok=True)
    with Sandbox(clock=lambda: instant(time.now), limits=False) as sandbox, Store.open_exclusive(path) as store:
        client = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token)
        publish(sandbox, "long ago", -DAY, severity="low")
        poller = Poller(config(start_from="30d"), client, store, now=time)
        poller.poll()
        for number, (cap, count, severities) in enumerate(steps):
            sandbox.sentrytex.page = cap
            for item in range(count):
                severity = sorted(severities)[item % len(severities)]
                publish(sandbox, f"{number}-{item}", time.now - NOW + item / 10, severity=severity)
            time.advance(60)
            poller.poll()
        client.close()
        owed, gaps = set(outstanding(store)), store.queries.gaps()
        lost = [
            raw["id"]
            for raw in sandbox.sentrytex.alerts
            if raw["id"] not in owed
            and not any(
                gap.severity == raw["severity"]
                and gap.since <= datetime.fromisoformat(raw["published_at"]).timestamp() <= gap.until
                for gap in gaps
            )
        ]
    assert lost == []


# Sweeps


def test_a_sweep_that_reaches_says_nothing(sandbox: Sandbox, store: Store, lived: Poller, time: Time) -> None:
    """Within what an answer holds a sweep takes one request where something older shows that it is whole."""
    publish(sandbox, "older", -7 * DAY - 60)
    time.advance(30)
    before = len(sandbox.sentrytex.requests)
    lived.sweep()
    assert store.feed.state().reach == {}
    time.advance(30)
    lived.sweep()
    assert asked(sandbox, before)[-1] == "all"


@pytest.mark.parametrize("cap", CAPS)
def test_a_sweep_that_falls_short_is_told_by_severity(
    *, sandbox: Sandbox, store: Store, lived: Poller, time: Time, cap: int
) -> None:
    """Where look_back holds more of a severity than an answer, the store says from when on it is read; until it is."""
    sandbox.sentrytex.page = cap
    flood(sandbox, cap + 10, since=-DAY)
    publish(sandbox, "low", -6 * DAY, severity="low")
    turn = lived.sweep()
    assert "low" in new(turn)
    assert store.feed.state().reach == {Severity.HIGH: NOW - DAY + 10}
    assert store.feed.state().sweep_reach == NOW - DAY + 10
    time.advance(6.5 * DAY)
    publish(sandbox, "newest", 6.5 * DAY)
    lived.poll()
    lived.sweep()
    assert store.feed.state().reach == {}


def test_a_late_alert_beyond_the_reach_is_not_lost_in_silence(
    sandbox: Sandbox, store: Store, lived: Poller, time: Time
) -> None:
    """It cannot be read, but the store says up to where it could be; one of another severity is read."""
    flood(sandbox, 250, since=-2 * DAY)
    lived.poll()
    lived.sweep()
    publish(sandbox, "late", -5 * DAY, severity="high")
    publish(sandbox, "late low", -5 * DAY, severity="low")
    assert new(lived.sweep()) == ["late low"]
    assert store.feed.state().reach == {Severity.HIGH: NOW - 2 * DAY + 51}


def test_what_is_before_the_floor_need_not_be_reached(
    sandbox: Sandbox, store: Store, make: MakePoller, time: Time
) -> None:
    """A feed with a long past is no trouble: nothing of it is owed."""
    flood(sandbox, 500, since=-DAY)
    poller = make(config(start_from="1h"))
    poller.poll()
    poller.sweep()
    assert (store.feed.state().reach, store.queries.gaps(), outstanding(store)) == ({}, [], [])


def test_unknown_severities_that_a_sweep_cuts_off_are_told(
    sandbox: Sandbox, store: Store, early: Poller, time: Time
) -> None:
    """No request asks for a severity that is not known, so the whole page is all that is read of it."""
    flood(sandbox, 150, severity="catastrophic", name="odd", since=-DAY)
    flood(sandbox, 100, severity="low", since=-DAY + 150)
    early.sweep()
    assert store.feed.state().reach == {Severity.CRITICAL: NOW - DAY + 50}


def test_a_vendor_that_joins_brings_no_more_than_look_back(
    sandbox: Sandbox, store: Store, lived: Poller, time: Time
) -> None:
    """What is asked for further back is only to see what is whole: it is not delivered."""
    flood(sandbox, 150, since=-2 * DAY)
    for day in range(8, 25):
        publish(sandbox, f"years of {day}", -day * DAY, severity="critical")
    sandbox.sentrytex.page = 100
    lived.sweep()
    assert [name for name in outstanding(store) if name.startswith("years")] == []
    assert rows(store, "SELECT count(*) FROM alerts WHERE id LIKE 'years%'") == [(0,)]


def test_a_failed_sweep_is_counted_until_one_succeeds(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """Why the latest failed, and how many did since the last complete one, is in the store."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, times=2))
    for failed in (1, 2):
        with pytest.raises(Unavailable) as raised:
            poller.sweep()
        assert (store.feed.state().sweeps_failed, store.feed.state().sweep_error) == (failed, str(raised.value))
    poller.sweep()
    assert (store.feed.state().sweeps_failed, store.feed.state().sweep_error) == (0, None)
