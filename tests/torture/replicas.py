"""Replicas on one PostgreSQL server, of which one, or the server, fails again and again; and then a count.

Every service holds its limits, and each connector is owed more than these let through, so that whatever happens
happens in the midst of sending.
"""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.common.databases import PostgresAddress
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.postgres import PASSWORD, Proxy, Server, server
from tests.torture.gaps import Span, longest
from tests.torture.kills import INDEX_LAG
from tests.torture.leaks import leaks
from tests.torture.replica_campaigns import NAMES, Campaign, Result, Trouble
from tests.torture.replica_judge import OVERTAKEN, WATCH, excess, refused
from tests.torture.world import HASTE, PATIENCE, Running, World

ENDURES: Final = 5.0
"""Seconds beyond the lease after which whatever a killed replica had is done by another one."""
HANDS_OVER: Final = 2.0
"""Seconds within which whatever a replica did that ends in order is done by another one."""
BURST: Final = 1.0
"""Sends more than the rate that no stretch may show: a request counts once the stand-in has read it, and the one may be
read at once, the next only when a busy machine comes to it."""
ACTS: Final = {"slack-token": "chat.", "pagerduty": "/v2/enqueue", "jira-cloud": "POST /rest/api/3/issue"}
"""By what a request is known that brings something there."""
REPLICAS: Final = 3
SEVERITIES: Final = ("critical", "high", "medium", "low")
ROLES: Final = frozenset({"feed", "scheduler", "upkeep", *(f"connector:{name}" for name in NAMES)})


def run(campaign: Campaign, folder: Path) -> Result:
    """Troubles one after the other; then all may end in peace."""
    with Sandbox(limits=campaign.limits) as sandbox, server(["max_connections=80"]) as running, ExitStack() as stack:
        sandbox.sentrytex.limit_per_minute = None
        sandbox.jira.index_lag = INDEX_LAG
        return _Torture(campaign, folder, sandbox, running, stack).run()


