"""Several accounts read by several replicas, as real processes on one PostgreSQL database: each feed is a role."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import PATIENCE, Process, until
from tests.kit.postgres import Server
from tests.kit.replicas import ROLES, Replicas
from tests.test_accounts import ROUTES, STACKS, expected, some, there
from tests.test_postgres import delivered

NAMES: Final = ("acme", "beta", "gamma")
MORE: Final = ("delta", "epsilon", "zeta")
"""Accounts that see the same as those before them do, in this order."""
FEEDS: Final = frozenset(f"feed:{name}" for name in (*NAMES, *MORE))


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Sandbox, server: Server) -> Iterator[Replicas]:
    accounts = {}
    for name, like in zip((*NAMES, *MORE), NAMES * 2, strict=True):
        key = f"vk_{name}-not-a-real-key"
        sandbox.sentrytex.add_account(key, *STACKS[like])
        accounts[name] = {"api_key": key}
    feed = {"base_url": sandbox.sentrytex.url, "poll_every": "1s", "sweep_every": "2s", "accounts": accounts}
    # What the others see goes where the first ones lead, so that each alert is seen by twice as many.
    with Replicas(tmp_path, sandbox, server, server.new_store(), sentrytex=feed, routes=ROUTES) as started:
        yield started


def until_spread(replicas: Replicas, *processes: Process) -> None:
    """Waits until these have all roles, the feeds evenly and so the rest."""
    pids = {process.pid for process in processes}

    def is_even() -> bool:
        held = replicas.held()
        if held.keys() != FEEDS | (ROLES - {"feed"}):
            return False
        shares = [Counter(pid for role, pid in held.items() if (role in FEEDS) is feeds) for feeds in (True, False)]
        return all(
            share.keys() == pids and max(share.values()) <= -(-total // len(pids))
            for share, total in zip(shares, (len(FEEDS), len(ROLES) - 1), strict=True)
        )

    until(is_even, PATIENCE * 3)


def publish(sandbox: Sandbox, alerts: list[dict[str, Any]], count: int, rng: random.Random) -> None:
    more = some(len(alerts), count, rng)
    alerts += more
    sandbox.sentrytex.publish(*more)


def arrived(replicas: Replicas) -> Counter[str]:
    return delivered(replicas.server, replicas.address)


def test_feeds_spread_and_nothing_is_lost_when_one_is_killed(replicas: Replicas, sandbox: Sandbox) -> None:
    """Alerts that feeds of several replicas show go once to each connector, also those that came meanwhile."""
    rng, alerts = random.Random(20261126), list[dict[str, Any]]()
    started = [replicas.start() for _ in range(3)]
    until_spread(replicas, *started)
    publish(sandbox, alerts, 20, rng)
    until(lambda: arrived(replicas).total() > 10, PATIENCE * 3)
    victim = next(process for process in started if process.pid == replicas.held()["feed:acme"])
    victim.kill()
    publish(sandbox, alerts, 20, rng)
    rest = [process for process in started if process is not victim]
    until_spread(replicas, *rest)
    until(lambda: arrived(replicas) == expected(alerts), PATIENCE * 3)
    # Everybody has looked again since.
    since = replicas.query("SELECT max(swept_at) FROM forwarder.feed")[0][0]
    until(lambda: replicas.query(f"SELECT min(swept_at) > {since} FROM forwarder.feed WHERE floor > 0") == [(True,)])
    assert there(sandbox) == expected(alerts) + delivered(replicas.server, replicas.address, "alarm")
    assert [process.stop() for process in rest] == [0, 0]
    assert replicas.held() == {}


def test_a_feed_that_was_lost_is_written_by_nobody_else(replicas: Replicas, sandbox: Sandbox) -> None:
    """A process that stood still until others had its feeds writes nothing for them, and gets its share again."""
    rng, alerts = random.Random(7), list[dict[str, Any]]()
    started = [replicas.start() for _ in range(2)]
    until_spread(replicas, *started)
    frozen = next(process for process in started if process.pid == replicas.held()["feed:beta"])
    rest = [process for process in started if process is not frozen]
    frozen.freeze()
    publish(sandbox, alerts, 20, rng)
    until_spread(replicas, *rest)
    until(lambda: arrived(replicas) == expected(alerts), PATIENCE * 3)
    frozen.signal(signal.SIGCONT)
    until(lambda: frozen.logged("role_lost"))
    publish(sandbox, alerts, 10, rng)
    until_spread(replicas, *started)
    until(lambda: arrived(replicas) == expected(alerts), PATIENCE * 3)
    assert there(sandbox) == expected(alerts) + delivered(replicas.server, replicas.address, "alarm")
