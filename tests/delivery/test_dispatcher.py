"""One turn per connector: in which order, how often, and what an outcome means for the connector as a whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forwarder.alert import Alert
from forwarder.connector import (
    Broken,
    Delivered,
    Delivery,
    Failed,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
)
from forwarder.delivery.attempt import REQUESTS
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.events import AttemptFinished, Listener
from forwarder.store import Store
from forwarder.store.outbox import Outbox
from forwarder.store.records import Claimed, Settlement, State
from forwarder.testing import alert
from forwarder.wire.deadline import remaining
from tests.kit.core import PATIENCE, Scripted, Time, enqueue, look_failed, receipt, rows, until

URGENT = alert(id="urgent", title="urgent", severity="critical")


@dataclass
class Noted(Listener):
    """What a listener heard."""

    attempts: list[AttemptFinished] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        self.attempts.append(attempt)

    def store_failed(self, reason: str) -> None:
        self.failures.append(reason)


class Rig:
    """A real store, a time that passes only when it is told to, and dispatchers of scripted connectors."""

    def __init__(self, path: Path) -> None:
        self.time, self.heard = Time(stands_still=True), Noted()
        self.now = self.time.clock()
        self.store = Store.open_exclusive(path)
        self._running: list[Dispatcher] = []

    def owe(self, *alerts: Alert, to: Iterable[str] = ("target",)) -> None:
        enqueue(self.store, *alerts, to=to, now=self.now())

    def start(self, connector: Scripted, store: Store | None = None, **more: Any) -> Dispatcher:
        dispatcher = Dispatcher(
            connector, store or self.store, now=self.now, random=lambda: 1.0, listener=self.heard, **more
        )
        self._running.append(dispatcher)
        dispatcher.start()
        return dispatcher

    def pass_(self, seconds: float) -> None:
        """Lets time go by, and the dispatchers notice it."""
        self.time.pass_(seconds)
        self.wake()

    def wake(self) -> None:
        for dispatcher in self._running:
            dispatcher.wake()

    def follow(self, dispatcher: Dispatcher) -> bool:
        """Whether the clock was set, and every deadline moved along."""

        def move(step: float) -> bool:
            self.store.outbox.shift_deadlines(step)
            dispatcher.shift_deadlines(step)
            return True

        return self.now.follow(move) != 0

    def states(self) -> list[State]:
        return [row.state for row in rows(self.store)]

    def outcomes(self) -> list[str]:
        return [attempt.settlement.outcome for attempt in self.heard.attempts]

    def until_settled(self, count: int) -> None:
        until(lambda: sum(state.settled for state in self.states()) == count)

    def until_outcomes(self, *expected: str) -> None:
        until(lambda: len(self.heard.attempts) >= len(expected))
        assert self.outcomes() == list(expected)

    def close(self) -> None:
        for dispatcher in self._running:
            dispatcher.stop()
        for dispatcher in self._running:
            dispatcher.join(PATIENCE)
        self.store.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "forwarder.db")
    yield rig
    rig.close()


def lows(count: int) -> list[Any]:
    return [alert(id=f"low-{n}", title=f"low {n}", severity="low") for n in range(count)]


# In which order


def test_what_is_owed_is_delivered_and_written_down(rig: Rig) -> None:
    """A delivered alert keeps its receipt and what was sent."""
    target = Scripted()
    rig.owe(URGENT)
    rig.start(target)
    rig.until_settled(1)
    history = rig.store.queries.history("urgent")
    assert history is not None
    (row,) = history.row.deliveries
    assert (row.state, row.receipt) == (State.DELIVERED, Receipt(remote_id="at-target-urgent"))
    assert history.payloads[row.id] == {"title": "urgent"}
    assert [attempt.outcome for attempt in history.attempts[row.id]] == ["delivered"]


def test_the_most_severe_go_first_and_the_oldest_of_these(rig: Rig) -> None:
    """Severity decides, then the time of publication."""
    target = Scripted(concurrency=1)
    rig.owe(
        alert(id="1", title="low", severity="low", published_at="2026-01-01T00:00:00Z"),
        alert(id="2", title="critical, new", severity="critical", published_at="2026-03-01T00:00:00Z"),
        alert(id="3", title="critical, old", severity="critical", published_at="2026-02-01T00:00:00Z"),
        alert(id="4", title="high", severity="high", published_at="2026-01-01T00:00:00Z"),
    )
    rig.start(target)
    rig.until_settled(4)
    assert target.titles == ["critical, old", "critical, new", "high", "low"]


def test_a_critical_overtakes_what_waits_behind_a_rate(rig: Rig) -> None:
    """An alert is claimed only when it may go out, so one that comes meanwhile is next."""
    target = Scripted(concurrency=4, max_rate="20/s")

    def take_and_owe_more(delivery: Delivery) -> Outcome:
        rig.owe(URGENT)
        return receipt(delivery)

    target.answers.append(take_and_owe_more)
    rig.owe(*lows(5))
    rig.start(target)
    rig.until_settled(6)
    assert target.titles[:2] == ["low 0", "urgent"]


def test_a_critical_overtakes_what_waits_behind_a_rate_limit(rig: Rig) -> None:
    """When the remote takes more again, the most severe goes first, not the one that was refused."""
    target = Scripted(concurrency=1)
    target.answers.append(RateLimited(60, "slow down"))
    rig.owe(*lows(3))
    rig.start(target)
    rig.until_outcomes("rate_limited")
    rig.owe(URGENT)
    rig.pass_(61)
    rig.until_settled(4)
    assert target.titles[:2] == ["low 0", "urgent"]


def test_one_hanging_destination_delays_no_other(rig: Rig) -> None:
    """A connector's workers are its own."""
    stuck, swift, let_go = Scripted("stuck"), Scripted("swift"), threading.Event()

    def hang(delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return receipt(delivery)

    stuck.answers.extend([hang, hang])
    rig.owe(*lows(20), to=("stuck", "swift"))
    rig.start(stuck)
    rig.start(swift)
    until(lambda: len(swift.sent) == 20)
    until(lambda: len(stuck.sent) == 2)
    let_go.set()
    rig.until_settled(40)


def test_no_more_are_under_way_than_allowed(rig: Rig) -> None:
    """`concurrency` deliveries go out together, and no more."""
    target, together = Scripted(concurrency=3), threading.Barrier(3)

    def meet(delivery: Delivery) -> Outcome:
        together.wait(PATIENCE)
        return receipt(delivery)

    target.answers.extend([meet] * 6)
    rig.owe(*lows(6))
    rig.start(target)
    rig.until_settled(6)
    assert target.at_once == 3


# What an outcome means


def test_a_rate_limit_spends_no_attempt_and_holds_the_connector(rig: Rig) -> None:
    """Nothing more is sent before the time that the remote named."""
    target = Scripted(concurrency=1)
    target.answers.append(RateLimited(60, "slow down"))
    rig.owe(*lows(3))
    dispatcher = rig.start(target)
    rig.until_outcomes("rate_limited")
    rig.pass_(50)
    until(lambda: dispatcher.is_drained(5))
    assert not dispatcher.is_drained(15)
    assert len(target.sent) == 1
    rig.pass_(11)
    rig.until_settled(3)
    assert [delivery.attempt for delivery in target.sent] == [1, 1, 1, 1]
    assert {row.attempts for row in rows(rig.store)} == {1}


def test_a_failure_is_tried_again_after_a_backoff(rig: Rig) -> None:
    """An attempt is spent, and the next one comes when it is due."""
    target = Scripted()
    target.answers.extend([Retry("not now"), Retry("not now either", after=30)])
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("retry")
    rig.pass_(2.1)
    rig.until_outcomes("retry", "retry")
    rig.pass_(25)
    assert len(target.sent) == 2
    rig.pass_(6)
    rig.until_settled(1)
    assert [delivery.attempt for delivery in target.sent] == [1, 2, 3]


def test_a_broken_destination_is_paused_once_and_probed(rig: Rig) -> None:
    """Its queue is kept, one delivery probes it with growing pauses, and all go out when one gets through."""
    target = Scripted(concurrency=4)
    target.answers.extend([Broken("the token was revoked")] * 3)
    # All of them are under way when it breaks: what was never tried would be an early probe.
    rig.owe(*lows(4))
    # The first one alone, so that only one meets the broken destination before it is known to be broken.
    first = threading.Event()

    def break_down(_delivery: Delivery) -> Outcome:
        first.wait(PATIENCE)
        return Broken("the token was revoked")

    target.answers[0] = break_down
    target.answers.extendleft([break_down] * 3)
    rig.start(target)
    until(lambda: len(target.sent) == 4)
    first.set()
    rig.until_outcomes(*["broken"] * 4)
    pause = rig.store.outbox.pause_of("target")
    assert pause is not None
    assert pause.reason == "the token was revoked"
    for probe, wait in enumerate((60, 120), start=1):
        rig.pass_(wait - 1)
        assert len(target.sent) == 3 + probe
        rig.pass_(2)
        rig.until_outcomes(*["broken"] * (4 + probe))
    assert sum(attempt.paused for attempt in rig.heard.attempts) == 1
    rig.pass_(241)
    rig.until_settled(4)
    assert sum(attempt.resumed for attempt in rig.heard.attempts) == 1
    assert {row.attempts for row in rows(rig.store)} == {1}
    assert rig.store.outbox.pause_of("target") is None


def test_a_new_alert_probes_a_paused_destination_early(rig: Rig) -> None:
    """What paused it may be at fault itself: then the new one arrives, and the other fails by itself from then on."""
    target = Scripted(concurrency=2)
    target.answers.append(Broken("a firewall says 403"))
    rig.owe(*lows(1))
    rig.start(target)
    rig.until_outcomes("broken")
    target.answers.extend([receipt, Broken("a firewall says 403")])
    rig.owe(URGENT)
    rig.pass_(2)
    rig.until_outcomes("broken", "delivered", "retry")
    assert target.titles == ["low 0", "urgent", "low 0"]
    assert rig.store.outbox.pause_of("target") is None


def test_one_tries_after_a_rate_limit_and_the_others_follow(rig: Rig) -> None:
    """What is under way when the limit is reached counts for nothing."""
    target, let_go = Scripted(concurrency=3), threading.Event()
    target.answers.append(RateLimited(60, "slow down"))
    rig.owe(*lows(1))
    rig.start(target)
    rig.until_outcomes("rate_limited")

    def hang(delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return receipt(delivery)

    target.answers.append(hang)
    rig.owe(*lows(6)[1:])
    rig.pass_(61)
    until(lambda: len(target.sent) == 2)
    rig.pass_(5)
    assert len(target.sent) == 2
    let_go.set()
    rig.until_settled(6)


def test_a_probe_that_fails_in_another_way_keeps_the_pause(rig: Rig) -> None:
    """Only a delivery that gets an answer shows that the destination works."""
    target = Scripted()
    target.answers.extend([Broken("revoked"), Retry("a server error"), RateLimited(1, "slow down")])
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("broken")
    rig.pass_(61)
    rig.until_outcomes("broken", "retry")
    assert rig.store.outbox.pause_of("target") is not None
    rig.pass_(121)
    rig.until_outcomes("broken", "retry", "rate_limited")
    assert rig.store.outbox.pause_of("target") is not None
    rig.pass_(241)
    rig.until_settled(1)
    assert rig.store.outbox.pause_of("target") is None


def test_a_probe_that_is_asked_for_from_elsewhere_goes_at_once(rig: Rig) -> None:
    """A command in another process makes the next probe due, and the dispatcher sees it."""
    target = Scripted()
    target.answers.append(Broken("revoked"))
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    rig.until_outcomes("broken")
    assert rig.store.operations.probe_now("target", now=rig.now())
    dispatcher.wake()
    rig.until_settled(1)


def test_a_refusal_becomes_a_dead_letter_and_the_others_go_on(rig: Rig) -> None:
    """A message that will never be accepted is set aside with the reason."""
    target = Scripted(concurrency=1)
    target.answers.append(Rejected("too long"))
    rig.owe(*lows(3))
    dispatcher = rig.start(target)
    rig.until_settled(3)
    (dead,) = rows(rig.store, state=State.DEAD)
    assert (dead.last, dispatcher.dead) == ("too long", 1)


def test_what_fails_for_too_long_becomes_a_dead_letter(rig: Rig) -> None:
    """After `give_up_after` of failing, the reason stands in the dead letter."""
    target = Scripted(give_up_after="1h")
    target.answers.extend([Retry("it is down")] * 2)
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("retry")
    rig.pass_(3601)
    rig.until_settled(1)
    (dead,) = rows(rig.store, state=State.DEAD)
    assert dead.last == "Gave up after 1h: it is down"


def test_a_destination_that_is_down_is_tried_by_one_at_a_time(rig: Rig) -> None:
    """After three failures pauses grow between tries, and a success makes everything due again."""
    target = Scripted(concurrency=4)
    together = threading.Barrier(4)

    def fail_together(_delivery: Delivery) -> Outcome:
        together.wait(PATIENCE)
        return Retry("connection refused", after=1)

    target.answers.extend([fail_together] * 4)
    target.answers.extend([Retry("connection refused", after=3600)] * 2)
    rig.owe(*lows(4))
    rig.start(target)
    until(lambda: len(rig.heard.attempts) == 4)
    rig.owe(*lows(12)[4:])
    target.at_once = 0
    rig.pass_(2.1)
    until(lambda: len(rig.heard.attempts) == 5)
    rig.pass_(2)
    assert len(target.sent) == 5
    rig.pass_(2.1)
    until(lambda: len(rig.heard.attempts) == 6)
    assert target.at_once == 1
    rig.pass_(8.1)
    rig.until_settled(12)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Retry("refused"), State.READY),
        (RateLimited(60, "slow down"), State.READY),
        (Uncertain("no answer"), State.UNCERTAIN),
        (Rejected("too long"), State.DEAD),
        (Broken("revoked"), State.READY),
    ],
    ids=lambda value: type(value).__name__.lower() if not isinstance(value, State) else "",
)
def test_an_outcome_raised_from_deeper_down_counts_as_one_returned(rig: Rig, outcome: Any, state: State) -> None:
    """A connector may let out ``Failed``: its outcome and its reason stand, with no guess in their place."""
    target = Scripted(reconcile_after=(10,))
    target.answers.append(Failed(outcome))
    rig.owe(URGENT)
    rig.start(target)
    until(lambda: rig.heard.attempts)
    (row,) = rows(rig.store)
    assert (row.state, row.last) == (state, outcome.reason)
    assert (rig.store.outbox.pause_of("target") is not None) == isinstance(outcome, Broken)


