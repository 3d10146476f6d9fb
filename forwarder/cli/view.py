"""What commands that only look share: they work beside any daemon, and beside a config that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from forwarder.cli.root import EX_CONFIG, Stop, config_option, require
from forwarder.common.text import counted
from forwarder.config import Config, ConfigError, load, outline
from forwarder.config.problems import did_you_mean
from forwarder.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A database to look at, the connectors that the config names, and the config, None where it cannot be used."""

    store: Store
    connectors: tuple[str, ...]
    config: Config | None

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
        type=click.Path(path_type=Path, dir_okay=False),
        help="The database. With it the config is not read, nor any of its secrets needed.",
    )
    return config_option(database(command))


@contextmanager
def viewing(config_path: Path, database: Path | None) -> Iterator[View]:
    """The database of a config, or ``database`` itself.

    A config that cannot be used is no reason to see nothing: where it still says which database it is, that is shown,
    and on standard error that the config needs a look.
    """
    config: Config | None = None
    connectors: tuple[str, ...] = ()
    if database is None:
        config, database, connectors = _located(config_path)
    store = Store.open_shared(database)
    try:
        yield View(store=store, connectors=connectors or tuple(store.queries.connectors()), config=config)
    finally:
        store.close()


def _located(config_path: Path) -> tuple[Config | None, Path, tuple[str, ...]]:
    require(config_path)
    try:
        config = load(config_path)
    except ConfigError as error:
        problems = "\n".join(str(problem) for problem in error.problems)
        rest = outline(config_path)
        if rest.database is None:
            raise Stop(f"{problems}\nName the database with --database to see what it holds.", EX_CONFIG) from None
        mistakes = counted(len(error.problems), "mistake")
        click.echo(
            f"{config_path} has {mistakes} (see `forwarder check`); this is what {rest.database} holds:",
            err=True,
        )
        return None, rest.database, rest.connectors
    return config, config.database, tuple(config.connectors)
