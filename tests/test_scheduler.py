"""The periodic work: when it runs, one at a time, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from forwarder.scheduler import Scheduler
from tests.kit.core import until


class Guard:
    """Carries out jobs, and notes their names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, job: Callable[[], None]) -> None:
        self.names.append(name)
        job()


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def jobs(guard: Guard) -> Iterator[Scheduler]:
    jobs = Scheduler(guard)
    jobs.start()
    yield jobs
    jobs.stop()
    jobs.join(5)


def nothing() -> None:
    """A job without an effect."""


def test_a_job_runs_under_its_name(jobs: Scheduler, guard: Guard) -> None:
    """Once, and through the guard."""
    jobs.after("poll", nothing, 0)
    until(lambda: guard.names == ["poll"])


def test_a_job_takes_the_place_of_one_that_waits(jobs: Scheduler) -> None:
    """An earlier poll is no second poll."""
    ran: list[str] = []
    jobs.after("poll", lambda: ran.append("late"), 0.3)
    jobs.after("poll", lambda: ran.append("soon"), 0)
    jobs.after("end", lambda: ran.append("end"), 0.5)
    until(lambda: "end" in ran)
    assert ran == ["soon", "end"]


def test_a_periodic_job_comes_again(jobs: Scheduler, guard: Guard) -> None:
    """For the first time when it was told."""
    jobs.every("rescue", nothing, 0.05, first=0)
    until(lambda: len(guard.names) >= 3)


def test_a_clock_that_is_set_moves_jobs_along(jobs: Scheduler, guard: Guard) -> None:
    """What would have come in an hour comes at once where the clock was set an hour back."""
    jobs.after("poll", nothing, 3600)
    jobs.shift_deadlines(-3600)
    until(lambda: guard.names == ["poll"])


def test_the_end_waits_for_a_job_under_way_but_not_for_ever(jobs: Scheduler) -> None:
    """Most end in a moment; a feed can hang."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(20)
        ended.set()

    jobs.after("poll", hang, 0)
    assert begun.wait(20)
    jobs.stop()
    jobs.join(0.01)
    assert not ended.is_set()
    go_on.set()
    jobs.join(20)
    assert ended.is_set()


def test_a_stop_in_the_middle_of_it_all_raises_nothing(guard: Guard) -> None:
    """Not even in the scheduler's own thread, while it takes jobs up."""
    for _ in range(50):
        jobs = Scheduler(guard)
        jobs.start()
        for number in range(10):
            jobs.after(str(number), nothing, 0)
        jobs.stop()
        jobs.join(5)
