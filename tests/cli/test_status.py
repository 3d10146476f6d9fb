"""What `status` says first: whether the daemon runs; then what each connector really does."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime

from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from tests.kit.core import Process, recent, until
from tests.kit.desk import Desk


@contextlib.contextmanager
def running(desk: Desk) -> Iterator[Process]:
    desk.write()
    with Process(desk.folder, desk.env) as process:
        yield process.until_started()


def first_line(desk: Desk) -> str:
    return desk.says("status").splitlines()[0]


def states(desk: Desk) -> dict[str, str]:
    return {one["name"]: one["state"] for one in desk.json("status")["connectors"]}


def test_it_says_whether_a_daemon_runs(desk: Desk) -> None:
    """Which process since when, and after its end when that was; idle is told from stopped."""
    desk.run("once")
    assert first_line(desk) == "NO DAEMON RUNS, and none has run here. `forwarder run` starts it."
    assert desk.json("status")["daemon"]["running"] is False
    with running(desk) as process:
        assert first_line(desk).startswith(f"The daemon runs: process {process.pid}, since 20")
        daemon = desk.json("status")["daemon"]
        assert (daemon["running"], daemon["pid"], daemon["stalled"]) == (True, process.pid, False)
        assert set(states(desk).values()) == {"idle"}
        assert process.stop() == 0
    assert first_line(desk).startswith("NO DAEMON RUNS since 20")
    assert set(states(desk).values()) == {"stopped"}
    with running(desk) as process:
        process.kill()
    assert first_line(desk).startswith("NO DAEMON RUNS: the last sign of life was at 20")
    assert "working" not in desk.says("status")
    assert desk.json("status")["daemon"]["pid"] is None


def test_a_daemon_that_stands_still_is_told_from_one_that_runs(desk: Desk) -> None:
    """It holds the database, and shows no life."""
    with running(desk) as process:
        process.freeze()
        long_ago = time.time() - 300
        os.utime(desk.folder / "forwarder.db.lock", (long_ago, long_ago))
        said = desk.says("status")
        assert "IT STANDS STILL: it has shown no sign of life for 5m" in said
        assert set(states(desk).values()) == {"stopped"}


def test_a_feed_that_is_not_read_is_told_without_an_alarm(desk: Desk) -> None:
    """A disk that is read-only keeps no alarm of it, and no note beside the database either."""
    now = time.time()
    store = Store.open_exclusive(desk.folder / "forwarder.db")
    try:
        store.daemon.started(os.getpid(), None, now=now - 1000)
        store.feed.commit_page([], now=now - 540)
        assert "NOT READ" not in desk.says("status")
        store.feed.commit_page([], now=now - 900)
        assert "THE FEED IS NOT READ" in desk.says("status")
    finally:
        store.close()
    assert "NOT READ" not in desk.says("status")


def test_a_connector_that_fails_is_called_failing(desk: Desk, sandbox: Sandbox) -> None:
    """With how often, since when, why, and how many criticals wait; also after the daemon ended."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="enqueue", times=None))
    with running(desk) as process:
        sandbox.sentrytex.publish(recent(1), recent(2, severity="high"))
        until(lambda: states(desk)["oncall"] == "failing")
        (failing,) = [one for one in desk.json("status")["connectors"] if one["name"] == "oncall"]
        assert failing["criticals"] == 1
        assert failing["failing"]["attempts"] >= 1
        assert "500" in failing["failing"]["reason"]
        said = desk.says("status")
        assert "oncall is failing, for " in said
        assert "1 critical waits" in said
        assert process.stop() == 0
    assert "oncall was failing, for " in desk.says("status")


def test_a_paused_connector_tells_how_many_criticals_wait(desk: Desk, sandbox: Sandbox) -> None:
    """And when it is tried next, for programs too; with no daemon nobody tries."""
    sandbox.slack.revoke()
    with running(desk) as process:
        sandbox.sentrytex.publish(recent(1))
        until(lambda: states(desk)["secops"] == "paused")
        assert "(next try in " in desk.says("status")
        (paused,) = [one["paused"] for one in desk.json("status")["connectors"] if one["paused"]]
        assert set(paused) == {"since", "reason", "next_try"}
        assert process.stop() == 0
    assert "(tried again once a daemon runs; 1 critical waits): " in desk.says("status")


def test_a_copy_of_the_database_says_that_no_daemon_runs_on_it(desk: Desk) -> None:
    """It has no lock file."""
    with running(desk):
        assert desk.process("backup", "copy.db").returncode == 0
    said = desk.says("status", "--database", str(desk.folder / "copy.db"))
    assert said.startswith("NO DAEMON RUNS here: the last one began at 20")
    with contextlib.closing(sqlite3.connect(desk.folder / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM daemon").fetchone() == (1,)


def test_a_delivery_that_waits_tells_what_for(desk: Desk, sandbox: Sandbox) -> None:
    """In `deliveries` and `explain`, and for programs."""
    sandbox.slack.revoke()
    with running(desk) as process:
        sandbox.sentrytex.publish(one := recent(1))
        until(lambda: states(desk)["secops"] == "paused")
        # The alarm about it goes out, too.
        of_it = ("deliveries", "--alert", one["id"])
        until(lambda: len(desk.json(*of_it, "--state", "delivered")) == 2)
        assert re.search(r"secops is paused, for \d+s now: .+ It is tried next in ", desk.says("deliveries"))
        assert re.search(r"\n  secops is paused, for \d+s now: ", desk.says("explain", "CVE-2026-20001"))
        # Where the ticket came while Slack was being asked, its link is owed there beside the message.
        waits = {one["connector"]: one["waiting"] for one in desk.json(*of_it) if one["kind"] == "open"}
        assert waits["oncall"] is None
        assert waits["secops"]["for"] == "paused"
        assert datetime.fromisoformat(waits["secops"]["until"]).tzinfo is not None
        explained = desk.json("explain", "CVE-2026-20001")["deliveries"]
        assert [one["connector"] for one in explained if one["waiting"] and one["kind"] == "open"] == ["secops"]
        assert process.stop() == 0
    assert "No daemon runs: it goes out once one does." in desk.says("explain", "CVE-2026-20001")
