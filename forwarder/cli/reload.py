"""The command that makes the running daemon read its config again, and tells what came of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

import click

from forwarder.cli.root import EX_CONFIG, Stop
from forwarder.cli.view import locate, view_options
from forwarder.common import processes
from forwarder.common.clock import iso
from forwarder.common.databases import Database
from forwarder.store import Store, presence_of
from forwarder.store.daemon import DaemonState
from forwarder.store.membership import Reload, Replica, Verdict

LOOK_EVERY: Final = 0.05
"""Seconds between two looks for the verdict."""


@click.command()
@view_options
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(min=0.1),
    default=30,
    show_default=True,
    help="Seconds to wait for the verdict.",
)
def reload(config_path: Path, database: Database | None, seconds: float) -> None:
    """Make the running daemon read its config again, and wait for what comes of it.

    It is all or nothing. The exit status is 0 if the config was taken over, 78 if it has mistakes, which are printed,
    and 1 if only a restart can bring it in, if no daemon runs, or if none answers in time. The daemon reads the file
    that it was started with, with its own environment. On PostgreSQL all replicas do so, each its own file.
    """
    place: Database = database or locate(config_path).database
    if not presence_of(place).owned():
        raise Stop(_no_daemon(place))
    with Store.open_shared(place) as store:
        if store.engine.presence.muster() is not None:
            _reload_replicas(store, seconds)
            return
        state = store.daemon.state()
        pid = _process(store, state)
        request = store.daemon.request_reload()
        if database is None and _is_another(config_path, state.config):
            click.echo(f"The daemon was started with {state.config}: it reads that, and not {config_path}.", err=True)
        _signal(pid)
        answer = _verdict(store, request, state, time.monotonic() + seconds)
        if answer is None:
            raise Stop(_silent(place, pid, seconds))
        _tell(answer, pid, store.daemon.state())


def _no_daemon(place: Database) -> str:
    return (
        f"No daemon runs on {place}, so nothing was reloaded: `forwarder run` starts one. If `database` was changed, "
        "the one on the old database needs a restart."
    )


def _process(store: Store, state: DaemonState) -> int:
    """The daemon's process; stops the command where there is none that this one could send a signal to."""
    place, pid = store.engine.place, store.engine.presence.pid()
    if pid is None or pid != state.pid:
        raise Stop(
            f"What runs on {place} is no daemon, or one that is just starting: `forwarder once` reads its config at "
            "every start. Try again."
        )
    if state.began is not None and processes.began(pid) != state.began:
        raise Stop(
            f"The daemon on {place} cannot be seen from here: it runs in another container, or as another user. Run "
            "`forwarder reload` there: `docker compose exec forwarder forwarder reload`, `kubectl exec "
            "deployment/sentrytex-forwarder -- forwarder reload`, or with sudo."
        )
    return pid


def _is_another(path: Path, config: str | None) -> bool:
    """Whether the daemon's config is another file than ``path``, as far as that can be told."""
    try:
        return config is not None and not path.samefile(config)
    except OSError:
        return str(path.absolute()) != config


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise Stop(f"The daemon (process {pid}) has just ended: `forwarder run` starts one.") from None
    except PermissionError:
        raise Stop(
            f"Only the user of the daemon (process {pid}) and root may make it reload: run this with sudo."
        ) from None


def _verdict(store: Store, request: int, asked: DaemonState, end: float) -> Reload | None:
    """The verdict on this request; None where the daemon ends first, or none comes in time."""
    tick = threading.Event()
    while True:
        # Looked at before the verdict is: the last that it did may have been to answer.
        lives = asked.pid is None or processes.began(asked.pid) == asked.began
        answer = store.daemon.state().reload
        if answer is not None and answer.request >= request:
            return answer
        if not lives or time.monotonic() > end:
            return None
        tick.wait(LOOK_EVERY)


def _silent(place: Database, pid: int, seconds: float) -> str:
    if not presence_of(place).owned():
        return f"The daemon (process {pid}) ended before it answered: `forwarder run` starts one."
    return (
        f"The daemon (process {pid}) has not answered within {seconds:g} seconds: its log says why. The reload may "
        "still come about, and `forwarder status` then tells what became of it; `--wait` waits longer."
    )


def _tell(answer: Reload, pid: int, state: DaemonState) -> None:
    if answer.verdict is Verdict.TAKEN_OVER:
        of = "" if state.config is None else f" {state.config}"
        click.echo(f"The daemon (process {pid}) took over the config{of}.")
        return
    since = "" if state.config_since is None else f" from {iso(int(state.config_since))}"
    goes_on = f"Nothing was taken over: the daemon (process {pid}) goes on with the config{since}."
    ways = {
        Verdict.REFUSED: "Correct this, and reload again: until then a restart would fail.",
        Verdict.NEEDS_RESTART: "Restart it, or take that change back and reload again.",
        Verdict.FAILED: "See its log; a restart may fail.",
    }
    status = EX_CONFIG if answer.verdict is Verdict.REFUSED else 1
    raise Stop("\n".join([*answer.problems, goes_on, ways[answer.verdict]]), status)


def _reload_replicas(store: Store, seconds: float) -> None:
    """Asks all replicas, and tells what became of it at each."""
    request, tick = store.daemon.request_reload(), threading.Event()
    asked, end = {replica.id for replica in _replicas(store)}, time.monotonic() + seconds
    while True:
        there = [replica for replica in _replicas(store) if replica.id in asked]
        silent = [replica for replica in there if replica.answered < request]
        if not silent or time.monotonic() > end:
            break
        tick.wait(LOOK_EVERY)
    told = [_said(replica, request, seconds) for replica in there]
    verdicts = {replica.verdict for replica in there if replica.answered >= request}
    if not silent and verdicts <= {Verdict.TAKEN_OVER}:
        click.echo("\n".join(told) or "No replica runs any more, so nothing was reloaded.")
        return
    raise Stop("\n".join(told), EX_CONFIG if Verdict.REFUSED in verdicts else 1)


def _replicas(store: Store) -> list[Replica]:
    muster = store.engine.presence.muster()
    return [] if muster is None else [replica for replica in muster.replicas if not replica.once]


def _said(replica: Replica, request: int, seconds: float) -> str:
    who = f"{replica.name[0].upper()}{replica.name[1:]}"
    if replica.answered < request:
        return f"{who} has not answered within {seconds:g} seconds: its log says why. It may still reload."
    of = "" if replica.config is None else f" {replica.config}"
    if replica.verdict == Verdict.TAKEN_OVER:
        return f"{who} took over the config{of}."
    ways = {
        Verdict.REFUSED: "correct this, and reload again: until then a restart would fail",
        Verdict.NEEDS_RESTART: "restart it, or take that change back and reload again",
        Verdict.FAILED: "see its log; a restart may fail",
    }
    way = ways[Verdict(str(replica.verdict))]
    return "\n".join(
        [f"{who} took nothing over, and goes on as it was: {way}.", *(f"  {one}" for one in replica.problems)]
    )
