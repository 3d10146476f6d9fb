"""The short run of the torture: a few kills, the faults once, and the ground pulled away from under the daemon.

``make torture`` is the long one, with the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.testing import HOSTILE_TEXTS, Target, alert
from tests.kit.contract import BY_TEXT, TARGETS
from tests.kit.postgres import missing
from tests.kit.store import claim, delivered, enqueue, settle
from tests.kit.thorough import beyond
from tests.torture import (
    feed,
    first_start,
    gaps,
    ground,
    hostile,
    kills,
    life,
    matrix,
    parrot,
    poison,
    replica_campaigns,
    replicas,
    signals,
    soak,
    threads,
)
from tests.torture.leaks import leaks
from tests.torture.replica_judge import excess

SEED = 20260301
ENDS = 10
GROUND: Mapping[str, Callable[[Path], Any]] = {
    **ground.SCENARIOS,
    **threads.SCENARIOS,
    "ended by two signals": lambda folder: signals.ends(folder, starts=ENDS),
}
"""Of the signals, the floods of reloads are in ``tests/test_daemon.py``."""
USUAL_GROUND = (
    "disk full while settling, and killed",
    "fsync fails while polling",
    "clock set an hour back, then half a day forth",
    "process stopped for ten minutes",
    "no thread for seconds",
)
USUAL_FIRST_START = ("the API answers 503",)
EACH_POINT, MANY, BY_ITS_TEXT = "a kill at each point", "30 kills", "tickets found by their text"
KILLS: Mapping[str, Callable[[Path], kills.Result]] = {
    name: partial(kills.run, kills.Campaign(seed=SEED, kills=count, faults=True))
    for name, count in {EACH_POINT: len(kills.DEADLY), MANY: 30}.items()
} | {
    BY_ITS_TEXT: partial(
        kills.run, kills.Campaign(seed=SEED, kills=len(kills.DEADLY), faults=True, cloud=False, text=True)
    )
}
FEW_LIVES, LIVES = "2 kills", "4 kills"
LIFE_KILLS: Mapping[str, Callable[[Path], life.Result]] = {
    name: partial(life.run, life.Campaign(seed=SEED, kills=count, alerts=2 * count - 2))
    for name, count in {FEW_LIVES: 2, LIVES: 4}.items()
}
FEW = (400, 401, 404, 429, 500, 503)
"""A status of each kind."""
SIDE_BY_SIDE = 4
"""Daemons that are tortured at the same time: most of it is waiting."""


@pytest.fixture(scope="module")
def torture(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Any]]]:
    """What becomes of the daemons that are killed, and of those whose ground gives way: of all that were chosen."""
    known = {**KILLS, **LIFE_KILLS, **GROUND, **first_start.SCENARIOS}
    mine = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    chosen = {item.callspec.params.get("name") for item in mine}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        yield {
            name: threads.submit(work, tmp_path_factory.mktemp("torture"))
            for name, work in known.items()
            if name in chosen
        }


@pytest.mark.parametrize("name", beyond(USUAL_GROUND, GROUND))
def test_the_ground_under_it_may_give_way(torture: Mapping[str, Future[None]], name: str) -> None:
    """Full and failing disks, stepping clocks, standing still and other processes lose nothing and repeat nothing."""
    torture[name].result()


@pytest.mark.parametrize("name", beyond(USUAL_FIRST_START, first_start.SCENARIOS))
def test_a_first_start_without_a_feed(torture: Mapping[str, Future[None]], name: str) -> None:
    """What is published until the feed can be read arrives once, and nothing of the past does."""
    torture[name].result()


@pytest.mark.parametrize("name", beyond([EACH_POINT], KILLS))
def test_kills_lose_nothing_and_repeat_nothing(torture: Mapping[str, Future[kills.Result]], name: str) -> None:
    """After kills at every point of the path each alert stands once, and a webhook's at most once more per kill."""
    result = torture[name].result()
    assert result.complaints == []
    assert result.kills.total() == result.campaign.kills
    assert result.kills.keys() == set(kills.DEADLY)
    assert {tally.arrived - tally.twice - tally.alerts for tally in result.tallies.values()} == {0}


@pytest.mark.parametrize("name", beyond([FEW_LIVES], LIFE_KILLS))
def test_kills_between_a_response_and_its_effects_lose_nothing(
    torture: Mapping[str, Future[life.Result]], name: str
) -> None:
    """What people decide is told everywhere else, once, and all places agree, however often the daemon is killed."""
    result = torture[name].result()
    assert result.complaints == []
    assert result.kills == result.campaign.kills
    assert result.responses > 0
    assert {(tally.lost, tally.twice) for tally in result.tallies.values()} == {(0, 0)}


@pytest.mark.parametrize("statuses", beyond([FEW], [FEW, matrix.STANDARD]), ids=["of each kind", "all"])
@pytest.mark.parametrize(
    "target",
    beyond([one for one in TARGETS if one.name in ("slack-webhook", "pagerduty", "jira-cloud")], [*TARGETS, *BY_TEXT]),
    ids=lambda target: target.name,
)
def test_every_fault_of_a_destination_ends_in_one_alert(
    target: Target[Sandbox], statuses: Sequence[int], tmp_path: Path
) -> None:
    """Whatever becomes of a request, its first attempt comes to what the table says, and the alert arrives once."""
    outcome = matrix.run(target, tmp_path, statuses)
    assert outcome.wrong == []
    assert outcome.cells > len(statuses)
    assert (outcome.repeats == 0) is target.once


