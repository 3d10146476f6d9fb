"""What a connector still knows after a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, Protocol

from forwarder.outcome import Failed

NOTICE: Final = "notice"
"""The key in a connector's memory for what people should put right although everything arrives: a sentence with the way
out, logged once, and shown beside the connector until it is empty again."""

RENAMED: Final = "renamed."
"""What a connector of another name kept under a key that this one uses itself is under that key with this before it."""

_NOTICES: Final = "notices"
"""The key of what Notices say about each thing."""


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


class Notices:
    """Sentences by what they are about, told as one notice. For several threads at once."""

    def __init__(self) -> None:
        self._memory: Memory = ProcessMemory()
        self._lock = threading.Lock()

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes said."""
        self._memory = memory

    def say(self, about: str, text: str) -> None:
        """``text`` in place of what was said ``about`` this before; nothing where it is empty."""
        with self._lock, suppress(Failed):
            kept = self._said()
            said = {name: words for name, words in {**kept, about: text}.items() if words}
            self._memory.put(_NOTICES, json.dumps(said, sort_keys=True) if said else "")
            self._memory.put(NOTICE, " ".join(words for _, words in sorted(said.items())))

    def _said(self) -> dict[str, str]:
        try:
            kept = json.loads(self._memory.get(_NOTICES) or "{}")
        except ValueError:
            return {}
        return {str(name): str(words) for name, words in kept.items()} if isinstance(kept, dict) else {}
