"""A mail as plain text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.email.content import Content, Table, Words
from forwarder.connector import clean


def plain(content: Content) -> str:
    """The whole of it, for who reads no HTML."""
    parts = [
        f"{content.label.upper()}\n{content.title}",
        "\n".join(content.news),
        _aligned([(name, _linked(value)) for name, value in content.facts]),
        "\n".join(["Evidence:", *(f"  {line}" for line in content.evidence)]) if content.evidence else "",
        content.text,
        *(_table(one) for one in content.tables),
        "\n".join(_linked(link) for link in content.links),
    ]
    notes = [_linked(note) for note in content.notes]
    # What follows two dashes and a space is no part of what was written, to programs that read mail.
    end = ["-- \n" + "\n".join(notes)] if notes else []
    return clean("\n\n".join([part for part in parts if part] + end)) + "\n"


def _table(table: Table) -> str:
    return "\n".join([table.heading, *_rows(table)])


def _rows(table: Table) -> Iterator[str]:
    for name, value in table.rows:
        yield f"- {_linked(name)}: {value.text}" if value.text else f"- {_linked(name)}"
        if value.aside:
            yield f"  {value.aside}"
    if table.left:
        yield f"… and {table.left:,} more"


def _aligned(pairs: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs)


def _linked(words: Words) -> str:
    return f"{words.text} <{words.url}>" if words.url else words.text
