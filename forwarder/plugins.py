"""The connector types that are installed: ours and other packages', found in the same way.

A package adds a type with an entry point in the group ``forwarder.connectors``. The entry point's name is the ``type``
that the config names; only the types that are asked for are imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

from forwarder.common.text import cut, one_line
from forwarder.connector import Connector, ConnectorConfig

GROUP: Final = "forwarder.connectors"
_OURS: Final = "sentrytex-forwarder"


class PluginError(Exception):
    """A connector type that is not installed or cannot be used. The message is one sentence for people."""


@cache
def connector_types() -> Mapping[str, EntryPoint]:
    """Type name -> entry point, by name. Where another package claims the name of a type of ours, ours stays."""
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point) == _OURS))
    return MappingProxyType({point.name: point for point in found})


def load_type(name: str) -> type[Connector[Any]]:
    """The connector class of a type; raises PluginError where there is none or where it is not usable."""
    point = connector_types().get(name)
    if point is None:
        raise PluginError(f"no connector type {name} is installed; known types: {', '.join(connector_types())}")
    source = f"the connector type {name} of the package {_package(point)}"
    try:
        loaded = point.load()
    except Exception as error:  # another package's module may raise anything while it is imported
        why = cut(one_line(str(error)), 200)
        raise PluginError(f"{source} cannot be loaded: {type(error).__name__}: {why}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Connector)):
        raise PluginError(f"{source} is not a Connector: {point.value} must name a subclass of it")
    config = getattr(loaded, "Config", None)
    if not (isinstance(config, type) and issubclass(config, ConnectorConfig)):
        raise PluginError(f"{source} has no Config: it must be a class derived from ConnectorConfig")
    return loaded


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