# What is uncertain


def test_what_is_uncertain_is_looked_for_before_it_is_sent_again(rig: Rig) -> None:
    """It is found by the second look, and nothing was sent twice."""
    target = Scripted(reconcile_after=(10, 60))
    target.answers.append(Uncertain("no answer"))
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("uncertain")
    rig.pass_(9)
    assert target.looked == []
    rig.pass_(2)
    rig.until_outcomes("uncertain", "not_found")
    target.there.append(Receipt(remote_id="found"))
    rig.pass_(51)
    rig.until_settled(1)
    (row,) = rows(rig.store)
    assert row.receipt == Receipt(remote_id="found")
    assert len(target.sent) == 1


def test_what_no_look_finds_is_sent_again(rig: Rig) -> None:
    """After the last look, and not before."""
    target = Scripted(reconcile_after=(10, 60))
    target.answers.append(Uncertain("no answer"))
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("uncertain")
    rig.pass_(11)
    rig.until_outcomes("uncertain", "not_found")
    assert len(target.sent) == 1
    rig.pass_(51)
    rig.until_settled(1)
    assert (len(target.looked), len(target.sent)) == (2, 2)


@pytest.mark.parametrize(
    "failure", [look_failed(Retry("the search failed")), RuntimeError("unforeseen")], ids=["reported", "unforeseen"]
)
def test_nothing_is_sent_while_looking_fails(rig: Rig, failure: Exception) -> None:
    """A search that failed is not a search that found nothing."""
    target = Scripted(reconcile_after=(10,))
    target.answers.append(Uncertain("no answer"))
    target.there.extend([failure, Receipt(remote_id="found")])
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("uncertain")
    rig.pass_(11)
    rig.until_outcomes("uncertain", "retry")
    assert rig.states() == [State.UNCERTAIN]
    rig.pass_(10)
    rig.until_settled(1)
    assert len(target.sent) == 1


