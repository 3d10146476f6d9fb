"""Commands that poll and deliver: run, once."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Final

import click

from forwarder.cli.root import Stop, config_option, load_config
from forwarder.common.text import counted

PATIENCE: Final = 30.0
"""Seconds that `once` waits for a rate limit to pass; what waits longer is left for the next run."""


@click.command()
@config_option
def run(config_path: Path) -> None:
    """Run the daemon: poll and deliver until stopped.

    SIGTERM or Ctrl-C stops it cleanly: what is being sent may finish, for up to 25 seconds. SIGHUP reloads the config;
    an invalid config changes nothing.
    """
    from forwarder.config import load, secrets_of
    from forwarder.daemon import Daemon
    from forwarder.logs import Redactor, configure

    config = load_config(config_path)
    redactor = Redactor(secrets_of(config))
    configure(config.log.level, config.log.format, redactor=redactor)
    sys.exit(Daemon(config, lambda: load(config_path), redactor).run())


@click.command()
@config_option
def once(config_path: Path) -> None:
    """Poll once, deliver what is due, and exit: for cron.

    The exit status is 0 if everything was delivered, and 1 if something is still waiting or became a dead letter, or if
    the feed could not be read.
    """
    from forwarder.app import Forwarder
    from forwarder.config import secrets_of
    from forwarder.feed.client import SentrytexError
    from forwarder.logs import Redactor, configure
    from forwarder.store import Store

    config = load_config(config_path)
    redactor = Redactor(secrets_of(config))
    configure(config.log.level, config.log.format, redactor=redactor)
    store = Store.open_exclusive(config.database)
    try:
        forwarder = Forwarder(config, store, redactor=redactor, links_after=0.0)
        problem = None
        forwarder.start(schedule=False)
        try:
            try:
                forwarder.poll()
                forwarder.beat()
                forwarder.sweep_if_due()
            except SentrytexError as error:
                problem = str(error)
            forwarder.review_alarms()
            dead = forwarder.deliver_due(PATIENCE, threading.Event())
            forwarder.prune()
        finally:
            forwarder.stop()
        outstanding = store.queries.outstanding(config.connectors)
    finally:
        store.close()
    if problem:
        raise Stop(problem)
    if outstanding or dead:
        raise Stop(_what_is_left(outstanding, dead))


def _what_is_left(outstanding: int, dead: int) -> str:
    parts = []
    if outstanding:
        parts.append(
            f"{counted(outstanding, 'delivery is', 'deliveries are')} still waiting (`forwarder status` says why)"
        )
    if dead:
        parts.append(f"{dead} became dead {'letter' if dead == 1 else 'letters'} (`forwarder deliveries --state dead`)")
    return "; ".join(parts).capitalize() + "."
