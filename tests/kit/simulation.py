"""The real dispatcher, breaker, rate limiter and store in simulated time: nothing waits, and hours pass in moments."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forwarder.alert import Alert
from forwarder.connector import Delivery, Failed, Outcome, Payload, Receipt, Retry
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.delivery.transitions import ATTEMPTS
from forwarder.events import AttemptFinished, Listener
from forwarder.store import Store
from forwarder.store.records import Claimed
from tests.kit.core import Scripted, enqueue, receipt
from tests.kit.store import Time


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a destination takes an alert: what it answers, after how many seconds, and whether it can be rendered."""

    answer: Callable[[Delivery], Outcome] = receipt
    seconds: float = 0.1
    renders: bool = True
    is_found: bool = False


class Destination(Scripted):
    """A connector whose every alert has its own behaviour; ``down`` overrules them all while it returns an outcome."""

    def __init__(self, time: Time, behaviour: Mapping[str, Behaviour], **config: Any) -> None:
        super().__init__(**config)
        self.time, self.behaviour = time, behaviour
        self.down: Callable[[], Outcome | None] = lambda: None
        self.down_seconds = 0.1
        self.sent_at: dict[str, list[float]] = {}

    def seconds(self, delivery: Delivery) -> float:
        return self.down_seconds if self.down() else self.of(delivery).seconds

    def of(self, delivery: Delivery) -> Behaviour:
        return self.behaviour.get(delivery.alert.id, Behaviour())

    def render(self, delivery: Delivery) -> Payload:
        if not self.of(delivery).renders:
            raise RuntimeError("no form for this")
        return {"title": delivery.alert.title}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:  # noqa: ARG002 - the contract's signature
        self.sent_at.setdefault(delivery.alert.id, []).append(self.time.now)
        self.time.advance(self.seconds(delivery))
        self.sent.append(delivery)
        return self.down() or self.of(delivery).answer(delivery)

    def find(self, delivery: Delivery) -> Receipt | None:
        self.looked.append(delivery)
        if self.down() is not None:
            raise Failed(Retry("the search had no answer"))
        return Receipt(remote_id="found") if self.of(delivery).is_found else None


class _Stepped(Dispatcher):
    """A dispatcher whose workers are the simulation's."""

    def claim_next(self) -> Claimed | float:
        """What a free worker takes now; where there is nothing, the seconds until there may be."""
        if not self._claimed and (wait := self._poll_queue()) > 0:
            return wait
        return self._begin()

    def finish(self, claimed: Claimed) -> None:
        self._carry_out(claimed)

    def recall(self) -> None:
        self._recall()


@dataclass
class _Heard(Listener):
    time: Time
    attempts: list[tuple[float, AttemptFinished]] = field(default_factory=list)

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        self.attempts.append((self.time.now, attempt))


class Simulation:
    """One connector at work. ``heard`` are its attempts, each with the time at which it ended."""

    def __init__(self, path: Path, behaviour: Mapping[str, Behaviour], *, seed: int = 0, **config: Any) -> None:
        self.time = Time()
        self.start = self.time.now
        self.store = Store.open_exclusive(path)
        self.destination = Destination(self.time, behaviour, **config)
        self._listener = _Heard(self.time)
        self.heard = self._listener.attempts
        self._dispatcher = self._made(seed)
        self._under_way: list[tuple[float, int, float, Claimed]] = []

    def _made(self, seed: int) -> _Stepped:
        return _Stepped(
            self.destination,
            self.store,
            now=self.time,
            random=random.Random(seed).random,
            listener=self._listener,
            clock=self.time,
        )

    def restart(self, seed: int = 1) -> None:
        """Goes on in another process, with what the store knows; what was under way died with the first."""
        self._under_way.clear()
        self.store.outbox.reclaim_expired(now=self.time.now, due_at={}, all_claims=True)
        self.store.outbox.reset_deadlines(now=self.time.now, most=ATTEMPTS.most)
        self._dispatcher = self._made(seed)
        self._dispatcher.recall()

    def owe(self, *alerts: Alert) -> None:
        enqueue(self.store, *alerts, now=self.time.now)

    @property
    def elapsed(self) -> float:
        return self.time.now - self.start

    def delivered(self) -> dict[str, float]:
        """When each alert arrived, in seconds since the start."""
        return {
            attempt.claimed.delivery.alert.id: at - self.start
            for at, attempt in self.heard
            if attempt.settlement.outcome == "delivered"
        }

    def run(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        """Lets ``seconds`` pass, or fewer where ``until`` holds before."""
        end = self.time.now + seconds
        while not until():
            free = self.destination.config.concurrency - len(self._under_way)
            wait = self._begin() if free > 0 else math.inf
            if wait == 0:
                continue
            next_end = self._under_way[0][0] if self._under_way else math.inf
            at = min(self.time.now + wait, next_end)
            if at > end:
                self.time.now = end
                return
            self.time.now = at
            if next_end <= at:
                self._finish()

    def close(self) -> None:
        self.store.close()

    def _begin(self) -> float:
        claimed = self._dispatcher.claim_next()
        if not isinstance(claimed, Claimed):
            # A moment at least, for a deadline may lie less than the clock can tell ahead.
            return max(claimed, 1e-3)
        now = self.time.now
        ends = now + (
            self.destination.seconds(claimed.delivery) if self.destination.of(claimed.delivery).renders else 0
        )
        heapq.heappush(self._under_way, (ends, claimed.delivery.id, now, claimed))
        return 0.0

    def _finish(self) -> None:
        ends, _, began, claimed = heapq.heappop(self._under_way)
        # The dispatcher reads the time when it begins, and the destination lets it pass.
        self.time.now = began
        self._dispatcher.finish(claimed)
        self.time.now = ends
