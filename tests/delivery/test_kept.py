"""A destination that knows messages again is sent the same one word for word, or nothing at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.connector import Delivery, Outcome, Payload, Uncertain
from forwarder.delivery.attempt import Attempts
from forwarder.delivery.breaker import Breaker
from forwarder.delivery.rate_limiter import RateLimiter
from forwarder.store import Store, StoreError
from forwarder.store.records import AttemptResult, Claimed, State
from forwarder.testing import alert
from tests.kit.core import Scripted
from tests.kit.store import NOW, claim, enqueue, settle


class Knowing(Scripted):
    """A destination by whose messages' ids it knows them again; each time that one is made, it says something else."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.made, self.posted = 0, list[Payload]()

    def render(self, delivery: Delivery) -> Payload:
        self.made += 1
        return {"id": delivery.alert.id, "made": self.made}

    def message_id(self, payload: Payload) -> str:
        return str(payload["id"])

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        self.posted.append(payload)
        return super().deliver(delivery, payload)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        enqueue(opened, alert(id="a"), "target")
        yield opened


def attempts(connector: Knowing, **more: Any) -> Attempts:
    chance = random.Random(1).random
    limiter = RateLimiter(None, lambda: NOW)
    with limiter.claiming() as claim_sends:
        claim_sends(2)
    return Attempts(connector, Breaker(chance), limiter, now=lambda: NOW, random=chance, **more)


def test_what_may_have_arrived_is_sent_as_it_was(store: Store) -> None:
    """The second attempt posts what the first one did, though the message would read otherwise by now."""
    connector = Knowing()
    connector.answers += [Uncertain("no answer")]
    trying = attempts(connector, keep=store.outbox.keep)
    first = claim(store, "target")
    settle(store, first, trying.carry_out(first))
    second = claim(store, "target", now=NOW + 3600)
    assert trying.carry_out(second).state is State.DELIVERED
    assert connector.posted == [{"id": "a", "made": 1}] * 2


def test_what_cannot_be_kept_is_not_sent(store: Store) -> None:
    """A database that takes nothing, and a claim that another has taken over, put the delivery off."""
    connector = Knowing()

    def failing(_: Claimed, __: Payload) -> bool:
        raise StoreError("the disk is full")

    claimed = claim(store, "target")
    for keep, says in ((failing, "the disk is full"), (lambda _, __: False, "another worker")):
        settlement = attempts(connector, keep=keep).carry_out(claimed)
        assert settlement.outcome is AttemptResult.RETRY
        assert says in settlement.reason
    assert connector.posted == []
