"""Many rows in one statement: as its values, which no database has to read from a text first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

AT_ONCE: Final = 100
"""Rows of one statement: SQLite takes 32,766 values, a server 65,535."""

Rows = Sequence[Sequence[Any]]


def in_parts(rows: Rows) -> Iterator[Rows]:
    """``rows``, as many at a time as one statement takes."""
    return (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE))


def places(rows: Rows, *, after: int = 0) -> str:
    """What stands for ``rows`` behind VALUES; ``after`` is how many values are given before theirs."""
    width = len(rows[0])
    starts = range(after + 1, after + 1 + len(rows) * width, width)
    return ", ".join(f"({', '.join(f'?{number}' for number in range(start, start + width))})" for start in starts)
