"""The requests of a minute, shared by polls, sweeps, the stack and single reads; and what is told of sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from forwarder.alarms import Alarms, AlarmType
from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.config import Config
from forwarder.feed.client import FeedClient, RequestBudget, SentrytexError, TooManyRequests
from forwarder.feed.poller import Poller
from forwarder.feed.stack import STACK_EVERY
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from tests.feed.conftest import MakePoller
from tests.kit.feed import DAY, asked, flood, outstanding, publish
from tests.kit.store import NOW, Time, config
from tests.kit.thorough import beyond

MINUTE = 60.0


@pytest.fixture
def limited(time: Time) -> Iterator[Sandbox]:
    """The services with the API's limit of requests, by the test's time."""
    with Sandbox(clock=lambda: instant(time.now)) as running:
        yield running


def live(poller: Poller, time: Time, seconds: int, *, sweep_every: int) -> tuple[int, int]:
    """Polls every second, and sweeps as often as that; how many of each were complete."""
    polls = sweeps = 0
    for second in range(seconds):
        time.advance(1)
        with suppress(TooManyRequests):
            poller.poll()
            polls += 1
            poller.stack_grew()
        if second % sweep_every == 0:
            with suppress(TooManyRequests):
                poller.sweep()
                sweeps += 1
    return polls, sweeps


@pytest.mark.parametrize("seconds", beyond([190], [190, 300]))
@pytest.mark.parametrize("crowded", beyond([True], [False, True]))
def test_polls_every_second_leave_sweeps_their_turn(
    *, limited: Sandbox, store: Store, time: Time, crowded: bool, seconds: int
) -> None:
    """With the least poll_every, sweeps and the stack go on, whether a sweep takes one request or five."""
    if crowded:
        for severity in Severity:
            flood(limited, 60, severity=severity, name=severity, since=-DAY)
    client = FeedClient(limited.sentrytex.url, limited.sentrytex.token, budget=RequestBudget(clock=lambda: time.now))
    limited.sentrytex.add_vendor("github")
    poller = Poller(config(start_from="30d"), client, store, now=time)
    polls, sweeps = live(poller, time, seconds, sweep_every=10)
    assert polls >= 0.9 * seconds
    assert sweeps >= seconds / (20 if crowded else 11)
    assert asked(limited).count("stack") >= seconds / STACK_EVERY
    assert client.alert(limited.sentrytex.alerts[0]["id"]) if crowded else True
    client.close()


def test_a_burst_leaves_sweeps_their_turn(limited: Sandbox, store: Store, time: Time) -> None:
    """While every poll asks by severity, sweeps still get theirs, and all that was published arrives."""
    client = FeedClient(limited.sentrytex.url, limited.sentrytex.token, budget=RequestBudget(clock=lambda: time.now))
    poller = Poller(config(start_from="now"), client, store, now=time)
    swept = 0
    for second in range(120):
        time.advance(1)
        for number in range(4):
            publish(limited, f"{second}-{number}", time.now - NOW, severity=list(Severity)[number])
        with suppress(TooManyRequests):
            poller.poll()
        if second % 30 == 0:
            with suppress(TooManyRequests):
                poller.sweep()
                swept += 1
    time.advance(61)
    poller.poll()
    assert (len(outstanding(store)), store.queries.gaps()) == (480, [])
    assert swept >= 3
    client.close()


# What is told


class Watch:
    """Alarms of one store, reviewed by hand."""

    def __init__(self, store: Store, time: Time) -> None:
        self.store, self.time = store, time
        self.alarms = Alarms(store, config(), now=time)

    def review(self, settings: Config) -> list[tuple[str, str, str]]:
        self.alarms.use(settings)
        self.alarms.review()
        return [
            (alarm.type, alarm.subject, alarm.text)
            for alarm in self.store.alarms.active()
            if alarm.type in (AlarmType.SWEEP_SHORT, AlarmType.SWEEP_OVERDUE)
        ]


def test_a_short_sweep_is_an_alarm_until_one_reaches(sandbox: Sandbox, store: Store, early: Poller, time: Time) -> None:
    """With the severity and the date, told once, after a restart too; it ends when a sweep reaches again."""
    flood(sandbox, 250, since=-DAY)
    early.sweep()
    told = (
        "sweep_short",
        "high",
        "Sweeps read high alerts published since 2026-02-28T12:00:50Z. Older ones that are"
        " verified late, or change, are not seen.",
    )
    assert Watch(store, time).review(early.config) == [told]
    assert Watch(store, time).review(early.config) == [told]
    early.use(config(start_from="30d", look_back="12h", overlap="1h"))
    time.advance(60)
    early.sweep()
    assert Watch(store, time).review(early.config) == []


def test_sweeps_that_do_not_come_are_an_alarm(sandbox: Sandbox, store: Store, make: MakePoller, time: Time) -> None:
    """Where polls succeed and no sweep does for three times sweep_every, that is told with its reason till one does."""
    poller = make(config(start_from="now", sweep_every="5m"))
    watch = Watch(store, time)
    poller.poll()
    for minute in range(1, 16):
        time.advance(MINUTE)
        poller.poll()
        sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500))
        with pytest.raises(SentrytexError):
            poller.sweep()
        assert watch.review(poller.config) == [], minute
    time.advance(MINUTE)
    poller.poll()
    ((alarm, _, text),) = watch.review(poller.config)
    assert (alarm, "fault of its own" in text) == ("sweep_overdue", True)
    poller.sweep()
    assert watch.review(poller.config) == []


def test_sweeps_that_nobody_tries_are_an_alarm_too(store: Store, poller: Poller, time: Time) -> None:
    """It is the store that tells: a sweep that is never begun fails in no turn."""
    poller.sweep()
    watch = Watch(store, time)
    time.advance(46 * MINUTE)
    poller.poll()
    assert [alarm for alarm, *_ in watch.review(poller.config)] == ["sweep_overdue"]
    time.advance(DAY)
    assert [alarm for alarm, *_ in watch.review(poller.config)] == ["sweep_overdue"]
    assert Watch(store, time).review(poller.config) == [watch.review(poller.config)[0]]


def test_a_process_that_just_started_has_the_time_to_sweep(store: Store, poller: Poller, time: Time) -> None:
    """What was not swept for days because nothing ran is no alarm at once."""
    poller.sweep()
    time.advance(DAY)
    poller.poll()
    assert Watch(store, time).review(poller.config) == []


def test_a_feed_that_cannot_be_read_is_told_as_such(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """Where polls fail, too, there is another alarm for it."""
    watch = Watch(store, time)
    time.advance(DAY)
    assert watch.review(poller.config) == []
    assert [alarm.type for alarm in store.alarms.active()] == ["feed_unread"]


def test_runs_from_cron_count_their_tries(sandbox: Sandbox, store: Store, poller: Poller, time: Time) -> None:
    """A run that polls once every few hours is no alarm because of one sweep that failed, but because of three."""
    poller.sweep()
    for run in range(1, 4):
        time.advance(DAY / 4)
        poller.poll()
        sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=500))
        with pytest.raises(SentrytexError):
            poller.sweep()
        told = Watch(store, time).review(poller.config)
        assert len(told) == (1 if run == 3 else 0)
