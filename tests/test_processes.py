"""Processes that are forked from one that has imported the forwarder: each is a process as any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import PATIENCE, Process, command, environment, secrets, settings, written
from tests.kit.processes import FORWARDER, Forked, server, start

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="each is started anew where this is not Linux")


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("args", [["--version"], ["status"], ["no-such-command"]], ids=" ".join)
def test_a_command_ends_as_it_does_for_a_person(tmp_path: Path, args: list[str], *, anew: bool) -> None:
    """Its status, what it says and where it says it are those of a shell."""
    shown = subprocess.run([FORWARDER, *args], cwd=tmp_path, env=environment({}), capture_output=True, check=False)
    done = command(tmp_path, *args, anew=anew)
    assert (done.returncode, done.stdout, done.stderr) == (
        shown.returncode,
        shown.stdout.decode(),
        shown.stderr.decode(),
    )


@FORKS
def test_a_daemon_is_a_child_with_signals_and_an_end_of_its_own(tmp_path: Path, sandbox: Sandbox) -> None:
    """It is asked to end, stopped, continued and killed as any process, and each end is told from the others."""
    written(tmp_path, settings(sandbox))
    with Process(tmp_path, secrets(sandbox)) as first:
        first.until_started()
        assert isinstance(first._process, Forked)
        first.freeze()
        first.signal(signal.SIGCONT)
        assert first.stop() == 0
    with Process(tmp_path, secrets(sandbox)) as second:
        second.until_started()
        assert second.pid != first.pid
        second.kill()
        assert second.ended() == -signal.SIGKILL


@FORKS
def test_a_fork_knows_the_environment_that_it_was_given_alone(tmp_path: Path) -> None:
    """Neither this process' variables nor those of the fork before it are its own."""
    (tmp_path / "config.yaml").write_text("one: ${ONE}\ntwo: ${TWO}\n", "utf-8")
    for given, missing in (("ONE", "TWO"), ("TWO", "ONE")):
        told = command(tmp_path, "check", env={given: "1"}).stderr
        assert f"the variable {missing} is not set" in told
        assert f"the variable {given} is not set" not in told


@FORKS
def test_what_is_read_at_the_start_is_told_at_the_start() -> None:
    """Variables that Python or an import reads lead to a server that was started with them; others to the same one."""
    one = {"PATH": os.environ["PATH"], "SECRET": "1"}
    assert server(one) is server({**one, "SECRET": "2"})
    assert server(one) is not server({**one, "FORWARDER_LEASE_SECONDS": "3"})


def test_whoever_waits_too_long_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    """A process that does not end in time raises what one of subprocess raises."""
    written(tmp_path, settings(sandbox))
    with (tmp_path / "log.txt").open("wb") as log:
        env = environment(secrets(sandbox))
        process = start(FORWARDER, ["run"], folder=tmp_path, env=env, out=log, err=log)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL
