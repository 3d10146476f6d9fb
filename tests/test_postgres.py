"""The daemon on a PostgreSQL server, as users run it: killed, paused, refused; and a server that comes and goes."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from forwarder.common.databases import PostgresAddress
from forwarder.sandbox import Sandbox
from tests.kit import postgres
from tests.kit.core import PATIENCE, Process, command, secrets, settings, until, written
from tests.kit.pgbouncer import pooling
from tests.kit.postgres import PASSWORD, Server
from tests.kit.replicas import LEASE
from tests.kit.samples import real_alerts
from tests.test_end_to_end import expected, moved_to_now, there

USED: dict[str, str] = {"DATABASE_PASSWORD": PASSWORD, "FORWARDER_LEASE_SECONDS": f"{LEASE:g}"}
"""What was killed holds the database for as long as a lease lasts: a short one is waited for less."""


@pytest.fixture
def address(server: Server) -> PostgresAddress:
    """A database of its own for a daemon, for one that was killed may still be heard of in the next test."""
    return server.new_store()


def hasty(sandbox: Sandbox) -> dict[str, Any]:
    """The config of the tests, with which what was killed while it was sent is looked for at once."""
    config = settings(sandbox)
    config["connectors"]["secops"]["reconcile_after"] = ["200ms", "400ms"]
    return config


def on_server(sandbox: Sandbox, address: PostgresAddress, **more: Any) -> dict[str, Any]:
    told = address.url.replace(PASSWORD, "${DATABASE_PASSWORD}")
    return {**hasty(sandbox), "database": told, **more}


def environment(sandbox: Sandbox) -> dict[str, str]:
    return secrets(sandbox) | USED


def delivered(server: Server, address: PostgresAddress, origin: str = "feed") -> Counter[str]:
    """How many alerts have arrived at each connector; none of them may be dead."""
    told = server.run(
        "SELECT connector, state, count(*) FROM forwarder.deliveries AS d"
        " JOIN forwarder.alerts AS a ON a.id = d.alert_id"
        f" WHERE d.kind = 'open' AND a.origin = '{origin}' AND state IN ('delivered', 'dead') GROUP BY 1, 2",
        address.name,
    )
    assert [row for row in told if row[1] == "dead"] == []
    return Counter({str(connector): int(str(count)) for connector, _, count in told})


def test_sixty_alerts_through_a_kill_and_a_restart_of_the_server(
    tmp_path: Path, sandbox: Sandbox, server: Server, address: PostgresAddress
) -> None:
    """Real alerts to three destinations: none lost and none twice, and the daemon outlives the server's absence."""
    alerts = moved_to_now(real_alerts()[:60])
    outstanding = expected(alerts)
    written(tmp_path, on_server(sandbox, address))
    sandbox.sentrytex.publish(*alerts[:30])
    with Process(tmp_path, environment(sandbox)) as process:
        until(lambda: delivered(server, address).total() > 10)
        process.kill()
    with Process(tmp_path, environment(sandbox)) as process:
        # What was killed holds the database for a while yet, and is waited for.
        process.until_started()
        sandbox.sentrytex.publish(*alerts[30:])
        until(lambda: delivered(server, address).total() > expected(alerts[:30]).total() - 5)
        server.stop("immediate")
        until(lambda: "the server is not reachable" in process.log)
        server.start()
        until(lambda: delivered(server, address) == outstanding, PATIENCE * 3)
        assert process.stop() == 0
        assert process.logged("rejected") == []
        assert PASSWORD not in process.log
    # An alarm of that the database was away is sent as well.
    assert there(sandbox) == outstanding + delivered(server, address, "alarm")


