"""The clock that deadlines are kept in: it does not step unless it is told to."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from forwarder.common.clock import STEP, Clock, instant, iso


@dataclass
class Machine:
    """A machine's wall clock, which people set, and its uptime, which nobody can."""

    wall: float = 1_000_000.0
    uptime: float = 50.0

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.uptime += seconds

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, uptime=lambda: self.uptime)


def test_it_begins_at_the_wall_clock_and_runs_on() -> None:
    """The clock starts as the wall clock and goes on with the time that passes."""
    machine = Machine()
    clock = machine.clock()
    machine.run(7.0)
    assert clock() == machine.wall


@pytest.mark.parametrize("step", [-3600.0, 3600.0, STEP, -STEP])
def test_a_step_is_followed_only_when_asked(step: float) -> None:
    """A wall clock that is set moves nothing until the step is taken over, once, and told."""
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.wall += step
    assert clock() == before
    assert clock.follow() == step
    assert clock() == machine.wall
    assert clock.follow() == 0.0


def test_whoever_keeps_it_still_meets_no_step() -> None:
    """What is read of the clock and written down belongs together; the step is for a later call."""
    machine = Machine()
    clock = machine.clock()
    with clock.still(), clock.still(), ThreadPoolExecutor(1) as other:
        machine.wall += 3600
        assert other.submit(clock.follow).result() == 0.0
        assert clock() == 1_000_000.0
    assert clock.follow() == 3600


def test_nobody_keeps_it_still_while_deadlines_move() -> None:
    """Who comes meanwhile waits, and then reads the clock that the deadlines go by."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3600
    with ThreadPoolExecutor(1) as other:

        def move(step: float) -> bool:
            with clock.still():  # who moves them may do what asks for it
                came.append(other.submit(read))
            assert wait(came, timeout=0.05).done == set()
            written.append(step)
            return True

        def read() -> tuple[float, list[float]]:
            with clock.still():
                return clock(), list(written)

        came: list[Future[tuple[float, list[float]]]] = []
        written: list[float] = []
        assert clock.follow(move) == 3600
        assert came[0].result() == (machine.wall, [3600.0])


def test_deadlines_that_could_not_be_moved_leave_the_clock_as_it_was() -> None:
    """The two never differ: the step comes with the next call."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3600
    assert clock.follow(lambda _: False) == 0.0
    assert clock() == 1_000_000.0
    assert clock.follow(lambda _: True) == 3600


@pytest.mark.parametrize("slew", [0.0, 1.0, -1.0, STEP - 0.5])
def test_a_small_difference_is_no_step(slew: float) -> None:
    """Slewing and leap seconds move no deadline."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += slew
    assert clock.follow() == 0.0
    assert clock() == 1_000_000.0


def test_the_machine_s_own_clocks() -> None:
    """By default it tells the machine's time."""
    assert abs(Clock()() - datetime.now(UTC).timestamp()) < STEP


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1_772_366_400.25, "2026-03-01T12:00:00.250000Z"),
        (datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T12:00:00Z"),
    ],
)
def test_an_instant_as_the_api_writes_it(when: float | datetime, text: str) -> None:
    """Instants are written in UTC with a Z, and with a fraction only where there is one."""
    assert iso(when) == text
    assert datetime.fromisoformat(text) == (when if isinstance(when, datetime) else instant(when))
