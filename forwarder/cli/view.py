"""What commands that only look share: they work beside any daemon, and beside a config that does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from forwarder.cli.root import DATABASE, EX_CONFIG, Stop, config_option, require
from forwarder.cli.running import look
from forwarder.common.databases import Database
from forwarder.common.text import counted
from forwarder.config import Config, ConfigError, load, outline
from forwarder.config.problems import did_you_mean
from forwarder.config.variables import is_absent
from forwarder.connector import Rate
from forwarder.delivery.throughput import Throughput, measured_since, throughput_of
from forwarder.delivery.waiting import Waiting, waiting
from forwarder.store import Store
from forwarder.store.records import Queue

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A database to look at, the connectors that the config names, and the config, None where it cannot be used."""

    store: Store
    connectors: tuple[str, ...]
    config: Config | None

    @property
    def rates(self) -> dict[str, Rate]:
        """Each connector's ``max_rate``, where it has one."""
        settings = self.config.connectors if self.config else {}
        return {name: one.max_rate for name, one in settings.items() if one.max_rate}

    def waiting(self, deliveries: Iterable[int]) -> dict[int, Waiting]:
        """Why those of ``deliveries`` that are not settled wait, by id."""
        life = look(self.store)
        return waiting(
            self.store,
            deliveries,
            connectors=self.connectors,
            rates=self.rates,
            now=time.time(),
            runs=life.owned,
            refused=None if life.refusal is None else life.refusal.reason,
        )

    def throughputs(self, queues: Iterable[Queue], now: float) -> dict[str, Throughput | None]:
        """How fast each connector delivers what waits for it; None where that is not known, or nothing waits."""
        busy = {queue.connector: queue for queue in queues if queue.waiting}
        delivered = self.store.queries.delivered({name: measured_since(queue, now) for name, queue in busy.items()})
        rates = self.rates
        return {name: throughput_of(queue, rates.get(name), delivered[name], now) for name, queue in busy.items()}

    def check_connector(self, name: str | None) -> None:
        """Stops the command where neither the config nor the database knows a connector ``name``."""
        known = {*self.connectors, *self.store.queries.connectors()}
        if name is not None and name not in known:
            raise Stop(
                f"There is no connector {name}{did_you_mean(name, known)}. "
                f"Its connectors are: {', '.join(sorted(known)) or 'none'}."
            )


def view_options(command: Command) -> Command:
    """The options ``-c`` and ``--database``: where to look."""
    database = click.option(
        "--database",
        type=DATABASE,
        help="The database. With it the config is not read, nor any of its secrets needed.",
    )
    return config_option(database(command))


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """What a config says of its database and connectors, with their ``types``.

    The config itself is None where it has ``mistakes``, or where the secrets that it takes are not there.
    """

    database: Database
    connectors: tuple[str, ...]
    types: Mapping[str, str] = field(default_factory=dict)
    config: Config | None = None
    mistakes: tuple[str, ...] = ()


_BY_DATABASE: Final = "Name the database with --database to do without the config."


@contextmanager
def viewing(config_path: Path, database: Database | None) -> Iterator[View]:
    """The database of a config, or ``database`` itself.

    A config that cannot be used is no reason to see nothing: where it still says which database it is, that is shown,
    and on standard error that the config needs a look.
    """
    located = locate(config_path, _BY_DATABASE) if database is None else Located(database=database, connectors=())
    if located.mistakes:
        click.echo(
            f"{config_path} has {counted(len(located.mistakes), 'mistake')} (see `forwarder check`); "
            f"this is what {located.database} holds:",
            err=True,
        )
    store = Store.open_shared(located.database)
    try:
        connectors = located.connectors or tuple(store.queries.connectors())
        yield View(store=store, connectors=connectors, config=located.config)
    finally:
        store.close()


def locate(config_path: Path, way_out: str = "") -> Located:
    """Where the database of a config is, whatever is wrong with it; stops the command where it does not say.

    ``way_out`` is what the person can do then besides mending the config.
    """
    require(config_path)
    try:
        config = load(config_path)
    except ConfigError as error:
        rest = outline(config_path)
        if rest.database is None:
            problems = "\n".join(str(problem) for problem in error.problems)
            raise Stop("\n".join(filter(None, (problems, way_out))), EX_CONFIG) from None
        mistakes = tuple(str(problem) for problem in error.problems if not is_absent(problem.message))
        return Located(database=rest.database, connectors=rest.connectors, types=rest.types, mistakes=mistakes)
    types = {name: settings.type for name, settings in config.connectors.items()}
    return Located(database=config.database, connectors=tuple(config.connectors), types=types, config=config)


def locate_whole(config_path: Path) -> Located:
    """The same for commands that change the queue, which need no secrets either; stops them at any other mistake.

    A connector that a mistake hides must not pass for one that was removed.
    """
    located = locate(config_path)
    if located.mistakes:
        raise Stop("\n".join(located.mistakes), EX_CONFIG)
    return located
