"""For how long nothing happened that should have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

EARLY: Final = 1.2
"""Seconds that may have passed since the last of something that happens once a second; what began earlier is owed to
something else."""
Span = tuple[float, float]
"""From when until when, in seconds."""


def longest(times: Sequence[float], owed: Sequence[Span], within: Span) -> float:
    """The longest stretch between two of ``times``, which are in order, in which something was owed all the time.

    Only stretches count that begin ``within``, which is ``EARLY`` sooner than it says. What is owed after the last
    of ``times`` is no stretch: that nothing is lost is asked elsewhere.
    """
    begin, end = within
    spans = _merged(owed)
    most = 0.0
    for before, after in pairwise(times):
        for since, until in spans:
            first = max(before, since)
            if begin <= first + EARLY < end:
                most = max(most, min(after, until) - first)
    return most


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for since, until in sorted(spans):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged
