"""A report: what was new, what is open or overdue, and how long it took, told at the times of the config."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forwarder.alert import Alert, Severity
from forwarder.common import text
from forwarder.common.clock import Now, instant, iso
from forwarder.common.text import cut
from forwarder.common.units import roughly
from forwarder.config import Config
from forwarder.config.life import Report
from forwarder.connector import Connector
from forwarder.lifecycle.mutes import standing, words
from forwarder.lifecycle.reminders import overdue_before
from forwarder.lifecycle.schedules import next_time
from forwarder.logs import get_logger
from forwarder.routing import is_like
from forwarder.store import Store
from forwarder.store.figures import Figures, Unfinished
from forwarder.store.mute_records import MuteRow

log = get_logger(__name__)

REPORT_EVERY: Final = 30.0
"""Seconds between two looks at which reports are due."""
OLDEST: Final = 5
"""How many of the oldest alerts that are not resolved a report names."""
ENDING: Final = 7 * 86400.0
"""Seconds within which the mutes end that a report names."""
MOST_ENDING: Final = 10
"""How many of them it names; the rest is counted."""
MAX_TITLE: Final = 150
"""Characters of one of their titles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a report says of the time from ``since`` to ``until``, in seconds since the epoch.

    ``ending`` are the mutes that end soon, each with how many alerts it keeps quiet. ``account`` is whose alerts these
    are, None where they are all.
    """

    since: float
    until: float
    figures: Figures
    overdue: Mapping[Severity, int] = field(default_factory=dict)
    oldest: Sequence[Unfinished] = ()
    ending: Sequence[tuple[MuteRow, int]] = ()
    account: str | None = None


class Reports:
    """Makes the reports of the config when they are due, each once; what was missed is told in one."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        now: Now,
        connectors: Callable[[], Mapping[str, Connector[Any]]],
        wake: Callable[[Collection[str]], None],
    ) -> None:
        self._store, self._now, self._connectors, self._wake = store, now, connectors, wake
        self._config = config

    def use(self, config: Config) -> None:
        """Goes by another config's reports from now on."""
        self._config = config

    def judge(self) -> None:
        """Owes the reports that are due."""
        now = self._now()
        for report in self._config.reports:
            key = key_of(report)
            # The next one counts as made where that was by a clock that has been set back since: never twice.
            following = next_time(report, instant(now)).timestamp()
            last = self._store.figures.last_report(key, now=now, most=following)
            due = latest_due(report, last, now)
            if due is None:
                continue
            mutes = standing(self._config, self._store, now)
            summary = summarize(self._store, self._connectors(), since=last, until=now, mutes=mutes)
            made = as_alert(summary, f"report-{key}-{now:.3f}")
            if self._store.figures.report(key, made, due=due, connectors=report.to, now=now):
                log.info("reported", to=list(report.to))
                self._wake(report.to)


def summarize(
    store: Store,
    connectors: Mapping[str, Connector[Any]],
    *,
    since: float,
    until: float,
    mutes: Sequence[MuteRow] = (),
    account: str | None = None,
) -> Summary:
    """What became of the alerts from ``since`` to ``until``, which is now; ``mutes`` are those that stand.

    With an ``account``, what became of those that are owed for it.
    """
    oldest = [one for severity in Severity for one in store.figures.unfinished(severity, OLDEST, account)]
    oldest.sort(key=lambda one: one.seen_at)
    return Summary(
        since=since,
        until=until,
        figures=store.figures.between(since, until, account),
        overdue=overdue(store, connectors, until, account),
        oldest=oldest[:OLDEST],
        ending=_ending(store, [mute for mute in mutes if _may_be_of(mute, account)], until),
        account=account,
    )


def _may_be_of(mute: MuteRow, account: str | None) -> bool:
    """Whether a mute can keep quiet what an account sees."""
    if account is None or mute.rule is None or not mute.rule.account:
        return True
    return any(is_like(account, pattern) for pattern in mute.rule.account)


def _ending(store: Store, mutes: Sequence[MuteRow], now: float) -> list[tuple[MuteRow, int]]:
    ending = sorted((mute for mute in mutes if mute.until <= now + ENDING), key=lambda mute: mute.until)
    counts = store.mutes.counts() if ending else {}
    return [(mute, counts.get(mute.id, 0)) for mute in ending]


