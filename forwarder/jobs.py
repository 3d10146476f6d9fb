"""The periodic work: what it is, whose it is, and when it is due."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

from forwarder.common.backoff import Backoff
from forwarder.common.clock import Clock
from forwarder.config import Config
from forwarder.connector import Connector
from forwarder.events import Listeners
from forwarder.feed.client import KeyRefused, SentrytexError, TooManyRequests
from forwarder.feed.evidence import READ_EVERY, EvidenceReader
from forwarder.lifecycle import Life
from forwarder.lifecycle.held import RELEASE_EVERY
from forwarder.lifecycle.mutes import TEND_EVERY
from forwarder.lifecycle.reminders import REMIND_EVERY
from forwarder.lifecycle.reports import REPORT_EVERY
from forwarder.lifecycle.responses import CATCH_UP_EVERY
from forwarder.logs import get_logger
from forwarder.replicas.roles import FEED, SCHEDULER, UPKEEP, of_connector
from forwarder.scheduler import HANGS, Period, Scheduler, Work
from forwarder.store import Store

log = get_logger(__name__)

POLL_AGAIN: Final = Backoff(first=2.0, most=240.0)
"""Between two polls while the feed cannot be read."""
KEY_AGAIN: Final = 120.0
"""Seconds between two polls with a key that was refused."""
FIRST_SWEEP: Final = 5.0
"""Seconds after a start: the feed's new alerts go first."""
SWEEP_AGAIN: Final = 60.0
"""Seconds between two sweeps while the feed cannot be read."""
RECLAIM_EVERY: Final = 30.0
REVIEW_EVERY: Final = 30.0
PRUNE_EVERY: Final = 86400.0
FIRST_PRUNE: Final = 60.0

PRUNE_HANGS: Final = 6 * 3600.0
"""Seconds after which forgetting counts as stalled: the first time, years may have to go."""


class Turns(Protocol):
    """What the jobs carry out; ``forwarder.app.Forwarder`` does."""

    config: Config
    store: Store
    clock: Clock
    listeners: Listeners
    evidence: EvidenceReader
    life: Life

    def poll(self) -> object: ...

    def sweep(self) -> object: ...

    def until_sweep(self) -> float: ...

    def read_stack(self) -> frozenset[str]: ...

    def beat(self) -> None: ...

    def reclaim_expired(self) -> None: ...

    def review_alarms(self) -> None: ...

    def prune(self) -> None: ...

    def close_retired(self) -> None: ...

    @property
    def has_heartbeat(self) -> bool: ...

    def holds(self, role: str) -> bool: ...


