"""Commands that poll and deliver: run, once."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forwarder.cli.root import EX_IOERR, Stop, config_option, load_config
from forwarder.common.accounts import label
from forwarder.common.signals import Signals
from forwarder.common.text import counted

if TYPE_CHECKING:
    from forwarder.config import Config
    from forwarder.logs import Redactor
    from forwarder.store import Store

PATIENCE: Final = 30.0
"""Seconds that `once` waits in all for a destination to take something; what waits longer is left for the next run."""
EVIDENCE_PATIENCE: Final = 10.0
"""Seconds that `once` takes to read the evidence for alerts, while these are delivered."""
EX_STOPPED: Final = 130
"""Exit status where SIGTERM or Ctrl-C ended `once` (as a shell has it)."""


@click.command()
@config_option
def run(config_path: Path) -> None:
    """Run the daemon: poll and deliver until stopped.

    SIGTERM or Ctrl-C stops it cleanly: what is being sent may finish, for up to 25 seconds. SIGHUP reloads the config;
    an invalid config changes nothing.
    """
    with Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        from forwarder.config import load, secrets_of
        from forwarder.daemon import Daemon
        from forwarder.logs import Redactor, configure

        config = load_config(config_path)
        redactor = Redactor(secrets_of(config))
        configure(config.log.level, config.log.format, redactor=redactor)
        asked = Daemon(config, lambda: load(config_path), redactor, signals, path=config_path).run()
        # All is written down: a signal that comes only now must not make a failure of it.
        signals.ignore()
    sys.exit(0 if asked else EX_IOERR)


@click.command()
@config_option
def once(config_path: Path) -> None:
    """Poll once, look at what people decided, deliver what is due, and exit: for cron.

    The exit status is 0 if everything was delivered, and 1 if something is still waiting or became a dead letter, or if
    the feed could not be read.
    """
    with Signals(signal.SIGTERM, signal.SIGINT) as signals:
        from forwarder.config import secrets_of
        from forwarder.logs import Redactor, configure
        from forwarder.store import Store

        config = load_config(config_path)
        redactor = Redactor(secrets_of(config))
        configure(config.log.level, config.log.format, redactor=redactor)
        store = Store.open_exclusive(config.database)
        try:
            store.daemon.gone()
            turn = _Turn(config, store, redactor, signals)
            turn.run()
            outstanding = store.queries.outstanding(config.connectors)
        finally:
            store.close()
        if turn.problem:
            raise Stop(turn.problem)
        if outstanding or turn.dead:
            raise Stop(_what_is_left(outstanding, turn.dead))


class _Turn:
    """One poll and what is due, in a thread beside the main one.

    The main thread waits for signals alone: one that is raised as KeyboardInterrupt in the midst of the work can leave
    a lock taken, for which the end would then wait for ever.
    """

    def __init__(self, config: Config, store: Store, redactor: Redactor, signals: Signals) -> None:
        from forwarder.app import Forwarder

        self._forwarder = Forwarder(config, store, redactor=redactor, links_after=0.0)
        self._signals = signals
        self._error: BaseException | None = None
        self._over = False
        self.problem = ""
        """Why feeds could not be read, a line each."""
        self.dead = 0
        """Deliveries that became dead letters."""

    def run(self) -> None:
        """Carries it out; raises what it raises, and Stop where a signal ended it."""
        self._forwarder.start(schedule=False)
        try:
            threading.Thread(target=self._work, name="once", daemon=True).start()
            while not self._over and not self._signals.came(signal.SIGTERM, signal.SIGINT):
                self._signals.wait(1.0)
        finally:
            self._forwarder.stop()
        if self._error is not None:
            raise self._error
        if not self._over:
            raise Stop("Stopped. What is owed is kept: the next run delivers it.", EX_STOPPED)

    def _work(self) -> None:
        try:
            self._turn()
        except BaseException as error:  # raised by the main thread
            self._error = error
        finally:
            self._over = True
            self._signals.wake()

    def _turn(self) -> None:
        from forwarder.feed.client import SentrytexError
        from forwarder.wire.deadline import deadline

        forwarder = self._forwarder
        forwarder.life.mutes.tend()
        forwarder.life.held.release()
        problems, polled = {}, 0
        for account in forwarder.feeds:
            try:
                forwarder.poll(account)
                polled += 1
                if polled == len(forwarder.feeds):
                    forwarder.beat()
                forwarder.read_stack(account)
                forwarder.sweep_if_due(account)
            except SentrytexError as error:
                problems[account] = str(error)
        if len(problems) < len(forwarder.feeds):
            with deadline(EVIDENCE_PATIENCE):
                forwarder.evidence.read()
        self.problem = "\n".join(f"{label(account)}: {why}".removeprefix(": ") for account, why in problems.items())
        forwarder.review_alarms()
        forwarder.life.responses.look_everywhere()
        forwarder.life.responses.catch_up()
        # After the looks: nobody is reminded of what somebody has acted on meanwhile.
        forwarder.life.reminders.judge()
        forwarder.life.reports.judge()
        self.dead = forwarder.deliver_due(PATIENCE, threading.Event())
        forwarder.prune()


def _what_is_left(outstanding: int, dead: int) -> str:
    parts = []
    if outstanding:
        parts.append(
            f"{counted(outstanding, 'delivery is', 'deliveries are')} still waiting (`forwarder status` says why)"
        )
    if dead:
        parts.append(f"{dead} became dead {'letter' if dead == 1 else 'letters'} (`forwarder deliveries --state dead`)")
    return "; ".join(parts).capitalize() + "."
