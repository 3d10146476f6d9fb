"""What the process knows of refused writes: when they began, whether they go on, and when they were over."""

from __future__ import annotations

import threading
from typing import Final

import pytest

from forwarder.store.records import PollResult
from forwarder.web.writes import QUIET, SAME, Refusal, Writes
from tests.kit.core import PATIENCE, no_threads, until
from tests.kit.store import NOW, Time

FULL: Final = "The disk is full."


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def writes(time: Time) -> Writes:
    return Writes(time)


def poll(writes: Writes, *, sweep: bool = False) -> None:
    writes.polled(PollResult(sweep=sweep), 1.0)


def test_nothing_refused_is_nothing_to_tell(writes: Writes) -> None:
    """A process whose writes were all taken knows of no refusal."""
    poll(writes)
    assert writes.look(lambda: None) is None


def test_refusals_in_a_row_are_one(writes: Writes, time: Time) -> None:
    """It began with the first, and goes on with the last."""
    writes.store_failed("Locked.")
    time.advance(30)
    writes.store_failed(FULL)
    assert writes.latest() == Refusal(since=NOW, last_at=NOW + 30, reason=FULL)


def test_a_complete_poll_ends_it_at_once(writes: Writes, time: Time) -> None:
    """What could not be taken in before was taken in now."""
    writes.store_failed(FULL)
    time.advance(240)
    poll(writes)
    assert writes.latest() == Refusal(since=NOW, last_at=NOW, reason=FULL, until=NOW + 240)


def test_a_small_write_ends_it_only_after_a_quiet_while(writes: Writes, time: Time) -> None:
    """A full disk takes what needs no further room: it is over as of the first such write once nothing is refused."""
    writes.store_failed(FULL)
    for _ in range(2):
        time.advance(QUIET / 2 - 1)
        poll(writes, sweep=True)
        refusal = writes.look(lambda: None)
        assert refusal
        assert refusal.until is None
    time.advance(5)
    refusal = writes.look(lambda: None)
    assert refusal
    assert refusal.until == NOW + QUIET / 2 - 1


def test_what_comes_back_soon_was_never_over(writes: Writes, time: Time) -> None:
    """A disk that wavers is told since its beginning; one that is full again later, anew."""
    writes.store_failed(FULL)
    poll(writes)
    time.advance(SAME)
    writes.store_failed(FULL)
    assert writes.latest() == Refusal(since=NOW, last_at=NOW + SAME, reason=FULL)
    poll(writes)
    time.advance(SAME + 1)
    writes.store_failed(FULL)
    assert writes.latest() == Refusal(since=NOW + 2 * SAME + 1, last_at=NOW + 2 * SAME + 1, reason=FULL)


def test_a_look_finds_what_nobody_tried(writes: Writes) -> None:
    """Whoever looks learns of a database that refuses writes before the next poll does."""
    assert writes.look(lambda: FULL) == Refusal(since=NOW, last_at=NOW, reason=FULL)


def test_a_write_that_does_not_end_holds_up_no_page(writes: Writes) -> None:
    """What is known is told, and no second write is begun behind it."""
    ended, begun = threading.Event(), []

    def probe() -> None:
        begun.append(1)
        ended.wait(PATIENCE)

    writes.store_failed(FULL)
    for _ in range(2):
        assert writes.look(probe) == Refusal(since=NOW, last_at=NOW, reason=FULL)
    until(lambda: begun)
    ended.set()
    assert begun == [1]


def test_a_machine_without_threads_ends_no_look(writes: Writes) -> None:
    """What is known is told without a write, and the next look makes one again."""
    with no_threads():
        assert writes.look(lambda: FULL) is None
    assert writes.look(lambda: FULL) == Refusal(since=NOW, last_at=NOW, reason=FULL)
