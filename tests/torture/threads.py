"""No more threads: the system refuses each new one, as under a limit on the number of processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.torture.ground import Scenario, begun, settled, world
from tests.torture.machine import Machine

REFUSED: Final = 6.0
"""Seconds without a thread: several polls are due in them."""


def none_while_running(folder: Path) -> None:
    """Polls and deliveries go on with the threads they have, a reload is taken over, and nothing stays behind."""
    with world(folder) as place, Machine(folder) as machine, place.start(env=machine.env) as daemon:
        alerts = begun(daemon, place)
        machine.falls_ill(no_threads=1)
        daemon.signal(signal.SIGHUP)
        daemon.until(lambda: place.said('"reloaded"'), "the reload was taken over")
        alerts += place.publish(3)
        threading.Event().wait(REFUSED)
        settled(daemon, place, alerts)
        machine.recovers()
        settled(daemon, place, alerts + place.publish())
        assert daemon.stop() == 0


def none_after_another_config(folder: Path) -> None:
    """A connector that a reload changed gets its workers as soon as there are threads, without anybody's doing."""
    with world(folder) as place, Machine(folder) as machine, place.start(env=machine.env) as daemon:
        alerts = begun(daemon, place)
        machine.falls_ill(no_threads=1)
        config = place.config.read_text("utf-8")
        place.config.write_text(config.replace('"max_rate": null', '"max_rate": "100/s"'), "utf-8")
        daemon.signal(signal.SIGHUP)
        daemon.until(lambda: place.said('"reloaded"') and place.said('"no_thread"'), "the reload was taken over")
        alerts += place.publish(3)
        threading.Event().wait(REFUSED)
        machine.recovers()
        settled(daemon, place, alerts)
        assert daemon.stop() == 0


def none_at_the_start(folder: Path) -> None:
    """A daemon that starts without any begins as soon as there are some."""
    with world(folder) as place, Machine(folder) as machine:
        machine.falls_ill(no_threads=1)
        with place.start(env=machine.env) as daemon:
            daemon.until(lambda: place.said('"started"'), "it started")
            alerts = place.publish()
            threading.Event().wait(REFUSED)
            machine.recovers()
            settled(daemon, place, alerts)
            assert daemon.stop() == 0


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "no thread for seconds": none_while_running,
    "no thread for seconds, while the config changes": none_after_another_config,
    "no thread at the start": none_at_the_start,
}
