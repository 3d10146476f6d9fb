"""A report tells what came, what is open or overdue and how long it took: once each time that it is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alert import Severity
from forwarder.common.clock import instant
from forwarder.config import Config, Mute
from forwarder.connector import Action, Connector, Origin
from forwarder.lifecycle import Reports
from forwarder.lifecycle.mutes import standing
from forwarder.lifecycle.reports import latest_due, lines, overdue, summarize
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.store.life_records import DIGEST, Hold
from forwarder.store.mute_records import MutedBy
from forwarder.testing import alert
from tests.kit.store import NOW, Time, claim, claim_all, config, deliver, enqueue, routed

DAY: Final = 86400.0
MONDAY: Final = NOW + 20 * 3600.0
"""Eight o'clock in UTC; NOW is noon on the Sunday before it."""
WEEKLY: Final = {"every": "monday 08:00", "to": ["secops"]}


class Dated(Connector[Any]):
    """A place where criticals are due a day after they came to be owed."""

    render = deliver = check = preview = lambda *_: None  # type: ignore[assignment] # nothing is sent here

    def due(self, severity: Severity, since: datetime) -> datetime | None:
        return since + timedelta(days=1) if severity is Severity.CRITICAL else None


CONNECTORS: Final = {"tickets": Dated("tickets", None)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def reports(store: Store, time: Time, *wanted: dict[str, Any]) -> Reports:
    made = Config.model_validate({**dict(config()), "reports": list(wanted)})
    return Reports(store, made, now=time, connectors=lambda: CONNECTORS, wake=lambda _: None)


def week(store: Store) -> None:
    """A critical that nobody has done, a high that somebody acknowledged, and one that is resolved."""
    for number, severity in enumerate(("critical", "high", "medium")):
        enqueue(store, alert(id=severity, severity=severity, title=f"Hole {number}"), "tickets", now=NOW + number)
        deliver(store, "tickets", f"R-{severity}", now=NOW + number)
    store.lifecycle.respond("high", Action.ACKNOWLEDGE, place=PAGE, now=NOW + 1 + 600, connectors=())
    store.lifecycle.respond("medium", Action.RESOLVE, place=PAGE, now=NOW + 2 + 7200, connectors=())


def test_it_is_made_once_each_time_that_it_is_due(store: Store) -> None:
    time = Time()
    judge = reports(store, time, WEEKLY).judge
    judge()
    time.now = MONDAY - 1
    judge()
    assert claim_all(store, now=time.now) == []
    time.now = MONDAY + 10
    judge()
    reports(store, time, WEEKLY).judge()
    (told,) = claim_all(store, now=time.now)
    assert told.delivery.origin is Origin.REPORT
    assert told.delivery.alert.title == "Report: 0 new, 0 open"


def test_what_was_missed_is_told_in_one(store: Store) -> None:
    time = Time()
    judge = reports(store, time, WEEKLY).judge
    judge()
    time.now = MONDAY + 21 * DAY + 60
    judge()
    told = claim(store, now=time.now).delivery.alert
    assert told.description.startswith("From 2026-03-01 12:00 to 2026-03-23 08:01 UTC.")
    time.now += 7 * DAY
    judge()
    (again,) = claim_all(store, now=time.now)
    assert again.delivery.alert.description.startswith("From 2026-03-23 08:00")


def test_a_clock_that_was_ahead_puts_off_no_report(store: Store) -> None:
    """Set back by a moment, none is made again; by weeks, the one after the next is."""
    time = Time()
    judge = reports(store, time, WEEKLY).judge
    judge()
    for now in (MONDAY + 10, MONDAY - 10, MONDAY + 20):
        time.now = now
        judge()
    deliver(store, "secops", now=time.now)
    time.now = MONDAY + 70 * DAY
    judge()
    deliver(store, "secops", "R-2", now=time.now)
    for now in (MONDAY + DAY, MONDAY + 7 * DAY):
        time.now = now
        judge()
    assert claim_all(store, now=time.now) == []
    time.now = MONDAY + 14 * DAY
    judge()
    assert len(claim_all(store, now=time.now)) == 1


def test_what_is_held_is_not_overdue(store: Store) -> None:
    """Its time begins when it goes out."""
    hold = Hold(until=NOW + 5 * DAY, reason=DIGEST)
    store.feed.commit_page([replace(routed(alert(severity="critical"), "tickets"), holds={"tickets": hold})], now=NOW)
    assert overdue(store, CONNECTORS, NOW + 2 * DAY) == {}


def test_what_it_says(store: Store) -> None:
    week(store)
    assert lines(summarize(store, CONNECTORS, since=NOW - DAY, until=NOW + 2 * DAY)) == [
        "From 2026-02-28 12:00 to 2026-03-03 12:00 UTC.",
        "New: 3 (1 critical, 1 high, 1 medium).",
        "Open: 1 (1 critical).",
        "Acknowledged: 1 (1 high).",
        "Overdue: 1 (1 critical).",
        "Time to acknowledge: median 1h (high 10m, medium 2h).",
        "Time to resolve: median 2h (medium 2h).",
        "Longest unresolved:",
        "- critical · CVE-2026-10001 · Hole 0 · for 2d",
        "- high · CVE-2026-10001 · Hole 1 · for 1d",
    ]


def test_what_went_nowhere_is_nobodys_work(store: Store) -> None:
    store.feed.commit_page([routed(alert(id="unrouted"))], now=NOW)
    assert lines(summarize(store, CONNECTORS, since=NOW - DAY, until=NOW + DAY))[1:3] == ["New: none.", "Open: none."]


def test_what_is_muted_is_nobodys_work_yet(store: Store) -> None:
    mute = MutedBy(id="1", until=NOW + DAY, reason="noise", who="Ada")
    store.feed.commit_page([replace(routed(alert(id="muted"), "secops"), muted=mute)], now=NOW)
    assert lines(summarize(store, CONNECTORS, since=NOW - DAY, until=NOW + DAY))[1:3] == ["New: none.", "Open: none."]


def test_only_what_was_done_in_its_time_counts(store: Store) -> None:
    week(store)
    later = lines(summarize(store, CONNECTORS, since=NOW + DAY, until=NOW + 2 * DAY))
    assert later[1] == "New: none."
    assert later[5] == "Time to acknowledge: nothing was in this time."


def test_mutes_that_end_soon_are_named_with_what_goes_out_then(store: Store) -> None:
    """Those of the config and of people, the next one first; a mute that lasts for longer is no news."""
    for days, reason in ((5, "patched"), (8, "not in use")):
        rule = Mute.model_validate({"vendors": "okta", "until": instant(NOW + days * DAY), "reason": reason})
        store.mutes.add(rule, person="Ada", place=PAGE, now=NOW)
    noise = {"vendors": "github", "severity": "low", "until": instant(NOW + 2 * DAY), "reason": "noise"}
    made = Config.model_validate({**dict(config()), "reports": [WEEKLY], "mutes": [noise]})
    note = standing(made, store, NOW)[0].note
    store.feed.commit_page([replace(routed(alert(id="a")), muted=note)], now=NOW)
    time = Time()
    judge = Reports(store, made, now=time, connectors=lambda: CONNECTORS, wake=lambda _: None).judge
    judge()
    time.now = MONDAY
    judge()
    assert claim(store, now=time.now).delivery.alert.description.splitlines()[-3:] == [
        "Mutes that end within 7 days:",
        "- severity low; vendor github: 2026-03-03 12:00 UTC, 1 alert quiet (noise)",
        "- vendor okta: 2026-03-06 12:00 UTC (patched)",
    ]


def test_the_latest_time_counts() -> None:
    (report,) = Config.model_validate({**dict(config()), "reports": [{"every": "4h", "to": "secops"}]}).reports
    assert latest_due(report, NOW, NOW + 1) is None
    assert latest_due(report, NOW, NOW + 13 * 3600) == NOW + 12 * 3600
