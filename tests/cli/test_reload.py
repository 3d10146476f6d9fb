"""The command that reloads the daemon: it waits for the verdict, and its exit status tells it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from forwarder.common import processes
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.daemon import DaemonState
from forwarder.store.membership import Reload, Verdict
from tests.kit.core import Process, until
from tests.kit.desk import Desk


@contextlib.contextmanager
def running(desk: Desk) -> Iterator[Process]:
    desk.write()
    with Process(desk.folder, desk.env) as process:
        yield process.until_started()


def state_of(desk: Desk) -> DaemonState:
    with Store.open_shared(desk.folder / "forwarder.db") as store:
        return store.daemon.state()


def refused(desk: Desk) -> list[str]:
    """The reasons that the alarm of a refused reload goes by."""
    with Store.open_shared(desk.folder / "forwarder.db") as store:
        return [symptom.reason for symptom in store.alarms.symptoms(0.0, now=0.0) if symptom.type == "reload_refused"]


def spoil(desk: Desk) -> None:
    desk.config["routes"] = [{"to": ["nobody"]}]
    desk.write()


def test_a_good_config_is_taken_over(desk: Desk) -> None:
    """Once the command ends, the daemon works by it."""
    with running(desk) as process:
        desk.config["routes"] = [{"to": ["oncall"]}]
        desk.write()
        result = desk.run("reload")
        assert (result.exit_code, result.stderr) == (0, "")
        assert (
            result.stdout == f"The daemon (process {process.pid}) took over the config {desk.folder / 'config.yaml'}.\n"
        )
        assert process.logged("reloaded")


def test_another_file_than_the_daemons_is_told(desk: Desk) -> None:
    """What was taken over is the file that it was started with."""
    with running(desk):
        (desk.folder / "other.yaml").write_text((desk.folder / "config.yaml").read_text())
        result = desk.process("reload", "--config", "other.yaml")
        assert result.returncode == 0
        config = desk.folder / "config.yaml"
        assert result.stderr == f"The daemon was started with {config}: it reads that, and not other.yaml.\n"


def test_a_mistake_is_told_with_its_line_and_an_exit_status(desk: Desk) -> None:
    """So `systemctl reload` fails, nothing changes, and it is an alarm until the next good reload."""
    with running(desk) as process:
        began = state_of(desk).config_since
        spoil(desk)
        result = desk.ends("reload")
        assert result.returncode == 78
        assert result.stdout == ""
        problem, goes_on, way = result.stderr.splitlines()
        assert f"{desk.folder / 'config.yaml'}:" in problem
        assert "nobody" in problem
        assert goes_on.startswith(f"Nothing was taken over: the daemon (process {process.pid}) goes on with the config")
        assert way == "Correct this, and reload again: until then a restart would fail."
        assert refused(desk) == [problem]
        assert state_of(desk).config_since == began
        desk.config["routes"] = [{"to": ["oncall"]}]
        desk.write()
        assert desk.run("reload").exit_code == 0
        assert refused(desk) == []


def test_a_config_that_is_no_yaml_is_told_by_the_daemon_too(desk: Desk) -> None:
    """It says nothing of its database any more, which most likely is where it was."""
    with running(desk):
        (desk.folder / "config.yaml").write_text("a: [\n\t- {")
        result = desk.ends("reload")
        assert result.returncode == 78
        assert "config.yaml:" in result.stderr
        assert "Nothing was taken over" in result.stderr


def test_what_needs_a_restart_is_told(desk: Desk) -> None:
    """With status 1: the config itself is good."""
    with running(desk):
        desk.config["web"] = {"listen": "127.0.0.1:1", "token": "a-token-of-the-status-page-0123456789"}
        desk.write()
        result = desk.run("reload")
        assert result.exit_code == 1
        told = "`web.listen` and `web.token` cannot be changed while the forwarder runs: restart it."
        assert told in result.stderr
        assert "0123456789" not in result.stderr
        assert "Restart it, or take that change back and reload again." in result.stderr
        assert refused(desk)


def test_a_signal_from_anyone_is_told_the_same_way(desk: Desk) -> None:
    """Refused, it is an alarm and stands in the status; a good start ends it."""
    with running(desk) as process:
        spoil(desk)
        process.signal(signal.SIGHUP)
        until(lambda: refused(desk) and state_of(desk).reload)
        said = desk.says("status")
        assert "THE CONFIG ON DISK WAS REFUSED at 20" in said
        assert "nobody" in said
        assert "; a restart would fail." in said
        reload = desk.json("status")["daemon"]["reload"]
        assert reload["verdict"] == "refused"
        assert "nobody" in reload["problems"][0]
        assert process.stop() == 0
    assert "the daemon ran with the one from" in desk.says("status")
    desk.config["routes"] = [{"to": ["oncall"]}]
    with running(desk):
        assert refused(desk) == []
        assert "REFUSED" not in desk.says("status")


def test_an_older_verdict_is_not_taken_for_the_answer(desk: Desk) -> None:
    """Nor one on a request that came before."""
    desk.run("once")
    with Store.open_shared(desk.folder / "forwarder.db") as store:
        first, second = store.daemon.request_reload(), store.daemon.request_reload()
        assert second == first + 1
        store.daemon.judged(Reload(verdict=Verdict.TAKEN_OVER, request=first), now=1.0)
        answered = store.daemon.state().reload
        assert answered is not None
        assert answered.request < second
    with running(desk):
        spoil(desk)
        assert desk.ends("reload").returncode == 78
        desk.config["routes"] = [{"to": ["oncall"]}]
        desk.write()
        assert desk.run("reload").exit_code == 0
        spoil(desk)
        assert desk.ends("reload").returncode == 78


def test_a_verdict_on_an_older_text_is_not_taken_for_the_answer(desk: Desk) -> None:
    """The daemon is still reading the config as it was, mistake and all, when it is mended and reloaded."""
    with running(desk) as process:
        good = {**desk.config}
        for name in ("first", "second"):
            os.mkfifo(desk.folder / name)
        desk.config["routes"] = [{"to": ["nobody"]}]
        desk.config["sentrytex"] = {**good["sentrytex"], "api_key": "${file:first}"}
        desk.write()
        process.signal(signal.SIGHUP)
        first = os.open(desk.folder / "first", os.O_WRONLY)  # which waits until the daemon reads it
        desk.config = {**good, "sentrytex": {**good["sentrytex"], "api_key": "${file:second}"}}
        desk.write()
        with Process(desk.folder, desk.env, "--database", "forwarder.db", command="reload") as waits:
            until(lambda: state_of(desk).requested)
            give(first, "vk_something-else")
            second = os.open(desk.folder / "second", os.O_WRONLY)
            assert process.logged("reload_refused")
            # Long enough for whoever would be content with that one.
            assert desk.ends("status", "--database", "forwarder.db").returncode == 0
            give(second, desk.sandbox.sentrytex.token)
            assert waits.ended() == 0, waits.log
        assert process.logged("reloaded")


def give(end: int, text: str) -> None:
    """Lets whoever reads a pipe go on."""
    os.write(end, text.encode())
    os.close(end)


def test_where_no_daemon_runs_that_is_said(desk: Desk, sandbox: Sandbox) -> None:
    """Before the first start, after the end, and while `once` is at work, which a signal would end."""
    result = desk.run("reload")
    assert (result.exit_code, "No daemon runs on" in result.stderr) == (1, True)
    with running(desk) as process:
        process.kill()
    result = desk.run("reload")
    assert (result.exit_code, "No daemon runs on" in result.stderr) == (1, True)
    sandbox.sentrytex.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=600, path="/alerts"))
    asked = len(sandbox.sentrytex.requests)
    with Process(desk.folder, desk.env, command="once") as once:
        until(lambda: len(sandbox.sentrytex.requests) > asked)
        result = desk.run("reload")
        assert (result.exit_code, "is no daemon" in result.stderr) == (1, True)
        assert "No daemon runs: `forwarder once` is at work" in desk.says("status")
        once.signal(signal.SIGTERM)
        assert once.ended() == 130


def test_a_daemon_that_does_not_answer_is_not_waited_for_without_end(desk: Desk) -> None:
    """It cannot read its config, or ends meanwhile."""
    with running(desk) as process:
        os.mkfifo(desk.folder / "token")
        desk.config["connectors"]["secops"]["token"] = "${file:token}"
        desk.write()
        result = desk.process("reload", "--database", "forwarder.db", "--wait", "0.3")
        assert result.returncode == 1
        assert f"The daemon (process {process.pid}) has not answered within 0.3 seconds" in result.stderr
        requested = state_of(desk).requested
        with Process(desk.folder, desk.env, "--database", "forwarder.db", command="reload") as waits:
            until(lambda: state_of(desk).requested > requested)
            process.kill()
            assert waits.ended() == 1
            assert "ended before it answered" in waits.log


@pytest.mark.skipif(processes.began(os.getpid()) is None, reason="the system does not tell when a process began")
def test_no_signal_goes_to_a_process_that_is_another(desk: Desk) -> None:
    """In another container the daemon's number is somebody else's, whom a SIGHUP would end."""
    with running(desk) as process:
        with Store.open_shared(desk.folder / "forwarder.db") as store:
            store.daemon.started(process.pid, 1, now=1.0)
        result = desk.run("reload")
        assert result.exit_code == 1
        assert "cannot be seen from here" in result.stderr
        assert not process.logged("reloaded")
