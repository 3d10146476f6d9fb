"""How much of each part a message may hold, and what was cut for that. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from forwarder.connector import clean, cut

T = TypeVar("T")

MAX_LABEL: Final = 500
"""Our own, in characters: titles, names and other short texts."""

MAX_ADDRESS: Final = 2000
"""Our own, in characters: no browser follows more for certain. A longer one is left out, for half leads nowhere."""

MAX_DEPTH: Final = 10
"""Our own: what an unknown field nests deeper is left out, for encoders end in a recursion error."""

MARK: Final = "… (cut)"
"""What a text ends with that was cut."""


class Room:
    """So many characters of a long text, and so many entries of a list. ``cut`` names the parts that lost something."""

    def __init__(self, length: int, most: int) -> None:
        self.length, self.most = length, most
        self.cut: set[str] = set()

    def text(self, where: str, text: str) -> str:
        """A long text."""
        return self._shortened(where, text, self.length)

    def label(self, where: str, text: str) -> str:
        """A short one."""
        return self._shortened(where, text, min(self.length, MAX_LABEL))

    def address(self, where: str, url: str | None) -> str | None:
        """A web address, or none where it is too long."""
        if url is None or len(url) <= min(self.length, MAX_ADDRESS):
            return url
        self.cut.add(where)
        return None

    def addresses(self, where: str, urls: Sequence[str]) -> list[str]:
        """Those that are not too long."""
        # Thousands are looked at no further than there is room.
        return self.entries(where, [url for url in urls[: self.most + 1] if self.address(where, url)])

    def entries(self, where: str, entries: Sequence[T]) -> list[T]:
        """The first of them."""
        if len(entries) > self.most:
            self.cut.add(where)
        return list(entries[: self.most])

    def fields(self, where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of any shape, the first of them whose JSON has as many characters as a long text."""
        kept: dict[str, Any] = {}
        left = self.length
        for name, value in fields.items():
            made = self.value(where, value)
            left -= len(name) + len(json.dumps(made, ensure_ascii=False)) + len('"":,')
            if left < 0 or len(kept) >= self.most:
                self.cut.add(where)
                break
            kept[clean(name)] = made
        return kept

    def value(self, where: str, value: Any, depth: int = 0) -> Any:
        """A JSON value that every encoder takes: texts clean and short, numbers finite, nothing nested too deeply."""
        if isinstance(value, str):
            return self.label(where, clean(value))
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if not isinstance(value, Mapping | list | tuple):
            return value
        if depth == MAX_DEPTH:
            self.cut.add(where)
            return MARK
        if isinstance(value, Mapping):
            pairs = self.entries(where, list(value.items()))
            return {self.label(where, clean(str(name))): self.value(where, item, depth + 1) for name, item in pairs}
        return [self.value(where, item, depth + 1) for item in self.entries(where, value)]

    def _shortened(self, where: str, text: str, length: int) -> str:
        if len(text) <= length:
            return text
        self.cut.add(where)
        return cut(text, length, MARK)


_ROOMS: Final = ((12_000, 100), (6_000, 50), (3_000, 25), (1_500, 12), (600, 6), (200, 3))


def rooms() -> Iterator[Room]:
    """From the most that a message ever holds to so little that it always fits."""
    return (Room(length, most) for length, most in _ROOMS)
