"""A webhook and the whole forwarder: what is told arrives once and in order, and a repeat is word for word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest

from forwarder.alert import Severity
from forwarder.connector import Action, Resolution
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import AttemptResult, State
from tests.kit.samples import real_alerts
from tests.kit.thorough import beyond
from tests.torture.rig import Rig

FEW, MANY = 60, 200
LOSSES = (
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.STATUS_AFTER, status=502),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.STATUS, status=503),
    Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "2"}),
)
"""What goes wrong once with each batch; after the first two the message is there, and nobody knows."""
PATH = "POST /hooks/"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture
def rig(sandbox: Sandbox, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, sandbox, ["webhook"]) as made:
        made.poll()
        yield made


def drafts(count: int) -> list[dict[str, Any]]:
    """Real alerts as if they had been published within the last minutes."""
    now = datetime.now(UTC)
    return [
        {**raw, "published_at": (now - timedelta(seconds=count - number)).isoformat()}
        for number, raw in enumerate(real_alerts()[:count])
    ]


def strike(rig: Rig, fault: Fault) -> None:
    """Lets the next message meet a fault."""
    rig.sandbox.webhook.inject(Fault(kind=fault.kind, status=fault.status, headers=fault.headers, path=PATH))


@pytest.mark.parametrize("count", beyond([FEW], [FEW, MANY]))
def test_real_alerts_with_updates_and_responses_arrive_once(rig: Rig, count: int) -> None:
    """So many alerts, a change of each and two decisions about it come once, in order, whatever is lost."""
    raws, losses, batch = drafts(count), cycle(LOSSES), count // 10
    for start in range(0, count, batch):
        strike(rig, next(losses))
        rig.sandbox.sentrytex.publish(*raws[start : start + batch])
        rig.poll()
        rig.settle()
    for number, raw in enumerate(raws):
        rig.sandbox.sentrytex.update(raw["id"], cvss_score=0.1 + number / 100)
    strike(rig, next(losses))
    rig.forwarder.sweep()
    rig.settle()
    respond = rig.forwarder.life.responses.respond
    for raw in raws:
        if raw["id"].endswith(("0", "1", "2")):
            strike(rig, next(losses))
        respond(raw["id"], Action.ACKNOWLEDGE, person="Ada", reason="I look into it.")
        respond(raw["id"], Action.RESOLVE, person="Ben", resolution=Resolution.NOT_AFFECTED)
        rig.settle()
    expected = ["alert.opened", "alert.updated", "alert.acknowledged", "alert.resolved"]
    for raw in raws:
        assert [message["type"] for message in rig.sandbox.webhook.about(raw["id"])] == expected
    receiver = rig.sandbox.webhook
    assert len(receiver.messages) == count * len(expected)
    assert receiver.conflicts == []
    assert sum(receiver.repeats.values()) > 0
    assert not rig.store.queries.deliveries(Filter(state=State.DEAD))


def test_what_may_have_arrived_is_repeated_word_for_word(rig: Rig) -> None:
    """More is known of an alert by the second attempt; the receiver, which compares, hears that as an update."""
    rig.sandbox.webhook.inject(Fault(kind=FaultKind.RESET_AFTER, path=PATH))
    (alert,) = rig.world.publish(severity="high")
    rig.poll()
    rig.until(lambda: rig.heard.attempts)
    rig.sandbox.sentrytex.update(alert.id, severity="critical")
    rig.forwarder.sweep()
    rig.settle()
    first, second = rig.sandbox.webhook.about(alert.id)
    assert (first["type"], first["data"]["alert"]["severity"]) == ("alert.opened", "high")
    assert (second["type"], second["data"]["alert"]["severity"]) == ("alert.updated", "critical")
    assert rig.sandbox.webhook.repeats[first["id"]] == 1
    assert rig.sandbox.webhook.conflicts == []
    kept = rig.store.queries.history(alert.id)
    assert kept is not None
    assert first in kept.payloads.values()


def test_what_was_not_taken_is_told_as_it_is_by_then(rig: Rig) -> None:
    """A rate limit took nothing: the alert that comes after it is the one of now, and its change is no update."""
    rig.sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "60"}, path=PATH))
    (alert,) = rig.world.publish(severity="high")
    rig.poll()
    rig.until(lambda: rig.heard.attempts)
    rig.sandbox.sentrytex.update(alert.id, severity="critical")
    rig.forwarder.sweep()
    rig.settle()
    (message,) = rig.sandbox.webhook.about(alert.id)
    assert message["data"]["alert"]["severity"] == "critical"


def test_what_a_person_sends_again_is_another_message(rig: Rig) -> None:
    """A replay has an id of its own, so that the receiver takes it."""
    (alert,) = rig.world.publish()
    rig.poll()
    rig.settle()
    rig.store.operations.replay([alert.id], ["webhook"], why="replayed", now=rig.now())
    rig.advance(0)
    rig.settle()
    first, second = rig.sandbox.webhook.about(alert.id)
    assert first["type"] == second["type"] == "alert.opened"
    assert first["id"] != second["id"]


def test_a_receiver_that_is_gone_keeps_its_queue(rig: Rig) -> None:
    """410 pauses the connector, with the reason; what waited goes out once the address is right again."""
    rig.sandbox.webhook.retire()
    alerts = rig.world.publish(5)
    rig.poll()
    rig.until(lambda: rig.forwarder.dispatchers["webhook"].is_drained(0.0) and rig.heard.attempts)
    (queue,) = rig.store.queries.queues(["webhook"])
    assert queue.pause is not None
    assert queue.pause.reason.startswith("The endpoint is gone")
    assert not rig.store.queries.deliveries(Filter(state=State.DEAD))
    rig.sandbox.webhook.restore()
    rig.settle()
    assert {message["data"]["alert"]["id"] for message in rig.sandbox.webhook.messages.values()} == {
        alert.id for alert in alerts
    }


def test_criticals_come_first(rig: Rig) -> None:
    """What waited while nothing was taken goes out by severity."""
    rig.sandbox.webhook.retire()
    for severity in reversed(Severity):
        rig.world.publish(10, severity=severity.value)
    rig.poll()
    rig.until(lambda: rig.forwarder.dispatchers["webhook"].is_drained(0.0) and rig.heard.attempts)
    rig.sandbox.webhook.restore()
    rig.settle()
    came = [Severity(one["data"]["alert"]["severity"]).rank for one in rig.sandbox.webhook.messages.values()]
    # One of any severity may have been the probe, and two go out at a time.
    inversions = sum(before > after for before, after in pairwise(came[1:]))
    assert len(came) == 40
    assert inversions <= 3


def test_an_answer_that_was_lost_is_noted_as_uncertain(rig: Rig) -> None:
    """The attempt says that nobody knows, and the next one that it arrived."""
    rig.sandbox.webhook.inject(Fault(kind=FaultKind.RESET_AFTER, path=PATH))
    rig.world.publish()
    rig.poll()
    rig.settle()
    outcomes = [attempt.settlement.outcome for attempt in rig.heard.attempts]
    assert outcomes == [AttemptResult.UNCERTAIN, AttemptResult.DELIVERED]
    assert Counter(rig.sandbox.webhook.repeats.values()) == {1: 1}
