"""When next: the waits after failures, and what a Retry-After header asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.common.backoff import MAX_RETRY_AFTER, Backoff, retry_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_waits_double_until_the_most() -> None:
    """Each failure doubles the wait, and the most is never passed."""
    backoff = Backoff(first=2.0, most=30.0)
    assert [backoff.after(attempt, lambda: 1.0) for attempt in range(1, 7)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_the_dice_spread_the_upper_half() -> None:
    """The jitter takes away up to a half, so that many who failed together do not come again together."""
    backoff = Backoff(first=8.0, most=30.0)
    assert [backoff.after(1, lambda rng=rng: rng) for rng in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]  # type: ignore[misc]


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_no_number_of_failures_is_too_large(attempt: int, rng: float) -> None:
    """After any number of failures there is a wait, between half the first one and the most."""
    assert 1.0 <= Backoff(first=2.0, most=1800.0).after(attempt, lambda: rng) <= 1800.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("inf", MAX_RETRY_AFTER),
        ("86400", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 99 Dec 9999 23:59:59 GMT", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:07 -0000", 7.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Seconds and dates are understood, within bounds; what says nothing usable is None."""
    assert retry_after(header, NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_anything(header: str) -> None:
    """Whatever a header says, there comes None or a wait within the bounds."""
    seconds = retry_after(header, NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER
