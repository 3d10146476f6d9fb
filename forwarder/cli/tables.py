"""Lists in a terminal or a pipe. What a reader may want to copy is never cut, however narrow the terminal is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from forwarder.common.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LEAST_ROOM: Final = 12
"""Cells that a column of prose keeps; where there are fewer, each row becomes a block of lines."""
GAP: Final = 2
"""Blanks between two columns."""


@dataclass(frozen=True)
class Column:
    """A column and its heading; ``prose`` may be shortened in a terminal, anything else never is."""

    name: str
    prose: bool = False


def console() -> Console:
    """Where tables go; its import is left to the commands that print some."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def print_table(
    columns: Sequence[str | Column], rows: Iterable[Sequence[Any]], *, empty: str = "", title: str = ""
) -> None:
    """A table, or the sentence ``empty`` where there are no rows. Cells are plain text: nothing in them is markup.

    A pipe gets a line for each row, whole; a terminal that is too narrow for a table a block for each row.
    """
    headed = [column if isinstance(column, Column) else Column(column) for column in columns]
    filled = [[_as_text(cell) for cell in row] for row in rows]
    if not filled:
        click.echo(empty)
    elif not sys.stdout.isatty():
        _print_lines(headed, filled, title)
    elif _least_width(headed, filled) <= console().width:
        _print_grid(headed, filled, title)
    else:
        _print_blocks(headed, filled, title)


def _as_text(cell: Any) -> Text:
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(one_line(str(cell)))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max(len(column.name), *(cell.cell_len for cell in cells)) for column, *cells in zip(columns, *rows, strict=True)
    ]


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> int:
    widths = zip(columns, _widths(columns, rows), strict=True)
    return sum(min(width, LEAST_ROOM) if column.prose else width for column, width in widths) + GAP * (len(columns) - 1)


def _print_lines(columns: Sequence[Column], rows: Sequence[Sequence[Text]], title: str) -> None:
    if title:
        click.echo(title)
    widths = _widths(columns, rows)
    for row in ([_as_text(column.name) for column in columns], *rows):
        padded = (cell.plain + " " * (width - cell.cell_len) for cell, width in zip(row, widths, strict=True))
        click.echo((" " * GAP).join(padded).rstrip())


def _print_grid(columns: Sequence[Column], rows: Sequence[Sequence[Text]], title: str) -> None:
    from rich.table import Table

    out = console()
    table = Table(box=None, title=title or None, title_justify="left", pad_edge=False, padding=(0, GAP, 0, 0))
    for column, width in zip(columns, _shrunk(columns, _widths(columns, rows), out.width), strict=True):
        table.add_column(column.name, header_style="bold", no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _shrunk(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The widths with which the columns fit into ``room``: only prose gives way, the widest first."""
    fitting = list(widths)
    prose = [place for place, column in enumerate(columns) if column.prose]
    for _ in range(sum(widths) + GAP * (len(widths) - 1) - room):
        fitting[max(prose, key=lambda place: fitting[place])] -= 1
    return fitting


def _print_blocks(columns: Sequence[Column], rows: Sequence[Sequence[Text]], title: str) -> None:
    # Soft wrapping leaves the breaking of long values to the terminal, which copies them whole.
    out, most = console(), max(len(column.name) for column in columns)
    if title:
        out.print(title, style="italic")
    for number, row in enumerate(rows):
        if number:
            out.print()
        for column, cell in zip(columns, row, strict=True):
            if cell.plain:
                out.print(f"[bold]{column.name.ljust(most)}[/bold]  ", cell, sep="", soft_wrap=True)
