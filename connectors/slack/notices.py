"""What people should put right in a workspace although messages arrive, of several things at once."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import Final

from forwarder.connector import NOTICE, Failed, Memory, ProcessMemory

_KEPT: Final = "notices"
"""The key of the memory: what is said about each thing."""


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
            self._memory.put(_KEPT, json.dumps(said, sort_keys=True) if said else "")
            self._memory.put(NOTICE, " ".join(words for _, words in sorted(said.items())))

    def _said(self) -> dict[str, str]:
        try:
            kept = json.loads(self._memory.get(_KEPT) or "{}")
        except ValueError:
            return {}
        return {str(name): str(words) for name, words in kept.items()} if isinstance(kept, dict) else {}
