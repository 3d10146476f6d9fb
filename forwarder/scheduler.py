"""The periodic work: when it runs, and that no failure of it ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

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
