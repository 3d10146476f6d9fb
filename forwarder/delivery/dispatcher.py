"""One turn per connector: claim, deliver, settle.

A dispatcher has as many worker threads as its connector may have deliveries under way. One of them at a time looks for
work and claims it, the others queue up behind it; so an alert is claimed only when it can go out at once, and a more
severe one that comes meanwhile overtakes all that wait.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel

from forwarder.common.clock import Now, still
from forwarder.connector import Connector, Delivery
from forwarder.delivery.attempt import Attempts
from forwarder.delivery.breaker import Breaker, Health
from forwarder.delivery.journal import note_claim, note_result
from forwarder.delivery.rate_limiter import RateLimiter
from forwarder.delivery.share import Share
from forwarder.delivery.under_way import UnderWay
from forwarder.delivery.workers import Workers
from forwarder.events import AttemptFinished, Listener
from forwarder.logs import get_logger
from forwarder.store import LeaseLost, Store, StoreError
from forwarder.store.records import AttemptResult, Claimed, Settlement, State, Turn

log = get_logger(__name__)

POLL_EVERY: Final = 2.0
"""Seconds after which an idle dispatcher polls its queue by itself: commands in other processes wake nobody."""
LINKS_AFTER: Final = 5.0
"""Seconds that a new link waits for others before a sent message is updated with it."""
SETTLE_EVERY: Final = 1.0
"""Seconds between two tries to record the result of an attempt."""
LEASE_MARGIN: Final = 60.0
"""Seconds that a lease lasts beyond the time-outs of all its requests."""


class Dispatcher:
    """Brings the deliveries of one connector to their destination."""

    def __init__(
        self,
        connector: Connector[Any],
        store: Store,
        *,
        now: Now,
        random: Callable[[], float],
        listener: Listener,
        followers: Collection[str] = (),
        wake: Callable[[Collection[str]], None] = lambda _: None,
        redact: Callable[[str], str] = str,
        owners: Callable[[Delivery], tuple[BaseModel, ...]] = lambda _: (),
        links_after: float = LINKS_AFTER,
        page_of: Callable[[str], str | None] = lambda _: None,
        guard: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connector, self.name = connector, connector.name
        self.dead = 0
        """Deliveries that became dead letters since the start."""
        self._store, self._now, self._random, self._listener = store, now, random, listener
        self.followers = followers
        """Connectors whose messages are given the links of what is delivered here; a reload replaces them."""
        self._wake_others, self._redact, self._links_after = wake, redact, links_after
        self._breaker, self._rate_limiter = Breaker(random), RateLimiter(connector.config.max_rate, clock)
        self._share, self._clock, self._claimed = Share(), clock, deque[Claimed]()
        self._attempts = Attempts(
            connector,
            self._breaker,
            self._rate_limiter,
            now=now,
            random=random,
            page_of=page_of,
            owners=owners,
            guard=guard,
            keep=store.outbox.keep,
            stepped=lambda: self._stepped,
        )
        self.lease = self._attempts.seconds + LEASE_MARGIN
        self._turn, self._state, self._claiming = threading.Lock(), threading.Lock(), threading.Lock()
        self._wake, self._stop, self._abandon = threading.Event(), threading.Event(), threading.Event()
        self._under_way, self._polls, self._stepped = UnderWay(clock), 0, 0.0
        self._polling = self._is_recalled = self._owed = False
        self._workers = Workers(self.name, connector.config.concurrency, self._work, self._stop)

    def start(self, predecessor: Dispatcher | None = None, *, taken: bool = False) -> None:
        """Begins to deliver, in threads of its own; after ``predecessor``, which had the same name, at its rate.

        ``taken`` says that another process may have been sending until now.
        """
        if taken:
            self._rate_limiter.wait_first()
        if predecessor is not None:
            self._rate_limiter.follow(predecessor._rate_limiter)
            self._breaker.follow(predecessor._breaker)
        self._workers.start()

    def tend(self) -> None:
        """Starts the workers that are missing, as far as the system gives threads; called again and again."""
        self._workers.tend()

    def recall(self) -> None:
        """Goes by what the store has of a pause from now on: another one may have written it."""
        self._is_recalled = False
        self._wake.set()

    @property
    def ended(self) -> bool:
        """Whether nothing is under way any more, after a stop."""
        return self._workers.ended

    def wake(self) -> None:
        """Something was enqueued: the queue is polled at once."""
        self._owed = True
        self._workers.tend()
        self._wake.set()

    def alive(self, now_monotonic: float) -> bool:
        """Whether all its workers live and turn; ``now_monotonic`` is what ``time.monotonic`` says.

        A worker that is free looks at the queue every few seconds; one that delivers ends before its lease does.
        """
        with self._state:
            busy = self._under_way.busy
        return self._workers.alive(now_monotonic, busy=busy, patience=self.lease)

    def stop(self) -> None:
        """Claims nothing more; what is under way goes on."""
        self._stop.set()
        self._wake.set()

    def abandon(self) -> None:
        """What is under way is settled by another one: nobody waits here for the database to take it."""
        self._abandon.set()

    def join(self, timeout: float) -> bool:
        """Waits up to ``timeout`` seconds for what is under way; true where all ended and nothing stays claimed."""
        ended = self._workers.join(timeout)
        self._abandon.set()
        if ended:
            self.connector.close()
        return ended

    def is_drained(self, patience: float) -> bool:
        """Whether nothing is under way or due, nor held by a rate limit that passes within ``patience`` seconds."""
        if (before := self._idle()) is None:
            return False
        due = self._store.outbox.next_due(self.name)
        # Meanwhile a worker may have claimed something, and even put it back.
        if self._idle() != before:
            return False
        return due is None or self._breaker.holds_back(due, now=self._now(), patience=patience)

    @property
    def waited(self) -> float:
        """Seconds since the destination asked to wait or was found down; 0 where it has answered since."""
        return self._breaker.waited(self._now())

    def shift_deadlines(self, seconds: float) -> None:
        """Moves what is kept in memory of deadlines along with a clock that was set."""
        with self._claiming:
            self._stepped += seconds
            self._breaker.shift_deadlines(seconds)
            self._share.shift_deadlines(seconds)
        self._wake.set()

    def _idle(self) -> int | None:
        """How often the queue was polled so far; None while somebody polls it, or something is under way."""
        with self._state:
            return None if self._polling or self._under_way.busy or self._claimed else self._polls

    def _recall(self) -> None:
        """What an earlier process, or the store's other readers, had learnt of the destination."""
        # Before it is read: what is written meanwhile is read once more.
        self._is_recalled = True
        try:
            self._breaker.pause = self._store.outbox.pause_of(self.name)
            self._breaker.answered_at = max(self._breaker.answered_at, self._store.outbox.answered_at(self.name))
        except StoreError:
            self._is_recalled = False
            raise

    # One worker

    def _work(self) -> None:
        while (claimed := self._next()) is not None:
            self._workers.show_life()
            self._carry_out(claimed)

    def _carry_out(self, claimed: Claimed) -> None:
        try:
            self._deliver(claimed)
        except Exception:
            # A connector that breaks its contract costs a delivery its lease, but never a worker.
            log.exception("worker_failed", connector=self.name, alert=claimed.delivery.alert.id)
        finally:
            with self._state:
                frees = self._under_way.end(claimed)
            if frees:
                self._wake.set()

    def _next(self) -> Claimed | None:
        """The next delivery for this worker, once there is one; None when it is time to stop."""
        with self._turn:
            while not self._stop.is_set():
                if self._claimed:
                    return self._begin()
                self._wake.clear()
                wait = self._poll_queue()
                if wait > 0:
                    self._wake.wait(min(wait, POLL_EVERY))
            while self._claimed:
                with suppress(Exception):  # the next start finds it, and looks for it
                    self._store.outbox.release(self._claimed.popleft())
        return None

    def _begin(self) -> Claimed:
        with self._state:
            claimed = self._claimed.popleft()
            self._under_way.begin(claimed)
        return claimed

    def _poll_queue(self) -> float:
        """Claims what can go out now, and returns 0; where nothing can, the seconds until that may change."""
        self._workers.show_life()
        self._workers.tend()
        with self._state:
            self._polling, self._polls = True, self._polls + 1
        try:
            with still(self._now), self._claiming:
                return self._claim()
        except LeaseLost:
            return POLL_EVERY
        except StoreError as error:
            self._listener.store_failed(str(error))
            log.error("store_failed", connector=self.name, reason=str(error))  # noqa: TRY400 - the sentence says it all
            return POLL_EVERY
        except Exception:
            # It is tried again, and the others of this connector wait no longer than it does.
            log.exception("queue_failed", connector=self.name)
            return POLL_EVERY
        finally:
            with self._state:
                self._polling = False

    def _claim(self) -> float:
        limit, wait = self._room()
        if wait > 0:
            return wait
        # What was enqueued is due. Whoever only heard that a delivery ended looks first, for a claim is a write.
        now, owed, self._owed = self._now(), self._owed, False
        if not owed and (wait := self._wait(now)) > 0:
            return wait
        turn, tries = self._turn_of(now), self._breaker.health is not Health.WORKING
        most = limit if turn.draw is None else 1
        with self._rate_limiter.claiming() as departing:
            claimed = self._store.outbox.claim(self.name, most, now=now, lease=self.lease, turn=turn)
            departing(len(claimed))
        if claimed:
            self._owed = len(claimed) == limit
            self._take(claimed, probe=tries or turn.draw is not None)
            return 0.0
        # What is due but cannot be claimed waits for an earlier delivery of its alert, which wakes us when it is done.
        return self._wait(now) or POLL_EVERY

    def _wait(self, now: float) -> float:
        due = self._store.outbox.next_due(self.name)
        return POLL_EVERY if due is None else max(due - now, 0.0)

    def _turn_of(self, now: float) -> Turn:
        """Which deliveries are next: the most severe, or what shows best whether the destination works."""
        with self._state:
            failing = self._under_way.room_for_failing(self.connector.config.concurrency)
            asking = self._under_way.probes > 0
        return Turn(
            answered_at=self._breaker.answered_at,
            failing=failing,
            failing_yields=self._share.yields(now),
            probe=self._breaker.searches,
            draw=self._random() if self._breaker.draws and not asking else None,
        )

    def _take(self, claimed: Collection[Claimed], *, probe: bool) -> None:
        failing = [one for one in claimed if self._breaker.keeps_failing(one.failing_since)]
        with self._state:
            self._under_way.expect(probes=claimed if probe else (), failing=failing)
        self._share.spend(len(claimed) - len(failing))
        self._claimed.extend(replace(one, stepped=self._stepped) for one in claimed)
        for one in claimed:
            note_claim(self.name, one, probe=probe)

    def _room(self) -> tuple[int, float]:
        """How many deliveries may be claimed, and the seconds until any may."""
        if not self._is_recalled:
            self._recall()
        elif self._breaker.pause is not None:
            # A person may have asked for a probe at once, from another process.
            self._breaker.pause = self._store.outbox.pause_of(self.name)
        now = self._now()
        untried = self._breaker.probes_early(now) is not None and self._store.outbox.has_untried(self.name, now=now)
        with self._state:
            # What was under way before the destination seemed to be down is no probe of it, however long it takes.
            busy = self._under_way.busy if self._breaker.health is Health.WORKING else self._under_way.probes
        limit, wait = self._breaker.room(self.connector.config.concurrency, busy=busy, now=now, untried=untried)
        if self._rate_limiter.limited and self._breaker.pause is None:
            return 1, max(wait, self._rate_limiter.wait())
        return limit, wait

    def _deliver(self, claimed: Claimed) -> None:
        started = self._clock()
        settlement = self._attempts.carry_out(claimed)
        if settlement.reason:
            settlement = replace(settlement, reason=self._redact(settlement.reason))
        self._settle(claimed, settlement, max(self._clock() - started, 0.0))

    def _settle(self, claimed: Claimed, settlement: Settlement, seconds: float) -> None:
        """Records what came of it, and draws the conclusions for the connector as a whole."""
        # Nobody may claim between a failure's commit and what is learnt from it: it would go out once more at once.
        waits = nullcontext() if settlement.outcome is AttemptResult.DELIVERED else self._claiming
        with still(self._now), waits:
            step = self._stepped - claimed.stepped
            claimed, settlement = claimed.moved(step), settlement.moved(step)
            ours = self._record(claimed, settlement, seconds)
            if ours is None:
                return
            paused, resumed = self._learn(claimed, settlement, seconds) if ours else (False, False)
        note_result(self.name, claimed, settlement, seconds, ours=ours)
        if ours:
            self._listener.attempt_finished(
                AttemptFinished(
                    connector=self.name,
                    claimed=claimed,
                    settlement=settlement,
                    seconds=seconds,
                    paused=paused,
                    resumed=resumed,
                )
            )
        self._wake.set()
        if settlement.receipt and settlement.receipt.url:
            self._wake_others(self.followers)

    def _record(self, claimed: Claimed, settlement: Settlement, seconds: float) -> bool | None:
        """Settles, however long the database takes to accept it: whether the claim was ours, None at the very end."""
        while True:
            try:
                return self._store.outbox.settle(
                    claimed,
                    settlement,
                    now=self._now(),
                    seconds=seconds,
                    resume=self._breaker.pause is not None,
                    followers=self.followers,
                    links_after=self._links_after,
                )
            except LeaseLost:
                # Whoever has the connector now looks for it.
                log.warning("settled_by_another", connector=self.name, alert=claimed.delivery.alert.id)
                return None
            except StoreError as error:
                # The remote has it: forgetting that would send it again. At the very end the next start looks for it.
                self._listener.store_failed(str(error))
                log.error("settle_failed", connector=self.name, alert=claimed.delivery.alert.id, reason=str(error))  # noqa: TRY400
                # To wait for a disk is not to stand still: a restart would mend nothing.
                self._workers.show_life()
                if self._abandon.wait(SETTLE_EVERY):
                    return None
            except (TypeError, ValueError):
                if settlement.payload is None:
                    raise
                # Another package's connector may render what JSON does not have: what became of it counts for more.
                log.exception("payload_not_kept", connector=self.name, alert=claimed.delivery.alert.id)
                settlement = replace(settlement, payload=None)

    def _learn(self, claimed: Claimed, settlement: Settlement, seconds: float) -> tuple[bool, bool]:
        """What an outcome says of the destination itself: whether with it the connector was paused, or resumed."""
        with self._state:
            self.dead += settlement.state is State.DEAD
        now, breaker = self._now(), self._breaker
        keeps_failing, answered_at = breaker.keeps_failing(claimed.failing_since), breaker.answered_at
        before = breaker.record(settlement, now, keeps_failing=keeps_failing)
        if keeps_failing and not settlement.outcome.says_nothing:
            self._share.record(failed=not settlement.answers, seconds=seconds, now=now)
        was_paused = before is Health.PAUSED
        if settlement.probe_at is not None or (was_paused and settlement.answers):
            breaker.pause = self._store.outbox.pause_of(self.name)
        if settlement.answers and before.fails:
            with suppress(StoreError):  # then each waits for its own backoff
                self._store.outbox.make_due_now(self.name, since=answered_at)
        is_paused = breaker.pause is not None
        return not was_paused and is_paused, was_paused and not is_paused
