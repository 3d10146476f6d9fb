"""How instants are shown to people."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from forwarder.cli.output import age, moment

NOON = datetime(2026, 5, 1, 12, 0, 0, 987654, tzinfo=UTC)


@pytest.mark.parametrize("at", [NOON, NOON.timestamp()])
def test_an_instant_is_shown_to_the_second(at: float | datetime) -> None:
    """Nobody reads microseconds, and a second that has not come yet is not shown."""
    assert moment(at) == "2026-05-01T12:00:00Z"


def test_an_age_is_counted_from_now() -> None:
    """What never happened has none, and what lies ahead says so."""
    assert (age(940.0, 1000.0), age(1060.0, 1000.0), age(None, 1000.0)) == ("1m ago", "in 1m", "never")