# What nobody foresaw


def test_an_exception_while_sending_counts_as_uncertain(rig: Rig) -> None:
    """It may have happened after the remote took it."""
    target = Scripted(reconcile_after=(10,))
    target.answers.append(RuntimeError("unforeseen, with xoxb-not-a-real-token"))
    rig.owe(URGENT)
    rig.start(target)
    rig.until_outcomes("uncertain")
    assert rows(rig.store)[0].last == "Sending failed unexpectedly (RuntimeError)."


def test_an_alert_that_cannot_be_rendered_stops_no_other(rig: Rig) -> None:
    """It is tried again, for the next version may have a form for it."""
    target = Scripted(concurrency=1)
    target.unrenderable = {"low 0"}
    rig.owe(*lows(3))
    rig.start(target)
    rig.until_settled(2)
    assert target.titles == ["low 1", "low 2"]
    until(lambda: rows(rig.store)[0].attempts == 1)
    assert "could not be made" in rows(rig.store)[0].last


def test_a_connector_that_breaks_its_contract_stops_no_worker(rig: Rig) -> None:
    """An answer that is not an Outcome counts as uncertain, and the workers go on."""
    target = Scripted(concurrency=1)
    target.answers.append(lambda _delivery: None)  # type: ignore[arg-type, return-value]
    rig.owe(*lows(3))
    rig.start(target)
    rig.until_settled(2)
    assert "no valid outcome" in rows(rig.store)[0].last


