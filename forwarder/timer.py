"""A tick, again and again: no error ends it, and it goes on whatever the wall clock is set to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from forwarder.logs import get_logger

log = get_logger(__name__)

TICK: Final = 0.2
"""Seconds between two ticks."""


class Timer:
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
