"""The periodic work: when it runs, one at a time, that nothing ends it for good, and how it ends."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from forwarder.scheduler import HANGS, STANDS_STILL, Scheduler
from tests.kit.core import PATIENCE, no_threads, until

HOUR = 3600.0


class Guard:
    """Carries out jobs, and notes their names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, job: Callable[[], None]) -> None:
        self.names.append(name)
        job()


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def watch() -> Hands:
    """The clock by which what hangs is judged."""
    return Hands()


@pytest.fixture
def jobs(guard: Guard, hands: Hands, watch: Hands) -> Iterator[Scheduler]:
    jobs = Scheduler(guard, now=hands, monotonic=watch)
    jobs.start()
    yield jobs
    jobs.stop()
    jobs.join(PATIENCE)


def nothing() -> None:
    """A job without an effect."""


def hourly() -> float:
    return HOUR


def never() -> float:
    return math.inf


def test_a_job_runs_under_its_name(jobs: Scheduler, guard: Guard) -> None:
    """Once, and through the guard."""
    jobs.add("poll", nothing, hourly, first=0)
    until(lambda: guard.names == ["poll"])


def test_a_job_comes_again_after_its_period_or_what_it_says(jobs: Scheduler, guard: Guard, hands: Hands) -> None:
    """What returns a number of seconds is due after as many, everything else after its period."""
    jobs.add("reclaim", nothing, hourly, first=0)
    jobs.add("poll", lambda: 2 * HOUR, hourly, first=0)
    until(lambda: sorted(guard.names) == ["poll", "reclaim"] and no_job_runs(jobs))
    hands.time += HOUR
    until(lambda: guard.names.count("reclaim") == 2 and no_job_runs(jobs))
    assert guard.names.count("poll") == 1
    hands.time += HOUR
    until(lambda: guard.names.count("reclaim") == 3 and guard.names.count("poll") == 2)


def no_job_runs(jobs: Scheduler) -> bool:
    return all(job.begun is None for job in jobs._jobs.values())


def test_a_plan_takes_the_place_of_when_it_was_due(jobs: Scheduler, guard: Guard, hands: Hands) -> None:
    """An earlier poll is no second poll."""
    jobs.add("poll", nothing, never, first=60)
    jobs.add("end", nothing, never, first=120)
    jobs.plan("poll", 0)
    until(lambda: guard.names == ["poll"])
    hands.time += 120
    until(lambda: "end" in guard.names)
    assert guard.names == ["poll", "end"]


def test_what_is_planned_while_it_runs_comes_once_more(jobs: Scheduler, guard: Guard) -> None:
    """Be its last run still on its way out: a reload's poll was dropped there, and none came ever after."""
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    jobs.add("poll", hang, hourly, first=0)
    assert begun.wait(PATIENCE)
    jobs.plan("poll", 0)
    jobs.plan("poll", -5)
    assert guard.names == ["poll"]
    go_on.set()
    until(lambda: guard.names == ["poll", "poll"])


def test_jobs_of_one_worker_take_turns_in_one_thread(jobs: Scheduler, guard: Guard, hands: Hands) -> None:
    """None is begun beside another, the one that is due first comes first, and all of them come."""
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    jobs.add("release", hang, never, first=0, worker="upkeep")
    assert begun.wait(PATIENCE)
    jobs.add("last", nothing, never, first=20, worker="upkeep")
    jobs.add("first", nothing, never, first=10, worker="upkeep")
    jobs.add("poll", nothing, never, first=20)
    hands.time += 20
    until(lambda: guard.names == ["release", "poll"])
    go_on.set()
    until(lambda: guard.names == ["release", "poll", "first", "last"])
    assert sum(thread.name == "upkeep" for thread in threading.enumerate()) == 1


def test_one_that_is_due_all_the_time_holds_up_no_other(jobs: Scheduler, guard: Guard, hands: Hands) -> None:
    """The next turn of a worker is that of the job which has waited the longest."""

    def release() -> float:
        hands.time += 1
        return 0.0

    jobs.add("release", release, never, first=0, worker="upkeep")
    until(lambda: guard.names.count("release") > 2)
    jobs.add("report", nothing, never, first=0, worker="upkeep")
    until(lambda: "report" in guard.names)


