"""Several replicas on one PostgreSQL database: how roles spread and move, and that nothing is lost or sent twice."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.core import PATIENCE, Process, free_port, recent, until
from tests.kit.pgbouncer import pooling
from tests.kit.postgres import Proxy, Server
from tests.kit.replicas import ROLES, Replicas
from tests.test_end_to_end import expected, moved_to_now, there
from tests.test_postgres import delivered


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Sandbox, server: Server) -> Iterator[Replicas]:
    with Replicas(tmp_path, sandbox, server, server.new_store()) as started:
        yield started


def read(port: int, path: str) -> str:
    """What a replica's page answers, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def alerts_of(number: int) -> list[dict[str, Any]]:
    """So many alerts of all severities, published lately."""
    severities = ("critical", "high", "medium")
    return moved_to_now([recent(one, severity=severities[one % 3]) for one in range(number)])


def three(replicas: Replicas) -> list[Process]:
    """Three that share the roles."""
    started = [replicas.start() for _ in range(3)]
    replicas.until_spread(*started)
    return started


def test_roles_spread_and_nothing_is_lost_when_one_is_killed(
    replicas: Replicas, sandbox: Sandbox, server: Server
) -> None:
    """Each has a share; the roles of one that is killed move to the others, and every alert arrives once."""
    alerts = alerts_of(120)
    outstanding = expected(alerts)
    started = three(replicas)
    sandbox.sentrytex.publish(*alerts[:60])
    until(lambda: delivered(server, replicas.address).total() > 20)
    feed = replicas.held()["feed"]
    victim = next(process for process in started if process.pid == feed)
    victim.kill()
    rest = [process for process in started if process is not victim]
    sandbox.sentrytex.publish(*alerts[60:])
    replicas.until_spread(*rest)
    until(lambda: delivered(server, replicas.address) == outstanding, PATIENCE * 3)
    assert there(sandbox) == outstanding + delivered(server, replicas.address, "alarm")
    assert [process.stop() for process in rest] == [0, 0]
    assert replicas.held() == {}


def test_one_that_ends_in_order_is_followed_at_once(replicas: Replicas, server: Server) -> None:
    """Its roles are free as soon as what it was doing has ended, and the others hear of that."""
    started = three(replicas)
    last = started.pop()
    assert last.pid in replicas.held().values()
    assert last.stop() == 0
    # Nobody has to wait for the end of a lease: none is left, nor is it counted as a replica any more.
    named = f"LIKE '{last.pid}@%'"
    assert replicas.query(f"SELECT role FROM forwarder.leases WHERE owner {named}") == []
    assert replicas.query(f"SELECT id FROM forwarder.replicas WHERE id {named}") == []
    replicas.until_spread(*started)


@pytest.mark.thorough
def test_one_that_joins_takes_its_share(replicas: Replicas) -> None:
    """Roles that another one has in plenty are given up in order, and nobody gives up more than that."""
    first = replicas.start()
    replicas.until_spread(first)
    second = replicas.start()
    replicas.until_spread(first, second)
    given = [line["role"] for line in first.logged("role_given_up")]
    assert len(given) == len(ROLES) // 2
    assert second.logged("role_given_up") == []


