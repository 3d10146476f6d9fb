"""SIGKILL at named points and at random moments, again and again, and then a count of what arrived."""

from __future__ import annotations

import random
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forwarder.alert import Alert
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.torture.leaks import leaks
from tests.torture.points import Point
from tests.torture.world import HASTE, PATIENCE, TARGET, Running, Tally, World, jira_name

ALERTS_A_ROUND: Final = 3
INDEX_LAG: Final = 0.1
"""Seconds until Jira's search sees a ticket: more than nothing, less than the connectors wait to reconcile."""
DEADLY: Final = tuple(point for point in Point if point not in (Point.NEVER, Point.RESPONSE))

_NUISANCES: Final = (
    Fault(kind=FaultKind.STATUS, status=500),
    Fault(kind=FaultKind.STATUS, status=503, headers={"Retry-After": "0.2"}),
    Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "0.2"}),
    Fault(kind=FaultKind.STATUS_AFTER, status=502),
    Fault(kind=FaultKind.HTML),
    Fault(kind=FaultKind.TRUNCATED),
    Fault(kind=FaultKind.RESET_BEFORE),
    Fault(kind=FaultKind.RESET_AFTER),
    Fault(kind=FaultKind.LATENCY, seconds=0.05),
)
"""What goes wrong in between, in campaigns with ``faults``."""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """So many kills of one daemon on one database. ``limits`` is whether rates are limited.

    ``cloud`` is which Jira, and ``text`` whether it has no labels, and tickets are found by their text.
    """

    seed: int
    kills: int
    cloud: bool = True
    text: bool = False
    limits: bool = False
    faults: bool = False


@dataclass(kw_only=True)
class Result:
    """What came of a campaign. ``complaints`` is empty where every promise held."""

    campaign: Campaign
    kills: Counter[Point] = field(default_factory=Counter)
    runs: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def run(campaign: Campaign, folder: Path) -> Result:
    """Kills, restarts, kills again, lets the last run end in peace, and counts."""
    with Sandbox(limits=campaign.limits) as sandbox:
        sandbox.sentrytex.limit_per_minute = None  # each start spends some: a crash loop would wait for the API
        sandbox.jira.index_lag = INDEX_LAG
        return _Torture(campaign, folder, sandbox).run()


def run_apart(campaign: Campaign) -> Result:
    """The same in a folder that nobody needs afterwards: what another process is asked for."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return run(campaign, Path(folder))


class _Torture:
    def __init__(self, campaign: Campaign, folder: Path, sandbox: Sandbox) -> None:
        self._campaign, self._sandbox = campaign, sandbox
        self._random = random.Random(campaign.seed)
        self._points = self._shuffled()
        jira = jira_name(cloud=campaign.cloud, text=campaign.text)
        names = [
            "slack-token",
            "slack-webhook",
            "teams",
            "pagerduty",
            "jsm",
            jira,
            "github",
            "webhook",
            "email",
            "apprise",
        ]
        # GitHub takes five hundred issues an hour: within that limit a campaign would last for as many minutes.
        names = [name for name in names if name in TARGET and not (campaign.limits and name == "github")]
        settings = {name: {k: v for k, v in HASTE[name].items() if k != "max_rate"} for name in names}
        self._world = World(folder, sandbox, names, settings=settings if campaign.limits else HASTE)
        self._alerts: list[Alert] = []
        self._result = Result(campaign=campaign)

    def run(self) -> Result:
        while self._result.kills.total() < self._campaign.kills:
            self._round()
        self._end_in_peace()
        self._result.tallies = self._world.tally(self._alerts)
        self._judge()
        return self._result

    def _round(self) -> None:
        point = next(self._points)
        self._alerts += self._world.publish(self._random.randint(1, ALERTS_A_ROUND))
        if self._campaign.faults and point is not Point.EFFECT:
            self._annoy()
        with self._start(point) as daemon:
            if point is Point.EFFECT:
                self._kill_between_effect_and_reply(daemon)
            elif (status := daemon.wait(PATIENCE)) != -signal.SIGKILL:
                self._result.complaints.append(f"the daemon did not die at the point {point}: it ended with {status}")
        self._result.kills[point] += 1

    def _shuffled(self) -> Iterator[Point]:
        """Every point as often as any other, in any order."""
        while True:
            yield from self._random.sample(DEADLY, len(DEADLY))

    def _start(self, point: Point) -> Running:
        self._result.runs += 1
        return self._world.start(point, self._call_of(point))

    def _call_of(self, point: Point) -> float:
        """At which call it dies; no later than a run with one new alert for seven connectors surely comes to."""
        match point:
            case Point.START:
                return self._random.uniform(0.0, 1.2)
            case Point.FETCH | Point.COMMIT:
                return self._random.randint(1, 2)
            case Point.WRITE:
                return self._random.randint(1, 12)
            case Point.CLAIM | Point.SETTLE:
                return self._random.randint(1, 4)
            case Point.REPLY:
                # Counted for each type by itself: only Slack has two connectors, and whether a link follows is chance.
                return self._random.randint(1, 2)
        return 0

    def _kill_between_effect_and_reply(self, daemon: Running) -> None:
        target = self._random.choice(list(self._world.targets.values()))
        service = target.service(self._sandbox)
        service.clear_faults()
        silent = sum(seen.status is None for seen in service.requests)
        service.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=PATIENCE, path=target.send))
        daemon.until(
            lambda: sum(seen.status is None for seen in service.requests) > silent, f"{target.name} was sent something"
        )

    def _annoy(self) -> None:
        # Not those that cannot be asked: what they repeat is to be the kills' doing alone. Nor what gives no such
        # answers.
        target = self._random.choice([t for t in self._world.targets.values() if t.once and t.http])
        fault = self._random.choice(_NUISANCES)
        path = self._random.choice([target.send, target.find_path or target.send])
        target.service(self._sandbox).clear_faults()
        target.service(self._sandbox).inject(
            Fault(kind=fault.kind, status=fault.status, headers=fault.headers, seconds=fault.seconds, path=path)
        )

    def _end_in_peace(self) -> None:
        for service in self._sandbox.services:
            service.clear_faults()
        with self._start(Point.NEVER) as daemon:
            daemon.until(lambda: self._world.settled(self._alerts), "everything was settled", patience=5 * PATIENCE)
            daemon.until(self._world.owes_nothing, "nothing was owed")
            status = daemon.stop()
        if status != 0:
            self._result.complaints.append(f"SIGTERM ended the daemon with {status}")

    def _judge(self) -> None:
        complaints, kills = self._result.complaints, self._result.kills.total()
        for name, tally in self._result.tallies.items():
            repeats_allowed = 0 if self._world.targets[name].once else kills
            if tally.lost or tally.dead or tally.twice > repeats_allowed:
                complaints.append(f"{name}: {tally}")
        complaints += [f"{mail} came again in other words" for mail in self._sandbox.email.conflicts]
        complaints += [f"a secret is in {place}" for place in leaks(self._world.folder, self._world.secrets)]


def campaigns(kills: int, seed: int, size: int = 25) -> list[Campaign]:
    """Campaigns with ``kills`` in all: both kinds of Jira, by label and by text, with and without faults."""
    left, number, made = kills, 0, []
    while left > 0:
        limited = number % 8 == 7
        made.append(
            Campaign(
                seed=seed + number,
                kills=min(size, left),
                cloud=number % 2 == 0,
                text=number % 3 == 2,
                faults=number % 4 >= 2,
                limits=limited,
            )
        )
        left, number = left - size, number + 1
    return made