def test_a_plan_falls_together_with_an_end_again_and_again(jobs: Scheduler) -> None:
    """However a plan falls together with the end of a run, a run follows it."""
    runs = 0

    def count() -> None:
        nonlocal runs
        runs += 1

    jobs.add("poll", count, never)
    for _ in range(200):
        before = runs
        jobs.plan("poll", 0)
        until(lambda: runs > before)  # noqa: B023


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, MemoryError, GeneratorExit])
def test_whatever_a_job_raises_it_comes_again(
    jobs: Scheduler, guard: Guard, hands: Hands, error: type[BaseException]
) -> None:
    """Periodic work does not depend on its last run."""

    def fail() -> None:
        raise error

    jobs.add("poll", fail, hourly, first=0)
    until(lambda: guard.names == ["poll"] and no_job_runs(jobs))
    hands.time += HOUR
    until(lambda: len(guard.names) == 2)


def test_a_job_that_gets_no_thread_begins_once_there_is_one(
    jobs: Scheduler, guard: Guard, hands: Hands, watch: Hands
) -> None:
    """A limit on the number of threads puts it off; after half a minute the forwarder counts as stalled."""
    with no_threads():
        jobs.add("poll", nothing, hourly, first=0)
        jobs.look()
        assert jobs.stalled() == []
        watch.time += STANDS_STILL + 1
        (stalled,) = [sentence for sentence in jobs.stalled() if "poll" in sentence]
        assert stalled == "The job poll has been due for 31s: the system gives no thread for it. Allow more."
    until(lambda: guard.names == ["poll"])
    assert jobs.stalled() == []
    with no_threads():
        # The thread that it has now, it keeps.
        hands.time += HOUR
        until(lambda: len(guard.names) == 2)


def test_a_start_without_threads_is_made_good(guard: Guard, hands: Hands) -> None:
    """The timer takes one, too: whoever looks starts what is missing."""
    jobs = Scheduler(guard, now=hands)
    jobs.add("poll", nothing, hourly, first=0)
    with no_threads():
        jobs.start()
        assert guard.names == []
    jobs.look()
    until(lambda: len(guard.names) == 1)
    hands.time += HOUR
    until(lambda: len(guard.names) == 2)
    jobs.stop()
    jobs.join(PATIENCE)


def test_a_job_that_does_not_end_is_told(jobs: Scheduler, watch: Hands) -> None:
    """It counts as stalled, and is never begun a second time beside it."""
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    jobs.add("sweep", hang, hourly, first=0)
    assert begun.wait(PATIENCE)
    watch.time += HANGS
    jobs.look()
    assert jobs.stalled() == []
    watch.time += 1
    until(lambda: jobs.stalled() == ["The job sweep has not ended for 10m 1s. Restart the forwarder."])
    go_on.set()
    until(lambda: jobs.stalled() == [])


def test_a_wall_clock_that_is_set_stops_no_timer(jobs: Scheduler, guard: Guard, hands: Hands) -> None:
    """Set forth by years or back by a day, APScheduler's next tick is a tick away."""
    timer = jobs._timer._scheduler
    assert timer is not None
    for away in (timedelta(days=1), timedelta(days=-20_000)):
        (tick,) = timer.get_jobs()
        tick.modify(next_run_time=datetime.now(UTC) + away)
        before = len(guard.names)
        jobs.add("poll", nothing, hourly, first=10)
        hands.time += 10
        until(lambda: len(guard.names) > before)  # noqa: B023


def test_the_end_waits_for_a_job_under_way_but_not_for_ever(jobs: Scheduler) -> None:
    """Most end in a moment; a feed can hang."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(PATIENCE)
        ended.set()

    jobs.add("poll", hang, hourly, first=0)
    assert begun.wait(PATIENCE)
    jobs.stop()
    jobs.join(0.01)
    assert not ended.is_set()
    go_on.set()
    jobs.join(PATIENCE)
    assert ended.is_set()


def test_a_stop_in_the_middle_of_it_all_raises_nothing(guard: Guard, hands: Hands) -> None:
    """Not even in the scheduler's own thread, while it takes jobs up."""
    for _ in range(50):
        jobs = Scheduler(guard, now=hands)
        jobs.start()
        for number in range(10):
            jobs.add(str(number), nothing, hourly, first=0)
        jobs.stop()
        jobs.join(PATIENCE)