def test_one_that_stood_still_sends_nothing_twice(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """A process that is paused in the midst of sending, until others have its roles, does nothing more for them."""
    alerts = alerts_of(60)
    outstanding = expected(alerts)
    started = three(replicas)
    held = replicas.held()
    frozen = next(process for process in started if process.pid == held["connector:tickets"])
    rest = [process for process in started if process is not frozen]
    sandbox.jira.inject(*[Fault(kind=FaultKind.LATENCY, seconds=0.3)] * 20)
    sandbox.sentrytex.publish(*alerts)
    until(
        lambda: replicas.query("SELECT 1 FROM forwarder.deliveries WHERE state = 'sending' AND connector = 'tickets'")
    )
    frozen.freeze()
    replicas.until_spread(*rest)
    until(lambda: delivered(server, replicas.address) == outstanding, PATIENCE * 3)
    frozen.signal(signal.SIGCONT)
    until(lambda: frozen.logged("role_lost"))
    replicas.until_spread(*started)
    assert there(sandbox) == outstanding + delivered(server, replicas.address, "alarm")


def test_each_shows_the_whole(replicas: Replicas) -> None:
    """The page, its metrics and its readiness at any replica: who is there, and who has what."""
    port = free_port()
    started = [replicas.start(web={"listen": f"127.0.0.1:{port}"}), replicas.start()]
    replicas.until_spread(*started)
    page = read(port, "/")
    assert [f"process {process.pid} on " in page for process in started] == [True, True]
    assert [role for role in ROLES if role not in page] == []
    metrics = read(port, "/metrics")
    held = {role for role, pid in replicas.held().items() if pid == started[0].pid}
    assert "forwarder_replicas 2.0" in metrics
    shown = {role for role in ROLES if f'forwarder_role_held{{role="{role}"}} 1.0' in metrics}
    assert shown == held
    until(lambda: '"ready": true' in read(port, "/readyz").replace('":true', '": true'))


def test_actions_work_from_any(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """What a person decides beside one replica goes out at the ones that have the connectors; each shows the whole."""
    started = three(replicas)
    sandbox.sentrytex.publish(*alerts_of(1))
    until(lambda: delivered(server, replicas.address).total() == 3)
    ((alert_id,),) = replicas.query("SELECT id FROM forwarder.alerts WHERE origin = 'feed'")
    told = json.loads(replicas.command(1, "status", "--json"))
    assert {one["pid"] for one in told["daemon"]["replicas"]} == {process.pid for process in started}
    assert {role for one in told["daemon"]["replicas"] for role in one["roles"]} == ROLES
    assert told["daemon"]["unheld"] == []
    assert "3 replicas run:" in replicas.command(2, "status")
    replicas.command(3, "ack", str(alert_id), "--by", "Ann")
    owed = "SELECT connector FROM forwarder.deliveries WHERE kind = 'acknowledge' AND state = 'delivered'"
    until(lambda: {connector for (connector,) in replicas.query(owed)} >= {"oncall"})


@pytest.mark.thorough
def test_a_restart_of_the_server_moves_no_role(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """Whoever had a role has it afterwards, and what came meanwhile arrives once."""
    alerts = alerts_of(60)
    outstanding = expected(alerts)
    started = three(replicas)
    before = replicas.held()
    sandbox.sentrytex.publish(*alerts[:30])
    until(lambda: delivered(server, replicas.address).total() > 10)
    server.stop("immediate")
    until(lambda: all(process.logged("lease_not_renewed") for process in started))
    sandbox.sentrytex.publish(*alerts[30:])
    server.start()
    until(lambda: delivered(server, replicas.address) == outstanding, PATIENCE * 3)
    replicas.until_spread(*started)
    assert replicas.held() == before
    assert there(sandbox) == outstanding + delivered(server, replicas.address, "alarm")


@pytest.mark.thorough
def test_one_that_is_cut_off_is_followed(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """Who cannot reach the database any more loses its roles, says so, and has a share again once it can."""
    proxy = Proxy(server)
    started = [replicas.start(), replicas.start(via=proxy.address(replicas.address))]
    replicas.until_spread(*started)
    proxy.refuse()
    replicas.until_spread(started[0])
    assert started[1].logged("lease_not_renewed")
    proxy.admit()
    replicas.until_spread(*started)
    proxy.close()


@pytest.mark.thorough
def test_a_pooler_may_stand_in_between(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """PgBouncer gives each transaction another connection, so nothing can be listened for, and all else is the same."""
    alerts = alerts_of(30)
    outstanding = expected(alerts)
    with pooling(server) as by_way_of:
        via = by_way_of(replicas.address)
        started = [replicas.start(via=via), replicas.start(via=via)]
        replicas.until_spread(*started)
        sandbox.sentrytex.publish(*alerts)
        until(lambda: delivered(server, replicas.address) == outstanding, PATIENCE * 3)
        started[0].kill()
        replicas.until_spread(started[1])
        assert started[1].stop() == 0
        assert started[1].logged("store_failed") == []
    assert there(sandbox) == outstanding


def test_once_has_everything_or_does_nothing(replicas: Replicas, sandbox: Sandbox, server: Server) -> None:
    """A run from cron reads and delivers alone; beside a daemon it says that one runs, and does nothing."""
    alerts = alerts_of(6)
    sandbox.sentrytex.publish(*alerts)
    replicas.start(command="once").ended()
    assert delivered(server, replicas.address) == expected(alerts)
    assert replicas.held() == {}
    daemon = replicas.start()
    replicas.until_spread(daemon)
    second = replicas.start(command="once")
    assert second.ended() == 75
    assert f"(process {daemon.pid} on " in second.log
    assert "already runs on" in second.log
