"""What was changed of a ticket, when and by whom: what Jira calls its changelog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connectors.jira.client import RequestFailed, count, dig, unreadable

EXPAND: Final = "changelog"
"""What a request for a ticket is to ``expand``, so that its history comes along."""

_UNDATED: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change of one field, whose name is in lower case; ``old`` and ``new`` are ids where the field has such."""

    field: str
    at: datetime
    author: Mapping[str, Any]
    old: str
    new: str


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The edits of a ticket, oldest first. Cloud shows only the latest of a long history: then it is not ``whole``."""

    edits: tuple[Edit, ...]
    whole: bool

    @classmethod
    def of(cls, issue: Mapping[str, Any]) -> History:
        """The history that came along with a ticket; raises RequestFailed where it cannot be read."""
        changelog = issue.get("changelog")
        histories = dig(changelog, "histories")
        if not isinstance(histories, list):
            raise RequestFailed(unreadable(writes=False))
        # Cloud tells the latest first, Data Center the oldest.
        edits = [edit for history in sorted(histories, key=_order) for edit in _edits(history)]
        return cls(
            edits=tuple(edits),
            whole=count(dig(changelog, "total")) <= len(histories),
        )

    def of_field(self, field: str) -> list[Edit]:
        """The edits of that field, oldest first."""
        return [edit for edit in self.edits if edit.field == field]

    @property
    def former_keys(self) -> list[str]:
        """The keys that the ticket had in projects out of which it was moved."""
        return [edit.old for edit in self.of_field("key")]


def moment(value: object) -> datetime | None:
    """A time as Jira writes it, such as ``2026-01-31T12:00:00.000+0100``; None for anything else."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def _order(history: object) -> tuple[datetime, int]:
    number = str(dig(history, "id"))
    return moment(dig(history, "created")) or _UNDATED, int(number) if number.isdecimal() else 0


def _edits(history: object) -> Iterator[Edit]:
    items, author = dig(history, "items"), dig(history, "author")
    for item in items if isinstance(items, list) else []:
        yield Edit(
            field=str(dig(item, "field")).lower(),
            at=moment(dig(history, "created")) or _UNDATED,
            author=author if isinstance(author, Mapping) else {},
            old=_value(item, "from"),
            new=_value(item, "to"),
        )


def _value(item: object, name: str) -> str:
    value = dig(item, name)
    value = dig(item, f"{name}String") if value is None else value
    return "" if value is None else str(value)
