"""Two charts as inline SVG: alerts a day, and how long deliveries took. Colours come from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup

from forwarder.alert import Severity
from forwarder.units import format_duration

WIDTH: Final = 640
HEIGHT: Final = 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 12, 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """How many alerts of each severity one UTC day brought."""

    day: date
    counts: Mapping[Severity, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def told(self) -> str:
        parts = [f"{count:,} {severity.value}" for severity, count in self.counts.items() if count]
        return f"{self.day.isoformat()}: {', '.join(parts) or 'none'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long one connector's deliveries took, in seconds: half of them at most ``median``, 19 of 20 ``slow``."""

    connector: str
    count: int
    median: float
    slow: float


def days(counts: Iterable[tuple[str, Severity, int]], last: date, length: int) -> list[Day]:
    """The ``length`` days up to ``last``, those without any alert included."""
    by_day: dict[str, dict[Severity, int]] = {}
    for day, severity, count in counts:
        by_day.setdefault(day, {})[severity] = count
    return [
        Day(day=day, counts={severity: by_day.get(day.isoformat(), {}).get(severity, 0) for severity in Severity})
        for day in (last - timedelta(days=back) for back in range(length - 1, -1, -1))
    ]


def latencies(measured: Iterable[tuple[str, float]]) -> list[Latency]:
    """What each connector's deliveries took, by name."""
    by_connector: dict[str, list[float]] = {}
    for connector, seconds in measured:
        by_connector.setdefault(connector, []).append(seconds)
    return [
        Latency(connector=name, count=len(taken), median=_quantile(taken, 0.5), slow=_quantile(taken, 0.95))
        for name, taken in sorted(by_connector.items())
    ]


def _quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def alerts_chart(shown: Sequence[Day]) -> Markup:
    """Stacked bars, one a day, the most severe at the bottom where the eye compares best."""
    top = _round_up(max((day.total for day in shown), default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(len(shown), 1)
    parts = [_grid_line(top * share, top) for share in (0.0, 0.5, 1.0)]
    for place, day in enumerate(shown):
        left, floor = _LEFT + place * step, float(HEIGHT - _BOTTOM)
        bars = []
        for severity, count in day.counts.items():
            if count:
                height = max(count / top * (HEIGHT - _TOP - _BOTTOM), 1.0)
                floor -= height
                bars.append(
                    f'<rect class="fill-{severity.value}" x="{left + 1:.1f}" y="{floor:.1f}"'
                    f' width="{max(step - 3, 1):.1f}" height="{height:.1f}"/>'
                )
        # The whole column answers the pointer, so that a short bar can be read as well.
        column = f'<rect class="hover" x="{left:.1f}" y="{_TOP}" width="{step:.1f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
        parts.append(f"<g><title>{day.told}</title>{column}{''.join(bars)}</g>")
        if (len(shown) - 1 - place) % 7 == 0:
            middle = left + step / 2
            parts.append(_text(middle, HEIGHT - 6, f"{day.day:%d %b}".lstrip("0"), "middle"))
    return _svg("Alerts a day, by severity", parts, HEIGHT)


def latency_chart(shown: Sequence[Latency]) -> Markup:
    """A line for each connector from the median to the 95th percentile, on a logarithmic axis."""
    scale = [tick for tick in _TICKS if tick <= _next_tick(max((row.slow for row in shown), default=1.0))]
    row_height, left = 34, 130
    height = _TOP + row_height * max(len(shown), 1) + _BOTTOM
    parts = []
    for tick in scale:
        across = _across(tick, scale, left)
        parts.append(f'<line class="grid" x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>')
        parts.append(_text(across, height - 6, format_duration(tick), "middle"))
    for place, row in enumerate(shown):
        middle = _TOP + row_height * (place + 0.5)
        start, end = _across(row.median, scale, left), _across(row.slow, scale, left)
        told = f"{row.connector}: half within {format_duration(row.median)}, 95% within {format_duration(row.slow)}"
        name = row.connector if len(row.connector) <= 16 else f"{row.connector[:15]}…"
        parts.append(
            Markup("<g><title>{}</title>{}{}{}{}</g>").format(
                told,
                _text(left - 14, middle + 4, name, "end"),
                Markup(f'<line class="range" x1="{start:.1f}" x2="{end:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'),
                Markup(f'<circle class="median" cx="{start:.1f}" cy="{middle:.1f}" r="5"/>'),
                Markup(f'<line class="slow" x1="{end:.1f}" x2="{end:.1f}" y1="{middle - 7:.1f}" y2="{middle + 7:.1f}"/>'),
            )
        )
    return _svg("Time from owing an alert to its delivery, by connector", parts, height)


_TICKS: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0)


def _next_tick(seconds: float) -> float:
    return max(next((tick for tick in _TICKS if tick >= seconds), _TICKS[-1]), _TICKS[2])


def _across(seconds: float, scale: Sequence[float], left: int) -> float:
    first, last = math.log(scale[0]), math.log(scale[-1])
    share = (math.log(min(max(seconds, scale[0]), scale[-1])) - first) / (last - first)
    return left + share * (WIDTH - left - 24)


def _round_up(count: int) -> int:
    """The next number at or above ``count`` that is easy to read off an axis: 2, 4, 10, 20, 40, 100 …"""
    size = 10 ** max(len(str(count)) - 1, 0)
    return next(size * factor for factor in (2, 4, 10, 20) if size * factor >= count)


def _grid_line(value: float, top: int) -> str:
    y = HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
    line = f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(_LEFT - 6, y + 4, f"{value:,.0f}", "end")


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(f"{x:.1f}", f"{y:.1f}", anchor, words)


def _svg(name: str, parts: Iterable[str], height: int) -> Markup:
    inner = Markup("").join(Markup(part) for part in parts)  # noqa: S704 - every part is made of numbers or escaped
    return Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>').format(name, WIDTH, height, inner)
