"""What it costs to start, and to be there."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.stand_ins import StandIns, alerts, config_for

PORT = 18585
"""Where the page listens, so that it can be looked at."""


def start_and_idle(there: StandIns, *, starts: int, idle_seconds: float) -> dict[str, Any]:
    """Seconds from the start of `forwarder run` to its first request, then memory and CPU at rest.

    ``first_start_s`` makes the database, ``cold_start_s`` finds it there, as every later start does. At rest means: all
    three connectors are configured and have delivered an alert since the start, so that their SDKs are loaded; the page
    is on, and nobody has looked at it yet. Then it is looked at, and measured again.
    """
    firsts: list[float] = []
    spans: list[float] = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder:
            config = config_for(there, Path(folder), fast=False, web="127.0.0.1:0")
            for seconds in (firsts, spans):
                with _daemon(there, config) as started:
                    seconds.append(started.seconds)
    with tempfile.TemporaryDirectory() as folder:
        config = config_for(there, Path(folder), fast=False, web=f"127.0.0.1:{PORT}")
        with _daemon(there, config):
            pass
        there.publish(alerts(1, first=700_000))
        with _daemon(there, config) as started:
            time.sleep(8)
            rest = _at_rest(started.pid, idle_seconds)
            for path in ("/", "/alerts", "/metrics"):
                there.control.get(f"http://127.0.0.1:{PORT}{path}").raise_for_status()
            looked_at = round(psutil.Process(started.pid).memory_info().rss / 2**20, 1)
    return {
        "cold_start_s": round(statistics.median(spans), 3),
        "first_start_s": round(statistics.median(firsts), 3),
        "starts": starts,
        **rest,
        "rss_mib_once_the_page_was_looked_at": looked_at,
    }


@dataclass(frozen=True, kw_only=True)
class _Started:
    pid: int
    seconds: float


@contextmanager
def _daemon(there: StandIns, config: Path) -> Iterator[_Started]:
    """A daemon, from its first request on."""
    command = Path(sys.executable).with_name("forwarder")
    seen = there.state("sentrytex")["requests"]
    started = time.perf_counter()
    daemon = subprocess.Popen([command, "run", "-c", config], stderr=subprocess.DEVNULL)
    try:
        while there.state("sentrytex")["requests"] == seen:
            time.sleep(0.002)
        yield _Started(pid=daemon.pid, seconds=time.perf_counter() - started)
    finally:
        daemon.terminate()
        daemon.wait()


def _at_rest(pid: int, seconds: float) -> dict[str, Any]:
    process = psutil.Process(pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {
        "idle_rss_mib": round(process.memory_info().rss / 2**20, 1),
        "idle_unshared_mib": round(process.memory_full_info().uss / 2**20, 1),
        "idle_cpu_percent": round(100 * spent / seconds, 2),
        "threads": process.num_threads(),
    }
