"""The connectors of a config: made from what it says of each, and given what they kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from forwarder import plugins
from forwarder.config import Config
from forwarder.connector import Connector
from forwarder.delivery.memory import StoredMemory
from forwarder.events import Listener
from forwarder.logs import get_logger
from forwarder.store.memory import MemoryStore
from forwarder.templates import TemplateTexts

log = get_logger(__name__)


def connectors_of(config: Config, in_use: Mapping[str, Connector[Any]], listener: Listener) -> list[Connector[Any]]:
    """Those of ``in_use`` of whose settings nothing changed go on, all others are made anew.

    Raises whatever another package's code raises; what was made before is closed then.
    """
    made: list[Connector[Any]] = []
    try:
        for name, settings in config.connectors.items():
            if (known := in_use.get(name)) and known.config == settings:
                made.append(known)
            else:
                texts = TemplateTexts(settings.templates, partial(listener.template_failed, name))
                made.append(plugins.load_type(settings.type)(name, settings, texts))
    except BaseException:
        for connector in made:
            if connector not in in_use.values():
                connector.close()
        raise
    return made


def give_memory(connector: Connector[Any], memory: MemoryStore) -> None:
    """Gives a connector its memory. One that fails at that still delivers, and keeps no other one from starting."""
    try:
        connector.remember(StoredMemory(memory, connector.name))
    except Exception:
        log.exception("remember_failed", connector=connector.name)
