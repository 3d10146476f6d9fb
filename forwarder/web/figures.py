"""The figures of the alerts: how many came, how they stand, and how long people took, by severity and by week."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.connector import Connector, Status
from forwarder.lifecycle.reports import overdue
from forwarder.store import Store
from forwarder.store.figures import WEEK, Week
from forwarder.web import charts

WEEKS: Final = 8
"""Weeks that the figures tell of, the current one included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The alerts of a severity, or of all: how many are new, open, acknowledged and overdue, and what people took.

    ``severity`` is None for all. ``to_acknowledge`` and ``to_resolve`` are medians in seconds, None where nothing was.
    """

    severity: Severity | None
    new: int
    open: int
    acknowledged: int
    overdue: int
    to_acknowledge: float | None
    to_resolve: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class WeekLine:
    """A week from its Monday on: how many alerts came, and by severity what people took, as in a Line."""

    monday: date
    new: Mapping[Severity, int]
    to_acknowledge: Mapping[Severity, float]
    to_resolve: Mapping[Severity, float]
    median_to_acknowledge: float | None
    median_to_resolve: float | None

    @property
    def total(self) -> int:
        return sum(self.new.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What the page of figures shows; weeks are UTC's, the current one first.

    ``account`` is whose alerts these are, None where they are all.
    """

    account: str | None
    lines: Sequence[Line]
    weeks: Sequence[WeekLine]
    new_chart: charts.DaysChart
    acknowledge_chart: charts.LatencyChart
    resolve_chart: charts.LatencyChart


def gather(store: Store, connectors: Mapping[str, Connector[Any]], now: float, account: str | None = None) -> Shown:
    """Reads the figures as they are at ``now``: of all alerts, or of those that are owed for an account."""
    today = instant(now).date()
    monday = today - timedelta(days=today.weekday())
    since = (now - now % 86400) - today.weekday() * 86400 - (WEEKS - 1) * WEEK
    weeks = store.figures.weeks(since, WEEKS, account)
    unresolved, late = store.figures.unresolved(account), overdue(store, connectors, now, account)
    lines = [_line([severity], severity, weeks, unresolved, late) for severity in Severity]
    mondays = [monday - timedelta(weeks=WEEKS - 1 - number) for number in range(WEEKS)]
    shown = [_week(day, week) for day, week in zip(mondays, weeks, strict=True)]
    days = [
        charts.Day(day=week.monday, counts={severity: week.new.get(severity, 0) for severity in Severity})
        for week in shown
    ]
    return Shown(
        account=account,
        lines=[*lines, _line(list(Severity), None, weeks, unresolved, late)],
        weeks=shown[::-1],
        new_chart=charts.days_chart(days, labelled=1),
        acknowledge_chart=_chart(weeks, "to_acknowledge"),
        resolve_chart=_chart(weeks, "to_resolve"),
    )


def _chart(weeks: Sequence[Week], times: str) -> charts.LatencyChart:
    taken = {severity: _all(weeks, times, [severity]) for severity in Severity}
    shown = [charts.latency(one.value, seconds) for one, seconds in taken.items() if seconds]
    return charts.latency_chart(shown, charts.PEOPLE)


def _line(
    severities: Sequence[Severity],
    severity: Severity | None,
    weeks: Sequence[Week],
    unresolved: Mapping[tuple[Severity, Status], int],
    late: Mapping[Severity, int],
) -> Line:
    return Line(
        severity=severity,
        new=sum(week.new.get(one, 0) for week in weeks for one in severities),
        open=sum(unresolved.get((one, Status.OPEN), 0) for one in severities),
        acknowledged=sum(unresolved.get((one, Status.ACKNOWLEDGED), 0) for one in severities),
        overdue=sum(late.get(one, 0) for one in severities),
        to_acknowledge=_median(_all(weeks, "to_acknowledge", severities)),
        to_resolve=_median(_all(weeks, "to_resolve", severities)),
    )


def _week(monday: date, week: Week) -> WeekLine:
    return WeekLine(
        monday=monday,
        new=week.new,
        to_acknowledge={severity: statistics.median(taken) for severity, taken in week.to_acknowledge.items()},
        to_resolve={severity: statistics.median(taken) for severity, taken in week.to_resolve.items()},
        median_to_acknowledge=_median(_all([week], "to_acknowledge", list(Severity))),
        median_to_resolve=_median(_all([week], "to_resolve", list(Severity))),
    )


def _all(weeks: Sequence[Week], times: str, severities: Sequence[Severity]) -> list[float]:
    return [seconds for week in weeks for one in severities for seconds in getattr(week, times).get(one, ())]


def _median(taken: Sequence[float]) -> float | None:
    return statistics.median(taken) if taken else None