def test_a_store_that_moved_goes_on(tmp_path: Path, sandbox: Sandbox, server: Server) -> None:
    """A daemon on a file is killed in the midst of its work; one on a server, and one on a file again, end it."""
    alerts = moved_to_now(real_alerts()[:24])
    address, file = server.new(), tmp_path / "first.db"
    env = environment(sandbox)
    written(tmp_path, {**hasty(sandbox), "database": str(file)})
    sandbox.sentrytex.publish(*alerts[:12])
    with Process(tmp_path, env) as process:
        until(lambda: there(sandbox).total() > 3)
        process.kill()
    assert command(tmp_path, "migrate", f"sqlite:{file}", address.url).returncode == 0
    written(tmp_path, on_server(sandbox, address))
    sandbox.sentrytex.publish(*alerts[12:18])
    with Process(tmp_path, env) as process:
        until(lambda: there(sandbox) == expected(alerts[:18]))
        assert process.stop() == 0
    assert command(tmp_path, "migrate", address.url, "sqlite:second.db").returncode == 0
    written(tmp_path, {**hasty(sandbox), "database": "second.db"})
    sandbox.sentrytex.publish(*alerts[18:])
    with Process(tmp_path, env) as process:
        until(lambda: there(sandbox) == expected(alerts))
        assert process.stop() == 0
        assert process.logged("found_unsettled") == []
    assert there(sandbox) == expected(alerts)


def test_commands_work_beside_it(tmp_path: Path, sandbox: Sandbox, address: PostgresAddress) -> None:
    """Status, health, reload and backup tell of it as of a file, and nowhere is its password."""
    path = written(tmp_path, on_server(sandbox, address))
    env = environment(sandbox)
    with Process(tmp_path, env) as process:
        process.until_started()
        said = {
            args: command(tmp_path, *args.split(), env=env)
            for args in ("status --json", "health", "reload", "backup copy.db", "check --json", "deliveries")
        }
        assert json.loads(said["status --json"].stdout)["daemon"]["running"]
        assert (said["health"].returncode, said["reload"].returncode) == (0, 0), said["reload"].stderr
        assert "pg_dump --format=custom" in said["backup copy.db"].stderr
        assert [PASSWORD in one.stdout + one.stderr for one in said.values()] == [False] * len(said)
        assert "No daemon runs" not in said["deliveries"].stderr
        assert process.stop() == 0
    stopped = command(tmp_path, "status", env=env)
    assert "NO DAEMON RUNS since" in stopped.stdout
    viewed = command(tmp_path, "status", "--database", address.url)
    assert viewed.returncode == stopped.returncode
    assert PASSWORD not in viewed.stdout + viewed.stderr
    assert path.exists()
    assert not (tmp_path / "copy.db").exists()


def test_a_server_that_is_not_there_is_said_at_the_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """The service manager starts it again, and a person reads why."""
    nowhere = PostgresAddress(f"postgresql://someone:{PASSWORD}@127.0.0.1:1/forwarder")
    written(tmp_path, on_server(sandbox, nowhere))
    began = time.monotonic()
    told = command(tmp_path, "run", env=environment(sandbox))
    assert told.returncode != 0
    assert "postgresql://someone:***@127.0.0.1:1/forwarder failed: the server is not reachable" in told.stderr
    assert PASSWORD not in told.stderr
    assert time.monotonic() - began < PATIENCE


def test_a_daemon_s_life_behind_a_pooler(
    tmp_path: Path, sandbox: Sandbox, server: Server, address: PostgresAddress
) -> None:
    """Each of its transactions may get another connection: it delivers, commands work beside it, and ends in order."""
    alerts = moved_to_now(real_alerts()[:15])
    with pooling(server) as by_way_of:
        pooled = by_way_of(address)
        written(tmp_path, on_server(sandbox, pooled))
        env = environment(sandbox)
        sandbox.sentrytex.publish(*alerts)
        with Process(tmp_path, env) as process:
            until(lambda: delivered(server, address) == expected(alerts))
            assert f"already runs on {pooled}" in command(tmp_path, "once", env=env).stderr
            assert json.loads(command(tmp_path, "status", "--json", env=env).stdout)["daemon"]["running"]
            assert process.stop() == 0
            assert process.logged("store_failed") == []
    assert there(sandbox) == expected(alerts)


def test_why_there_may_be_no_server_is_said() -> None:
    """Where these tests are skipped, the reason says what is missing."""
    assert postgres.missing() is None or "PostgreSQL" in str(postgres.missing())
