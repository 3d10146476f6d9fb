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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from forwarder.common.databases import Database
from forwarder.logs import configure
from tests.bench import alertmanager, claims, growth, idle, latency, month
from tests.bench.stand_ins import config_for, stand_ins
from tests.bench.stored import place
from tests.kit import postgres

PACKAGES = ("sentrytex-forwarder", "slack-sdk", "pagerduty", "jira", "httpx2", "pydantic", "structlog")


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


def of_each_kind(measured: Callable[[str], dict[str, Any] | None]) -> dict[str, Any]:
    """A figure of both kinds of database; why there is none of PostgreSQL's where no server is installed."""
    return {kind: measured(kind) or {"none": postgres.missing()} for kind in ("sqlite", "postgresql")}


def latency_figures(quick: bool) -> dict[str, Any]:
    return {f"{milliseconds}_ms": of_each_kind(partial(_latency, milliseconds, quick)) for milliseconds in (0, 100)}


def _latency(milliseconds: int, quick: bool, kind: str) -> dict[str, Any] | None:
    samples = 50 if quick else (300 if milliseconds == 0 else 100)
    with _at(kind) as where, stand_ins(latency_ms=milliseconds) as there:
        return None if where is None else latency.first_receipt(there, where, samples=samples, latency_ms=milliseconds)


@contextmanager
def _at(kind: str) -> Iterator[Database | None]:
    with tempfile.TemporaryDirectory() as folder, place(kind, Path(folder)) as where:
        yield where


def burst_figures(quick: bool) -> dict[str, Any]:
    found = {}
    for milliseconds in (0, 100):
        found[f"{milliseconds}_ms"] = kinds = of_each_kind(partial(_bursts, milliseconds, 1 if quick else 3))
        kinds["sqlite"] |= _beside_alertmanager(milliseconds, kinds["sqlite"])
        if "seconds" in kinds["postgresql"]:
            kinds["postgresql_over_sqlite"] = round(kinds["postgresql"]["seconds"] / kinds["sqlite"]["seconds"], 2)
    return found


def _bursts(milliseconds: int, count: int, kind: str) -> dict[str, Any] | None:
    """The median of so many runs."""
    runs = [run for _ in range(count) if (run := _burst(milliseconds, 1000, kind)) is not None]
    return sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2] if runs else None


def _beside_alertmanager(milliseconds: int, run: dict[str, Any]) -> dict[str, Any]:
    """What Prometheus Alertmanager takes for as many alerts and destinations, and how often that goes into ours."""
    other = alertmanager.burst(latency_ms=milliseconds, count=1000)
    if other is None:
        return {"alertmanager": "not installed: prometheus-alertmanager of Debian would be measured beside it"}
    times = {name: round(run[name] / max(other[name], 0.01), 2) for name in ("seconds", "cpu_seconds")}
    return {"alertmanager": other, "times_alertmanager": times}


def _burst(milliseconds: int, count: int, kind: str) -> dict[str, Any] | None:
    with _at(kind) as where, stand_ins(latency_ms=milliseconds) as there, tempfile.TemporaryDirectory() as folder:
        if where is None:
            return None
        path = config_for(there, Path(folder), fast=True, database=where)
        # One heap for all threads, of which none keeps a part, as the systemd unit and the container have it.
        tunables = {"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
        environment = {**os.environ, **tunables}
        command = [sys.executable, "-m", "tests.bench.burst", str(path), str(count)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        figures: dict[str, Any] = json.loads(ran.stdout)
        figures["received"] = there.received()
        if isinstance(where, Path):
            figures["bytes_per_alert"] = growth.bytes_per_alert(where)
    return figures


def rated_figures(quick: bool) -> dict[str, Any]:
    """1,000 alerts, every tenth critical, Slack at 1/s and PagerDuty at 120/min: when the last critical is there."""
    from tests.bench import rated

    with stand_ins(unlimited=False) as there:
        return rated.last_critical(there, count=200 if quick else 1000)


def quiet_figures(quick: bool) -> dict[str, Any]:
    return of_each_kind(partial(_quiet, [0, 10_000, 100_000] if quick else [0, 100_000, 1_000_000]))


def many_figures(quick: bool) -> dict[str, Any]:
    """The same with ten million, which take most of an hour and 60 GB."""
    return of_each_kind(partial(_quiet, [0, 1_000_000] if quick else [0, 1_000_000, 10_000_000]))


def _quiet(stored: Sequence[int], kind: str) -> dict[str, Any] | None:
    with _at(kind) as where, stand_ins() as there:
        return None if where is None else growth.quiet_poll(there, where, stored=stored, samples=30)


def search_figures(quick: bool) -> dict[str, Any]:
    return of_each_kind(partial(_searches, 100_000 if quick else 1_000_000, 5 if quick else 15))


def _searches(stored: int, samples: int, kind: str) -> dict[str, Any] | None:
    with _at(kind) as where:
        return None if where is None else growth.searches(where, stored=stored, samples=samples)


def claim_figures(quick: bool) -> dict[str, Any]:
    owed, samples = (10_000, 3) if quick else (100_000, 15)
    return of_each_kind(lambda kind: claims.claims(kind, owed=owed, samples=samples))


def month_figures(quick: bool) -> dict[str, Any]:
    """Thirty days on a server; ``quick`` with a tenth of the alerts, and of what is renewed."""
    few = month.month(days=30, alerts_a_day=40 if quick else 400, renewals_a_day=2160 if quick else 21_600)
    return few or {"none": postgres.missing()}


def idle_figures(quick: bool) -> dict[str, Any]:
    with stand_ins() as there:
        return idle.start_and_idle(there, starts=3 if quick else 9, idle_seconds=10 if quick else 60)


def account_figures(quick: bool) -> dict[str, Any]:
    from tests.bench import accounts

    with stand_ins() as there:
        return accounts.many_accounts(there, count=100 if quick else 1000, minutes=1)


def routed_figures(quick: bool) -> dict[str, Any]:
    from tests.bench import accounts

    with stand_ins() as there:
        return accounts.many_accounts(there, count=100 if quick else 1000, minutes=1, routes=True)


FIGURES: dict[str, Callable[[bool], dict[str, Any]]] = {
    "start_and_idle": idle_figures,
    "first_receipt": latency_figures,
    "burst_of_1000": burst_figures,
    "quiet_poll": quiet_figures,
    "search": search_figures,
    "claim": claim_figures,
    "criticals_under_rate_limits": rated_figures,
    "many_accounts": account_figures,
    "route_per_account": routed_figures,
}
MORE: dict[str, Callable[[bool], dict[str, Any]]] = {
    "quiet_poll_of_ten_million": many_figures,
    "thirty_days": month_figures,
}
"""What is measured only where it is named."""


@click.command()
@click.option("--quick", is_flag=True, help="Smaller samples: a look, not a measurement.")
@click.option("--only", type=click.Choice([*FIGURES, *MORE]), multiple=True, help="Only this figure; can be repeated.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Measure the forwarder: JSON on standard output, a table on standard error."""
    configure("error", "json")
    found: dict[str, Any] = {"machine": machine()}
    for name in only or FIGURES:
        started = time.perf_counter()
        found[name] = (FIGURES | MORE)[name](quick)
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
