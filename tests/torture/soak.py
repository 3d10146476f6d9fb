"""Months in minutes: simulated time, real deliveries, and what the process and its file have grown to.

The services run in a process of their own, for they keep everything that they ever received.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil

from forwarder.app import Forwarder
from forwarder.common.clock import Clock, instant, iso
from forwarder.config import Config, load
from forwarder.feed.client import FeedClient, RequestBudget
from forwarder.logs import configure
from forwarder.store import Store
from tests.bench.stand_ins import StandIns, stand_ins

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
SEVERITIES: Final = ("critical",) * 2 + ("high",) * 5 + ("medium",) * 8 + ("low",) * 5
"""Of twenty alerts."""
CHANGES_A_DAY: Final = 5
"""Alerts of the day before that come to be known as exploited."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One evening: alerts in the store, bytes of the database with its log, bytes of the process."""

    day: int
    alerts: int
    file: int
    memory: int


@dataclass(kw_only=True)
class Soak:
    """What a soak showed. ``complaints`` is empty where everything arrived once and both curves level off."""

    published: int = 0
    deliveries: int = 0
    samples: list[Sample] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def at(self, day: int) -> Sample:
        return self.samples[day - 1]


def run(folder: Path, *, days: int = 90, a_day: int = 200, keep: int = 30, seed: int = 1) -> Soak:
    """Lives through so many days, which end now, and forgets what is older than ``keep`` days."""
    began = datetime.now(UTC).timestamp() - days * DAY
    with stand_ins() as there, (folder / "daemon.log").open("w", encoding="utf-8") as log:
        configure("warning", "json", stream=log)
        life = _Life(folder, there, began, keep=keep, a_day=a_day, seed=seed)
        try:
            for day in range(1, days + 1):
                life.live(day)
            life.count()
        finally:
            life.end()
    soak = life.soak
    _level_off(soak, days, keep)
    return soak


class _Life:
    def __init__(self, folder: Path, there: StandIns, began: float, *, keep: int, a_day: int, seed: int) -> None:
        self.soak = Soak()
        self._now, self._there, self._a_day = began, there, a_day
        self._random = random.Random(seed)
        self._tick = threading.Event()
        self._yesterday: list[dict[str, Any]] = []
        self._config = _config(folder, there, instant(began), keep)
        self._store = Store.open_exclusive(self._config.database)
        self._forwarder = Forwarder(
            self._config, self._store, clock=Clock(wall=lambda: self._now, uptime=lambda: self._now), links_after=0.0
        )
        feed = self._config.sentrytex
        self._feed = FeedClient(feed.base_url, feed.keys["default"], budget=RequestBudget(limit=1_000_000))
        self._forwarder.feeds["default"].poller.read_from(self._feed)
        self._forwarder.start(schedule=False)
        self._process = psutil.Process()

    def live(self, day: int) -> None:
        """One day: a poll an hour, sweeps as often as they are due, and in the evening what happens once a day."""
        today: list[dict[str, Any]] = []
        for hour in range(24):
            self._now += HOUR
            share = self._a_day * (hour + 1) // 24 - self._a_day * hour // 24
            new = [self._alert(day, len(today) + number) for number in range(share)]
            today += new
            changed = []
            if hour == 0:
                changed = [{**alert, "cisa_kev": True} for alert in self._yesterday[:CHANGES_A_DAY]]
            self._there.publish([*new, *changed])
            self._forwarder.poll()
            self._forwarder.sweep_if_due()
            while not all(dispatcher.is_drained(0.0) for dispatcher in list(self._forwarder.dispatchers.values()) * 2):
                self._tick.wait(0.002)
        self._yesterday = today
        self.soak.published += len(today)
        self._forwarder.prune()
        self._forwarder.review_alarms()
        path = self._config.database
        assert isinstance(path, Path)
        files = [path, path.with_name(path.name + "-wal")]
        self.soak.samples.append(
            Sample(
                day=day,
                alerts=_count(path),
                file=sum(file.stat().st_size for file in files if file.exists()),
                memory=self._process.memory_info().rss,
            )
        )

    def count(self) -> None:
        """Compares what arrived with what was published."""
        complaints = self.soak.complaints
        outstanding = self._store.queries.outstanding(self._config.connectors)
        dead = sum(queue.dead for queue in self._store.queries.queues(self._config.connectors))
        if outstanding or dead:
            complaints.append(f"{outstanding} are owed and {dead} dead")
        messages = Counter(
            message["alert_id"]
            for message in self._there.state("slack")["messages"]
            if message["alert_id"] and message["thread_ts"] in (None, message["ts"])
        )
        labels = self._there.state("jira")["labels"]
        tickets = {label: len(keys) for label, keys in labels.items() if label.startswith("sentrytex-soak")}
        incidents = {key: incident["count"] for key, incident in self._there.state("pagerduty")["incidents"].items()}
        self.soak.deliveries = sum(messages.values()) + sum(tickets.values()) + sum(incidents.values())
        if len(messages) != self.soak.published:
            complaints.append(f"{self.soak.published - len(messages)} alerts never came to Slack")
        for name, found in (("Slack", messages), ("Jira", tickets), ("PagerDuty", incidents)):
            if twice := sum(number > 1 for number in found.values()):
                complaints.append(f"{twice} came to {name} twice")

    def end(self) -> None:
        self._forwarder.stop()
        self._feed.close()
        self._store.close()

    def _alert(self, day: int, number: int) -> dict[str, Any]:
        return {
            "id": f"soak-{day}-{number}",
            "cve_id": f"CVE-2026-{day:03}{number:03}",
            "title": f"Number {number} of day {day}",
            "description": "A crafted request lets a remote attacker act as any user. " * 8,
            "severity": self._random.choice(SEVERITIES),
            "cvss_score": 7.5,
            "epss_score": round(self._random.random(), 3),
            "published_at": iso(instant(self._now - self._random.uniform(0, HOUR / 2))),
            "source_urls": ["https://nvd.nist.gov/", "https://example.com/advisory"],
            "affected_vendors": ["github"],
            "cisa_kev": False,
            "alert_type": "cve",
        }