def run_apart(campaign: Campaign) -> Result:
    """The same in a folder that nobody needs afterwards: what another process is asked for."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return run(campaign, Path(folder))


class _World(World):
    """The world of one replica, which reaches the server through ``proxy``; the test looks at it directly."""

    def __init__(
        self, folder: Path, sandbox: Sandbox, address: PostgresAddress, proxy: Proxy, campaign: Campaign
    ) -> None:
        folder.mkdir()
        told = proxy.address(address).url.replace(PASSWORD, "${DATABASE_PASSWORD}")
        paced = {name: {**HASTE[name], "max_rate": f"{campaign.rates[name] * 60:g}/min"} for name in NAMES}
        more = {"database": told, "routes": [{"to": list(NAMES)}]}
        super().__init__(folder, sandbox, NAMES, settings=paced, more=more)
        self.env |= {"DATABASE_PASSWORD": PASSWORD, "FORWARDER_LEASE_SECONDS": f"{campaign.lease:g}"}
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
        self._query(WATCH)
        self._proxies = [Proxy(running) for _ in range(REPLICAS)]
        self._worlds = [
            _World(folder / f"replica-{number}", sandbox, self._address, proxy, campaign)
            for number, proxy in enumerate(self._proxies, start=1)
        ]
        self._running: list[Running] = []
        self._stack = stack
        self._alerts: list[Alert] = []
        self._result = Result(campaign=campaign)
        self._begun: list[tuple[Trouble, float]] = []
        self._over = threading.Event()
        self._aims = cycle(self._random.sample(sorted(ROLES), len(ROLES)))
        self._acts: dict[Trouble, Callable[[int], object]] = {
            Trouble.KILL: self._kill,
            Trouble.TERM: self._term,
            Trouble.PAUSE: self._pause,
            Trouble.NAP: self._nap,
            Trouble.CUT: lambda number: self._proxies[number].cut_all(),
            Trouble.PARTITION: self._part,
            Trouble.RESTART: lambda _: self._restart("fast"),
            Trouble.CRASH: lambda _: self._restart("immediate"),
            Trouble.ROLL: lambda _: self._roll(),
        }

    def run(self) -> Result:
        self._running = [self._start(number) for number in range(REPLICAS)]
        self._until_held("at the start")
        _until(self._is_spread, "each replica has its share")
        flow = threading.Thread(target=self._flow)
        flow.start()
        try:
            for trouble in self._campaign.troubles:
                self._round(trouble)
        finally:
            self._over.set()
            flow.join()
        self._end_in_peace()
        return self._result

    def _start(self, number: int) -> Running:
        return self._stack.enter_context(self._worlds[number].start())

    def _round(self, trouble: Trouble) -> None:
        """A trouble among alerts that go out just then."""
        before = self._arrived()
        self._publish(self._campaign.alerts // 2)
        _until(lambda: self._arrived() > before, "something goes out")
        victim, began = self._victim(), time.time()
        self._publish(self._campaign.alerts - self._campaign.alerts // 2)
        self._acts[trouble](victim)
        self._until_held(f"after {trouble.value}")
        _until(self._is_spread, f"each replica has its share after {trouble.value}")
        self._begun.append((trouble, began))
        self._result.troubles[trouble] += 1

    def _victim(self) -> int:
        """One that has something to do; in turn each kind of that."""
        aim, held = next(self._aims), self._held()
        victims = [number for number, one in enumerate(self._running) if one.process.pid == held.get(aim)]
        return victims[0] if victims else self._random.randrange(REPLICAS)

    def _publish(self, count: int) -> None:
        for _ in range(count):
            severity = self._random.choice(SEVERITIES)
            self._alerts += self._worlds[0].publish(1, severity=severity)

    def _flow(self) -> None:
        while self._campaign.flow and not self._over.wait(1 / self._campaign.flow):
            self._publish(1)

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
        threading.Event().wait(self._random.uniform(0.1, self._campaign.lease / 2))
        self._running[number].signal(signal.SIGCONT)

    def _part(self, number: int) -> None:
        roles = self._roles_of(number)
        self._proxies[number].refuse()
        self._until_moved(Trouble.PARTITION, number, roles)
        self._proxies[number].admit()

    def _roll(self) -> None:
        """As a Deployment does it: a new one is there before an old one ends."""
        for number, old in enumerate(self._running):
            new = self._start(number)
            _until(lambda new=new: new.process.pid in self._held().values(), "a new one has its share")  # type: ignore[misc]
            if (status := old.stop()) != 0:
                self._result.complaints.append(f"SIGTERM ended a replica with {status}")
            self._running[number] = new

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
        for name, rate in self._campaign.rates.items():
            beyond = self._result.fastest[name] = excess(self._times(name, self._worlds[0].targets[name].send), rate)
            if beyond > BURST:
                complaints.append(f"{name}: {beyond:.1f} sends more than {rate:g} a second")
        complaints += [f"{name} was refused for its rate" for name in refused(self._sandbox)]
        complaints += [f"overtaken: {row}" for row in self._query(OVERTAKEN)]
        self._measure()
        for world in self._worlds:
            # The files hold no database: what is in that is no log.
            complaints += [f"a secret is in {place}" for place in leaks(world.folder, world.secrets | {PASSWORD})]

    def _times(self, name: str, kind: str) -> list[float]:
        """When requests of a ``kind`` reached the stand-in, in order."""
        service = self._worlds[0].targets[name].service(self._sandbox)
        return sorted(seen.at.timestamp() for seen in service.requests if kind in f"{seen.method} {seen.path}")

    def _measure(self) -> None:
        """For how long nobody did what a replica had done, in each trouble."""
        polls = sorted(seen.at.timestamp() for seen in self._sandbox.sentrytex.requests if "/alerts" in seen.path)
        sent = {name: self._times(name, kind) for name, kind in ACTS.items()}
        owed: dict[str, list[Span]] = {name: [] for name in NAMES}
        for name, since, until in self._query(_OWED):
            owed[name].append((float(since), float(until)))
        ends = [began for _, began in self._begun[1:]] + [float("inf")]
        for (trouble, began), end in zip(self._begun, ends, strict=True):
            span = began, end
            unpolled = longest(polls, [(0.0, float("inf"))], span)
            unsent = {name: longest(sent[name], owed[name], span) for name in NAMES}
            self._result.unpolled.setdefault(trouble, []).append(unpolled)
            self._result.unsent.setdefault(trouble, []).append(max(unsent.values()))
            bound = self._bounds().get(trouble)
            if bound is not None and max(unpolled, *unsent.values()) > bound:
                told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in {"polls": unpolled, **unsent}.items())
                self._result.complaints.append(f"{trouble.value}: more than {bound:g} seconds without: {told}")

    def _bounds(self) -> Mapping[Trouble, float]:
        if not self._campaign.prompt:
            return {}
        return {Trouble.KILL: self._campaign.lease + ENDURES, Trouble.TERM: HANDS_OVER, Trouble.ROLL: HANDS_OVER}


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


_OWED: Final = """
SELECT d.connector, d.enqueued_at, d.settled_at FROM forwarder.deliveries AS d
JOIN forwarder.alerts AS t ON t.id = d.alert_id WHERE d.kind = 'open' AND t.origin = 'feed' AND d.settled_at IS NOT NULL
"""
