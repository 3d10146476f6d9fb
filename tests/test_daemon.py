"""The process: signals, the service manager, crashes, and what it says when it cannot start."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.app import STANDS_STILL, Forwarder
from forwarder.common.signals import Signals
from forwarder.config import Config, load
from forwarder.daemon import Daemon
from forwarder.feed.connections import TIMEOUT
from forwarder.logs import Redactor
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow
from forwarder.store.records import State
from tests.kit.core import EVERYTHING, PATIENCE, Process, command, recent, rows, secrets, settings, until, written
from tests.kit.thorough import beyond

NEW_TICKET = "POST /rest/api/3/issue"


class Place:
    """A folder with a config for the sandbox, and the daemon in it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.config: dict[str, Any] = {**settings(sandbox), "routes": [EVERYTHING]}
        self.env = secrets(sandbox)

    @property
    def database(self) -> Path:
        return self.folder / "forwarder.db"

    def write(self) -> None:
        written(self.folder, self.config)

    @contextlib.contextmanager
    def running(self, **env: str) -> Iterator[Process]:
        self.write()
        with Process(self.folder, {**self.env, **env}, anew=True) as process:
            yield process.until_started()

    def rows(self, connector: str | None = None) -> list[DeliveryRow]:
        store = Store.open_shared(self.database)
        try:
            return rows(store, connector)
        finally:
            store.close()

    def all_delivered(self, count: int) -> bool:
        opens = [row for row in self.rows() if row.kind == "open"]
        return len(opens) == count and all(row.state is State.DELIVERED for row in opens)


@pytest.fixture
def place(tmp_path: Path, sandbox: Sandbox) -> Place:
    return Place(tmp_path, sandbox)


def counts(sandbox: Sandbox) -> tuple[int, int, int]:
    """How many messages, incidents and tickets there are."""
    incidents = sum(incident["count"] for incident in sandbox.pagerduty.incidents.values())
    return len(sandbox.slack.messages), incidents, len(sandbox.jira.issues)


# Ending


def test_sigterm_lets_what_is_being_sent_end(place: Place, sandbox: Sandbox) -> None:
    """The exit status is 0, all that was being sent is written down, and nothing stays claimed."""
    sandbox.slack.inject(Fault(kind=FaultKind.DRIP, seconds=0.7, path="chat.postMessage"))
    sandbox.pagerduty.inject(Fault(kind=FaultKind.DRIP, seconds=0.7, path="enqueue"))
    sandbox.jira.inject(Fault(kind=FaultKind.DRIP, seconds=0.7, path=NEW_TICKET))
    with place.running() as process:
        sandbox.sentrytex.publish(recent(1))
        until(lambda: counts(sandbox) == (1, 1, 1))
        assert process.stop() == 0
        assert process.logged("stopped")[0]["all_settled"] is True
    assert place.all_delivered(3)
    assert counts(sandbox) == (1, 1, 1)


def test_a_feed_that_hangs_does_not_delay_the_end(place: Place, sandbox: Sandbox) -> None:
    """Nothing is lost with a poll that is left alone, for its page is read again; and nobody is told of it."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=600, path="/alerts", times=None))
    with place.running() as process:
        until(lambda: sandbox.sentrytex.requests)
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < (TIMEOUT.read or 0)
        assert [line["event"] for line in process.events] == ["started", "stopped"]


def test_a_crash_between_the_effect_and_its_answer_sends_nothing_twice(place: Place, sandbox: Sandbox) -> None:
    """After a kill, each destination is asked whether it has the alert."""
    for service in (sandbox.slack, sandbox.pagerduty, sandbox.jira):
        service.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=600, path="POST"))
    place.config["connectors"]["tickets"]["reconcile_after"] = ["500ms", "1s"]
    sandbox.jira.index_lag = 0.3
    with place.running() as process:
        sandbox.sentrytex.publish(recent(1))
        until(lambda: counts(sandbox) == (1, 1, 1))
        process.kill()
    assert {row.state for row in place.rows()} == {State.SENDING}
    with place.running() as process:
        assert process.logged("found_unsettled")[0]["deliveries"] == {"secops": 1, "oncall": 1, "tickets": 1}
        until(lambda: place.all_delivered(3))
        assert process.stop() == 0
    assert counts(sandbox) == (1, 1, 1)


def test_a_kill_before_the_commit_loses_nothing(place: Place, sandbox: Sandbox) -> None:
    """What was on its way when the power failed arrives after the next start."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=600, path="/alerts"))
    sandbox.sentrytex.publish(*(recent(number) for number in range(10)))
    with place.running() as process:
        until(lambda: any(seen.path.endswith("/alerts") for seen in sandbox.sentrytex.requests))
        process.kill()
    with place.running() as process:
        until(lambda: place.all_delivered(30))
        assert process.stop() == 0
    assert counts(sandbox) == (10, 10, 10)


