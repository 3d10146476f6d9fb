"""Replicas on one PostgreSQL server, of which one, or the server, fails again and again; and then a count."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.common.databases import PostgresAddress
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.postgres import PASSWORD, Proxy, Server, server
from tests.torture.kills import INDEX_LAG
from tests.torture.leaks import leaks
from tests.torture.world import HASTE, PATIENCE, Running, Tally, World

LEASE: Final = 8.0
"""Seconds of a lease: fewer than in earnest, and more than a process may be kept waiting on a busy machine."""
REPLICAS: Final = 3
NAMES: Final = ("slack-token", "pagerduty", "jira-cloud")
RATE: Final = 20
"""Sends a second that each connector may make."""
BURST: Final = 3
"""Sends more than the rate that a stretch may show: one that is credited, and what the network held up."""
WINDOW: Final = 5.0
SEVERITIES: Final = ("critical", "high", "medium", "low")
ROLES: Final = frozenset({"feed", "scheduler", "upkeep", *(f"connector:{name}" for name in NAMES)})


class Trouble(StrEnum):
    """What befalls a replica, its connections, or the server."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    PAUSE = "SIGSTOP past the lease"
    NAP = "SIGSTOP within the lease"
    CUT = "connections cut"
    PARTITION = "cut off past the lease"
    RESTART = "the server restarts"
    CRASH = "the server crashes"


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """So many troubles, each among ``alerts`` new ones."""

    seed: int
    troubles: int
    alerts: int = 12


@dataclass(kw_only=True)
class Result:
    """What came of it. ``moved`` is how long roles had no holder, in seconds, for each kind of trouble."""

    campaign: Campaign
    troubles: Counter[Trouble] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    moved: dict[Trouble, list[float]] = field(default_factory=dict)
    fastest: dict[str, int] = field(default_factory=dict)
    """The most sends that a connector made within ``WINDOW`` seconds."""
    complaints: list[str] = field(default_factory=list)


def run(campaign: Campaign, folder: Path) -> Result:
    """Troubles one after the other; then all may end in peace."""
    with Sandbox(limits=False) as sandbox, server(["max_connections=80"]) as running, ExitStack() as stack:
        sandbox.sentrytex.limit_per_minute = None
        sandbox.jira.index_lag = INDEX_LAG
        return _Torture(campaign, folder, sandbox, running, stack).run()


