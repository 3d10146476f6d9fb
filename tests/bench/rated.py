"""A burst against the rate limits of real destinations."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from forwarder.app import Forwarder
from forwarder.events import AttemptFinished, Listener
from forwarder.store import Store
from tests.bench.stand_ins import StandIns, alerts, config_for, load_config

PAGE = 100


class _Criticals(Listener):
    """Notes when each connector's last critical was delivered."""

    def __init__(self, wanted: int, connectors: list[str]) -> None:
        self.at = dict.fromkeys(connectors, 0.0)
        self.left = dict.fromkeys(connectors, wanted)
        self.done = threading.Event()

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        delivery = attempt.claimed.delivery
        if attempt.settlement.outcome == "delivered" and delivery.alert.severity == "critical":
            self.at[attempt.connector] = time.perf_counter()
            self.left[attempt.connector] -= 1
            if not any(self.left.values()):
                self.done.set()


def last_critical(there: StandIns, *, count: int) -> dict[str, Any]:
    """Seconds from the first commit to the last critical's receipt, and the floor that each rate sets.

    The floor is (criticals - 1) x the rate's interval, for the first one may go at once. Jira has no rate here.
    """
    wanted = count // 10
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(config_for(there, Path(folder), fast=False))
        store = Store.open_exclusive(config.database)
        forwarder = Forwarder(config, store)
        listener = _Criticals(wanted, list(config.connectors))
        forwarder.listeners.add(listener)
        # All is owed before anything goes out: the span is about the order, not about the intake.
        for first in range(0, count, PAGE):
            there.publish(alerts(PAGE, first=first, of=count, tenth_critical=True))
            forwarder.poll()
        started = time.perf_counter()
        forwarder.start(schedule=False)
        listener.done.wait(wanted * 3 + 60)
        figures: dict[str, Any] = {"criticals": wanted, "of": count}
        for name, interval in (("secops", 1.0), ("oncall", 0.5)):
            floor = (wanted - 1) * interval
            took = listener.at[name] - started
            figures[name] = {"seconds": round(took, 2), "floor": floor, "over_floor": round(took / floor - 1, 4)}
        figures["lost"] = sum(listener.left.values())
        forwarder.stop(timeout=5.0)
        store.close()
    return figures
