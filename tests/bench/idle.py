"""What it costs to start, and to be there."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.bench.stand_ins import StandIns, alerts, config_for


def start_and_idle(there: StandIns, *, starts: int, idle_seconds: float) -> dict[str, Any]:
    """Seconds from the start of `forwarder run` to its first request, then memory and CPU at rest.

    All three connectors are configured, have delivered an alert each (so their SDKs are loaded), and the page is on.
    """
    command = Path(sys.executable).with_name("forwarder")
    spans = []
    for number in range(starts):
        with tempfile.TemporaryDirectory() as folder:
            config = config_for(there, Path(folder), fast=False, web="127.0.0.1:0")
            if number == starts - 1:
                there.publish(alerts(1, first=700_000))
            seen = there.state("sentrytex")["requests"]
            started = time.perf_counter()
            daemon = subprocess.Popen([command, "run", "-c", config], stderr=subprocess.DEVNULL)
            while there.state("sentrytex")["requests"] == seen:
                pass
            spans.append(time.perf_counter() - started)
            if number == starts - 1:
                figures = _at_rest(daemon.pid, idle_seconds)
            daemon.terminate()
            daemon.wait()
    return {"cold_start_s": round(statistics.median(spans), 3), "starts": starts, **figures}


def _at_rest(pid: int, seconds: float) -> dict[str, Any]:
    process = psutil.Process(pid)
    time.sleep(8)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {
        "idle_rss_mb": round(process.memory_info().rss / 2**20, 1),
        "idle_unshared_mb": round(process.memory_full_info().uss / 2**20, 1),
        "idle_cpu_percent": round(100 * spent / seconds, 2),
        "threads": process.num_threads(),
    }