def _count(database: Path) -> int:
    """Alerts in the store, counted beside it: to list them would be what the process needs most memory for."""
    with closing(sqlite3.connect(database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM alerts").fetchone()[0]
        return count


def _config(folder: Path, there: StandIns, start: datetime, keep: int) -> Config:
    slack, pagerduty, jira = (there.credentials[name] for name in ("slack", "pagerduty", "jira"))
    feed = there.credentials["sentrytex"]
    document = {
        "sentrytex": {
            "api_key": feed["token"],
            "base_url": feed["url"],
            "start_from": (start - timedelta(days=1)).isoformat(),
            "sweep_every": "6h",
            "look_back": f"{min(keep, 7)}d",
        },
        "keep": f"{keep}d",
        "connectors": {
            "secops": {
                "type": "slack",
                "token": slack["token"],
                "base_url": slack["url"],
                "channel": "#secops",
                "max_rate": None,
            },
            "oncall": {
                "type": "pagerduty",
                "routing_key": pagerduty["routing_key"],
                "base_url": pagerduty["url"],
                "max_rate": None,
            },
            "tickets": {**{key: jira[key] for key in ("url", "email", "token", "project")}, "type": "jira"},
        },
        "routes": [
            {"severity": "critical", "to": ["oncall"]},
            {"severity": ["critical", "high"], "to": ["tickets"]},
            {"to": ["secops"]},
        ],
        "web": {"listen": "off"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(document), "utf-8")
    return load(path, {})


def _level_off(soak: Soak, days: int, keep: int) -> None:
    """Complains where the file or the memory still grows when the first alerts have long been forgotten."""
    full = min(keep + 10, days // 2)
    before, after = soak.at(full), soak.at(days)
    for name, was, is_ in (("file", before.file, after.file), ("memory", before.memory, after.memory)):
        if is_ > was * 1.15:
            soak.complaints.append(f"the {name} grew from {was} bytes on day {full} to {is_} on day {days}")


def evenings(soak: Soak, days: int) -> Iterator[Sample]:
    """The days that are worth showing: each third."""
    for day in (days // 3, 2 * days // 3, days):
        yield soak.at(day)
