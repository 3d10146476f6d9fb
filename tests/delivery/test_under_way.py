"""What is being sent, and how many of those that keep failing may be."""

from __future__ import annotations

from dataclasses import replace

from forwarder.delivery.under_way import HANGS_AFTER, UnderWay
from forwarder.store.records import Claimed
from forwarder.testing import delivery
from tests.kit.store import Time


def claimed(number: int, token: str = "t") -> Claimed:
    one = Claimed(token=token, delivery=delivery(), uncertain=False, lookups=0, attempts=0, failing_since=None)
    return replace(one, delivery=replace(one.delivery, id=number))


def test_what_keeps_failing_never_takes_all_workers() -> None:
    """Half of them at most; a single worker has to do for all."""
    under_way = UnderWay(Time())
    assert [under_way.room_for_failing(workers) for workers in (1, 2, 3, 8)] == [1, 1, 1, 4]
    one = claimed(1)
    under_way.expect(probes=[], failing=[one])
    under_way.begin(one)
    assert [under_way.room_for_failing(workers) for workers in (1, 2, 8)] == [0, 0, 3]
    assert under_way.end(one)
    assert under_way.room_for_failing(2) == 1


def test_one_that_hangs_counts_like_one_that_fails() -> None:
    """It may end in a time-out, and with one more the workers could all be waiting for time-outs."""
    time = Time()
    under_way = UnderWay(time)
    under_way.begin(claimed(1))
    assert under_way.room_for_failing(2) == 1
    time.advance(HANGS_AFTER + 0.1)
    assert under_way.room_for_failing(2) == 0


def test_one_whose_lease_ended_may_be_under_way_twice() -> None:
    """Each of its workers ends for itself."""
    under_way = UnderWay(Time())
    first, second = claimed(1, "a"), claimed(1, "b")
    under_way.expect(probes=[first], failing=[])
    under_way.begin(first)
    under_way.begin(second)
    assert (under_way.busy, under_way.probes) == (2, 1)
    assert not under_way.end(second)
    assert under_way.end(first)
    assert (under_way.busy, under_way.probes) == (0, 0)