def test_a_receipt_that_cannot_be_kept_stops_no_worker(rig: Rig) -> None:
    """Whatever a connector does to its own delivery, the others go out."""
    target = Scripted(concurrency=1)
    target.answers.append(Delivered(Receipt(remote_id=None)))  # type: ignore[arg-type]
    rig.owe(*lows(3))
    rig.start(target)
    rig.until_settled(2)
    assert rig.states()[0] is State.SENDING


class Opaque(Scripted):
    """Renders what no JSON can hold."""

    def render(self, delivery: Delivery) -> dict[str, Any]:
        return {"alert": delivery.alert}


def test_a_payload_that_cannot_be_kept_is_not_sent_twice(rig: Rig) -> None:
    """The delivery is written down without it."""
    target = Opaque()
    rig.owe(URGENT)
    rig.start(target)
    rig.until_settled(1)
    assert len(target.sent) == 1


def test_reasons_are_redacted(rig: Rig) -> None:
    """What a connector says by mistake is blotted out before it is kept."""
    target = Scripted()
    target.answers.append(Rejected("the token hush is bad"))
    rig.owe(URGENT)
    rig.start(target, redact=lambda text: text.replace("hush", "[secret]"))
    rig.until_settled(1)
    assert rows(rig.store)[0].last == "the token [secret] is bad"


