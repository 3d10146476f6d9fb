"""Signals: far too many, twice at once, and at any moment of a process's life."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forwarder.alert import Alert
from tests.torture.ground import Scenario, begun, settled, world
from tests.torture.world import PATIENCE, Running, World, assert_exactly_once

RELOADS: Final = 3000
"""SIGHUPs in a row."""
STARTS: Final = 200
"""Starts, each ended by two signals: the long run's."""
LONGEST_LIFE: Final = 1.5
"""Seconds from a start to its end at most: some end before anything was imported, some in the midst of deliveries."""
CLEAN: Final = (0, -signal.SIGTERM)
"""How a process may end: with 0, or as the system ends one in which nothing of ours runs yet."""


def reloads_as_fast_as_can_be(folder: Path) -> None:
    """Thousands of SIGHUPs end nothing, and the next reload works."""
    _reloads(folder, 0.0)


def reloads_every_few_milliseconds(folder: Path) -> None:
    """The same while alerts go out, so that each meets something else under way."""
    _reloads(folder, 0.003)


def _reloads(folder: Path, pause: float) -> None:
    with world(folder) as place, place.start() as daemon:
        alerts = begun(daemon, place)
        for number in range(RELOADS):
            daemon.signal(signal.SIGHUP)
            threading.Event().wait(pause)
            if number % (RELOADS // 5) == 0:
                alerts += place.publish()
        settled(daemon, place, alerts)
        place.config.write_text(
            place.config.read_text("utf-8").replace('"level": "debug"', '"level": "error"'), "utf-8"
        )
        daemon.signal(signal.SIGHUP)
        _is_quiet(daemon, place)
        settled(daemon, place, alerts + place.publish())
        assert daemon.stop() == 0
        assert not place.said("Traceback")


def _is_quiet(daemon: Running, place: World) -> None:
    """Waits until the log's new level is taken over: then a whole second of polls says nothing."""
    size = -1

    def unchanged() -> bool:
        nonlocal size
        before, size = size, place.log.stat().st_size
        threading.Event().wait(2.0)
        return before == size

    daemon.until(unchanged, "the last reload was taken over")


def doubled_ends(folder: Path) -> None:
    """Two signals to end it, within a fraction of a millisecond or more, at any moment: none hangs, nothing is lost."""
    ends(folder, starts=STARTS)


def ends(folder: Path, *, starts: int, seed: int = 1) -> None:
    """So many starts that end at random moments, and one that ends in peace."""
    chance = random.Random(seed)
    alerts: list[Alert] = []
    with world(folder) as place:
        for _ in range(starts):
            alerts += place.publish()
            with place.start(anew=True) as daemon:
                status = daemon.wait(chance.uniform(0.0, LONGEST_LIFE))
                assert status is None, f"the daemon ended with {status} by itself"
                _end_twice(daemon, chance)
                status = daemon.wait(PATIENCE)
                assert status in CLEAN, f"two signals ended the daemon with {status}"
        with place.start() as daemon:
            # One more, so that it runs when all is settled.
            alerts += place.publish()
            daemon.until(lambda: place.settled(alerts), "everything was settled", patience=5 * PATIENCE)
            assert daemon.stop() == 0
        assert_exactly_once(place, alerts)
        assert not place.said("Traceback")


def _end_twice(daemon: Running, chance: random.Random) -> None:
    # SIGTERM first: before anything of ours runs, Python answers SIGINT by itself, with a traceback.
    for number in (signal.SIGTERM, chance.choice((signal.SIGTERM, signal.SIGINT))):
        with contextlib.suppress(ProcessLookupError):
            daemon.signal(number)
        threading.Event().wait(chance.choice((0.0, 0.0001, 0.0004, 0.01)))


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "3,000 SIGHUPs at once": reloads_as_fast_as_can_be,
    "3,000 SIGHUPs, one every 3 ms": reloads_every_few_milliseconds,
    "200 starts, each ended by two signals": doubled_ends,
}
