"""The periodic work: what it is, when it runs, and that no failure of it ends it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Protocol

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from forwarder.common.clock import Now
from forwarder.common.units import format_duration
from forwarder.connector import Connector
from forwarder.feed.evidence import READ_EVERY, EvidenceReader
from forwarder.lifecycle import Life
from forwarder.lifecycle.held import RELEASE_EVERY
from forwarder.lifecycle.mutes import TEND_EVERY
from forwarder.lifecycle.reminders import REMIND_EVERY
from forwarder.lifecycle.reports import REPORT_EVERY
from forwarder.logs import get_logger

log = get_logger(__name__)

RECLAIM_EVERY: Final = 30.0
REVIEW_EVERY: Final = 30.0
PRUNE_EVERY: Final = 86400.0
FIRST_PRUNE: Final = 60.0

TICK: Final = 0.2
"""Seconds between two looks at what is due."""
STANDS_STILL: Final = 30.0
"""Seconds after which a job that is due and cannot begin, or a timer that does not tick, counts as stalled."""
HANGS: Final = 600.0
"""Seconds after which a job that does not end counts as stalled: each request and each write in it ends long before."""
PRUNE_HANGS: Final = 6 * 3600.0
"""The same for forgetting: the first time, years may have to go."""

Guard = Callable[[str, Callable[[], None]], object]
"""Carries out a job under its name."""
Work = Callable[[], float | None]
"""A job; it returns the seconds until it is due again, None for its usual period."""


class Lane:
    """Threads that carry out jobs, ``most`` of them: what is due while all are busy waits for the first that is not."""

    def __init__(self, name: str, most: int = 1) -> None:
        self.name, self.most = name, most
        self.orders: SimpleQueue[_Job | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.taken = 0
        """Jobs that were given to it and have not ended."""


class _Job:
    """What is done again and again under one name, when it is due, and the threads of which one does it."""

    def __init__(self, name: str, work: Work, every: Callable[[], float], hangs: float, lane: Lane) -> None:
        self.name, self.work, self.every, self.hangs, self.lane = name, work, every, hangs, lane
        self.due = math.inf
        self.taken = False
        """Whether its lane has it: it runs, or waits there."""
        self.begun: float | None = None
        """Since when it runs, and since when it could not begin, by the monotonic clock."""
        self.refused: float | None = None

    def stalled(self, now: float) -> str | None:
        """Why it does not turn, in a sentence."""
        if self.refused is not None and now - self.refused > STANDS_STILL:
            waits = _seconds(now - self.refused)
            return f"The job {self.name} has been due for {waits}: the system gives no thread for it. Allow more."
        if self.begun is not None and now - self.begun > self.hangs:
            return f"The job {self.name} has not ended for {_seconds(now - self.begun)}. Restart the forwarder."
        return None


class Scheduler:
    """Jobs by name, each in a thread of its own and never twice at a time; all go through ``guard``.

    When a job is due is kept here, and judged anew with every tick: a job that could not begin, or that raised, begins
    with a later one. ``now`` is a clock that nobody can set, in seconds; ``monotonic`` the one for judging what hangs.
    """

    def __init__(self, guard: Guard, *, now: Now, monotonic: Now = time.monotonic) -> None:
        self._guard, self._now, self._monotonic = guard, now, monotonic
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._stopped = False
        self._timer = _Timer(self.look)

    def add(
        self,
        name: str,
        work: Work,
        every: Callable[[], float],
        *,
        first: float = math.inf,
        hangs: float = HANGS,
        lane: Lane | None = None,
    ) -> None:
        """Runs ``work`` in ``first`` seconds, and then again and again: after what it returned, else ``every``.

        It has a thread of its own, unless it goes by a ``lane``.
        """
        with self._lock:
            job = self._jobs[name] = _Job(name, work, every, hangs, lane or Lane(name))
            job.due = self._now() + first

    def remove(self, name: str) -> None:
        """Runs it no more; one under way goes on."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is not None and job.lane.most == 1:
                job.lane.orders.put(None)

    def ensure(self, name: str, work: Work, every: Callable[[], float]) -> None:
        """Runs ``work`` now and then again and again, also where a job of that name, which does the same, is there."""
        if name not in self._jobs:
            self.add(name, work, every)
        self.plan(name, 0.0)

    def plan(self, name: str, seconds: float) -> None:
        """Makes a job due in so many seconds, in place of when it was; one under way runs once more."""
        with self._lock:
            if (job := self._jobs.get(name)) is not None:
                job.due = self._now() + seconds
        self.look()

    def start(self) -> None:
        self._looked = self._monotonic()
        self.look()

    def look(self) -> None:
        """Begins what is due; called with every tick, and by whoever thinks that something is."""
        with self._lock:
            if self._stopped or self._looked is None:
                return
            self._looked = self._monotonic()
            self._timer.tick()
            now = self._now()
            for job in self._jobs.values():
                if job.due <= now and not job.taken:
                    self._begin(job)

    def stalled(self) -> list[str]:
        """What does not turn any more, in sentences; nothing where all is well, or where nothing was started."""
        now, looked = self._monotonic(), self._looked
        if self._stopped or looked is None:
            return []
        found = [sentence for job in list(self._jobs.values()) if (sentence := job.stalled(now))]
        if now - looked > STANDS_STILL:
            found.append(f"The timer of the jobs has stood still for {_seconds(now - looked)}. Restart the forwarder.")
        return found

    def stop(self) -> None:
        """Begins no job any more; what is under way goes on."""
        with self._lock:
            self._stopped = True
            for lane in {job.lane for job in self._jobs.values()}:
                for _ in lane.threads:
                    lane.orders.put(None)
        self._timer.end()

    def join(self, timeout: float) -> None:
        """Waits up to ``timeout`` seconds for what is under way."""
        end = time.monotonic() + timeout
        for lane in {job.lane for job in self._jobs.values()}:
            for thread in lane.threads:
                thread.join(max(end - time.monotonic(), 0.0))

    def _begin(self, job: _Job) -> None:
        lane = job.lane
        lane.threads = [thread for thread in lane.threads if thread.is_alive()]
        if lane.taken >= len(lane.threads) < lane.most:
            # It stays, for later there may be none to be had; and the process's end does not wait: a feed can hang.
            thread = threading.Thread(target=self._serve, args=(lane,), name=lane.name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not lane.threads:
                    if job.refused is None:
                        job.refused = self._monotonic()
                        log.error("no_thread", job=job.name, reason=str(error))  # noqa: TRY400 - it says it all
                    return
            else:
                lane.threads.append(thread)
        job.refused, job.taken, job.due = None, True, math.inf
        if lane.most == 1:
            job.begun = self._monotonic()
        lane.taken += 1
        lane.orders.put(job)

    def _serve(self, lane: Lane) -> None:
        while (job := lane.orders.get()) is not None:
            if self._stopped:
                return
            self._carry_out(job)

    def _carry_out(self, job: _Job) -> None:
        wait: float | None = None

        def turn() -> None:
            nonlocal wait
            wait = job.work()

        # What waited for a thread of its lane begins only now.
        job.begun = self._monotonic()
        try:
            self._guard(job.name, turn)
        except BaseException:
            # Not even what is meant to end a thread may end a job for good.
            log.exception("job_failed", job=job.name)
        finally:
            self._ended(job, wait)

    def _ended(self, job: _Job, wait: float | None) -> None:
        with self._lock:
            job.begun, job.taken = None, False
            job.lane.taken -= 1
            # It may have been planned meanwhile.
            job.due = min(job.due, self._now() + (job.every() if wait is None else wait))
        self.look()


class Turns(Protocol):
    """What the jobs carry out; ``forwarder.app.Forwarder`` does."""

    evidence: EvidenceReader
    life: Life

    def beat(self) -> None: ...

    def reclaim_expired(self) -> None: ...

    def review_alarms(self) -> None: ...

    def prune(self) -> None: ...


class Jobs:
    """What is done again and again besides reading the feeds, and when."""

    def __init__(self, turns: Turns, scheduler: Scheduler) -> None:
        self._turns, self._scheduler = turns, scheduler
        self._scheduled = False
        self.stop, self.join = scheduler.stop, scheduler.join
        self.look, self.stalled = scheduler.look, scheduler.stalled

    def start(self) -> None:
        """Begins with everything, each in its time."""
        turns, add = self._turns, self._scheduler.add
        add("heartbeat", _job(turns.beat), lambda: math.inf)
        add("evidence", turns.evidence.read, lambda: READ_EVERY, first=READ_EVERY)
        add("reclaim", _job(turns.reclaim_expired), lambda: RECLAIM_EVERY, first=RECLAIM_EVERY)
        add("alarms", _job(turns.review_alarms), lambda: REVIEW_EVERY, first=REVIEW_EVERY)
        add("prune", _job(turns.prune), lambda: PRUNE_EVERY, first=FIRST_PRUNE, hangs=PRUNE_HANGS)
        add("release", turns.life.held.release, lambda: RELEASE_EVERY, first=0.0)
        add("mutes", turns.life.mutes.tend, lambda: TEND_EVERY, first=0.0)
        add("remind", _job(turns.life.reminders.judge), lambda: REMIND_EVERY, first=REMIND_EVERY)
        add("report", _job(turns.life.reports.judge), lambda: REPORT_EVERY, first=REPORT_EVERY)
        self._scheduler.start()
        self._scheduled = True

    def follow(self, connectors: Iterable[Connector[Any]]) -> None:
        """Goes by another config: judges what is muted, and looks at, and listens to, those of the connectors that tell
        what people do at their destination."""
        if not self._scheduled:
            return
        self._scheduler.plan("mutes", 0.0)
        responses = self._turns.life.responses
        for connector in connectors:
            name = connector.name
            if connector.look_every is not None:
                self._scheduler.ensure(
                    f"look at {name}", partial(responses.look, name), partial(responses.look_every, name)
                )
            if connector.listens:
                self._scheduler.ensure(f"listen to {name}", partial(responses.listen, name), lambda: math.inf)


def _job(turn: Callable[[], object]) -> Work:
    """A turn whose result says nothing of the next one."""

    def work() -> None:
        turn()

    return work


def _seconds(duration: float) -> str:
    return format_duration(round(duration))


class _Timer:
    """APScheduler's, for one job that looks what is due. It plans by the wall clock; here that may be set."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._scheduler: _Scheduler | None = None

    def tick(self) -> None:
        """Sees to it that it ticks: it takes a thread, too."""
        if self._scheduler is not None:
            return
        scheduler = _Scheduler(timezone=UTC, executors={"default": DebugExecutor()})
        scheduler.add_job(self._look, _Ticks(), id="look", misfire_grace_time=None)
        try:
            scheduler.start()
        except RuntimeError as error:
            log.error("no_thread", job="timer", reason=str(error))  # noqa: TRY400 - the sentence says it all
        else:
            self._scheduler = scheduler

    def end(self) -> None:
        if self._scheduler is not None and self._scheduler.running:
            self._scheduler.shutdown(wait=False)


class _Ticks(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """A tick from now, always: an interval's missed ones would be counted up one by one after the clock is set."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:  # noqa: ARG002
        return now + timedelta(seconds=TICK)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc] # APScheduler has no types
    """One whose thread outlives every error, and whose job waits no longer where the wall clock is set back."""

    def _process_jobs(self) -> float:
        now = datetime.now(UTC)
        try:
            for job in self.get_jobs():
                if job.next_run_time > now + timedelta(seconds=2 * TICK):
                    job.modify(next_run_time=now)
            super()._process_jobs()
        except Exception:
            log.exception("timer_failed")
        return TICK
