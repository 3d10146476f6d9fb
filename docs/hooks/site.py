"""The hook of MkDocs: writes what the code knows best into the pages, so that nothing there can grow old.

A page asks for such a part with a line of its own, ``<!-- generated: NAME ARGUMENT… -->``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import config_keys
import previews
import running
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from forwarder.config import json_schema

SCHEMA: Final = "config.schema.json"
"""The name under which the site offers the config's JSON Schema."""

ROOT: Final = Path(__file__).resolve().parents[2]

_PLACEHOLDER: Final = re.compile(r"^<!-- generated: (?P<name>[a-z-]+)(?P<arguments>(?: [\w-]+)*) -->$", re.MULTILINE)


def _changelog() -> str:
    """The changelog without its title, for the page has one."""
    return (ROOT / "CHANGELOG.md").read_text("utf-8").partition("\n")[2]


GENERATED: Final[dict[str, Callable[..., str]]] = {
    "config": config_keys.reference,
    "connector-keys": config_keys.connector_keys,
    "commands": running.commands,
    "metrics": running.metrics,
    "rules": lambda: running.rules(ROOT / "deploy" / "prometheus" / "rules.yml"),
    "alarms": running.alarms,
    "alarm": running.alarm,
    "preview": previews.preview,
    "slack": previews.slack,
    "changelog": _changelog,
}
"""What a page can ask for."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the JSON Schema, so that links to it are checked like any other."""
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    files.append(File.generated(config, SCHEMA, content=schema))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated parts in place."""
    return _PLACEHOLDER.sub(lambda asked: _generate(asked["name"], asked["arguments"].split()), markdown)


def _generate(name: str, arguments: list[str]) -> str:
    if name not in GENERATED:
        raise PluginError(f"No part {name} can be generated: there are {', '.join(GENERATED)}.")
    return GENERATED[name](*arguments)
