"""What a YAML file says: plain values, and the line of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from forwarder.common.imports import forget

Where = tuple[str | int, ...]
"""The way to a value: keys, and places in lists from 0."""


class NotYaml(Exception):
    """The text is no YAML at all. ``line`` is where reading ended."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(kw_only=True)
class Document:
    """A YAML 1.2 document as it was read; dates are left as text, for no key wants another calendar's ideas.

    ``faults`` are what reading itself found wrong. A value at one of those places is a stand-in.
    """

    values: Any = None
    lines: dict[Where, int] = field(default_factory=dict)
    faults: dict[Where, str] = field(default_factory=dict)

    def line(self, where: Where) -> int:
        """The line of a value's key, else that of the nearest thing around it."""
        while where not in self.lines and where:
            where = where[:-1]
        return self.lines.get(where, 1)

    def has(self, where: Where) -> bool:
        """Whether the file has a value there."""
        return where in self.lines

    def spoiled(self, where: Where) -> bool:
        """Whether anything at or below a place could not be read."""
        return any(fault[: len(where)] == where for fault in self.faults)


def read(text: str, expand: Callable[[str], str]) -> Document:
    """The document that ``text`` is, with every text in it sent through ``expand``; raises NotYaml."""
    # It is only imported where something is read, so that it can be forgotten.
    from forwarder.config.reading import document_of

    return document_of(text, expand)


def forget_reader() -> None:
    """For a process that lives long, once it has read its config: YAML's parser takes 1.5 MB.

    The next file that is read has it imported again. Not while another thread reads one.
    """
    # What YAML warns of is in Python's list of warnings for good: another one for each reload would stay there.
    forget("forwarder.config.reading", "ruamel", but="ruamel.yaml.error")