@pytest.mark.parametrize("statuses", beyond([FEW], [FEW, matrix.STANDARD]), ids=["of each kind", "all"])
def test_every_fault_of_the_feed_is_made_good_by_the_next_turn(statuses: Sequence[int], tmp_path: Path) -> None:
    """Whatever becomes of a poll or a sweep, it is called by its name, and the next one reads what was missed."""
    outcome = feed.run(tmp_path, statuses)
    assert outcome.wrong == []
    assert outcome.cells > 2 * len(statuses)


@pytest.mark.parametrize("texts", beyond([HOSTILE_TEXTS[::6]], [HOSTILE_TEXTS[::6], HOSTILE_TEXTS]), ids=["few", "all"])
def test_hostile_pages_are_withstood(texts: Sequence[str], tmp_path: Path) -> None:
    """Alerts of any shape and text arrive as text, once and at once, and delay no other."""
    outcome = hostile.run(tmp_path, examples=10, flavour="jira-cloud", texts=texts)
    assert outcome.wrong == []


def test_poison_holds_up_no_other(tmp_path: Path) -> None:
    """What a proxy always refuses is tried beside the others, and arrives once the proxy lets it."""
    case = poison.Case(
        name="502", target="pagerduty", poisoned=4, faults=[poison.REFUSED], healthy=20, per_second=5.0, slack=30.0
    )
    (outcome,) = poison.run(tmp_path, [case])
    assert outcome.complaints == []
    assert outcome.wasted >= 4


@pytest.mark.thorough  # tests/test_replicas.py has the troubles one by one
@pytest.mark.skipif(missing() is not None, reason="no PostgreSQL server can be started here")
def test_replicas_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """Whatever befalls one of three replicas, or their server, each alert stands once, the worst first, at its rate."""
    troubles = tuple(replica_campaigns.Trouble)
    result = replicas.run(replica_campaigns.Campaign(seed=SEED, troubles=troubles), tmp_path)
    assert result.complaints == []
    assert result.troubles.keys() == set(replica_campaigns.Trouble)
    assert {(tally.lost, tally.twice, tally.dead) for tally in result.tallies.values()} == {(0, 0, 0)}
    assert {tally.alerts for tally in result.tallies.values()} == {8 * len(troubles)}
    assert result.unpolled.keys() == result.unsent.keys() == set(troubles)


def test_a_stretch_counts_while_something_is_owed() -> None:
    """The longest time without a send is that in which one was owed, and only where it reaches into the trouble."""
    sends = [0.0, 10.0, 11.0, 30.0]
    assert gaps.longest(sends, [(-1.0, 4.0), (3.0, 6.0), (15.0, 18.0)], (0.0, 40.0)) == 6.0
    assert gaps.longest(sends, [(0.0, 40.0)], (14.0, 40.0)) == 0.0
    assert gaps.longest(sends, [(0.0, 40.0)], (2.0, 11.5)) == 1.0
    assert gaps.longest(sends, [(0.0, 40.0)], (10.5, 12.0)) == 1.0
    assert gaps.longest(sends, [], (0.0, 40.0)) == 0.0


def test_sends_beyond_the_rate_are_counted_in_any_stretch() -> None:
    """However long the stretch: five in two seconds are two more than the first and one a second."""
    assert excess([0.0, 1.0, 2.0, 3.0], 1.0) == 0.0
    assert excess([0.0, 5.0, 5.5, 6.0, 6.5, 7.0, 20.0], 1.0) == 2.0


def test_no_secret_is_shown_though_services_repeat_them(tmp_path: Path) -> None:
    """No log, database, page or command shows a secret that a service repeated in its refusal."""
    assert parrot.run(tmp_path) == []


def test_a_leak_is_found(tmp_path: Path) -> None:
    """The search for secrets finds one in a log and in a payload, which is kept compressed."""
    secret = "xoxb-not-a-real-token"
    (tmp_path / "daemon.log").write_text(f"a token: {secret}")
    store = Store.open_exclusive(tmp_path / "forwarder.db")
    enqueue(store, alert(), "secops")
    settle(store, claim(store), delivered(payload={"text": secret}))
    store.close()
    assert leaks(tmp_path, {secret}) == ["daemon.log", "forwarder.db, payload of delivery 1"]
    assert leaks(tmp_path, {"xoxb-never-seen-anywhere"}) == []


def test_months_leave_neither_file_nor_memory_growing(tmp_path: Path) -> None:
    """Once the first alerts are forgotten, database and process grow no more, and all that came arrived once."""
    lived = soak.run(tmp_path, days=10, a_day=40, keep=3)
    assert lived.complaints == []
    assert lived.published == 400
    assert lived.at(10).alerts < 150