# Reloading


def test_sighup_takes_over_a_good_config(place: Place, sandbox: Sandbox) -> None:
    """A new connector works, and the log's level follows."""
    with place.running() as process:
        del place.config["connectors"]["secops"], place.config["connectors"]["tickets"]
        place.config["connectors"]["pages"] = place.config["connectors"]["oncall"]
        place.config["routes"] = [{"to": ["pages"]}]
        place.config["log"]["level"] = "debug"
        place.write()
        process.signal(signal.SIGHUP)
        until(lambda: process.logged("reloaded"))
        sandbox.sentrytex.publish(recent(1))
        until(lambda: place.all_delivered(1))
        until(lambda: "debug" in {line["level"] for line in process.events})
        assert place.rows("pages")
        assert process.stop() == 0


def test_sighup_with_a_mistake_changes_nothing(place: Place, sandbox: Sandbox) -> None:
    """The mistakes stand in the log with their lines, and the old config goes on."""
    with place.running() as process:
        place.config["routes"] = [{"to": ["nobody"]}]
        place.write()
        process.signal(signal.SIGHUP)
        until(lambda: process.logged("reload_refused"))
        (refused,) = process.logged("reload_refused")
        assert "config.yaml:" in refused["problems"][0]
        assert "nobody" in refused["problems"][0]
        sandbox.sentrytex.publish(recent(1))
        until(lambda: place.all_delivered(3))
        assert process.stop() == 0


def test_sighup_with_another_database_is_refused(place: Place) -> None:
    """Only a restart can bring that in, and the log says so."""
    with place.running() as process:
        place.config["database"] = "other.db"
        place.write()
        process.signal(signal.SIGHUP)
        until(lambda: process.logged("reload_refused"))
        (problem,) = process.logged("reload_refused")[0]["problems"]
        assert problem == "`database` cannot be changed while the forwarder runs: restart it."
        assert process.stop() == 0
    assert not (place.folder / "other.db").exists()


def test_a_reload_that_nobody_foresaw_ends_nothing(
    place: Place, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another package's connector may raise anything while it is made."""

    ending = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    reloading = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGHUP))

    def load_badly() -> Config:
        ending.start()
        raise RuntimeError("unforeseen")

    place.write()
    config = load(place.folder / "config.yaml", place.env)
    with Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        reloading.start()
        try:
            assert Daemon(config, load_badly, Redactor(), signals).run()
        finally:
            reloading.join()
            ending.join()
    assert "reload_failed" in capfd.readouterr().out


# The log


def test_debug_tells_each_step_of_an_alert(place: Place, sandbox: Sandbox) -> None:
    """Each request to the feed, where an alert is routed and why, each claim, look and send; never a secret."""
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path=NEW_TICKET))
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=503, path="enqueue"))
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=503, path="/alerts"))
    sandbox.sentrytex.publish(recent(1))
    place.config["log"]["level"] = "debug"
    with place.running() as process:
        until(lambda: place.all_delivered(3))
        assert process.stop() == 0
    requests = process.logged("request")
    assert {request["path"] for request in requests} >= {"/alerts", "/stack"}
    refused, answered = (
        [request for request in requests if request["path"] == "/alerts" and request["status"] == status]
        for status in (503, 200)
    )
    assert "503" in refused[0]["reason"]
    assert answered[0]["alerts"] == 1
    assert {"since", "limit", "seconds"} <= answered[0].keys()
    alert = "00000000-0000-4000-8000-000000000001"
    (routed,) = process.logged("routed")
    assert (routed["alert"], routed["to"]) == (alert, ["oncall", "tickets", "secops"])
    assert routed["why"] == ["route 1: the route has no conditions"]
    claims = [(claim["connector"], claim["uncertain"]) for claim in process.logged("claimed")]
    assert ("tickets", True) in claims
    assert ("secops", False) in claims
    outcomes = {(sent["connector"], sent["outcome"]) for sent in process.logged("sent")}
    assert outcomes >= {("oncall", "Retry"), ("oncall", "Delivered"), ("tickets", "Uncertain"), ("secops", "Delivered")}
    assert [look["connector"] for look in process.logged("looked") if look.get("found")] == ["tickets"]
    assert all(look["alert"] == alert and look["seconds"] >= 0 for look in process.logged("looked"))
    assert not [secret for secret in place.env.values() if secret in process.log]


# Signals


