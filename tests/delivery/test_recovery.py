"""After an outage by time-outs: what may be there is looked for at once, by severity, and created no sooner for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from forwarder.connector import Uncertain
from forwarder.testing import alert
from tests.kit.simulation import Behaviour, Simulation

LOOKUPS: Final = (10.0, 60.0, 300.0)
OUTAGE: Final = 7200.0
TIMEOUT: Final = 10.0
COUNT: Final = 4


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    found = {f"critical-{number}": Behaviour(is_found=True) for number in range(0, COUNT, 2)}
    made = Simulation(tmp_path / "forwarder.db", found, reconcile_after=LOOKUPS, concurrency=4, max_rate="4/s")
    made.destination.down = lambda: Uncertain("no answer") if made.elapsed < OUTAGE else None
    made.destination.down_seconds = TIMEOUT
    yield made
    made.close()


def wait_out(simulation: Simulation) -> None:
    """The criticals are tried in vain until the outage ends, and lows come in its last moments."""
    simulation.owe(*(alert(id=f"critical-{number}", severity="critical") for number in range(COUNT)))
    simulation.run(OUTAGE - 5)
    simulation.owe(*(alert(id=f"low-{number}", severity="low") for number in range(200)))
    simulation.run(5)


def arrived(simulation: Simulation, name: str) -> list[float]:
    return sorted(at for alert_id, at in simulation.delivered().items() if alert_id.startswith(name))


def test_criticals_do_not_come_after_the_lows(simulation: Simulation) -> None:
    """What was tried first, and waits in a long backoff to be looked for, is due at once and by severity."""
    wait_out(simulation)
    simulation.run(200)
    assert len(arrived(simulation, "critical")) == COUNT
    assert max(arrived(simulation, "critical")) < OUTAGE + 90
    assert len(arrived(simulation, "low")) > 0
    assert max(arrived(simulation, "critical")) < max(arrived(simulation, "low"))


def test_what_is_there_is_not_sent_again(simulation: Simulation) -> None:
    """The destination had taken half of them although its answer was lost: each is found, and none is sent anew."""
    wait_out(simulation)
    simulation.run(200)
    for number in range(0, COUNT, 2):
        times = [at - simulation.start for at in simulation.destination.sent_at[f"critical-{number}"]]
        assert times
        assert max(times) < OUTAGE


def test_nothing_is_created_before_the_lookups_allow(simulation: Simulation) -> None:
    """An index lags: what a look right after the recovery does not find waits for its schedule, from its own send."""
    wait_out(simulation)
    simulation.run(400)
    again = [
        (later - (earlier + TIMEOUT), alert_id)
        for alert_id, times in simulation.destination.sent_at.items()
        for earlier, later in pairwise(times)
    ]
    assert again
    assert min(again)[0] >= LOOKUPS[-1] - 0.01
    assert len(simulation.delivered()) == COUNT + 200


def test_a_send_that_was_lost_in_the_last_moment_waits_for_its_own_lookups(simulation: Simulation) -> None:
    """It is looked for at once, and created after the last of its times, however early the first look was."""
    simulation.destination.down = lambda: Uncertain("no answer") if simulation.elapsed < 30 else None
    simulation.owe(*(alert(id=f"other-{number}") for number in range(5)))
    simulation.run(200)
    assert any(
        attempt.settlement.outcome == "not_found" for at, attempt in simulation.heard if at < simulation.start + 60
    )
    assert not any(len(times) > 1 for times in simulation.destination.sent_at.values())
    simulation.run(200)
    assert len(simulation.delivered()) == 5
