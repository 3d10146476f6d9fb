"""The periodic work: what it is, when it runs, and that no failure of it ends it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Protocol

from forwarder.common.backoff import Backoff
from forwarder.common.clock import Now
from forwarder.common.units import format_duration
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
from forwarder.logs import get_logger
from forwarder.store import Store
from forwarder.timer import Timer

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
Period = Callable[[], float]
"""Seconds from the end of a job to its next run."""


class _Worker:
    """The thread that does the jobs of one name or of several, one at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.busy = False
        self.orders: SimpleQueue[_Job | None] = SimpleQueue()
        self.thread: threading.Thread | None = None


class _Job:
    """What is done again and again under one name, when it is due, and who does it."""

    def __init__(self, name: str, work: Work, every: Period, hangs: float, worker: _Worker) -> None:
        self.name, self.work, self.every, self.hangs, self.worker = name, work, every, hangs, worker
        self.due = math.inf
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
    """Jobs by name, none twice at a time, each in a thread of its own or one that it shares; all go through ``guard``.

    When a job is due is kept here, and judged anew with every tick: a job that could not begin, or that raised, begins
    with a later one. ``now`` is a clock that nobody can set, in seconds; ``monotonic`` the one for judging what hangs.
    """

    def __init__(self, guard: Guard, *, now: Now, monotonic: Now = time.monotonic) -> None:
        self._guard, self._now, self._monotonic = guard, now, monotonic
        self._jobs: dict[str, _Job] = {}
        self._workers: dict[str, _Worker] = {}
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._stopped = False
        self._timer = Timer(self.look)

    def add(
        self, name: str, work: Work, every: Period, *, first: float = math.inf, hangs: float = HANGS, worker: str = ""
    ) -> None:
        """Runs ``work`` in ``first`` seconds, and then again and again: after what it returned, else ``every``.

        Jobs of one ``worker`` share a thread and take turns in it, the one that is due first before the others.
        """
        with self._lock:
            by = self._workers.setdefault(worker or name, _Worker(worker or name))
            job = self._jobs[name] = _Job(name, work, every, hangs, by)
            job.due = self._now() + first

    def ensure(self, name: str, work: Work, every: Period) -> None:
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
            for job in sorted(self._jobs.values(), key=lambda job: job.due):
                if not job.worker.busy and job.due <= self._now():
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
            for worker in self._workers.values():
                worker.orders.put(None)
        self._timer.end()

    def join(self, timeout: float) -> None:
        """Waits up to ``timeout`` seconds for what is under way."""
        end = time.monotonic() + timeout
        for worker in self._workers.values():
            if worker.thread is not None:
                worker.thread.join(max(end - time.monotonic(), 0.0))

    def _begin(self, job: _Job) -> None:
        worker = job.worker
        if worker.thread is None or not worker.thread.is_alive():
            # It stays, for later there may be none to be had; and the process's end does not wait: a feed can hang.
            thread = threading.Thread(target=self._serve, args=(worker,), name=worker.name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if job.refused is None:
                    job.refused = self._monotonic()
                    log.error("no_thread", job=job.name, reason=str(error))  # noqa: TRY400 - the sentence says it all
                return
            worker.thread = thread
        job.refused, job.begun, job.due, worker.busy = None, self._monotonic(), math.inf, True
        worker.orders.put(job)

    def _serve(self, worker: _Worker) -> None:
        while (job := worker.orders.get()) is not None:
            self._carry_out(job)

    def _carry_out(self, job: _Job) -> None:
        wait: float | None = None

        def turn() -> None:
            nonlocal wait
            wait = job.work()

        try:
            self._guard(job.name, turn)
        except BaseException:
            # Not even what is meant to end a thread may end a job for good.
            log.exception("job_failed", job=job.name)
        finally:
            self._ended(job, wait)

    def _ended(self, job: _Job, wait: float | None) -> None:
        with self._lock:
            job.begun, job.worker.busy = None, False
            # It may have been planned meanwhile.
            job.due = min(job.due, self._now() + (job.every() if wait is None else wait))
        self.look()


class Turns(Protocol):
    """What the jobs carry out; ``forwarder.app.Forwarder`` does."""

    config: Config
    store: Store
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

    @property
    def has_heartbeat(self) -> bool: ...

    def close_retired(self) -> None: ...


class Jobs:
    """What is done again and again, and when: polls and sweeps plan the next of their kind by what became of them."""

    def __init__(self, turns: Turns, scheduler: Scheduler, rng: Callable[[], float]) -> None:
        self._turns, self._scheduler, self._rng = turns, scheduler, rng
        self._poll_failures = 0
        self._scheduled = False
        self.stop, self.join = scheduler.stop, scheduler.join
        self.look, self.stalled = scheduler.look, scheduler.stalled

    def start(self) -> None:
        """Polls at once, and everything else in its time."""
        turns, add = self._turns, self._scheduler.add
        add("poll", self._poll, self._poll_every, first=0.0)
        add("heartbeat", _job(turns.beat), lambda: math.inf)
        add("sweep", self._sweep, self._sweep_again, first=max(turns.until_sweep(), FIRST_SWEEP), worker="feed")
        add("evidence", turns.evidence.read, lambda: READ_EVERY, first=READ_EVERY, worker="feed")
        add("alarms", _job(turns.review_alarms), lambda: REVIEW_EVERY, first=REVIEW_EVERY)
        add("prune", _job(turns.prune), lambda: PRUNE_EVERY, first=FIRST_PRUNE, hangs=PRUNE_HANGS)
        # What asks the store alone, and for moments, needs no thread each: a thread costs memory while it waits.
        upkeep = partial(add, worker="upkeep")
        upkeep("reclaim", _job(turns.reclaim_expired), lambda: RECLAIM_EVERY, first=RECLAIM_EVERY)
        upkeep("release", turns.life.held.release, lambda: RELEASE_EVERY, first=0.0)
        upkeep("mutes", turns.life.mutes.tend, lambda: TEND_EVERY, first=0.0)
        # Of a million unresolved alerts the first look takes a minute: nothing else waits for that.
        reminding = "remind" if turns.config.reminders else "upkeep"
        add("remind", _job(turns.life.reminders.judge), lambda: REMIND_EVERY, first=REMIND_EVERY, worker=reminding)
        upkeep("report", _job(turns.life.reports.judge), lambda: REPORT_EVERY, first=REPORT_EVERY)
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


def _job(turn: Callable[[], object]) -> Work:
    """A turn whose result says nothing of the next one."""

    def work() -> None:
        turn()

    return work


def _seconds(duration: float) -> str:
    return format_duration(round(duration))
