"""The numbers and the geometry of the two charts: alerts a day, and how long deliveries took.

``charts.html`` draws them as inline SVG, the style sheet colours them. Lengths are in the SVG's own units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from forwarder.alert import Severity
from forwarder.common.text import cut
from forwarder.connector import format_duration

WIDTH: Final = 640.0
TOP: Final = 12.0
BOTTOM: Final = 24.0
"""Room below the plot for the labels of its axis."""
DAYS_LEFT: Final = 40.0
DAYS_HEIGHT: Final = 200.0
LATENCY_LEFT: Final = 130.0
LATENCY_ROW: Final = 34.0
RIGHT: Final = 24.0

_TICKS: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""Seconds at which the axis of durations has a line."""
PEOPLE: Final = (60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0, 31536000.0)
"""The same where people took their time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """How many alerts of each severity one UTC day brought."""

    day: date
    counts: Mapping[Severity, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long one connector's deliveries took, in seconds: half of them at most ``median``, 19 of 20 ``slow``."""

    connector: str
    count: int
    median: float
    slow: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A line of the grid, ``at`` along its axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A part of a column: the alerts of one severity."""

    severity: Severity
    y: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One day: its bars, what it says to whoever points at it, and its label where it has one."""

    x: float
    title: str
    bars: Sequence[Bar]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DaysChart:
    """Stacked bars, the most severe at the bottom, where the eye compares best."""

    height: float
    floor: float
    step: float
    ticks: Sequence[Tick]
    columns: Sequence[Column]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One connector: a line from the median to the 95th percentile."""

    y: float
    name: str
    title: str
    median: float
    slow: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyChart:
    """A line for each connector, on a logarithmic axis."""

    height: float
    ticks: Sequence[Tick]
    spans: Sequence[Span]


def days(counts: Iterable[tuple[str, Severity, int]], last: date, length: int) -> list[Day]:
    """The ``length`` days up to ``last``, those without any alert included."""
    by_day: dict[str, dict[Severity, int]] = {}
    for day, severity, count in counts:
        by_day.setdefault(day, {})[severity] = count
    return [
        Day(day=day, counts={severity: by_day.get(day.isoformat(), {}).get(severity, 0) for severity in Severity})
        for day in (last - timedelta(days=back) for back in range(length - 1, -1, -1))
    ]


def latency(name: str, taken: Iterable[float]) -> Latency:
    """What deliveries took, or people, of which there is one at least."""
    ordered = sorted(taken)
    return Latency(connector=name, count=len(ordered), median=_quantile(ordered, 0.5), slow=_quantile(ordered, 0.95))


def latencies(measured: Iterable[tuple[str, float]]) -> list[Latency]:
    """What each connector's deliveries took, by name."""
    by_connector: dict[str, list[float]] = {}
    for connector, seconds in measured:
        by_connector.setdefault(connector, []).append(seconds)
    return [latency(name, taken) for name, taken in sorted(by_connector.items())]


def days_chart(shown: Sequence[Day], *, labelled: int = 7) -> DaysChart:
    """The chart of ``shown``, the oldest day first; one of so many days has a label."""
    top, room, floor = _round_up(max((day.total for day in shown), default=0)), *_plot(DAYS_HEIGHT)
    step = (WIDTH - DAYS_LEFT) / max(len(shown), 1)
    return DaysChart(
        height=DAYS_HEIGHT,
        floor=floor,
        step=step,
        ticks=[Tick(at=floor - share * room, label=f"{top * share:,.0f}") for share in (0.0, 0.5, 1.0)],
        columns=[
            Column(
                x=DAYS_LEFT + place * step,
                title=f"{day.day}: {_parts(day)}",
                bars=_bars(day, room / top, floor),
                label=f"{day.day.day} {day.day:%b}" if (len(shown) - 1 - place) % labelled == labelled // 2 else "",
            )
            for place, day in enumerate(shown)
        ],
    )


def latency_chart(shown: Sequence[Latency], among: Sequence[float] = _TICKS) -> LatencyChart:
    """The chart of ``shown``, from top to bottom, with a line at those of ``among`` that it takes."""
    slowest = max((row.slow for row in shown), default=0.0)
    last = next((place for place, tick in enumerate(among) if tick >= slowest), len(among) - 1)
    scale = among[: max(last, 2) + 1]
    return LatencyChart(
        height=TOP + LATENCY_ROW * len(shown) + BOTTOM,
        ticks=[Tick(at=_across(tick, scale), label=format_duration(tick)) for tick in scale],
        spans=[
            Span(
                y=TOP + LATENCY_ROW * (place + 0.5),
                name=cut(row.connector, 16),
                title=f"{row.connector}: half within {format_duration(row.median)},"
                f" 95% within {format_duration(row.slow)}",
                median=_across(row.median, scale),
                slow=_across(row.slow, scale),
            )
            for place, row in enumerate(shown)
        ],
    )


def _plot(height: float) -> tuple[float, float]:
    """The room that a chart's plot has, and where its floor is."""
    return height - TOP - BOTTOM, height - BOTTOM


def _parts(day: Day) -> str:
    return ", ".join(f"{count:,} {severity.value}" for severity, count in day.counts.items() if count) or "none"


def _bars(day: Day, scale: float, floor: float) -> list[Bar]:
    bars = []
    for severity, count in day.counts.items():
        if count:
            # One alert beside a thousand must still be seen.
            height = max(count * scale, 1.0)
            floor -= height
            bars.append(Bar(severity=severity, y=floor, height=height))
    return bars


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def _across(seconds: float, scale: Sequence[float]) -> float:
    first, last = math.log(scale[0]), math.log(scale[-1])
    share = (math.log(min(max(seconds, scale[0]), scale[-1])) - first) / (last - first)
    return LATENCY_LEFT + share * (WIDTH - LATENCY_LEFT - RIGHT)


def _round_up(count: int) -> int:
    """The next number at or above ``count`` that is easy to read off an axis: 2, 4, 10, 20, 40, 100 …"""
    size = int(10 ** (len(str(count)) - 1))
    return next(size * factor for factor in (2, 4, 10) if size * factor >= count)
