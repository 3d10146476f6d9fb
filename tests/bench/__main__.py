"""``make bench``: prints JSON on standard output and a table on standard error; ``--quick`` takes smaller samples."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from forwarder.logs import configure
from tests.bench import alertmanager, claims, growth, idle, latency
from tests.bench.stand_ins import config_for, stand_ins

PACKAGES = ("sentrytex-forwarder", "slack-sdk", "pagerduty", "jira", "httpx2", "sqlite-utils", "pydantic", "structlog")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def latency_figures(quick: bool) -> dict[str, Any]:
    found = {}
    for milliseconds in (0, 100):
        with stand_ins(latency_ms=milliseconds) as there:
            samples = 50 if quick else (300 if milliseconds == 0 else 100)
            found[f"{milliseconds}_ms"] = latency.first_receipt(there, samples=samples, latency_ms=milliseconds)
    return found


def burst_figures(quick: bool) -> dict[str, Any]:
    found = {}
    for milliseconds in (0, 100):
        runs = [_burst(milliseconds, 1000) for _ in range(1 if quick else 3)]
        run = sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2]
        found[f"{milliseconds}_ms"] = run | _beside_alertmanager(milliseconds, run)
    return found


def _beside_alertmanager(milliseconds: int, run: dict[str, Any]) -> dict[str, Any]:
    """What Prometheus Alertmanager takes for as many alerts and destinations, and how often that goes into ours."""
    other = alertmanager.burst(latency_ms=milliseconds, count=1000)
    if other is None:
        return {"alertmanager": "not installed: prometheus-alertmanager of Debian would be measured beside it"}
    times = {name: round(run[name] / max(other[name], 0.01), 2) for name in ("seconds", "cpu_seconds")}
    return {"alertmanager": other, "times_alertmanager": times}


def _burst(milliseconds: int, count: int) -> dict[str, Any]:
    with stand_ins(latency_ms=milliseconds) as there, tempfile.TemporaryDirectory() as folder:
        path = config_for(there, Path(folder), fast=True)
        # One heap for all threads, as the systemd unit and the container have it.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        command = [sys.executable, "-m", "tests.bench.burst", str(path), str(count)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        figures: dict[str, Any] = json.loads(ran.stdout)
        figures["received"] = there.received()
        figures["bytes_per_alert"] = growth.bytes_per_alert(Path(folder) / "forwarder.db")
    return figures


def rated_figures(quick: bool) -> dict[str, Any]:
    """1,000 alerts, every tenth critical, Slack at 1/s and PagerDuty at 120/min: when the last critical is there."""
    from tests.bench import rated

    with stand_ins(unlimited=False) as there:
        return rated.last_critical(there, count=200 if quick else 1000)


def quiet_figures(quick: bool) -> dict[str, Any]:
    with stand_ins() as there:
        stored = [0, 10_000, 100_000] if quick else [0, 100_000, 1_000_000]
        return growth.quiet_poll(there, stored=stored, samples=30)


def search_figures(quick: bool) -> dict[str, Any]:
    return growth.searches(stored=100_000 if quick else 1_000_000, samples=5 if quick else 15)


def claim_figures(quick: bool) -> dict[str, Any]:
    return claims.claims(owed=10_000 if quick else 100_000, samples=3 if quick else 15)


def idle_figures(quick: bool) -> dict[str, Any]:
    with stand_ins() as there:
        return idle.start_and_idle(there, starts=3 if quick else 9, idle_seconds=10 if quick else 60)


def account_figures(quick: bool) -> dict[str, Any]:
    from tests.bench import accounts

    with stand_ins() as there:
        return accounts.many_accounts(there, count=100 if quick else 1000, minutes=1 if quick else 1.5)


FIGURES: dict[str, Callable[[bool], dict[str, Any]]] = {
    "start_and_idle": idle_figures,
    "first_receipt": latency_figures,
    "burst_of_1000": burst_figures,
    "quiet_poll": quiet_figures,
    "search": search_figures,
    "claim": claim_figures,
    "criticals_under_rate_limits": rated_figures,
    "many_accounts": account_figures,
}


@click.command()
@click.option("--quick", is_flag=True, help="Smaller samples: a look, not a measurement.")
@click.option("--only", type=click.Choice(list(FIGURES)), multiple=True, help="Only this figure; can be repeated.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Measure the forwarder: JSON on standard output, a table on standard error."""
    configure("error", "json")
    found: dict[str, Any] = {"machine": machine()}
    for name in only or FIGURES:
        started = time.perf_counter()
        found[name] = FIGURES[name](quick)
        click.echo(f"{name}: measured in {time.perf_counter() - started:.0f} s", err=True)
    click.echo(json.dumps(found, indent=2))
    _print_table(found)


def _print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="sentrytex-forwarder, measured")
    for name, value in _flat(found):
        table.add_row(name, value)
    Console(stderr=True, highlight=False).print(table)


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in _flat(inner, f"{name}.{key}" if name else key)]
    return [(name, str(value))]


if __name__ == "__main__":
    main()
