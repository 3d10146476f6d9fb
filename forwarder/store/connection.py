"""What a statement is given to and what it gives back, whichever database carries it out: SQLite's way of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Values = Sequence[Any] | Mapping[str, Any]
"""The values of a statement's parameters: ``?`` and ``?1`` by their place, ``:name`` by name."""


class Row(Protocol):
    """A row: its values by name or place, and one after the other."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> Any:
        """The names of its columns."""


class Cursor(Protocol):
    """What a statement found; ``rowcount`` is how many rows it changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection with a transaction open; ``Error`` is what its database raises."""

    @property
    def Error(self) -> type[Exception]: ...  # noqa: N802 - PEP 249 has it
    def execute(self, sql: str, values: Values = ..., /) -> Cursor: ...
    def executemany(self, sql: str, values: Iterable[Values], /) -> Cursor: ...
