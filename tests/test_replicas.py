"""Several replicas on one PostgreSQL database: how roles spread and move, and that nothing is lost or sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import PATIENCE, Process, until
from tests.kit.postgres import Server
from tests.kit.replicas import Replicas
from tests.kit.samples import real_alerts
from tests.test_end_to_end import expected, moved_to_now, there
from tests.test_postgres import delivered


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Sandbox, server: Server) -> Iterator[Replicas]:
    with Replicas(tmp_path, sandbox, server, server.new_store()) as started:
        yield started


def three(replicas: Replicas) -> list[Process]:
    """Three that share the roles."""
    started = [replicas.start() for _ in range(3)]
    replicas.until_spread(*started)
    return started


def test_roles_spread_and_nothing_is_lost_when_one_is_killed(
    replicas: Replicas, sandbox: Sandbox, server: Server
) -> None:
    """Each has a share; the roles of one that is killed move to the others, and every alert arrives once."""
    alerts = moved_to_now(real_alerts()[:120])
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
