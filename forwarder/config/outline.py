"""What can still be read of a config that cannot be used: enough to look at what its forwarder did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forwarder.common.databases import Database, PostgresAddress, in_folder, parse_database
from forwarder.config.document import NotYaml, read
from forwarder.config.model import Scalars
from forwarder.config.variables import Variables


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """The database, None where the config hides it (a variable that is not set), and the connectors.

    ``types`` has the type of each connector that says one.
    """

    database: Database | None
    connectors: tuple[str, ...]
    types: Mapping[str, str] = field(default_factory=dict)


def outline(path: Path, env: Mapping[str, str] = os.environ) -> Outline:
    """What a file says of its database and its connectors, whatever else is wrong with it."""
    folder = path.absolute().parent
    try:
        root = read(path.read_text("utf-8-sig"), Variables(env, folder).expand)
    except (OSError, UnicodeDecodeError, NotYaml):
        # What says nothing of its database most likely leaves it where it is by default.
        return Outline(database=_existing(folder / _default()), connectors=())
    values = root.values if isinstance(root.values, dict) else {}
    connectors = values.get("connectors")
    names = tuple(map(str, connectors)) if isinstance(connectors, dict) else ()
    types = _types(connectors) if isinstance(connectors, dict) else {}
    if root.spoiled(("database",)):
        return Outline(database=None, connectors=names, types=types)
    named = values.get("database", _default())
    return Outline(database=_existing(_named(named, folder)), connectors=names, types=types)


def _named(told: Any, folder: Path) -> Database | None:
    with suppress(ValueError):
        return in_folder(parse_database(str(told)), folder)
    return None


def _types(connectors: Mapping[Any, Any]) -> dict[str, str]:
    return {
        str(name): settings["type"]
        for name, settings in connectors.items()
        if isinstance(settings, dict) and isinstance(settings.get("type"), str)
    }


def _default() -> Path:
    default: Path = Scalars.model_fields["database"].default
    return default


def _existing(place: Database | None) -> Database | None:
    with suppress(OSError):
        return place if isinstance(place, PostgresAddress) or (place and place.is_file()) else None
    return None
