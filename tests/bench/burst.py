"""A process that takes in a burst and delivers it, and says what that cost: ``python -m tests.bench.burst CONFIG N``.

The feed shows 200 alerts of a severity at a time, so the burst comes in as few parts as can be read whole: first 199 of
each severity, for which a poll takes five requests, then pages that are not full. The span goes from before the first
poll to the last settled delivery, with everything in between: reading, routing, commits, rendering, requests, settling.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from pathlib import Path

import httpx2

from forwarder.app import Forwarder
from forwarder.common import processes
from forwarder.config.document import forget_reader
from forwarder.logs import configure
from forwarder.store import Store
from tests.bench.stand_ins import alerts, load_config

WHOLE = 4 * 199
"""Alerts that one poll can read, and know that there are no more: 199 of each severity."""
PAGE = 199
"""Alerts that one request can read, and know that there are no more."""


def main(config_path: Path, count: int) -> None:
    config = load_config(config_path)
    forget_reader()
    configure(config.log.level, "json")
    store = Store.open_exclusive(config.database)
    forwarder = Forwarder(config, store)
    address = httpx2.URL(config.sentrytex.base_url)
    publish = f"{address.scheme}://{address.host}:{address.port}/_sandbox/publish"
    parts = [(0, min(WHOLE, count)), *((first, min(PAGE, count - first)) for first in range(WHOLE, count, PAGE))]
    pages = [alerts(size, first=first, of=count) for first, size in parts]
    forwarder.start(schedule=False)
    processes.settle_in()
    with httpx2.Client() as control:
        control.post(publish, json=[])
        cpu_before, started = time.process_time(), time.perf_counter()
        for page in pages:
            control.post(publish, json=page)
            forwarder.poll()
        taken_in = time.perf_counter() - started
        forwarder.deliver_due(3600.0, threading.Event())
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_before
    figures = {
        "seconds": round(wall, 3),
        "of_it_taking_in": round(taken_in, 3),
        "cpu_seconds": round(cpu, 2),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "database_bytes": store.engine.size_bytes(),
    }
    sys.stdout.write(json.dumps(figures))
    forwarder.stop()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