# When the database fails


def test_a_full_disk_delays_the_settling_and_sends_nothing_twice(rig: Rig) -> None:
    """What the remote took is written down as soon as the database takes writes again."""
    target = Scripted()
    large = Receipt(remote_id=os.urandom(200_000).hex())

    def fill_the_disk(_delivery: Delivery) -> Outcome:
        rig.store.engine.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        return Delivered(large)

    target.answers.append(fill_the_disk)
    rig.owe(URGENT)
    rig.start(target)
    until(lambda: rig.heard.failures)
    assert "the disk is full" in rig.heard.failures[0]
    assert rig.states() == [State.SENDING]
    rig.store.engine.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    rig.until_settled(1)
    assert len(target.sent) == 1


class Stopping(Outbox):
    """An outbox whose every claim is followed by a stop, before a worker can begin."""

    stop: Any = None

    def claim(self, connector: str, limit: int, **how: Any) -> list[Claimed]:
        claimed = super().claim(connector, limit, **how)
        if claimed:
            self.stop()
        return claimed


def test_a_stop_gives_back_what_was_claimed_but_not_begun(tmp_path: Path) -> None:
    """Nobody has to look for it at the next start."""
    store, target = Store.open_exclusive(tmp_path / "forwarder.db"), Scripted(concurrency=2)
    store.outbox = outbox = Stopping(store.engine, store.memory)
    enqueue(store, *lows(3))
    dispatcher = Dispatcher(target, store, now=Time().clock(), random=lambda: 1.0, listener=Listener())
    outbox.stop = dispatcher.stop
    dispatcher.start()
    assert dispatcher.join(PATIENCE)
    assert [row.state for row in rows(store)] == [State.READY] * 3
    assert target.sent == []
    assert target.closed
    store.close()


