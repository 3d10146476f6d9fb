"""Work that is done again and again: when it runs, and that no failure of it ends it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from typing import Final

from forwarder.common.clock import Now
from forwarder.common.units import format_duration
from forwarder.logs import get_logger
from forwarder.timer import Timer

log = get_logger(__name__)

STANDS_STILL: Final = 30.0
"""Seconds after which a job that is due and cannot begin, or a timer that does not tick, counts as stalled."""
HANGS: Final = 600.0
"""Seconds after which a job that does not end counts as stalled: each request and each write in it ends long before."""

Guard = Callable[[str, Callable[[], None]], object]
"""Carries out a job under its name."""
Work = Callable[[], float | None]
"""A job; it returns the seconds until it is due again, None for its usual period."""
Period = Callable[[], float]
"""Seconds from the end of a job to its next run."""


class _Worker:
    """The threads that do the jobs of one name or of several, each one at a time; ``most`` of them."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.busy = 0
        """How many of its jobs are under way."""
        self.orders: SimpleQueue[_Job | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []

    def end(self) -> None:
        """Lets its threads end, each once what it does is over."""
        for _ in self.threads:
            self.orders.put(None)


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
    """Jobs by name, none twice at a time, each in a thread of its own or in some that it shares with others; all go
    through ``guard``.

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
        self,
        name: str,
        work: Work,
        every: Period,
        *,
        first: float = math.inf,
        hangs: float = HANGS,
        worker: str = "",
        most: int = 1,
    ) -> None:
        """Runs ``work`` in ``first`` seconds, and then again and again: after what it returned, else ``every``.

        Jobs of one ``worker`` share its threads, at ``most`` so many as the first of them says, and take turns in
        them, the one that is due first before the others.
        """
        with self._lock:
            by = self._workers.setdefault(worker or name, _Worker(worker or name, most))
            job = self._jobs[name] = _Job(name, work, every, hangs, by)
            job.due = self._now() + first

    def remove(self, name: str) -> None:
        """Runs it no more; one under way goes on."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is None or any(other.worker is job.worker for other in self._jobs.values()):
                return
            del self._workers[job.worker.name]
            job.worker.end()

    def ensure(self, name: str, work: Work, every: Period) -> None:
        """Runs ``work`` now and then again and again, also where a job of that name, which does the same, is there."""
        if name not in self._jobs:
            self.add(name, work, every)
        self.plan(name, 0.0)

    def plan(self, name: str, seconds: float) -> None:
        """Makes a job due in so many seconds, in place of when it was; one under way runs once more."""
        self.plan_all({name: seconds})

    def plan_all(self, due: Mapping[str, float]) -> None:
        """The same for several jobs, by name."""
        with self._lock:
            now = self._now()
            for name, seconds in due.items():
                if (job := self._jobs.get(name)) is not None:
                    job.due = now + seconds
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
            due = [job for job in self._jobs.values() if job.due <= now and job.begun is None]
            for job in sorted(due, key=lambda job: job.due):
                if job.worker.busy < job.worker.most:
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

    def idle(self, names: Iterable[str]) -> bool:
        """Whether none of these jobs is under way."""
        return not any(job.begun is not None for name in names if (job := self._jobs.get(name)) is not None)

    def stop(self) -> None:
        """Begins no job any more; what is under way goes on."""
        with self._lock:
            self._stopped = True
            for worker in self._workers.values():
                worker.end()
        self._timer.end()

    def join(self, timeout: float) -> None:
        """Waits up to ``timeout`` seconds for what is under way."""
        end = time.monotonic() + timeout
        for worker in self._workers.values():
            for thread in worker.threads:
                thread.join(max(end - time.monotonic(), 0.0))

    def _begin(self, job: _Job) -> None:
        worker = job.worker
        worker.threads = [thread for thread in worker.threads if thread.is_alive()]
        if worker.busy >= len(worker.threads):
            # It stays, for later there may be none to be had; and the process's end does not wait: a feed can hang.
            thread = threading.Thread(target=self._serve, args=(worker,), name=worker.name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not worker.threads and job.refused is None:
                    job.refused = self._monotonic()
                    log.error("no_thread", job=job.name, reason=str(error))  # noqa: TRY400 - the sentence says it all
                return
            worker.threads.append(thread)
        job.refused, job.begun, job.due = None, self._monotonic(), math.inf
        worker.busy += 1
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
            job.begun = None
            job.worker.busy -= 1
            # It may have been planned meanwhile.
            job.due = min(job.due, self._now() + (job.every() if wait is None else wait))
        self.look()


def _seconds(duration: float) -> str:
    return format_duration(round(duration))