@pytest.mark.parametrize("gap", beyond([0.0004], [0.0, 0.0001, 0.0004, 0.02]))
def test_signals_that_come_twice_end_it_once(place: Place, gap: float) -> None:
    """SIGTERM and SIGINT within a fraction of a millisecond, and more of both while it stops."""
    with place.running() as process:
        process.signal(signal.SIGTERM)
        threading.Event().wait(gap)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                process.signal(number)
        assert process.ended() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("pause", beyond([0.0], [0.0, 0.003]), ids=["as fast as can be", "every 3 ms"])
def test_thousands_of_reloads_end_nothing(place: Place, sandbox: Sandbox, pause: float) -> None:
    """After 3,000 SIGHUPs one more brings in what was changed, and alerts go out."""
    with place.running() as process:
        for _ in range(3000):
            process.signal(signal.SIGHUP)
            threading.Event().wait(pause)
        place.config["routes"] = [{"to": ["oncall"]}]
        place.config["log"]["level"] = "debug"
        place.write()
        process.signal(signal.SIGHUP)
        until(lambda: "debug" in {line["level"] for line in process.events})
        sandbox.sentrytex.publish(recent(1))
        until(lambda: place.all_delivered(1))
        assert process.stop() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("steps", beyond([range(0, 30, 5)], [range(0, 30, 5), range(30)]), ids=["six", "thirty"])
def test_a_signal_at_any_moment_of_the_start_is_answered(place: Place, steps: range) -> None:
    """SIGTERM ends it, as the system does before anything of ours is there, or with 0; SIGHUP never ends it."""
    place.write()
    for step in steps:
        with Process(place.folder, place.env, anew=True) as process:
            threading.Event().wait(0.04 * step)
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGTERM)
            assert process.ended() in (0, -signal.SIGTERM, 130)
            assert "Traceback" not in process.log


def test_a_reload_during_the_start_is_not_lost(place: Place) -> None:
    """From the command's first line on, long before it can be answered, SIGHUP is put off."""
    place.write()
    with Process(place.folder, place.env, anew=True) as process:
        until(lambda: has_signal(process.pid, "SigBlk", signal.SIGHUP))
        process.signal(signal.SIGHUP)
        until(lambda: process.logged("reloaded"))
        assert process.stop() == 0


@pytest.mark.parametrize("number", beyond([signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]))
def test_a_signal_ends_once_cleanly(place: Place, sandbox: Sandbox, number: signal.Signals) -> None:
    """What it is sending ends and is written down; a feed that hangs is not waited for."""
    place.write()
    assert command(place.folder, "once", env=place.env, anew=True).returncode == 0
    sandbox.sentrytex.publish(recent(1))
    sandbox.jira.inject(Fault(kind=FaultKind.LATENCY, seconds=60, path=NEW_TICKET))
    with Process(place.folder, place.env, command="once", anew=True) as process:
        until(lambda: NEW_TICKET in sandbox.jira.arrived)
        process.signal(number)
        process.signal(number)
        until(lambda: not has_signal(process.pid, "ShdPnd", number))
        sandbox.jira.let_go()
        assert process.ended() == 130
        assert "Stopped. What is owed is kept: the next run delivers it." in process.log
        assert "Traceback" not in process.log
    assert [row.state for row in place.rows("tickets")] == [State.DELIVERED]
    sandbox.sentrytex.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=600, path="/alerts"))
    asked = len(sandbox.sentrytex.requests)
    with Process(place.folder, place.env, command="once", anew=True) as process:
        until(lambda: len(sandbox.sentrytex.requests) > asked)
        process.signal(number)
        assert process.ended() == 130


def has_signal(pid: int, mask: str, number: signal.Signals) -> bool:
    """Whether a process has a signal in ``mask``: SigBlk are those it puts off, ShdPnd those on their way to it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("the system does not tell of the signals of a process")
    (bits,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith(mask)]
    return bool(int(bits, 16) >> (number - 1) & 1)


def test_a_connector_that_hangs_delays_no_reload(place: Place, sandbox: Sandbox) -> None:
    """Jira answers after minutes; right after the reload a critical alert is paged."""
    sandbox.jira.inject(Fault(kind=FaultKind.LATENCY, seconds=600, path=NEW_TICKET, times=None))
    with place.running() as process:
        sandbox.sentrytex.publish(recent(1))
        until(lambda: len(sandbox.pagerduty.incidents) == 1)
        until(lambda: NEW_TICKET in sandbox.jira.arrived)
        place.config["connectors"]["tickets"]["labels"] = ["other"]
        place.write()
        process.signal(signal.SIGHUP)
        until(lambda: process.logged("reloaded"))
        sandbox.sentrytex.publish(recent(2))
        until(lambda: len(sandbox.pagerduty.incidents) == 2)
        assert not sandbox.jira.issues


# The service manager


def test_the_service_manager_is_told(place: Place) -> None:
    """When it is ready, that it is alive, when it reloads and when it stops."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.folder / "notify"))
        manager.settimeout(PATIENCE)
        with place.running(NOTIFY_SOCKET=str(place.folder / "notify")) as process:
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            process.signal(signal.SIGHUP)
            told = {manager.recv(100) for _ in range(3)}
            while b"RELOADING=1" not in told or b"READY=1" not in told:
                told.add(manager.recv(100))
            assert process.stop() == 0
            while manager.recv(100) != b"STOPPING=1":
                pass


