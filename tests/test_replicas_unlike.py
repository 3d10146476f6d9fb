"""Replicas that are not alike: another config, an older version, a clock that is wrong."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from tests.kit.core import PATIENCE, until
from tests.kit.pgbouncer import pooling
from tests.kit.postgres import Server
from tests.kit.replicas import Replicas
from tests.test_end_to_end import expected, there
from tests.test_postgres import delivered
from tests.test_replicas import alerts_of
from tests.torture.machine import Machine

NOWHERE = [{"to": ["nobody"]}]
ONCALL = [{"to": ["oncall"]}]
_REASONS = "SELECT reason FROM forwarder.failures WHERE type = 'reload_refused'"
_SENDING = "SELECT 1 FROM forwarder.deliveries WHERE state = 'sending' AND connector = 'tickets'"
_AHEAD = "SELECT max(enqueued_at) - extract(epoch FROM now()) FROM forwarder.deliveries"


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Sandbox, server: Server) -> Iterator[Replicas]:
    with Replicas(tmp_path, sandbox, server, server.new_store()) as started:
        yield started


def refused(replicas: Replicas) -> list[str]:
    """The reasons that the alarm of a refused reload goes by."""
    return [str(reason) for (reason,) in replicas.query(_REASONS)]


def test_a_reload_reaches_all(replicas: Replicas) -> None:
    """Each reads its own file, and the command says of each what came of it."""
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    for number in (1, 2):
        replicas.configure(number, routes=ONCALL)
    told = replicas.command(2, "reload")
    assert [f"process {process.pid} on " in told.lower() for process in started] == [True, True]
    assert told.count("took over the config") == 2
    assert [len(process.logged("reloaded")) for process in started] == [1, 1]


@pytest.mark.thorough
def test_a_reload_reaches_all_behind_a_pooler(replicas: Replicas, server: Server) -> None:
    """Where nothing can be listened for, each looks by itself."""
    with pooling(server) as by_way_of:
        via = by_way_of(replicas.address)
        started = [replicas.start(via=via), replicas.start(via=via)]
        replicas.until_spread(*started)
        assert replicas.command(1, "reload").count("took over the config") == 2
        assert [len(process.logged("reloaded")) for process in started] == [1, 1]


def test_who_refuses_a_reload_is_named_and_the_others_take_it_over(replicas: Replicas) -> None:
    """The alarm stands for as long as one of them goes on with an older config, whatever the others say."""
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    replicas.configure(1, routes=NOWHERE)
    told = replicas.command(2, "reload", status=78)
    assert f"process {started[0].pid} on" in told.lower()
    assert "took nothing over" in told
    assert "nobody" in told
    assert told.count("took over the config") == 1
    assert "nobody" in refused(replicas)[0]
    started[1].signal(signal.SIGHUP)
    until(lambda: len(started[1].logged("reloaded")) == 2)
    third = replicas.start()
    replicas.until_spread(*started, third)
    assert "nobody" in refused(replicas)[0]
    replicas.configure(1)
    assert replicas.command(2, "reload").count("took over the config") == 3
    assert refused(replicas) == []


def test_who_has_not_answered_in_time_is_named(replicas: Replicas) -> None:
    """The command waits for no longer than it was told to, and says who did not answer."""
    (replicas.folder / "replica-1").mkdir()
    replicas.configure(1)
    with Store.open_replica(replicas.address):
        told = replicas.command(1, "reload", "--wait", "0.1", status=1)
    assert re.fullmatch(
        rf"Process {os.getpid()} on \S+ has not answered within 0.1 seconds: its log says why. It may still reload.\n",
        told,
    )


@pytest.mark.thorough
def test_who_does_not_answer_is_named(replicas: Replicas) -> None:
    """One that stands still is waited for, and then told of; it counts as there for as long as its lease lasts."""
    replicas.env["FORWARDER_LEASE_SECONDS"] = "40"
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    started[1].freeze()
    told = replicas.command(1, "reload", "--wait", "4", status=1)
    started[1].signal(signal.SIGCONT)
    assert f"process {started[1].pid} on" in told.lower()
    assert "has not answered within 4 seconds" in told
    assert told.count("took over the config") == 1
    until(lambda: started[1].logged("reloaded"))


def test_an_older_version_ends_once_a_newer_one_has_changed_the_database(
    replicas: Replicas, sandbox: Sandbox, server: Server
) -> None:
    """It writes nothing more, gives its roles up, says why and ends; what it was sending is found by the new ones."""
    alerts = alerts_of(60)
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    sandbox.jira.inject(*[Fault(kind=FaultKind.LATENCY, seconds=0.5)] * 10)
    sandbox.sentrytex.publish(*alerts)
    until(lambda: replicas.query(_SENDING))
    # As a newer version has it, which knows one step more.
    replicas.query("INSERT INTO forwarder.migrations (number, name) VALUES (999, 'of a newer version')")
    assert [process.ended() for process in started] == [74, 74]
    assert [len(process.logged("newer_version")) for process in started] == [1, 1]
    assert replicas.query("SELECT 1 FROM forwarder.leases WHERE owner <> ''") == []
    late = replicas.start()
    assert late.ended() == 74
    assert "was written by a newer version" in late.log
    replicas.query("DELETE FROM forwarder.migrations WHERE number = 999")
    replicas.until_spread(replicas.start())
    outstanding = expected(alerts)
    until(lambda: delivered(server, replicas.address) == outstanding, PATIENCE * 3)
    assert there(sandbox) == outstanding
    assert [process.log.count("Traceback") for process in started] == [0, 0]


def test_a_clock_that_is_an_hour_off_delays_nothing(
    replicas: Replicas, sandbox: Sandbox, server: Server, tmp_path: Path
) -> None:
    """All go by the database's clock: what one enqueues is due at once for the others, and none waits for an hour."""
    (tmp_path / "machine").mkdir()
    with Machine(tmp_path / "machine") as machine:
        machine.falls_ill(wall_seconds=3600)
        ahead = replicas.start(env=machine.env)
        replicas.until_spread(ahead)
        right = replicas.start()
        replicas.until_spread(ahead, right)
        alerts = alerts_of(12)
        sandbox.sentrytex.publish(*alerts)
        outstanding = expected(alerts)
        until(lambda: delivered(server, replicas.address) == outstanding)
        assert there(sandbox) == outstanding
        ((newest,),) = replicas.query(_AHEAD)
        assert float(str(newest)) < 5