class Jobs:
    """What is done again and again, and when: polls and sweeps plan the next of their kind by what became of them.

    Each is a role's, and begins only where this process has that.
    """

    def __init__(self, turns: Turns, scheduler: Scheduler, rng: Callable[[], float]) -> None:
        self._turns, self._scheduler, self._rng = turns, scheduler, rng
        self._poll_failures = 0
        self._scheduled = False
        self._of_role: dict[str, dict[str, Period]] = {}
        """The jobs of each role, by name, with the seconds after which each begins first."""
        self.stop, self.join = scheduler.stop, scheduler.join
        self.look, self.stalled = scheduler.look, scheduler.stalled

    def start(self) -> None:
        """Knows its jobs; those of a role begin once the process has that."""
        if self._scheduled:
            return
        turns = self._turns
        self._add(FEED, "poll", self._poll, self._poll_every, _at_once)
        self._add(FEED, "heartbeat", _job(turns.beat), lambda: math.inf, lambda: math.inf)
        feed = partial(self._add, FEED, worker="feed")
        feed("sweep", self._sweep, self._sweep_again, lambda: max(turns.until_sweep(), FIRST_SWEEP))
        feed("evidence", turns.evidence.read, lambda: READ_EVERY, lambda: READ_EVERY)
        self._add(UPKEEP, "alarms", self._still(_job(turns.review_alarms)), lambda: REVIEW_EVERY, lambda: REVIEW_EVERY)
        self._add(UPKEEP, "prune", _job(turns.prune), lambda: PRUNE_EVERY, lambda: FIRST_PRUNE, hangs=PRUNE_HANGS)
        # What asks the store alone, and for moments, needs no thread each: a thread costs memory while it waits.
        told = partial(self._add, SCHEDULER, worker="upkeep")
        told("catch_up", self._still(turns.life.responses.catch_up), lambda: CATCH_UP_EVERY, _at_once)
        told("release", self._still(turns.life.held.release), lambda: RELEASE_EVERY, _at_once)
        told("mutes", self._still(turns.life.mutes.tend), lambda: TEND_EVERY, _at_once)
        # Of a million unresolved alerts the first look takes a minute: nothing else waits for that.
        reminding = "remind" if turns.config.reminders else "upkeep"
        remind = _job(turns.life.reminders.judge)
        self._add(SCHEDULER, "remind", remind, lambda: REMIND_EVERY, lambda: REMIND_EVERY, worker=reminding)
        told("report", self._still(_job(turns.life.reports.judge)), lambda: REPORT_EVERY, lambda: REPORT_EVERY)
        # Of each connector by whoever has that.
        reclaim = _job(turns.reclaim_expired)
        self._scheduler.add("reclaim", reclaim, lambda: RECLAIM_EVERY, first=RECLAIM_EVERY, worker="upkeep")
        self._scheduler.start()
        self._scheduled = True

    def begin(self, roles: Iterable[str]) -> None:
        """The jobs of ``roles``, from now on."""
        if self._scheduled:
            self._poll_failures = 0
            for role in roles:
                for name, first in self._of_role.get(role, {}).items():
                    self._scheduler.plan(name, first())

    def have_ended(self, role: str) -> bool:
        """Whether no job of a role is under way."""
        return self._scheduler.idle(self._of_role.get(role, {}))

    def review(self) -> None:
        """Looks for troubles at once, where that is this process's."""
        self._scheduler.plan("alarms", 0.0)

    def follow(self, connectors: Iterable[Connector[Any]]) -> None:
        """Goes by another config: catches up with what was missed, judges what is muted, and looks at, and listens to,
        those of the connectors that tell what people do at their destination.
        """
        if not self._scheduled:
            return
        for name in ("catch_up", "mutes"):
            self._scheduler.plan(name, 0.0)
        responses = self._turns.life.responses
        for connector in connectors:
            name, role = connector.name, of_connector(connector.name)
            jobs: dict[str, tuple[Work, Period]] = {}
            if connector.look_every is not None:
                jobs[f"look at {name}"] = partial(responses.look, name), partial(responses.look_every, name)
            if connector.listens:
                jobs[f"listen to {name}"] = partial(responses.listen, name), lambda: math.inf
            self._of_role[role] = dict.fromkeys(jobs, _at_once)
            for job, (work, every) in jobs.items():
                self._scheduler.ensure(job, self._held(role, work), every)

    def _add(
        self,
        role: str,
        name: str,
        work: Work,
        every: Period,
        first: Period,
        *,
        hangs: float = HANGS,
        worker: str = "",
    ) -> None:
        self._of_role.setdefault(role, {})[name] = first
        self._scheduler.add(name, self._held(role, work), every, hangs=hangs, worker=worker)

    def _held(self, role: str, work: Work) -> Work:
        """``work`` where the process has ``role``, and else nothing until it has."""
        return lambda: work() if self._turns.holds(role) else math.inf

    def _still(self, work: Work) -> Work:
        """``work``, which asks the store alone and for moments, and meets no step of the clock."""

        def turn() -> float | None:
            with self._turns.clock.still():
                return work()

        return turn

    def replan(self) -> None:
        """Polls at once, and sweeps when the config says, whose feed was replaced; what failed was another one."""
        self._poll_failures = 0
        self._scheduler.plan("poll", 0.0)
        self._scheduler.plan("sweep", self._turns.until_sweep())

    def _poll(self) -> float | None:
        try:
            self._turns.poll()
            self._poll_failures = 0
            if self._turns.has_heartbeat:
                self._scheduler.plan("heartbeat", 0.0)
            self._scheduler.plan("evidence", 0.0)
            if self._turns.read_stack():
                log.info("stack_grew")
                self._scheduler.plan("sweep", 0.0)
        except SentrytexError as error:
            self._poll_failures += 1
            return self._poll_again(error)
        finally:
            self._turns.close_retired()
        return None

    def _poll_every(self) -> float:
        return self._turns.config.sentrytex.poll_every.total_seconds()

    def _poll_again(self, error: SentrytexError) -> float:
        if isinstance(error, TooManyRequests):
            return max(error.after, 1.0)
        if isinstance(error, KeyRefused):
            return max(KEY_AGAIN, self._poll_every())
        return POLL_AGAIN.after(self._poll_failures, self._rng)

    def _sweep(self) -> float | None:
        every = self._turns.config.sentrytex.sweep_every.total_seconds()
        try:
            if self._turns.store.feed.state().cursor is None:
                # What was there before the first start is only known after the first poll.
                return min(every, FIRST_SWEEP)
            self._turns.sweep()
        except SentrytexError as error:
            log.warning("sweep_failed", reason=str(error))
            self._turns.listeners.sweep_failed(error)
            return self._sweep_again()
        return every

    def _sweep_again(self) -> float:
        return min(self._turns.config.sentrytex.sweep_every.total_seconds(), SWEEP_AGAIN)


def _at_once() -> float:
    return 0.0


def _job(turn: Callable[[], object]) -> Work:
    """A turn whose result says nothing of the next one."""

    def work() -> None:
        turn()

    return work