def test_the_watchdog_hears_nothing_of_a_daemon_that_stands_still(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does who asks for its health without a page; the log says what stands still, and when it turns again."""
    place.write()
    config = load(place.folder / "config.yaml", place.env)
    store = Store.open_exclusive(config.database)
    forwarder = Forwarder(config, store)
    daemon = Daemon(config, lambda: config, Redactor(), Signals())
    lock = Path(f"{config.database}.lock")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(place.folder / "notify"))
            manager.setblocking(False)
            monkeypatch.setenv("NOTIFY_SOCKET", str(place.folder / "notify"))
            forwarder.tend()
            daemon._show_alive(forwarder)
            assert manager.recv(100) == b"WATCHDOG=1"
            os.utime(lock, (1, 1))
            assert forwarder._tended_at is not None
            forwarder._tended_at -= 2 * STANDS_STILL
            daemon._show_alive(forwarder)
            daemon._show_alive(forwarder)
            with pytest.raises(BlockingIOError):
                manager.recv(100)
            assert lock.stat().st_mtime == 1
            forwarder.tend()
            daemon._show_alive(forwarder)
            assert manager.recv(100) == b"WATCHDOG=1"
            assert lock.stat().st_mtime > 1
    finally:
        forwarder.stop(1)
        store.close()
    said = capfd.readouterr().out
    assert (said.count("stalled"), said.count("turns_again")) == (1, 1)


# Not starting


def refused(place: Place, status: int) -> str:
    """What `run` says when it cannot start: one sentence, and no traceback."""
    place.write()
    result = command(place.folder, "run", env=place.env, anew=True)
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_a_second_daemon_on_the_same_database_is_refused(place: Place) -> None:
    """It names the process that has it, and that one goes on."""
    with place.running() as process:
        pid = process.logged("started")[0]["pid"]
        assert f"(process {pid}) already runs" in refused(place, 75)
        assert "already runs" in command(place.folder, "once", env=place.env, anew=True).stderr
        assert process.stop() == 0


def test_a_damaged_database_is_refused_and_kept(place: Place) -> None:
    """Nothing is made anew in its place."""
    place.database.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    assert "is damaged: restore a backup" in refused(place, 74)
    assert place.database.stat().st_size == 8016


def test_a_database_of_another_program_is_refused(place: Place) -> None:
    """A wrong path must not cost somebody else's data."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(place.database)) as other:
        other.execute("CREATE TABLE theirs (id)")
    assert "is a database of another program" in refused(place, 74)


def test_a_folder_that_is_not_there_is_named(place: Place) -> None:
    """With the way out."""
    place.config["database"] = "missing/forwarder.db"
    assert "does not exist: make it, or change `database`." in refused(place, 74)


def test_a_folder_that_cannot_be_written_is_named(place: Place) -> None:
    """To root every folder seems writable; the kernel's own are not."""
    if os.geteuid() == 0:
        if not sys.platform.startswith("linux"):
            pytest.skip("root can write everywhere here")
        folder = Path("/proc")
    else:
        folder = place.folder / "locked"
        folder.mkdir(mode=0o500)
    place.config["database"] = str(folder / "forwarder.db")
    said = refused(place, 74)
    assert str(folder) in said
    assert "cannot be" in said


def test_a_secret_that_cannot_be_read_is_named(place: Place) -> None:
    """The file, never its content."""
    place.config["connectors"]["secops"]["token"] = "${file:missing/token}"
    said = refused(place, 78)
    assert "connectors.secops.token" in said
    assert "no such file or directory" in said


def test_a_port_in_use_is_named_before_anything_else_starts(place: Place, sandbox: Sandbox) -> None:
    """Nothing is polled, and nothing sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.config["web"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        assert "listens there already" in refused(place, 69)
    assert sandbox.sentrytex.requests == []
