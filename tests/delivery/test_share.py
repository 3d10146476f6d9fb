"""How much what keeps failing may take of the sending."""

from __future__ import annotations

import pytest

from forwarder.delivery.share import REST, YIELDS, Share

NOW = 1000.0


@pytest.fixture
def share() -> Share:
    return Share()


def test_it_has_its_turn_until_it_fails(share: Share) -> None:
    """What others arrived beside may well arrive now, and what does leaves the next one its turn."""
    assert not share.yields(NOW)
    share.record(failed=False, seconds=0.1, now=NOW)
    assert not share.yields(NOW)


def test_each_failure_leaves_more_to_others(share: Share) -> None:
    """After a few in a row it is one send in twenty, and one that arrives ends that."""
    for owed in (*YIELDS[1:], YIELDS[-1]):
        share.record(failed=True, seconds=0.0, now=NOW)
        share.spend(owed - 1)
        assert share.yields(NOW)
        share.spend(1)
        assert not share.yields(NOW)
    assert YIELDS[-1] == 19
    share.record(failed=False, seconds=0.0, now=NOW)
    assert not share.yields(NOW)


def test_a_slow_failure_is_made_up_for(share: Share) -> None:
    """A time-out costs as much as many sends, and so does its rest; a clock that is set moves that along."""
    share.record(failed=True, seconds=10.0, now=NOW)
    share.spend(100)
    assert share.yields(NOW + 29)
    share.shift_deadlines(3600)
    assert share.yields(NOW + 3629)
    assert not share.yields(NOW + 3630)
    for _ in range(5):
        share.record(failed=True, seconds=10.0, now=NOW)
    share.spend(100)
    assert share.yields(NOW + REST - 1)
    assert not share.yields(NOW + REST)
