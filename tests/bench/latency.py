"""How soon an alert is there, on an idle system."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from forwarder.app import Forwarder
from forwarder.common.databases import Database
from forwarder.connector import Delivered, Delivery, Outcome, Payload
from forwarder.store import Store
from tests.bench.stand_ins import StandIns, alerts, config_for, load_config, poll_at_will


def first_receipt(there: StandIns, where: Database, *, samples: int, latency_ms: int) -> dict[str, Any]:
    """Seconds from the API's answer in hand to the first destination's yes, less the destination's own latency.

    Inside: parsing, routing, the commit with its fsync, waking a worker, the claim with its fsync, rendering, the SDK,
    HTTP over loopback, and the stand-in's own work.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(config_for(there, Path(folder), fast=True, database=where))
        store = Store.open_exclusive(config.database)
        forwarder = Forwarder(config, store)
        watch = _StopWatch(forwarder)
        forwarder.start(schedule=False)
        forwarder.poll()
        spans = []
        for number in range(samples + 5):
            there.publish(alerts(1, first=900_000 + number))
            watch.reset(f"00000000-0000-4000-8000-{900_000 + number:012d}")
            forwarder.poll()
            watch.arrived.wait(30)
            spans.append((watch.received - watch.answered) * 1000 - latency_ms)
            forwarder.deliver_due(3600.0, threading.Event())
        forwarder.stop()
        store.close()
    # The first ones import the SDKs and open connections.
    measured = sorted(spans[5:])
    return {
        "p50_ms": round(statistics.median(measured), 1),
        "p99_ms": round(measured[int(len(measured) * 0.99) - 1], 1),
        "samples": len(measured),
    }


class _StopWatch:
    """Notes when the API's answer was in hand and when the first destination said yes."""

    def __init__(self, forwarder: Forwarder) -> None:
        self.wanted = ""
        self.answered = self.received = 0.0
        self.arrived = threading.Event()
        self._watch_source(forwarder)
        self._forwarder = forwarder
        self._watched: set[int] = set()

    def reset(self, wanted: str) -> None:
        self.wanted = wanted
        self.arrived.clear()
        for dispatcher in self._forwarder.dispatchers.values():
            if id(dispatcher) not in self._watched:
                self._watched.add(id(dispatcher))
                self._watch_connector(dispatcher.connector)

    def _watch_source(self, forwarder: Forwarder) -> None:
        source = poll_at_will(forwarder)
        ask = source.alerts

        def timed(*args: Any, **named: Any) -> Any:
            page = ask(*args, **named)
            self.answered = time.perf_counter()
            return page

        source.alerts = timed  # type: ignore[method-assign]

    def _watch_connector(self, connector: Any) -> None:
        deliver = connector.deliver

        def timed(delivery: Delivery, payload: Payload) -> Outcome:
            outcome: Outcome = deliver(delivery, payload)
            # Updates that bring links to earlier alerts come in between.
            newest = delivery.alert.id == self.wanted and isinstance(outcome, Delivered)
            if newest and not self.arrived.is_set():
                self.received = time.perf_counter()
                self.arrived.set()
            return outcome

        connector.deliver = timed
