"""The connectors that a command names: looked up in the config, built, and completed in the shell."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from forwarder.cli.root import Stop
from forwarder.common.text import clean, cut, one_line
from forwarder.config import Config
from forwarder.config.problems import did_you_mean
from forwarder.connector import Connector, ConnectorConfig, ProcessMemory

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_REASON: Final = 1000
"""Characters of a reason that are kept."""
MOST_PERSON: Final = 100


def complete_connector(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The connectors of the config that begin with ``incomplete``; none where it cannot be read."""
    return _items(_in_config(context), incomplete)


def complete_known(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The connectors of the config, then those that only the database still knows."""
    return _items(dict.fromkeys([*_in_config(context), *_in_database(context)]), incomplete)


def complete_orphan(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The connectors that only the database still knows."""
    configured_ones = _in_config(context)
    return _items([name for name in _in_database(context) if name not in configured_ones], incomplete)


def complete_alert(context: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The CVEs, or else the ids, of the alerts that were seen last and begin with ``incomplete``."""
    from forwarder.config import outline
    from forwarder.store import Store
    from forwarder.store.query_records import Filter

    found: dict[str, str] = {}
    with contextlib.suppress(Exception):
        database = outline(_config_path(context)).database
        if database is not None:
            with Store.open_shared(database) as store:
                for row in store.queries.alerts(Filter(text=incomplete or None, limit=50)):
                    found.setdefault(row.alert.cve_id or row.alert.id, row.alert.title)
    return [
        CompletionItem(name, help=title) for name, title in found.items() if name.lower().startswith(incomplete.lower())
    ]


by_option = click.option("--by", "person", help="Who decides it; without it the name that you are logged in with.")
"""The option ``--by`` of commands by which a person decides something."""


def person_of(told: str | None) -> str:
    """Who decides: as the option says, or who is logged in."""
    return cut(one_line(clean(_login() if told is None else told)), MOST_PERSON)


def reason_of(told: str) -> str:
    """Why, as it is kept."""
    return cut(clean(told).strip(), MOST_REASON)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""


def connector_argument(command: Command) -> Command:
    """The argument ``CONNECTOR``: one of the config's."""
    return click.argument("connector", shell_complete=complete_connector)(command)


def configured(config: Config, name: str) -> ConnectorConfig:
    """The settings of the connector ``name``; stops the command where the config has none."""
    check_configured(config.connectors, name)
    return config.connectors[name]


def check_configured(connectors: Collection[str], name: str) -> None:
    """Stops the command where ``name`` is not among the config's ``connectors``."""
    if name not in connectors:
        known = ", ".join(connectors)
        raise Stop(f"The config has no connector {name}{did_you_mean(name, connectors)}. Its connectors are: {known}.")


def build(config: Config, name: str) -> Connector[Any]:
    """The connector ``name``, worded as the config says."""
    from forwarder import plugins
    from forwarder.templates import TemplateTexts

    settings = configured(config, name)
    texts = TemplateTexts(settings.templates, lambda reason: click.echo(reason, err=True))
    return plugins.load_type(settings.type)(name, settings, texts)


def remembered(config: Config, name: str) -> ProcessMemory:
    """What the daemon's connector remembers; nothing where no database can be read. What is put there is not kept."""
    from forwarder.store import Store, StoreError

    try:
        with Store.open_shared(config.database) as store:
            return ProcessMemory(store.memory.of(name))
    except StoreError:
        return ProcessMemory()


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _in_config(context: click.Context) -> list[str]:
    with contextlib.suppress(Exception):  # a completion is not the place to report what is wrong
        return _names_in(_config_path(context))
    return []


def _in_database(context: click.Context) -> list[str]:
    from forwarder.config import outline
    from forwarder.store import Store

    with contextlib.suppress(Exception):
        database = context.params.get("database") or outline(_config_path(context)).database
        if database is not None:
            with Store.open_shared(database) as store:
                return store.queries.connectors()
    return []


def _config_path(context: click.Context) -> Path:
    given = context.params.get("config_path")
    if given is not None:
        return Path(given)
    option = next(param for param in context.command.params if param.name == "config_path")
    return Path(str(option.value_from_envvar(context) or option.get_default(context)))


def _names_in(path: Path) -> list[str]:
    """The names under ``connectors``; the variables that a config refers to need not be set for that."""
    from forwarder.config.document import read

    return list(read(path.read_text("utf-8-sig"), str).values["connectors"])
