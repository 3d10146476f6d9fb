"""The forwarder as a real process that need not import itself first: forked from one that has (``fork_server.py``).

The imports take half a second of a core, each time; a fork takes a twentieth of that. It is a child of who asks, with a
number, memory, files, signals and an end of its own, and runs the very function that the command runs. What it cannot
show is how the imports go: ``anew`` shows that, and ``tests/test_daemon.py`` starts each of its processes so.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

FORWARDER: Final = Path(sys.executable).with_name("forwarder")
LAUNCHER: Final = "tests.torture.launcher"
ROOT: Final = Path(__file__).parent.parent.parent

_KEPT: Final = ("PATH", "HOME", "TMPDIR")
_AT_START: Final = ("PYTHON", "LANG", "LC_", "TZ", "SSL_", "MALLOC_", "FORWARDER_LEASE_")
"""Variables that begin so are read by what is imported, or by Python itself, when it starts."""
_PR_SET_CHILD_SUBREAPER: Final = 36


class Forked:
    """A child that is no ``subprocess.Popen``, with what tests ask of one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reaping = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        with self._reaping:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status once it has ended; raises ``subprocess.TimeoutExpired`` after so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired("forwarder", timeout or 0)
            with suppress(ProcessLookupError):  # another thread was told of its end first
                ending = os.pidfd_open(self.pid)
                try:
                    select.select([ending], [], [], left)
                finally:
                    os.close(ending)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = Forked | subprocess.Popen[bytes]


def start(
    program: Path | str,
    arguments: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    anew: bool = False,
    **more: Any,
) -> Started:
    """A process of FORWARDER or LAUNCHER that runs in ``folder`` with exactly this environment, and reads nothing.

    ``anew`` starts it as a person does. So does whatever else ``subprocess.Popen`` is told in ``more``, a library that
    is loaded before all others, and a system that is not Linux.
    """
    if anew or more or sys.platform != "linux" or any(name.startswith("LD_") for name in env):
        command = [program]
        if program == LAUNCHER:
            command = [sys.executable, "-m", LAUNCHER]
            env = {**env, "PYTHONPATH": os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])}
        return subprocess.Popen(
            [*command, *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **more
        )
    entry = "forwarder.cli:main" if program == FORWARDER else f"{program}:main"
    job = {"entry": entry, "arguments": [str(program), *arguments], "folder": str(folder), "environment": dict(env)}
    return server(env).fork(job, out, err)


class Server:
    """One that was started with these variables, and lasts as long as this process does."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._socket, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ear:
            command = [sys.executable, "-m", f"{__package__}.fork_server", str(ear.fileno())]
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[ear.fileno()]
            )
        atexit.register(self._close)

    def fork(self, job: Mapping[str, Any], out: IO[bytes], err: IO[bytes]) -> Forked:
        with _FORKING, Path(os.devnull).open("rb") as nothing:
            # Only meanwhile is this process the parent of what the server leaves behind.
            _adopt(True)
            try:
                files = [nothing.fileno(), out.fileno(), err.fileno()]
                socket.send_fds(self._socket, [json.dumps(job).encode()], files)
                answers = [self._socket.recv(64) for _ in range(2)]
            finally:
                _adopt(False)
        assert all(answers), "the server that forks has ended: it says why"
        return Forked(int(answers[0]))

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


_SERVERS: Final[dict[tuple[tuple[str, str], ...], Server]] = {}
_FORKING: Final = threading.RLock()


def server(env: Mapping[str, str]) -> Server:
    """The one whose start was told what this environment tells."""
    told = {name: value for name, value in env.items() if name in _KEPT or name.startswith(_AT_START)}
    with _FORKING:
        key = tuple(sorted(told.items()))
        if key not in _SERVERS:
            _SERVERS[key] = Server(told)
        return _SERVERS[key]


def _adopt(orphans: bool) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(orphans), 0, 0, 0)
