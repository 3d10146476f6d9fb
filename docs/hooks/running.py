"""What a running forwarder offers: commands, metrics, alert rules, alarms, each from where it is defined."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from pydantic import SecretStr

from forwarder.alarms import AlarmType
from forwarder.app import Forwarder
from forwarder.cli.root import group
from forwarder.config import Config, Route, SentrytexConfig
from forwarder.connector import ConnectorConfig
from forwarder.store import Store
from forwarder.web.metrics import Gauges, Metrics

_LISTS: Final = {"histogram": "le"}
"""Labels that belong to a type of metric, and say nothing of ours."""
_OF_THE_CONFIG: Final = {"connector": "the name in the config", "version": "", "python": ""}
"""Labels whose values no list can hold."""


def commands() -> str:
    """Every command with its usage, its help and its options, as click knows them."""
    with click.Context(group, info_name="forwarder") as parent:
        found = [(name, group.get_command(parent, name)) for name in group.list_commands(parent)]
        return "\n\n".join(part for name, command in found if command for part in _command(name, command, parent))


def _command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent) as context:
        yield f"## `forwarder {name}` {{ #{name} }}"
        yield f"```console\n$ {command.get_usage(context).removeprefix('Usage: ')}\n```"
        yield _help(command.help or "")
        options = [
            record
            for option in command.params
            if isinstance(option, click.Option) and (record := option.get_help_record(context))
        ]
        if options:
            rows = "\n".join(f"| `{names}` | {_cell(text)} |" for names, text in options)
            yield f"| option | what it does |\n|---|---|\n{rows}"


def _help(text: str) -> str:
    """Help as Markdown: what click must not wrap is a block of its own there, too."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        f"```text{paragraph.removeprefix(chr(8))}\n```" if paragraph.startswith("\b") else paragraph
        for paragraph in paragraphs
    )


def metrics() -> str:
    """Every metric of the forwarder's own, from the registry that /metrics shows."""
    with TemporaryDirectory() as folder:
        config = Config(
            database=Path(folder) / "forwarder.db",
            sentrytex=SentrytexConfig(api_key=SecretStr("none")),
            connectors={"secops": ConnectorConfig(type="console")},
            routes=(Route(to=("secops",)),),
        )
        store = Store.open_exclusive(config.database)
        try:
            forwarder = Forwarder(config, store)
            registry, gauges = (
                Metrics(lambda: config.connectors, now=forwarder.clock).registry,
                Gauges(forwarder, store),
            )
            registry.register(gauges)
            shown = {family.name: family for family in _ours(registry)}
            # What only some connectors have is described all the same.
            rows = [_metric(family) for family in ({one.name: one for one in gauges.describe()} | shown).values()]
            forwarder.stop()
        finally:
            store.close()
    return "| metric | labels | what it is |\n|---|---|---|\n" + "\n".join(rows)


def _ours(registry: CollectorRegistry) -> Iterable[Metric]:
    return (family for family in registry.collect() if family.name.startswith("forwarder_"))


def _metric(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    values: dict[str, dict[str, None]] = {label: {} for label in getattr(family, "_labelnames", ())}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    values.pop(_LISTS.get(family.type, ""), None)
    labels = "<br>".join(_label(label, seen) for label, seen in values.items())
    return f'| <span id="{name}"></span>`{name}`<br>{family.type} | {labels} | {_cell(family.documentation)} |'


def _label(label: str, seen: Iterable[str]) -> str:
    listed = ", ".join(f"`{value}`" for value in seen if value)
    values = _OF_THE_CONFIG.get(label, listed)
    return f"`{label}`: {values}" if values else f"`{label}`"


def rules(path: Path) -> str:
    """The alert rules of a Prometheus rules file."""
    groups = yaml.safe_load(path.read_text("utf-8"))["groups"]
    rows = [
        f"| `{rule['alert']}` | {rule['labels']['severity']} | `{' '.join(rule['expr'].split())}` "
        f"| {rule.get('for', 'at once')} |"
        for group_of_rules in groups
        for rule in group_of_rules["rules"]
    ]
    return "| alert | severity | when | for |\n|---|---|---|---|\n" + "\n".join(rows)


def alarms() -> str:
    """Every alarm, with a link to the part of the page that says what to do."""
    rows = [
        f"| [`{trouble.value}`](#{trouble.value}) | {trouble.severity.value} | {_titled(trouble.title_template)} "
        f"| {'a day after it last happened' if trouble.passes else 'when it is over'} |"
        for trouble in AlarmType
    ]
    return "| alarm | severity | what it says | ends |\n|---|---|---|---|\n" + "\n".join(rows)


def alarm(name: str) -> str:
    """One alarm as people get it: its title and its remedy."""
    trouble = next(one for one in AlarmType if one.value == name)
    return f'!!! quote "{_titled(trouble.title_template, plain=True)}"\n    {trouble.remedy.format(subject="NAME")}'


def _titled(title: str, *, plain: bool = False) -> str:
    return title.format(subject="NAME" if plain else "*NAME*")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
