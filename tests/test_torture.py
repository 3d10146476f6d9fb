"""The short run of the torture: a few kills, every fault once, and the ground pulled away from under the daemon.

``make torture`` is the long one, with the same code.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import TARGETS, Target
from tests.torture import feed, ground, hostile, kills, matrix, parrot, soak
from tests.torture.leaks import leaks

KILLS = 30
SEED = 20260301


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """After 30 kills at every point of the path each alert stands once, and a webhook's at most once more per kill."""
    result = kills.run(kills.Campaign(seed=SEED, kills=KILLS, faults=True), tmp_path)
    assert result.complaints == []
    assert result.kills.total() == KILLS
    assert {tally.alerts for tally in result.tallies.values()} == {
        tally.arrived - tally.twice for tally in result.tallies.values()
    }


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_fault_of_a_destination_ends_in_one_alert(target: Target, tmp_path: Path) -> None:
    """Whatever becomes of a request, its first attempt comes to what the table says, and the alert arrives once."""
    outcome = matrix.run(target, tmp_path)
    assert outcome.wrong == []
    assert outcome.cells > len(matrix.STATUSES)
    assert (outcome.repeats > 0) is not target.once


def test_every_fault_of_the_feed_is_made_good_by_the_next_turn(tmp_path: Path) -> None:
    """Whatever becomes of a poll or a sweep, it is called by its name, and the next one reads what was missed."""
    outcome = feed.run(tmp_path)
    assert outcome.wrong == []
    assert outcome.cells > 2 * len(matrix.STATUSES)


@pytest.mark.parametrize("scenario", ground.SCENARIOS.values(), ids=list(ground.SCENARIOS))
def test_the_ground_under_it_may_give_way(scenario: ground.Scenario, tmp_path: Path) -> None:
    """Full and failing disks, stepping clocks, standing still and other processes lose nothing and repeat nothing."""
    scenario(tmp_path)


@pytest.mark.parametrize("flavour", hostile.FLAVOURS)
def test_hostile_pages_are_withstood(flavour: str, tmp_path: Path) -> None:
    """Alerts of any shape and text arrive as text, once and at once, and delay no other."""
    outcome = hostile.run(tmp_path, examples=10, flavour=flavour)
    assert outcome.wrong == []


def test_no_secret_is_shown_though_services_repeat_them(tmp_path: Path) -> None:
    """No log, database, page or command shows a secret that a service repeated in its refusal."""
    assert parrot.run(tmp_path) == []


def test_a_leak_is_found(tmp_path: Path) -> None:
    """The search for secrets finds one, in a log as well as in a payload that is kept compressed."""
    (tmp_path / "daemon.log").write_text("a token: xoxb-not-a-real-token")
    assert leaks(tmp_path, {"xoxb-not-a-real-token"}) == ["daemon.log"]
    assert leaks(tmp_path, {"another"}) == []


def test_months_leave_neither_file_nor_memory_growing(tmp_path: Path) -> None:
    """When the first alerts are forgotten, the database and the process stop growing, and all that came arrived once."""
    lived = soak.run(tmp_path, days=10, a_day=40, keep=3)
    assert lived.complaints == []
    assert lived.published == 400
    assert lived.at(10).alerts < 150
