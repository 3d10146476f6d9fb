"""The periodic work besides reading the feeds: what it is, whose it is, and when it is due."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Final, Protocol

from forwarder.common.clock import Clock, Now
from forwarder.connector import Connector
from forwarder.feed.evidence import READ_EVERY, EvidenceReader
from forwarder.lifecycle import Life
from forwarder.lifecycle.held import RELEASE_EVERY
from forwarder.lifecycle.mutes import TEND_EVERY
from forwarder.lifecycle.reminders import REMIND_EVERY
from forwarder.lifecycle.reports import REPORT_EVERY
from forwarder.lifecycle.responses import CATCH_UP_EVERY
from forwarder.replicas.roles import SCHEDULER, UPKEEP, accounts_in, is_feed, of_connector
from forwarder.rounds import FEED_WORKER, Read, Rounds
from forwarder.scheduler import HANGS, Period, Scheduler, Work

RECLAIM_EVERY: Final = 30.0
REVIEW_EVERY: Final = 30.0
PRUNE_EVERY: Final = 86400.0
FIRST_PRUNE: Final = 60.0

PRUNE_HANGS: Final = 6 * 3600.0
"""Seconds after which forgetting counts as stalled: the first time, years may have to go."""


class Turns(Read, Protocol):
    """What the jobs carry out; ``forwarder.app.Forwarder`` does."""

    clock: Clock
    evidence: EvidenceReader
    life: Life

    def beat(self) -> None: ...

    def reclaim_expired(self) -> None: ...

    def review_alarms(self) -> None: ...

    def prune(self) -> None: ...


class Jobs:
    """What is done again and again, and when.

    Each is a role's, and begins only where this process has that.
    """

    def __init__(self, turns: Turns, scheduler: Scheduler, *, now: Now, rng: Callable[[], float]) -> None:
        self._turns, self._scheduler = turns, scheduler
        self._rounds = Rounds(turns, scheduler, now=now, rng=rng)
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
        self._scheduler.add("heartbeat", self._rounds.report, lambda: math.inf)
        self._scheduler.add("evidence", turns.evidence.read, lambda: READ_EVERY, worker=FEED_WORKER)
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

    def begin(self, roles: Collection[str]) -> None:
        """The jobs of ``roles``, from now on."""
        if not self._scheduled:
            return
        if accounts := accounts_in(roles):
            self._rounds.begin(accounts)
            self._scheduler.plan("evidence", READ_EVERY)
        if UPKEEP in roles:
            self._rounds.begin_reports()
        for role in roles:
            for name, first in self._of_role.get(role, {}).items():
                self._scheduler.plan(name, first())

    def have_ended(self, role: str) -> bool:
        """Whether no job of a role is under way."""
        if is_feed(role):
            return self._scheduler.idle(["evidence"]) and self._rounds.have_ended(*accounts_in([role]))
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

    def reread(self, changed: Iterable[str]) -> None:
        """Goes by other feeds: begins with those of new accounts, and reads what ``changed`` at once."""
        if self._scheduled:
            self._rounds.follow()
            self._rounds.begin_reports()
            for account in changed:
                self._rounds.renew(account)


def _at_once() -> float:
    return 0.0


def _job(turn: Callable[[], object]) -> Work:
    """A turn whose result says nothing of the next one."""

    def work() -> None:
        turn()

    return work
