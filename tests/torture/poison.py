"""Poison: alerts that a destination, or a proxy before it, always fails, among others that it takes.

The daemon runs as a process. What works must arrive nearly as soon as if nothing failed; once the poison is drawn, the
rest must arrive too, and each alert stand once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forwarder.alert import Alert
from forwarder.connector import Kind
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from tests.torture.world import World, assert_exactly_once

POLL: Final = 2.0
"""Seconds until the daemon has read what was published."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """So many poisoned criticals and healthy highs at one connector. ``faults`` strike the poisoned in turn.

    ``slack`` is how many seconds the healthy ones may take longer than their number at the connector's rate.
    """

    name: str
    target: str
    poisoned: int
    faults: Sequence[Fault]
    healthy: int = 60
    per_second: float = 2.0
    slack: float = 15.0


@dataclass(kw_only=True)
class Result:
    """What came of a case: the seconds until all healthy ones had arrived, and the attempts until then."""

    name: str
    poisoned: int
    healthy: int
    seconds: float = 0.0
    wasted: int = 0
    sends: int = 0
    complaints: list[str] = field(default_factory=list)


REFUSED: Final = Fault(kind=FaultKind.STATUS, status=502, body="<html>Bad Gateway</html>", times=None)
AT_ONCE_AGAIN: Final = Fault(kind=FaultKind.STATUS, status=503, headers={"Retry-After": "1"}, times=None)
RESET: Final = Fault(kind=FaultKind.RESET_BEFORE, times=None)
SILENT: Final = Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=10.0, times=None)

CASES: Final = (
    *(Case(name=f"PagerDuty, 502 ({n})", target="pagerduty", poisoned=n, faults=[REFUSED]) for n in (3, 5, 10)),
    Case(name="PagerDuty, reset", target="pagerduty", poisoned=10, faults=[RESET]),
    Case(name="PagerDuty, Retry-After: 1", target="pagerduty", poisoned=10, faults=[AT_ONCE_AGAIN]),
    Case(name="PagerDuty, one of them silent", target="pagerduty", poisoned=5, faults=[REFUSED] * 4 + [SILENT]),
    Case(name="Slack, 502", target="slack-token", poisoned=5, faults=[REFUSED]),
    Case(name="Jira Cloud, 502", target="jira-cloud", poisoned=5, faults=[REFUSED]),
    Case(name="Jira Cloud, 502 and silent", target="jira-cloud", poisoned=5, faults=[REFUSED] * 4 + [SILENT]),
)


def run(folder: Path, cases: Sequence[Case] = CASES, *, side_by_side: int = 3) -> list[Result]:
    """Every case with a daemon of its own, some side by side: most of it is waiting."""
    with ThreadPoolExecutor(side_by_side) as threads:
        return list(threads.map(lambda numbered: _run(folder / str(numbered[0]), numbered[1]), enumerate(cases)))


def _run(folder: Path, case: Case) -> Result:
    folder.mkdir()
    result = Result(name=case.name, poisoned=case.poisoned, healthy=case.healthy)
    settings: Mapping[str, Mapping[str, object]] = {
        case.target: {"max_rate": f"{case.per_second * 60:.0f}/min", "timeout": "3s"}
    }
    with Sandbox(limits=False) as sandbox:
        world = World(folder, sandbox, [case.target], settings=settings)
        try:
            _play(world, case, result)
        except AssertionError as error:
            result.complaints.append(f"poison, {case.name}: {error}")
    return result


def _play(world: World, case: Case, result: Result) -> None:
    target = world.targets[case.target]
    service = target.service(world.sandbox)
    with world.start() as daemon:
        daemon.until(lambda: world.said('"polled"'), "the feed was read")
        poisoned = [_poison(world, case.faults[number % len(case.faults)], case) for number in range(case.poisoned)]
        healthy = world.publish(case.healthy, severity="high")
        started = time.monotonic()
        daemon.until(lambda: arrived(world, healthy), f"the {case.healthy} healthy ones had arrived", patience=600)
        result.seconds = time.monotonic() - started
        result.wasted, result.sends = _attempts(world, poisoned), _attempts(world, healthy)
        most = case.healthy / case.per_second + POLL + case.slack
        if result.seconds > most:
            result.complaints.append(
                f"poison, {case.name}: the healthy ones took {result.seconds:.0f} s, not {most:.0f}"
            )
        service.clear_faults()
        daemon.until(lambda: arrived(world, poisoned), "what was poisoned arrived", patience=900)
        daemon.until(world.owes_nothing, "nothing was owed", patience=900)
        assert daemon.stop() == 0, "SIGTERM did not end the daemon well"
    assert_exactly_once(world, [*poisoned, *healthy])


def _poison(world: World, fault: Fault, case: Case) -> Alert:
    """One more critical, of which every request that names it fails in the same way."""
    target = world.targets[case.target]
    raw = world.draft(severity="critical")
    struck = Fault(
        kind=fault.kind,
        status=fault.status,
        headers=fault.headers,
        body=fault.body,
        seconds=fault.seconds,
        path=target.send,
        text=raw["id"],
        times=None,
    )
    target.service(world.sandbox).inject(struck)
    world.sandbox.sentrytex.publish(raw)
    return Alert.parse(raw)


def arrived(world: World, alerts: Sequence[Alert]) -> bool:
    """Whether each was opened at its destination."""
    wanted = {alert.id for alert in alerts}
    with world.store() as store:
        rows = store.queries.deliveries(Filter(state=State.DELIVERED, limit=1_000_000))
    return wanted <= {row.alert_id for row in rows if row.kind == Kind.OPEN}


def _attempts(world: World, alerts: Sequence[Alert]) -> int:
    wanted = {alert.id for alert in alerts}
    with world.store() as store:
        rows = store.queries.deliveries(Filter(limit=1_000_000))
    return sum(row.attempts for row in rows if row.alert_id in wanted)