def run_apart(campaign: Campaign) -> Result:
    """The same in a folder that nobody needs afterwards: what another process is asked for."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return run(campaign, Path(folder))


class _World(World):
    """The world of one replica, which reaches the server through ``proxy``; the test looks at it directly."""

    def __init__(self, folder: Path, sandbox: Sandbox, address: PostgresAddress, proxy: Proxy) -> None:
        folder.mkdir()
        told = proxy.address(address).url.replace(PASSWORD, "${DATABASE_PASSWORD}")
        paced = {name: {**HASTE[name], "max_rate": f"{RATE}/s"} for name in NAMES}
        more = {"database": told, "routes": [{"to": list(NAMES)}]}
        super().__init__(folder, sandbox, NAMES, settings=paced, more=more)
        self.env |= {"DATABASE_PASSWORD": PASSWORD, "FORWARDER_LEASE_SECONDS": f"{LEASE:g}"}
        self.address = address

    @contextmanager
    def store(self) -> Iterator[Store]:
        store = Store.open_shared(self.address)
        try:
            yield store
        finally:
            store.close()


class _Torture:
    def __init__(self, campaign: Campaign, folder: Path, sandbox: Sandbox, running: Server, stack: ExitStack) -> None:
        self._campaign, self._sandbox, self._server = campaign, sandbox, running
        self._random = random.Random(campaign.seed)
        self._address = running.new_store()
        self._proxies = [Proxy(running) for _ in range(REPLICAS)]
        self._worlds = [
            _World(folder / f"replica-{number}", sandbox, self._address, proxy)
            for number, proxy in enumerate(self._proxies, start=1)
        ]
        self._running: list[Running] = []
        self._stack = stack
        self._alerts: list[Alert] = []
        self._result = Result(campaign=campaign)
        self._acts: dict[Trouble, Callable[[int], object]] = {
            Trouble.KILL: self._kill,
            Trouble.TERM: self._term,
            Trouble.PAUSE: self._pause,
            Trouble.NAP: self._nap,
            Trouble.CUT: lambda number: self._proxies[number].cut_all(),
            Trouble.PARTITION: self._part,
            Trouble.RESTART: lambda _: self._restart("fast"),
            Trouble.CRASH: lambda _: self._restart("immediate"),
        }

    def run(self) -> Result:
        self._running = [self._start(number) for number in range(REPLICAS)]
        self._until_held("at the start")
        _until(self._is_spread, "each replica has its share")
        while self._result.troubles.total() < self._campaign.troubles:
            for trouble in self._random.sample(list(Trouble), len(Trouble)):
                if self._result.troubles.total() < self._campaign.troubles:
                    self._round(trouble)
        self._end_in_peace()
        return self._result

    def _start(self, number: int) -> Running:
        return self._stack.enter_context(self._worlds[number].start())

    def _round(self, trouble: Trouble) -> None:
        """A trouble among alerts that go out just then."""
        before = self._arrived()
        self._publish()
        _until(lambda: self._arrived() > before, "something goes out")
        self._acts[trouble](self._victim())
        self._publish()
        self._until_held(f"after {trouble.value}")
        _until(self._is_spread, f"each replica has its share after {trouble.value}")
        self._result.troubles[trouble] += 1

    def _victim(self) -> int:
        return self._random.randrange(REPLICAS)

    def _publish(self) -> None:
        for _ in range(self._campaign.alerts // 2):
            severity = self._random.choice(SEVERITIES)
            self._alerts += self._worlds[0].publish(1, severity=severity)

    # Troubles

    def _kill(self, number: int) -> None:
        roles = self._roles_of(number)
        self._running[number].kill()
        self._until_moved(Trouble.KILL, number, roles)
        self._running[number] = self._start(number)

    def _term(self, number: int) -> None:
        roles = self._roles_of(number)
        threading.Thread(target=self._running[number].signal, args=(signal.SIGTERM,)).start()
        self._until_moved(Trouble.TERM, number, roles)
        if (status := self._running[number].wait(PATIENCE)) != 0:
            self._result.complaints.append(f"SIGTERM ended a replica with {status}")
        self._running[number] = self._start(number)

    def _pause(self, number: int) -> None:
        roles = self._roles_of(number)
        self._running[number].signal(signal.SIGSTOP)
        self._until_moved(Trouble.PAUSE, number, roles)
        # What had been sent before is looked for by then, and sent again where it is not there.
        _until(lambda: not self._sending(), "what was under way is settled by others")
        self._running[number].signal(signal.SIGCONT)

    def _nap(self, number: int) -> None:
        self._running[number].signal(signal.SIGSTOP)
        threading.Event().wait(self._random.uniform(0.1, LEASE / 2))
        self._running[number].signal(signal.SIGCONT)

    def _part(self, number: int) -> None:
        roles = self._roles_of(number)
        self._proxies[number].refuse()
        self._until_moved(Trouble.PARTITION, number, roles)
        self._proxies[number].admit()

    def _restart(self, how: str) -> None:
        self._server.stop(how)
        threading.Event().wait(self._random.uniform(0.0, 2.0))
        self._server.start()

    # What is seen

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._server.run(sql, self._address.name)

    def _arrived(self) -> int:
        ((count,),) = self._query("SELECT count(*) FROM forwarder.deliveries WHERE state = 'delivered'")
        return int(count)

    def _sending(self) -> bool:
        return bool(self._query("SELECT 1 FROM forwarder.deliveries WHERE state = 'sending' LIMIT 1"))

    def _held(self) -> dict[str, int]:
        """By role the process that has it."""
        rows = self._query(
            "SELECT l.role, r.pid FROM forwarder.leases AS l JOIN forwarder.replicas AS r ON r.id = l.owner"
            " WHERE l.until > clock_timestamp()"
        )
        return {str(role): int(pid) for role, pid in rows}

    def _is_spread(self) -> bool:
        """Whether each of the processes has a part of the roles."""
        return set(self._held().values()) == {running.process.pid for running in self._running}

    def _roles_of(self, number: int) -> frozenset[str]:
        pid = self._running[number].process.pid
        return frozenset(role for role, holder in self._held().items() if holder == pid)

    def _until_held(self, when: str) -> None:
        _until(lambda: self._held().keys() >= ROLES, f"every role has a holder {when}")

    def _until_moved(self, trouble: Trouble, number: int, roles: frozenset[str]) -> None:
        """Waits until others have ``roles``, and notes how long that took."""
        pid, began = self._running[number].process.pid, time.monotonic()
        _until(lambda: self._are_others(roles, pid), f"the roles of one move after {trouble.value}")
        if roles:
            self._result.moved.setdefault(trouble, []).append(time.monotonic() - began)

    def _are_others(self, roles: frozenset[str], pid: int) -> bool:
        held = self._held()
        return all(held.get(role, pid) != pid for role in roles)

    # The end

    def _end_in_peace(self) -> None:
        world = self._worlds[0]
        _until(self._is_over, "everything was settled", 10 * PATIENCE)
        self._result.tallies = world.tally(self._alerts)
        for number, running in enumerate(self._running, start=1):
            if (status := running.stop()) != 0:
                self._result.complaints.append(f"SIGTERM ended replica {number} with {status}")
        self._judge()

    def _is_over(self) -> bool:
        """Whether every alert went to every connector, and nothing is left to do."""
        ((opened, left),) = self._query(
            "SELECT count(*) FILTER (WHERE kind = 'open' AND origin = 'feed'),"
            " count(*) FILTER (WHERE state NOT IN ('delivered', 'dead'))"
            " FROM forwarder.deliveries AS d JOIN forwarder.alerts AS a ON a.id = d.alert_id"
        )
        return bool(opened == len(self._alerts) * len(NAMES) and not left)

    def _judge(self) -> None:
        complaints = self._result.complaints
        complaints += [
            f"{name}: {tally}"
            for name, tally in self._result.tallies.items()
            if tally.lost or tally.twice or tally.dead
        ]
        for name in NAMES:
            most = self._result.fastest[name] = self._fastest(name)
            if most > RATE * WINDOW + BURST:
                complaints.append(f"{name}: {most} sends within {WINDOW:g} seconds, at {RATE} a second")
        complaints += [f"overtaken: {row}" for row in self._query(_OVERTAKEN)]
        for world in self._worlds:
            # The files hold no database: what is in that is no log.
            complaints += [f"a secret is in {place}" for place in leaks(world.folder, world.secrets | {PASSWORD})]

    def _fastest(self, name: str) -> int:
        """The most sends that reached the stand-in within a stretch."""
        target = self._worlds[0].targets[name]
        times = [
            seen.at.timestamp()
            for seen in target.service(self._sandbox).requests
            if target.send in f"{seen.method} {seen.path}"
        ]
        times.sort()
        first, most = 0, 0
        for last, at in enumerate(times):
            while at - times[first] > WINDOW:
                first += 1
            most = max(most, last - first + 1)
        return most


def _until(condition: Callable[[], object], what: str, patience: float = 3 * PATIENCE) -> None:
    end = time.monotonic() + patience
    pause = threading.Event()
    while True:
        try:
            if condition():
                return
        except Exception as error:
            # The server may be away just now.
            if time.monotonic() > end:
                raise AssertionError(f"in vain: {what} ({error})") from error
        assert time.monotonic() < end, f"in vain: {what}"
        pause.wait(0.05)


# A critical that had been owed for a while when a lower one was claimed, and was claimed after that. What is owed is
# dated before its commit, and in between a process may stand still for as long as its lease lasts. Only what went out
# at the first try is judged: of the rest the first claim is not known any more.
_OVERTAKEN: Final = f"""
WITH firsts AS (
  SELECT d.id, d.connector, d.rank, d.enqueued_at, d.tried_at FROM forwarder.deliveries AS d
  JOIN forwarder.alerts AS t ON t.id = d.alert_id
  WHERE d.kind = 'open' AND t.origin = 'feed'
    AND (SELECT count(*) FROM forwarder.attempts AS a WHERE a.delivery_id = d.id) = 1
)
SELECT c.connector, count(*) FROM firsts AS c JOIN firsts AS l ON l.connector = c.connector
WHERE c.rank = (SELECT min(rank) FROM firsts) AND l.rank > c.rank AND c.enqueued_at < l.tried_at - {LEASE + 2}
  AND l.tried_at < c.tried_at
GROUP BY 1
"""


def campaigns(troubles: int, seed: int, size: int = 24) -> list[Campaign]:
    """Campaigns with ``troubles`` in all."""
    sizes = [size] * (troubles // size) + ([troubles % size] if troubles % size else [])
    return [Campaign(seed=seed + number, troubles=share) for number, share in enumerate(sizes)]
