"""What imports the forwarder once, and then is forked for each process that a test wants: ``fork_server FILE_NUMBER``.

``tests/kit/processes.py`` asks it, over the socket of that number.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import socket
import sys
import threading
from importlib import import_module
from typing import Any, Final

import connectors
import forwarder
from connectors.jira import session

LATER: Final = (
    "jinja2.sandbox",
    "pagerduty",
    "rich.progress",
    "rich.table",
    "slack_sdk.socket_mode.builtin.client",
    "slack_sdk.web",
    "slack_sdk.webhook",
    "standardwebhooks.webhooks",
    "tests.torture.launcher",
    "uvicorn",
)
"""What is imported only where it is used."""
ELSEWHERE: Final = ("forwarder.testing", "forwarder.sandbox.__main__")
"""What no command needs, and what is a program of its own."""


def prepare() -> None:
    """Imports what a command may need, so that no fork has to."""
    for package in (forwarder, connectors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(ELSEWHERE):
                import_module(module.name)
    for name in LATER:
        import_module(name)
    session._sdk()
    del sys.path[0]  # this folder: no command has it
    # Every collection in a fork would go through all of this, and copy the memory in which it is.
    gc.collect()
    gc.freeze()


def forked(ear: socket.socket) -> dict[str, Any] | None:
    """What to do, in a fork that was asked for; None in the server, once nobody can ask any more."""
    while True:
        message, files, _, _ = socket.recv_fds(ear, 2**20, 3)
        if not message:
            return None
        assert threading.active_count() == 1, "a thread does not survive a fork"
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            ear.send(b"It is yours.")
            for file in files:
                os.close(file)
            continue
        mine = os.fork()
        if mine:
            # Who asked becomes the parent of a process whose own parent has ended.
            ear.send(str(mine).encode())
            os._exit(0)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        ear.close()
        return dict(json.loads(message))


def become(job: dict[str, Any]) -> None:
    """Does what a process does that was started with these arguments."""
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = job["arguments"]
    module, _, function = job["entry"].partition(":")
    getattr(import_module(module), function)()


if __name__ == "__main__":
    prepare()
    job = forked(socket.socket(fileno=int(sys.argv[1])))
    if job is not None:
        become(job)
