"""What a connector still knows after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

NOTICE: Final = "notice"
"""The key in a connector's memory for what people should put right although everything arrives: a sentence with the way
out, logged once, and shown beside the connector until it is empty again."""

RENAMED: Final = "renamed."
"""What a connector of another name kept under a key that this one uses itself is under that key with this before it."""


class Memory(Protocol):
    """What a connector still knows after a restart: short texts by key, and no secrets. For several threads at once."""

    def get(self, key: str) -> str:
        """What was put there last, empty where nothing was; raises Failed where that cannot be read."""
        ...

    def put(self, key: str, value: str) -> None:
        """Keeps ``value``; an empty one forgets the key. Never raises, and costs nothing where it is kept already."""
        ...


class ProcessMemory:
    """A memory that ends with its process. ``values`` is what it knows from the start."""

    def __init__(self, values: Mapping[str, str] = MappingProxyType({})) -> None:
        self.values = dict(values)

    def get(self, key: str) -> str:
        return self.values.get(key, "")

    def put(self, key: str, value: str) -> None:
        self.values[key] = value
