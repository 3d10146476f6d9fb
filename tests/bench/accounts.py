"""What it costs to read many accounts: processor, memory, threads, and how late the last poll of a minute is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from forwarder.common.accounts import phase
from forwarder.common.clock import Clock
from forwarder.store import Store, StoreError
from tests.bench.stand_ins import StandIns, alerts

EVERY: Final = 60
"""Seconds between two polls of an account."""


TEAMS: Final = 10
"""Connectors among which accounts are shared out where each has a route of its own."""


def many_accounts(there: StandIns, *, count: int, minutes: float, routes: bool = False) -> dict[str, Any]:
    """A daemon with ``count`` accounts that are polled once a minute: at first quiet, then with alerts that all see.

    With ``routes`` each account has a route that names it, else one route is for all of them.

    ``poll_late_s`` is how much more than a minute lies between two polls of one account, and ``after_its_turn_s`` how
    long after its moment of the minute an account was read, for half of the polls and for the last of all.
    ``all_saw_s`` is how long it took until the last account had seen what was published; a minute is no delay.
    ``cpu_s_of_that`` is what the daemon spent meanwhile, and ``trail_kib`` what is kept of the routes' reasons, of all.
    """
    names = [f"account-{number:04d}" for number in range(count)]
    keys = {name: f"vk_{name}-not-a-real-key" for name in names}
    there.control.post(there.path("sentrytex", "accounts"), json={key: ["github"] for key in keys.values()})
    with tempfile.TemporaryDirectory() as folder:
        config = _config(there, Path(folder), keys, routes=routes)
        command = Path(sys.executable).with_name("forwarder")
        began = time.monotonic()
        daemon = subprocess.Popen([command, "run", "-c", config], stderr=subprocess.DEVNULL)
        try:
            process, database = psutil.Process(daemon.pid), Path(folder) / "forwarder.db"
            _wait(lambda: len(_polled(database, names)) == count, 3 * EVERY)
            first = time.monotonic() - began
            # The first stacks were read by then; the first sweeps are a part of what is measured.
            time.sleep(EVERY / 3)
            quiet = _measured(process, database, names, minutes * EVERY)
            there.publish(alerts(20, first=800_000))
            published, spent = time.monotonic(), sum(process.cpu_times()[:2])
            _wait(lambda: _seen(database) >= 20 * count, 3 * EVERY)
            saw, spent = time.monotonic() - published, sum(process.cpu_times()[:2]) - spent
            owed, trail = _owed(database)
            busy = process.memory_info().rss / 2**20
        finally:
            daemon.terminate()
            daemon.wait()
    return {
        "accounts": count,
        "routes": count if routes else 1,
        "first_round_s": round(first, 1),
        **quiet,
        "alerts_that_all_see": 20,
        "all_saw_s": round(saw, 1),
        "cpu_s_of_that": round(spent, 1),
        "deliveries": owed,
        "trail_kib": round(trail / 1024, 1),
        "rss_mib_after_that": round(busy, 1),
    }


def _config(there: StandIns, folder: Path, keys: dict[str, str], *, routes: bool) -> Path:
    path, pagerduty = folder / "config.yaml", there.credentials["pagerduty"]
    oncall = f'{{type: pagerduty, routing_key: {pagerduty["routing_key"]}, base_url: "{pagerduty["url"]}"}}'
    connectors = "\n".join(f"  oncall-{team}: {oncall}" for team in range(TEAMS if routes else 1))
    of_each = [f"  - {{account: {name}, to: [oncall-{number % TEAMS}]}}" for number, name in enumerate(keys)]
    routed = "\n".join(of_each) if routes else "  - to: [oncall-0]"
    accounts = "\n".join(f"    {name}: {{api_key: {key}}}" for name, key in keys.items())
    path.write_text(
        f"""
sentrytex:
  base_url: "{there.credentials["sentrytex"]["url"]}"
  poll_every: {EVERY}s
  accounts:
{accounts}
connectors:
{connectors}
routes:
{routed}
web: {{listen: "off"}}
log: {{level: warning}}
"""
    )
    return path


def _measured(process: psutil.Process, database: Path, names: Sequence[str], seconds: float) -> dict[str, Any]:
    began, spent = time.monotonic(), sum(process.cpu_times()[:2])
    clock = Clock()
    # A turn is kept by the clock that nobody sets, what was read by the other one.
    ahead = clock() - clock.uptime()
    last, late, after = _polled(database, names), list[float](), list[float]()
    while time.monotonic() - began < seconds:
        time.sleep(1)
        now = _polled(database, names)
        read = [name for name in names if now[name] > last[name]]
        late += [now[name] - last[name] - EVERY for name in read]
        after += [(now[name] - ahead - phase(name) * EVERY) % EVERY for name in read]
        last = now
    span = time.monotonic() - began
    by_second: dict[int, int] = {}
    for polled in last.values():
        by_second[int(polled)] = by_second.get(int(polled), 0) + 1
    return {
        "cpu_s_a_minute": round(60 * (sum(process.cpu_times()[:2]) - spent) / span, 1),
        "rss_mib": round(process.memory_info().rss / 2**20, 1),
        "threads": process.num_threads(),
        "polls": len(late),
        "polls_in_the_busiest_second": max(by_second.values()),
        "poll_late_s": _half_and_last(late),
        "after_its_turn_s": _half_and_last(after),
    }


def _half_and_last(seconds: Sequence[float]) -> dict[str, float]:
    found = sorted(seconds)
    return {"half": round(found[len(found) // 2], 2), "last": round(found[-1], 2)}


def _polled(database: Path, names: Sequence[str]) -> dict[str, float]:
    """When each account was last read, of those that were."""
    try:
        with Store.open_shared(database) as store:
            feeds = store.accounts.feeds(names)
    except StoreError:
        # The daemon has not made it yet.
        return {}
    return {name: feed.polled_at for name, feed in feeds.items() if feed.polled_at is not None}


def _seen(database: Path) -> int:
    with Store.open_shared(database) as store, store.engine.read() as connection:
        count: int = connection.execute("SELECT count(*) FROM alert_accounts").fetchone()[0]
    return count


def _owed(database: Path) -> tuple[int, int]:
    """How many deliveries are owed, or were, and how many bytes of reasons are kept."""
    with Store.open_shared(database) as store, store.engine.read() as connection:
        deliveries: int = connection.execute("SELECT count(*) FROM deliveries").fetchone()[0]
        kept: int = connection.execute(
            "SELECT (SELECT sum(length(trail)) FROM alerts)"
            " + (SELECT coalesce(sum(length(trail)), 0) FROM alert_accounts)"
        ).fetchone()[0]
    return deliveries, kept


def _wait(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it took longer than {seconds:g} seconds")
        time.sleep(0.5)
