"""When next? Pure: the time and the random numbers are the caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER: Final = 3600.0
"""Seconds. After a longer Retry-After we ask again at this: a mistaken header must not silence anything for days."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter on its upper half.

    Attempt n waits between half and the whole of ``first * factor ** (n - 1)`` seconds, never more than ``most``.
    """

    first: float
    most: float
    factor: float = 2.0

    def after(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds to wait after the ``attempt``-th failure in a row (1 is the first)."""
        # The exponent is capped: a queue that failed for days would overflow a float.
        whole = min(self.most, self.first * self.factor ** min(attempt - 1, 64))
        return whole * (0.5 + 0.5 * random())


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, from 0 to MAX_RETRY_AFTER; None where it says nothing usable.

    RFC 9110 has whole seconds or a date; fractions are met in the wild.
    """
    if header is None:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    if seconds != seconds:  # noqa: PLR0124 - NaN, the one number that is not itself
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
