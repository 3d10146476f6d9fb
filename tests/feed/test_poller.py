"""Reading the feed: against the stand-in for the API, with a real store and a clock that the test moves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from forwarder.alert import Severity
from forwarder.common.clock import instant, iso
from forwarder.feed.client import (
    BadAnswer,
    FeedClient,
    KeyRefused,
    Page,
    SentrytexError,
    Share,
    Stack,
    Unavailable,
)
from forwarder.feed.poller import Poller
from forwarder.feed.reader import Source, _at_once
from forwarder.feed.stack import STACK_EVERY
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.records import Gap, PollResult
from tests.feed.conftest import MakePoller
from tests.kit.core import no_threads
from tests.kit.feed import DAY, HOUR, asked, flood, new, outstanding, publish
from tests.kit.samples import real_alerts
from tests.kit.store import NOW, Time, config, file_of, rows

# The first start


@pytest.mark.parametrize(
    ("start_from", "sent"),
    [
        ("now", []),
        ("1h", ["minutes"]),
        ("24h", ["hours", "minutes"]),
        ("3d", ["days", "hours", "minutes"]),
        (instant(NOW - 3 * HOUR).isoformat(), ["hours", "minutes"]),
        (instant(NOW - 30 * DAY).isoformat(), ["days", "hours", "minutes", "month"]),
    ],
)
def test_the_first_start_sends_nothing_of_the_past(
    *, sandbox: Sandbox, store: Store, make: MakePoller, time: Time, start_from: str, sent: list[str]
) -> None:
    """What was published before start_from goes nowhere, verified late or not; what came after it does, sweeps too."""
    for name, seconds in (("minutes", -60), ("hours", -2 * HOUR), ("days", -2 * DAY), ("month", -20 * DAY)):
        publish(sandbox, name, seconds)
    poller = make(config(start_from=start_from))
    poller.poll()
    assert outstanding(store) == sent
    publish(sandbox, "new", 5)
    publish(sandbox, "verified late", -3 * DAY)
    time.advance(60)
    poller.poll()
    poller.sweep()
    assert outstanding(store) == sorted([*sent, "new", *(["verified late"] if "days" in sent else [])])


def test_the_first_start_goes_by_the_server_s_time(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """A machine whose clock is wrong begins where the server says that now is."""
    for wrong in (-2 * DAY, 2 * DAY):
        here = Store.open_exclusive(file_of(store).with_name(f"{wrong}.db"))
        publish(sandbox, "before", -60)
        Poller(config(start_from="now"), source, here, now=lambda wrong=wrong: time.now + wrong).poll()  # type: ignore[misc]
        assert here.feed.state().cursor == NOW
        assert outstanding(here) == []
        here.close()


def test_a_clock_that_is_put_right_brings_nothing_of_the_past(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time
) -> None:
    """What a sweep reaches only because the clock was ahead at the start was known by then."""
    publish(sandbox, "old", -6 * DAY)
    Poller(config(start_from="now"), source, store, now=lambda: time.now + 2 * DAY).poll()
    Poller(config(start_from="now"), source, store, now=time).sweep()
    assert outstanding(store) == []


def test_a_start_in_the_future_is_now(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """A date that has not come yet does not keep back what is published until then."""
    poller = make(config(start_from=instant(NOW + DAY).isoformat()))
    poller.poll()
    assert store.feed.state().cursor == NOW
    publish(sandbox, "new", 60)
    time.advance(90)
    assert new(poller.poll()) == ["new"]


def test_the_first_start_without_a_stack(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """A key that may not read the stack begins by the machine's own time."""
    sandbox.sentrytex.scopes = {"read:alerts"}
    make().poll()
    assert store.feed.state().cursor == NOW


def test_a_first_start_with_a_long_past(sandbox: Sandbox, store: Store, make: MakePoller) -> None:
    """Where more is there than a page shows, each severity is asked for, and what is not seen is a gap."""
    for severity in ("critical", "low"):
        flood(sandbox, 250, severity=severity, name=severity, since=-1000)
    turn = make(config(start_from="24h")).poll()
    assert asked(sandbox)[:2] == ["stack", "all"]
    assert sorted(asked(sandbox)[2:]) == ["critical", "high", "low", "medium"]
    assert len(turn.new) == 400
    assert [(gap.severity, gap.since, gap.until) for gap in turn.gaps] == [
        (severity, NOW - DAY, NOW - 950) for severity in (Severity.CRITICAL, Severity.LOW)
    ]


# Polls


def test_a_poll_asks_once_and_writes_what_is_new(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """One request from the cursor less the overlap brings the new alerts, and moves the cursor to the newest."""
    publish(sandbox, "a", 10)
    publish(sandbox, "b", 20)
    time.advance(30)
    before = len(sandbox.sentrytex.requests)
    turn = poller.poll()
    assert (new(turn), turn.connectors, turn.sweep) == (["a", "b"], frozenset({"secops"}), False)
    assert asked(sandbox, before) == ["all"]
    assert sandbox.sentrytex.requests[-1].query["since"] == iso(NOW - 2 * HOUR)
    assert (store.feed.state().cursor, store.feed.state().polled_at) == (NOW + 20, NOW + 30)


def test_nothing_new_writes_nothing_but_the_time(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """A poll that finds what is known leaves all as it was, but for when it was."""
    publish(sandbox, "a")
    poller.poll()
    tables = ("alerts", "deliveries", "changes", "gaps", "set_aside")
    before = [rows(store, f"SELECT * FROM {table}") for table in tables]
    feed = store.feed.state()
    time.advance(30)
    turn = poller.poll()
    assert (turn.new, turn.changed, turn.connectors, turn.read) == (
        [],
        [],
        frozenset(),
        1,
    )
    assert [rows(store, f"SELECT * FROM {table}") for table in tables] == before
    assert store.feed.state() == replace(feed, polled_at=NOW + 30)


def test_the_boundary_is_seen_again_and_sent_once(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """Alerts published at the very time of the cursor arrive once, the late ones among them too."""
    poller = make(config(start_from="now", overlap="0s"))
    poller.poll()
    publish(sandbox, "a", 10)
    time.advance(10)
    assert new(poller.poll()) == ["a"]
    publish(sandbox, "b", 10)
    assert new(poller.poll()) == ["b"]
    assert new(poller.poll()) == []
    assert outstanding(store) == ["a", "b"]


def test_a_late_alert_behind_the_cursor_arrives(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """What was verified late, up to the overlap, comes with the next poll; the cursor stays."""
    publish(sandbox, "first", 60)
    time.advance(60)
    poller.poll()
    publish(sandbox, "late", 60 - 2 * HOUR)
    publish(sandbox, "too late", 59 - 2 * HOUR)
    assert new(poller.poll()) == ["late"]
    assert store.feed.state().cursor == NOW + 60
    assert new(poller.sweep()) == ["too late"]


def test_a_failure_keeps_the_cursor(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """A poll that fails moves nothing, says why, and the next one brings all that came meanwhile."""
    publish(sandbox, "a", 5)
    for kind in (FaultKind.STATUS, FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.RESET_BEFORE):
        sandbox.sentrytex.inject(Fault(kind=kind))
        with pytest.raises(SentrytexError) as raised:
            poller.poll()
        assert store.feed.state().poll_error == str(raised.value)
        assert (store.feed.state().cursor, store.feed.state().polled_at, outstanding(store)) == (NOW, NOW, [])
    assert new(poller.poll()) == ["a"]
    assert store.feed.state().poll_error is None


def test_a_failure_half_way_keeps_the_cursor(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """Where one of several requests of a poll fails, nothing of the others is written."""
    flood(sandbox, 201)
    sandbox.sentrytex.inject(Fault(kind=FaultKind.LATENCY, seconds=0), Fault(kind=FaultKind.STATUS, status=500))
    with pytest.raises(Unavailable):
        poller.poll()
    assert (store.feed.state().cursor, outstanding(store)) == (NOW, [])


# More than a page


def test_a_burst_between_two_polls_arrives_whole(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """350 alerts of all severities between two polls are read by severity, and none is missed."""
    for number in range(350):
        publish(sandbox, f"f{number}", number, severity=list(Severity)[number % 4])
    time.advance(400)
    before = len(sandbox.sentrytex.requests)
    turn = poller.poll()
    assert sorted(asked(sandbox, before)) == ["all", "critical", "high", "low", "medium"]
    assert (len(turn.new), len(outstanding(store)), list(turn.gaps)) == (350, 350, [])
    assert store.feed.state().cursor == NOW + 349


def test_what_is_still_cut_short_is_a_gap(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """What even a severity of its own cannot show is recorded once, and the cursor moves on."""
    flood(sandbox, 250)
    publish(sandbox, "low", 300, severity="low")
    time.advance(300)
    turn = poller.poll()
    assert len(turn.new) == 201
    gap = Gap(severity=Severity.HIGH, since=NOW, until=NOW + 50)
    assert list(turn.gaps) == [gap]
    assert store.feed.state().cursor == NOW + 300
    time.advance(30)
    assert list(poller.poll().gaps) == []
    assert [replace(one, noticed_at=0.0) for one in store.queries.gaps()] == [gap]


def test_a_full_page_that_reaches_behind_the_cursor_is_whole(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """Where the overlap alone fills the page, one request is enough and nothing is a gap."""
    flood(sandbox, 150)
    time.advance(150)
    poller.poll()
    flood(sandbox, 100, name="g", since=150)
    time.advance(150)
    before = len(sandbox.sentrytex.requests)
    turn = poller.poll()
    assert (len(turn.new), len(outstanding(store)), list(turn.gaps)) == (100, 250, [])
    assert asked(sandbox, before) == ["all"]


@pytest.mark.parametrize(("severities", "gaps"), [(["high", "low"], 0), (["high"], 1)])
def test_hundreds_at_the_same_time(
    *, sandbox: Sandbox, store: Store, poller: Poller, time: Time, severities: list[str], gaps: int
) -> None:
    """300 alerts of one instant arrive as far as the API shows them; what it cuts off is a gap, told once."""
    for number in range(300):
        publish(sandbox, f"f{number}", 10, severity=severities[number % len(severities)])
    time.advance(30)
    turn = poller.poll()
    assert len(turn.new) == (200 if gaps else 300)
    assert len(turn.gaps) == gaps
    for _ in range(2):
        time.advance(30)
        again = poller.poll()
        assert (again.new, list(again.gaps)) == ([], [])
    publish(sandbox, "next", 40)
    assert new(poller.poll()) == ["next"]
    assert len(store.queries.gaps()) == gaps


def test_late_arrivals_in_bulk_arrive_whole(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """Hundreds that are verified late, more than the page of the overlap holds, are asked for by severity."""
    time.advance(HOUR)
    publish(sandbox, "first", HOUR - 10)
    poller.poll()
    for number in range(300):
        publish(sandbox, f"late{number}", number, severity=["high", "low"][number % 2])
    before = len(sandbox.sentrytex.requests)
    assert len(poller.poll().new) == 300
    assert sorted(asked(sandbox, before)) == ["all", "critical", "high", "low", "medium"]
    before = len(sandbox.sentrytex.requests)
    poller.poll()
    assert asked(sandbox, before) == ["all"]
    assert store.queries.gaps() == []


def test_hundreds_more_at_the_time_of_the_cursor(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """A full page that ends at the very time of the cursor may hide more of that time, so severities are asked for."""
    publish(sandbox, "first", 10)
    time.advance(30)
    poller.poll()
    for number in range(300):
        publish(sandbox, f"f{number}", 10, severity=["high", "low"][number % 2])
    assert len(poller.poll().new) == 300
    assert store.queries.gaps() == []


def test_a_page_full_of_nonsense_hides_nothing_in_silence(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """Where no alert on a full page can be read, the severities are asked for: the page says nothing of the rest."""
    publish(sandbox, "behind", 5)
    sandbox.sentrytex.publish(*({"id": f"x{number}"} for number in range(200)))
    turn = poller.poll()
    assert new(turn) == ["behind"]
    assert len(turn.set_aside) == 200
    sandbox.sentrytex.publish(*({"id": f"y{number}", "severity": "critical"} for number in range(200)))
    assert [gap.severity for gap in poller.poll().gaps] == [Severity.CRITICAL]


def test_unknown_severities_that_are_cut_off_are_a_gap(sandbox: Sandbox, poller: Poller, time: Time) -> None:
    """No request asks for a severity that is not known, so what a full page cut off of it may be missing."""
    flood(sandbox, 120, severity="catastrophic", name="odd")
    flood(sandbox, 120, severity="low", since=60)
    time.advance(300)
    turn = poller.poll()
    assert [(gap.severity, gap.since, gap.until) for gap in turn.gaps] == [(Severity.CRITICAL, NOW, NOW + 40)]
    assert [alert.id for alert in turn.new if alert.id == "f0"] == ["f0"]


def test_polls_that_fall_behind_lose_nothing(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """Through bursts, failures and late alerts, what the API shows in reach is owed in the end, each once."""
    expected = set()
    for number in range(30):
        for item in range(number % 7 * 10):
            name = f"{number}-{item}"
            publish(sandbox, name, number * 30 - item, severity=list(Severity)[item % 4])
            expected.add(name)
        time.advance(30)
        if number % 3 == 0:
            sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500, path="alerts"))
        with contextlib.suppress(Unavailable):
            poller.poll()
    assert set(outstanding(store)) == expected
    assert rows(store, "SELECT count(*) FROM deliveries") == [(len(expected),)]


# Time


def test_an_alert_of_the_future_does_not_drag_the_cursor(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """An alert dated ahead of the server's time is sent, and what is published before that date still arrives."""
    publish(sandbox, "future", 300 * DAY)
    time.advance(30)
    assert new(poller.poll()) == ["future"]
    assert store.feed.state().cursor == NOW + 30
    publish(sandbox, "now", 40)
    time.advance(30)
    assert new(poller.poll()) == ["now"]


class Undated:
    """A server that does not tell its time."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def alerts(self, since: datetime | None, severity: Severity | None = None, *, share: Share = Share.POLLS) -> Page:
        return replace(self._source.alerts(since, severity, share=share), server_time=None)

    def stack(self, *, share: Share = Share.STACK) -> Stack:
        return replace(self._source.stack(share=share), server_time=None)


def test_without_the_server_s_time_ours_holds_the_cursor(
    sandbox: Sandbox, store: Store, make: MakePoller, source: FeedClient, time: Time
) -> None:
    """Where no answer carries a date, an alert of the future drags the cursor no further than our own clock."""
    poller = make(None, Undated(source))
    poller.poll()
    assert store.feed.state().cursor == NOW
    publish(sandbox, "a", 10)
    publish(sandbox, "future", DAY)
    time.advance(30)
    poller.poll()
    assert store.feed.state().cursor == NOW + 30
    assert outstanding(store) == ["a", "future"]


@pytest.mark.parametrize("wrong", [-300 * DAY, -HOUR, HOUR, 300 * DAY])
def test_our_clock_moves_no_cursor(
    sandbox: Sandbox, store: Store, source: FeedClient, time: Time, wrong: float
) -> None:
    """However wrong the machine's clock, polls bring what is new and the cursor is in the server's time."""
    poller = Poller(config(start_from="now"), source, store, now=lambda: time.now + wrong)
    poller.poll()
    publish(sandbox, "a", 10)
    time.advance(30)
    assert new(poller.poll()) == ["a"]
    assert store.feed.state().cursor == NOW + 10


# Sweeps


def test_a_sweep_brings_what_came_late(sandbox: Sandbox, store: Store, early: Poller, time: Time) -> None:
    """Alerts verified days after their publication arrive by the sweep, up to look_back, and leave the cursor."""
    publish(sandbox, "newest", 0)
    time.advance(1)
    early.poll()
    publish(sandbox, "days late", -6 * DAY)
    publish(sandbox, "beyond", -8 * DAY)
    assert new(early.poll()) == []
    turn = early.sweep()
    assert (new(turn), turn.sweep, turn.reach) == (["days late"], True, instant(NOW + 1 - 7 * DAY))
    assert outstanding(store) == ["days late", "newest"]
    feed = store.feed.state()
    assert (feed.cursor, feed.swept_at, feed.sweep_reach) == (NOW, NOW + 1, NOW + 1 - 7 * DAY)
    assert new(early.sweep()) == []


def test_a_sweep_says_how_far_it_reached(sandbox: Sandbox, store: Store, early: Poller, time: Time) -> None:
    """Where a severity has more than a page in look_back, the sweep reaches the oldest that it was shown."""
    flood(sandbox, 250, since=-DAY)
    publish(sandbox, "low", -2 * DAY, severity="low")
    turn = early.sweep()
    assert (len(turn.new), turn.reach) == (201, instant(NOW - DAY + 50))
    assert (store.feed.state().sweep_reach, store.queries.gaps()) == (NOW - DAY + 50, [])


def test_a_sweep_leaves_requests_to_the_polls(sandbox: Sandbox, make: MakePoller) -> None:
    """A sweep asks only where enough requests for polls are left."""
    kept: list[Share] = []

    class Counting(Undated):
        def alerts(
            self, since: datetime | None, severity: Severity | None = None, *, share: Share = Share.POLLS
        ) -> Page:
            kept.append(share)
            return super().alerts(since, severity, share=share)

    client = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token)
    poller = make(config(start_from="30d"), Counting(client))
    flood(sandbox, 201, since=-300)
    poller.poll()
    assert set(kept) == {Share.POLLS}
    kept.clear()
    poller.sweep()
    assert kept == [Share.SWEEPS] * 5
    client.close()


def test_a_sweep_that_fails_writes_nothing(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """A failed sweep is not taken for one, and does not make the polls look failed."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=404))
    with pytest.raises(BadAnswer):
        poller.sweep()
    assert (store.feed.state().swept_at, store.feed.state().poll_error) == (None, None)


def test_a_vendor_joins_the_stack(sandbox: Sandbox, store: Store, early: Poller, time: Time) -> None:
    """A vendor that was added is noticed once, and its alerts of the last days come with the sweep."""
    sandbox.sentrytex.all_vendors = False
    sandbox.sentrytex.add_vendor("github")
    publish(sandbox, "okta's", -DAY, affected_vendors=["okta"])

    def look() -> frozenset[str]:
        time.advance(STACK_EVERY)
        return early.stack_grew()

    assert [look(), look()] == [frozenset({"github"}), frozenset()]
    assert new(early.sweep()) == []
    sandbox.sentrytex.add_vendor("okta")
    assert [look(), look()] == [frozenset({"okta"}), frozenset()]
    assert new(early.sweep()) == ["okta's"]
    sandbox.sentrytex.remove_vendor("github")
    assert look() == frozenset()
    assert store.feed.state().stack == frozenset({"example", "okta"})


def test_the_stack_is_read_now_and_then(sandbox: Sandbox, poller: Poller, time: Time) -> None:
    """However often it is asked about: every few minutes, and less often the longer it cannot be read."""

    def reads(seconds: int) -> int:
        before = asked(sandbox).count("stack")
        for _ in range(seconds // 10):
            time.advance(10)
            poller.stack_grew()
        return asked(sandbox).count("stack") - before

    assert reads(3600) == 3600 / STACK_EVERY
    sandbox.sentrytex.scopes = {"read:alerts"}
    assert 4 <= reads(3600 * 2) <= 8
    assert reads(86400) == 24
    time.advance(-86400 * 30)
    assert reads(10) == 1


def test_a_stack_that_cannot_be_read_is_no_empty_stack(
    sandbox: Sandbox, store: Store, poller: Poller, time: Time
) -> None:
    """A failure to read the stack changes nothing, so that its vendors do not seem to join afterwards."""
    sandbox.sentrytex.add_vendor("github")
    time.advance(STACK_EVERY)
    assert poller.stack_grew() == frozenset({"github"})
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=403, times=2))
    for _ in range(3):
        time.advance(86400)
        assert poller.stack_grew() == frozenset()
    assert store.feed.state().stack == frozenset({"example", "github"})


# What is odd


def test_an_unknown_severity_goes_where_criticals_go(sandbox: Sandbox, make: MakePoller, store: Store) -> None:
    """An alert of a severity that is not known is routed as critical, and flagged."""
    poller = make(config([{"severity": "critical", "to": "oncall"}, {"severity": "low", "to": "secops"}]))
    publish(sandbox, "odd", -5, severity="catastrophic")
    (alert,) = poller.poll().new
    assert not alert.severity_known
    assert rows(store, "SELECT connector, rank FROM deliveries") == [("oncall", 0)]


def test_malformed_alerts_are_set_aside(sandbox: Sandbox, store: Store, poller: Poller) -> None:
    """What is no alert is kept with the reason, told once, and the others go on."""
    publish(sandbox, "good", 5)
    sandbox.sentrytex.publish({"id": "bad", "published_at": "soon"}, "text")
    turn = poller.poll()
    assert new(turn) == ["good"]
    assert sorted(item.reason for item in turn.set_aside) == [
        "an alert must be a JSON object, this is a text",
        "the alert has no date, no CVE, no title and no known severity",
    ]
    assert list(poller.poll().set_aside) == []
    assert len(store.queries.set_aside()) == 2


def test_an_alert_without_a_route_is_told(sandbox: Sandbox, make: MakePoller, store: Store) -> None:
    """An alert that no route matches is told, kept and listed; one from before the start is neither."""
    poller = make(config([{"severity": "critical", "to": "oncall"}], start_from="1h"))
    publish(sandbox, "low", -5, severity="low")
    publish(sandbox, "old", -DAY, severity="low")
    assert [alert.id for alert in poller.poll().unrouted] == ["low"]
    assert rows(store, "SELECT id FROM alerts WHERE unrouted = 1") == [("low",)]
    assert list(poller.poll().unrouted) == []


def test_an_alert_goes_to_each_connector_once(sandbox: Sandbox, make: MakePoller, store: Store) -> None:
    """Several routes to the same connector make one delivery, with the reason of the first."""
    poller = make(config([{"severity": "critical", "to": ["oncall", "secops"]}, {"vendors": "github", "to": "oncall"}]))
    publish(sandbox, "a", -5)
    assert poller.poll().connectors == frozenset({"oncall", "secops"})
    assert rows(store, "SELECT connector, why FROM deliveries ORDER BY connector") == [
        ("oncall", "route 1: severity is critical"),
        ("secops", "route 1: severity is critical"),
    ]


# Turns


def test_polls_and_sweeps_take_turns(sandbox: Sandbox, store: Store, early: Poller) -> None:
    """Turns that threads ask for at once come one after the other, and each alert is owed once."""
    flood(sandbox, 300, since=-200, severity="high")
    flood(sandbox, 100, since=-200, severity="low", name="l")
    turns: list[Callable[[], PollResult]] = [early.poll, early.sweep] * 4
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda turn: turn(), turns))
    assert sum(len(turn.new) for turn in done) == 300
    assert rows(store, "SELECT count(*), count(DISTINCT alert_id) FROM deliveries") == [(300, 300)]


def test_another_client_from_the_next_turn_on(sandbox: Sandbox, poller: Poller, source: FeedClient) -> None:
    """After a change of the config the next turn asks the new client."""
    refused = FeedClient(sandbox.sentrytex.url, "vk_not-the-right-key")
    poller.read_from(refused)
    with pytest.raises(KeyRefused):
        poller.poll()
    poller.read_from(source)
    poller.poll()
    refused.close()


def test_a_restart_goes_on_where_it_ended(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """A second process reads from the kept cursor, whatever start_from says, and repeats nothing."""
    make().poll()
    publish(sandbox, "a", 10)
    time.advance(30)
    make().poll()
    publish(sandbox, "while it was down", 60)
    time.advance(10 * DAY)
    assert new(make(config(start_from="now")).poll()) == ["while it was down"]


def test_real_alerts_arrive_whole(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """A real history, replayed hour by hour with polls in between, is owed whole and once."""
    history = sorted(real_alerts(), key=lambda raw: str(raw["published_at"]))[-600:]
    time.now = datetime.fromisoformat(history[0]["published_at"]).timestamp() - 1
    poller = make()
    poller.poll()
    for begin in range(0, len(history), 60):
        part = history[begin : begin + 60]
        sandbox.sentrytex.publish(*part)
        time.now = datetime.fromisoformat(part[-1]["published_at"]).astimezone(UTC).timestamp() + 1
        poller.poll()
    assert outstanding(store) == sorted({raw["id"] for raw in history})
    assert store.queries.gaps() == []
    assert timedelta(seconds=store.feed.state().cursor or 0) == timedelta(seconds=time.now - 1)


def test_parts_are_read_one_after_the_other_where_there_are_no_threads() -> None:
    """A limit on their number delays a burst, and stops none."""
    page = Page(alerts=(), set_aside=(), size=0, server_time=None)
    with no_threads():
        assert _at_once({severity: lambda: page for severity in Severity}) == dict.fromkeys(Severity, page)
