"""How long a queue takes, at the pace at which its connector delivers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from forwarder.common.text import counted
from forwarder.connector import Rate
from forwarder.store.records import Queue

WINDOW: Final = 300.0
"""Seconds over which the pace is measured."""
SHORTEST: Final = 10.0
"""Seconds of work below which a measurement says nothing."""
NEARLY: Final = 0.7
"""The share of ``max_rate`` from which on this is what holds it up, and not the destination."""

WORTH_AN_ESTIMATE: Final = 60.0
"""Seconds that a queue takes from which on it is told how long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Deliveries a second, and the same for people."""

    per_second: float
    text: str

    def takes(self, waiting: int) -> float:
        """Seconds until so many have gone out."""
        return waiting / self.per_second

    def told(self, waiting: int) -> str:
        """How long so many take: ``about 33 minutes at 1/s``."""
        return f"{about(self.takes(waiting))} at {self.text}"


def measured_since(queue: Queue, now: float) -> float:
    """Since when what was delivered shows the pace: a queue that had nothing to do was no slower for that."""
    since = now - WINDOW
    return since if queue.oldest_enqueued_at is None else min(max(since, queue.oldest_enqueued_at), now)


def throughput_of(queue: Queue, limit: Rate | None, delivered: int, now: float) -> Throughput | None:
    """The pace of a connector that may send at ``limit`` and ``delivered`` so many lately; None where none is known."""
    worked = now - measured_since(queue, now)
    measured = delivered / worked if queue.waiting and worked >= SHORTEST else 0.0
    if limit is not None and (not measured or measured * limit.interval >= NEARLY):
        return Throughput(per_second=1 / limit.interval, text=str(limit))
    return Throughput(per_second=measured, text=_rate(measured)) if measured else None


def about(seconds: float) -> str:
    """A duration that is not known to the second, in words: ``about 33 minutes``."""
    for most, unit, name in ((90, 1, "second"), (5400, 60, "minute"), (172_800, 3600, "hour")):
        if seconds < most:
            return f"about {counted(max(round(seconds / unit), 1), name)}"
    return f"about {counted(round(seconds / 86400), 'day')}"


def _rate(per_second: float) -> str:
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{round(per_second * seconds):,}/{unit}"
    return f"{max(round(per_second * 3600), 1):,}/h"
