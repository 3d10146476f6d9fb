"""The periodic work: what it is, when it runs, and that no failure of it ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from forwarder.common.backoff import Backoff
from forwarder.config import Config
from forwarder.events import Listeners
from forwarder.feed.client import KeyRefused, SentrytexError, TooManyRequests
from forwarder.feed.poller import Poller
from forwarder.logs import get_logger
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

Guard = Callable[[str, Callable[[], None]], object]
"""Carries out a job under its name; never raises."""


class Scheduler:
    """Jobs by name, each in a thread of its own and never twice at a time; all go through ``guard``."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._threads = _Threads()
        self._scheduler = _Scheduler(
            timezone=UTC,
            executors={"default": self._threads},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Begins no job any more; what is under way goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def join(self, timeout: float) -> None:
        """Waits up to ``timeout`` seconds for what is under way."""
        self._threads.join(timeout)

    def after(self, name: str, job: Callable[[], None], seconds: float) -> None:
        """Runs ``job`` once, in place of one of that name that waits."""
        self._add(name, job, "date", run_date=_in(seconds))

    def every(self, name: str, job: Callable[[], None], seconds: float, *, first: float | None = None) -> None:
        """Runs ``job`` again and again, for the first time after ``first`` seconds."""
        start = _in(seconds if first is None else first)
        self._add(name, job, "interval", seconds=seconds, next_run_time=start)

    def shift_deadlines(self, seconds: float) -> None:
        """Moves every job along with a clock that was set."""
        for job in self._scheduler.get_jobs():
            with suppress(JobLookupError):  # it has begun meanwhile
                job.modify(next_run_time=job.next_run_time + timedelta(seconds=seconds))

    def _add(self, name: str, job: Callable[[], None], trigger: str, **when: Any) -> None:
        self._scheduler.add_job(partial(self._guard, name, job), trigger, id=name, replace_existing=True, **when)


class Work(Protocol):
    """What the jobs carry out; ``forwarder.app.Forwarder`` does."""

    config: Config
    store: Store
    poller: Poller
    listeners: Listeners

    def poll(self) -> object: ...

    def sweep(self) -> object: ...

    def until_sweep(self) -> float: ...

    def beat(self) -> None: ...

    def reclaim_expired(self) -> None: ...

    def review_alarms(self) -> None: ...

    def prune(self) -> None: ...

    def close_retired(self) -> None: ...


class Jobs:
    """What is done again and again, and when: polls and sweeps plan the next of their kind by what became of them."""

    def __init__(self, work: Work, scheduler: Scheduler, rng: Callable[[], float]) -> None:
        self._work, self._scheduler, self._rng = work, scheduler, rng
        self._poll_failures = 0
        self.stop, self.join, self.shift_deadlines = scheduler.stop, scheduler.join, scheduler.shift_deadlines

    def start(self) -> None:
        """Polls at once, and everything else in its time."""
        self._scheduler.start()
        self._scheduler.after("poll", self._poll, 0.0)
        self._scheduler.after("sweep", self._sweep, max(self._work.until_sweep(), FIRST_SWEEP))
        self._scheduler.every("reclaim", self._work.reclaim_expired, RECLAIM_EVERY)
        self._scheduler.every("prune", self._work.prune, PRUNE_EVERY, first=FIRST_PRUNE)
        self._scheduler.every("alarms", self._work.review_alarms, REVIEW_EVERY)

    def replan(self) -> None:
        """Polls at once, and sweeps when the config, which was replaced, says."""
        self._scheduler.after("poll", self._poll, 0.0)
        self._scheduler.after("sweep", self._sweep, self._work.until_sweep())

    def forget_failures(self) -> None:
        """Begins the backoff of polls anew: what failed was another API, or another key."""
        self._poll_failures = 0

    def _poll(self) -> None:
        wait = self._work.config.sentrytex.poll_every.total_seconds()
        self._work.close_retired()
        try:
            self._work.poll()
            self._poll_failures = 0
            self._scheduler.after("heartbeat", self._work.beat, 0.0)
            if self._work.poller.stack_grew():
                log.info("stack_grew")
                self._scheduler.after("sweep", self._sweep, 0.0)
        except SentrytexError as error:
            self._poll_failures += 1
            wait = self._poll_again(error, wait)
        finally:
            self._scheduler.after("poll", self._poll, wait)

    def _poll_again(self, error: SentrytexError, poll_every: float) -> float:
        if isinstance(error, TooManyRequests):
            return max(error.after, 1.0)
        if isinstance(error, KeyRefused):
            return max(KEY_AGAIN, poll_every)
        return POLL_AGAIN.after(self._poll_failures, self._rng)

    def _sweep(self) -> None:
        every = self._work.config.sentrytex.sweep_every.total_seconds()
        wait = min(every, SWEEP_AGAIN)
        try:
            if self._work.store.feed.state().cursor is None:
                # What was there before the first start is only known after the first poll.
                wait = min(every, FIRST_SWEEP)
            else:
                self._work.sweep()
                wait = every
        except SentrytexError as error:
            log.warning("sweep_failed", reason=str(error))
            self._work.listeners.sweep_failed(error)
        finally:
            self._scheduler.after("sweep", self._sweep, wait)


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc] # APScheduler has no types
    """A scheduler whose thread survives that a job is replaced, or the scheduler shut down, while it is looked at."""

    def _process_jobs(self) -> float | None:
        try:
            return super()._process_jobs()  # type: ignore[no-any-return]
        except JobLookupError:
            return 0.0


class _Threads(BaseExecutor):  # type: ignore[misc] # APScheduler has no types
    """Runs each job in a thread for which the end of the process does not wait: a feed can hang for long."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[threading.Thread] = []

    def join(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        for thread in self._started:
            thread.join(max(end - time.monotonic(), 0.0))

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        thread = threading.Thread(target=self._run, args=(job, run_times), name=job.id, daemon=True)
        self._started = [*(known for known in self._started if known.is_alive()), thread]
        thread.start()

    def _run(self, job: Any, run_times: list[datetime]) -> None:
        self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))