def overdue(
    store: Store, connectors: Mapping[str, Connector[Any]], now: float, account: str | None = None
) -> dict[Severity, int]:
    """How many alerts of each severity are not resolved although their date has passed; those of which any are."""
    found = {
        severity: store.figures.owed_before(severity, overdue_before(severity, connectors, now), account)
        for severity in Severity
    }
    return {severity: count for severity, count in found.items() if count}


def as_alert(summary: Summary, alert_id: str) -> Alert:
    """A report in the form in which everything is delivered."""
    return Alert.parse(
        {
            "id": alert_id,
            "title": headline(summary),
            "severity": Severity.LOW.value,
            "published_at": iso(instant(summary.until)),
            "description": "\n".join(lines(summary)),
            "alert_type": "report",
        }
    )


def headline(summary: Summary) -> str:
    """The report in a line."""
    figures = summary.figures
    parts = [f"{sum(figures.new.values())} new", f"{sum(figures.open.values())} open"]
    parts += [f"{sum(figures.acknowledged.values())} acknowledged"] if figures.acknowledged else []
    parts += [f"{sum(summary.overdue.values())} overdue"] if summary.overdue else []
    return f"Report{f' of {summary.account}' if summary.account else ''}: {', '.join(parts)}"


def lines(summary: Summary) -> list[str]:
    """The report in full, a line of plain text for each fact."""
    figures = summary.figures
    since, until = (f"{instant(moment):%Y-%m-%d %H:%M}" for moment in (summary.since, summary.until))
    found = [
        f"From {since} to {until} UTC.",
        f"New: {by_severity(figures.new)}.",
        f"Open: {by_severity(figures.open)}.",
        f"Acknowledged: {by_severity(figures.acknowledged)}.",
        f"Overdue: {by_severity(summary.overdue)}.",
        f"Time to acknowledge: {medians(figures.to_acknowledge)}.",
        f"Time to resolve: {medians(figures.to_resolve)}.",
    ]
    if summary.oldest:
        found.append("Longest unresolved:")
        found += [f"- {_unfinished(one, summary.until)}" for one in summary.oldest]
    if summary.ending:
        found.append("Mutes that end within 7 days:")
        found += [f"- {_ends(mute, quiet)}" for mute, quiet in summary.ending[:MOST_ENDING]]
        left = len(summary.ending) - MOST_ENDING
        found += [f"… and {left} more"] if left > 0 else []
    return found


def by_severity(counts: Mapping[Severity, int]) -> str:
    """``7 (2 critical, 5 high)``, or ``none``."""
    parts = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts.get(severity))
    return f"{sum(counts.values())} ({parts})" if parts else "none"


def medians(times: Mapping[Severity, Sequence[float]]) -> str:
    """``median 12m (critical 4m, high 1h)``, or that nothing was."""
    everything = [seconds for one in times.values() for seconds in one]
    if not everything:
        return "nothing was in this time"
    parts = ", ".join(f"{severity} {_median(times[severity])}" for severity in Severity if times.get(severity))
    return f"median {_median(everything)} ({parts})"


def latest_due(report: Report, last: float, now: float) -> float | None:
    """The latest time until ``now`` at which the report was due after ``last``; None where it was not."""
    due = next_time(report, instant(last)).timestamp()
    if due > now:
        return None
    while (later := next_time(report, instant(due)).timestamp()) <= now:
        due = later
    return due


def key_of(report: Report) -> str:
    """What names a report by when it is made and for whom."""
    told = f"{report.every} {report.timezone} {' '.join(sorted(report.to))}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _unfinished(one: Unfinished, now: float) -> str:
    alert = one.alert
    facts = [alert.severity_label, alert.cve_id, cut(alert.title, MAX_TITLE), f"for {roughly(now - one.seen_at)}"]
    return " · ".join(fact for fact in facts if fact)


def _ends(mute: MuteRow, quiet: int) -> str:
    what = cut(words(mute.rule), MAX_TITLE) if mute.rule else mute.id
    goes_out = f", {text.counted(quiet, 'alert')} quiet" if quiet else ""
    return f"{what}: {instant(mute.until):%Y-%m-%d %H:%M} UTC{goes_out} ({cut(mute.reason, MAX_TITLE)})"


def _median(seconds: Sequence[float]) -> str:
    import statistics  # here, for most configs have no reports

    return roughly(statistics.median(seconds))