def test_a_send_under_way_ends_before_the_stop_does(rig: Rig) -> None:
    """What the remote takes in the last moment is written down."""
    target, let_go = Scripted(concurrency=1), threading.Event()

    def hang(delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return receipt(delivery)

    target.answers.append(hang)
    rig.owe(*lows(2))
    dispatcher = rig.start(target)
    until(lambda: target.sent)
    dispatcher.stop()
    assert not dispatcher.join(0.05)
    let_go.set()
    assert dispatcher.join(PATIENCE)
    assert rig.states() == [State.DELIVERED, State.READY]


def test_a_late_worker_overwrites_nothing(rig: Rig) -> None:
    """A worker whose lease ended, and whose delivery another one took over, reports nothing."""
    target, let_go = Scripted(concurrency=1), threading.Event()

    def hang(_delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return Rejected("too late")

    target.answers.append(hang)
    rig.owe(URGENT)
    late = rig.start(target)
    until(lambda: target.sent)
    rig.time.pass_(3600)
    assert rig.store.outbox.reclaim_expired(now=rig.now(), due_at={}, all_claims=False) == {"target": 1}
    rig.start(Scripted())
    rig.until_settled(1)
    let_go.set()
    late.stop()
    assert late.join(PATIENCE)
    rig.until_outcomes("delivered")
    assert rig.states() == [State.DELIVERED]


def test_a_lease_outlasts_all_requests_of_a_delivery(rig: Rig) -> None:
    """A worker that waits out the time of each of its requests keeps its claim, so nobody else sends the same."""
    target, let_go = Scripted(concurrency=1, timeout="5m"), threading.Event()

    def hang(delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return receipt(delivery)

    target.answers.append(hang)
    rig.owe(URGENT)
    rig.start(target)
    until(lambda: target.sent)
    rig.time.pass_(8 * 300 + 30)
    assert rig.store.outbox.reclaim_expired(now=rig.now(), due_at={}, all_claims=False) == {}
    let_go.set()
    rig.until_settled(1)
    assert len(target.sent) == 1


def test_a_delivery_s_requests_end_within_its_lease(rig: Rig) -> None:
    """However many requests a look or a send makes, all of them together are given less time than the lease."""
    left: list[float | None] = []

    def sending(delivery: Delivery) -> Outcome:
        left.append(remaining())
        return receipt(delivery)

    target = Scripted(timeout="10s")
    target.answers.append(sending)
    rig.owe(URGENT)
    rig.start(target)
    until(lambda: left)
    assert left[0] is not None
    assert 60 < left[0] <= 10 * REQUESTS


# Whether all is drained


def test_what_waits_for_a_backoff_is_drained(rig: Rig) -> None:
    """Only a rate limit is waited out by those who wait for the queue to drain, not a failing destination."""
    target, let_go = Scripted(concurrency=1), threading.Event()

    def hang(_delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return Retry("down", after=600)

    target.answers.append(hang)
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    until(lambda: target.sent)
    assert not dispatcher.is_drained(30)
    let_go.set()
    rig.until_outcomes("retry")
    until(lambda: dispatcher.is_drained(30))


def test_the_last_one_behind_a_rate_limit_is_not_drained(rig: Rig) -> None:
    """It goes out as soon as the remote allows."""
    target = Scripted()
    target.answers.append(RateLimited(20, "slow down"))
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    rig.until_outcomes("rate_limited")
    until(lambda: dispatcher.is_drained(10))
    assert not dispatcher.is_drained(30)


def test_a_probe_that_is_due_is_not_drained(rig: Rig) -> None:
    """A paused connector is drained only until its next probe."""
    target = Scripted()
    target.answers.append(Broken("revoked"))
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    rig.until_outcomes("broken")
    until(lambda: dispatcher.is_drained(30))
    rig.time.pass_(61)
    assert not dispatcher.is_drained(30)


class Claiming(Outbox):
    """An outbox in which a claim is committed and its worker has not heard of it yet."""

    claimed: threading.Event
    go_on: threading.Event

    def claim(self, connector: str, limit: int, **how: Any) -> list[Claimed]:
        found = super().claim(connector, limit, **how)
        if found:
            self.claimed.set()
            self.go_on.wait(PATIENCE)
        return found


def test_what_is_just_being_claimed_is_not_drained(tmp_path: Path) -> None:
    """Between the claim's commit and the worker there is no moment in which all seems done."""
    store = Store.open_exclusive(tmp_path / "forwarder.db")
    store.outbox = outbox = Claiming(store.engine, store.memory)
    outbox.claimed, outbox.go_on = threading.Event(), threading.Event()
    enqueue(store, URGENT)
    dispatcher = Dispatcher(Scripted(), store, now=Time().clock(), random=lambda: 1.0, listener=Listener())
    dispatcher.start()
    assert outbox.claimed.wait(PATIENCE)
    assert not dispatcher.is_drained(30)
    outbox.go_on.set()
    until(lambda: dispatcher.is_drained(30))
    dispatcher.stop()
    assert dispatcher.join(PATIENCE)
    store.close()


# When the clock is set


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forth", "back"])
def test_a_clock_that_is_set_moves_a_rate_limit_along(rig: Rig, step: float) -> None:
    """Neither is it cut short, nor does it last an hour longer."""
    target = Scripted()
    target.answers.append(RateLimited(20, "slow down"))
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    rig.until_outcomes("rate_limited")
    rig.time.step(step)
    assert rig.follow(dispatcher)
    until(lambda: dispatcher.is_drained(10))
    assert not dispatcher.is_drained(30)
    rig.pass_(21)
    rig.until_settled(1)


class Settling(Outbox):
    """Settles once it may; ``began`` says that a worker has begun to."""

    began: threading.Event
    go_on: threading.Event

    def settle(self, claimed: Claimed, settlement: Settlement, **more: Any) -> bool:
        self.began.set()
        self.go_on.wait(PATIENCE)
        return super().settle(claimed, settlement, **more)


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forth", "back"])
@pytest.mark.parametrize("answer", [Retry("busy"), Uncertain("no answer"), RateLimited(20, "slow down")])
def test_a_clock_set_while_an_attempt_is_written_down_delays_nothing(rig: Rig, step: float, answer: Outcome) -> None:
    """What was judged by one clock is not written down among what goes by another one."""
    rig.store.outbox = outbox = Settling(rig.store.engine, rig.store.memory)
    outbox.began, outbox.go_on = threading.Event(), threading.Event()
    target = Scripted(reconcile_after=(10, 60))
    target.answers.append(answer)
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    assert outbox.began.wait(PATIENCE)
    rig.time.step(step)
    followed = rig.follow(dispatcher)
    outbox.go_on.set()
    until(lambda: rig.heard.attempts)
    assert followed or rig.follow(dispatcher)
    (row,) = rows(rig.store)
    assert 0 < row.due_at - rig.now() <= 60
    rig.pass_(60)
    rig.pass_(60)
    rig.until_settled(1)


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forth", "back"])
def test_a_clock_set_while_something_is_looked_for_delays_nothing(rig: Rig, step: float) -> None:
    """The times of the looks count from the send by the clock as it was then, however long a look takes."""
    looks, go_on = threading.Event(), threading.Event()

    class Searching(Scripted):
        def find(self, delivery: Delivery) -> Receipt | None:
            looks.set()
            go_on.wait(PATIENCE)
            return super().find(delivery)

    target = Searching(reconcile_after=(10, 60))
    target.answers.append(Uncertain("no answer"))
    rig.owe(URGENT)
    dispatcher = rig.start(target)
    rig.until_outcomes("uncertain")
    rig.pass_(11)
    assert looks.wait(PATIENCE)
    rig.time.step(step)
    assert rig.follow(dispatcher)
    go_on.set()
    rig.until_outcomes("uncertain", "not_found")
    (row,) = rows(rig.store)
    assert row.due_at - rig.now() == pytest.approx(49, abs=0.1)
    rig.pass_(50)
    rig.until_settled(1)
    assert len(target.sent) == 2


def test_a_ticket_s_link_reaches_a_message_that_went_before(rig: Rig) -> None:
    """The message is updated with the link once, after all that waits to be opened."""
    chat, let_go = Scripted("chat", follows=True, concurrency=1), threading.Event()
    tickets = Scripted("tickets")
    tickets.answers.append(lambda _: Delivered(Receipt(remote_id="SEC-1", url="https://jira.example/SEC-1")))

    def hang(delivery: Delivery) -> Outcome:
        let_go.wait(PATIENCE)
        return receipt(delivery)

    chat.answers.append(hang)
    rig.owe(URGENT, to=("chat", "tickets"))
    rig.owe(*lows(3), to=("chat",))
    woken: list[Collection[str]] = []
    rig.start(chat, followers=("chat",))
    until(lambda: chat.sent)
    rig.start(tickets, followers=("chat",), links_after=0.0, wake=woken.append)
    until(lambda: len(rows(rig.store, "chat")) == 5)
    let_go.set()
    rig.until_settled(6)
    until(lambda: woken)
    assert woken == [("chat",)]
    assert chat.titles == ["urgent", "low 0", "low 1", "low 2", "urgent"]
    update = chat.sent[-1]
    assert (update.kind.value, update.changes, [link.text for link in update.links]) == ("update", (), ["SEC-1"])
    assert update.receipt == Receipt(remote_id="at-chat-urgent")
