"""Whom a card calls: people that the config names, by the ids under which Teams knows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field, RootModel, field_validator

from forwarder.alert import got_worse
from forwarder.connector import Delivery, Kind, Status

MAX_OWNERS: Final = 10
"""What people can absorb of those who must act on one alert."""

_MAX: Final = 200
_NAME: Final = r"[^<>\[\]()*_`\\\x00-\x1f]{1,40}?"
"""Nothing in it is Markdown, and nothing ends a mention."""
_UPN: Final = r"[A-Za-z0-9.!#^~'_-]{1,64}@[A-Za-z0-9.-]{1,48}"
"""https://learn.microsoft.com/entra/identity/hybrid/connect/plan-connect-userprincipalname"""
_OBJECT: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_OWNER: Final = re.compile(rf"({_NAME})\s*<({_UPN}|{_OBJECT})>|({_UPN})")


class TeamsOwner(RootModel[str]):
    """A person: ``ada@example.com``, the name to sign in with, or ``Ada Lovelace <…>`` with that or an object id."""

    root: str = Field(examples=["ada@example.com", "Ada Lovelace <ada@example.com>"])

    @field_validator("root")
    @classmethod
    def _is_somebody(cls, text: str) -> str:
        text = text.strip()
        if len(text) > _MAX or not _OWNER.fullmatch(text):
            raise ValueError(
                "must be a person, by the name to sign in with (ada@example.com), or by a name and that or an object "
                "id (Ada Lovelace <ada@example.com>)"
            )
        return text

    @property
    def person(self) -> tuple[str, str]:
        """A name to call them by, and their id."""
        match = _OWNER.fullmatch(self.root)
        name, known, alone = match.groups() if match else (None, None, self.root)
        return (name.strip(), known) if name and known else (alone, alone)


def called(delivery: Delivery) -> list[tuple[str, str]]:
    """Those whom a card of ``delivery`` calls, by name and id, each name once: where it is news that they must hear."""
    if delivery.kind is Kind.WITHDRAW or delivery.kind.responds or delivery.status is Status.RESOLVED:
        return []
    if delivery.kind is Kind.UPDATE and delivery.receipt and not got_worse(delivery.changes):
        return []
    people: dict[str, str] = {}
    for owner in delivery.owners:
        if isinstance(owner, TeamsOwner):
            name, known = owner.person
            # Teams knows a mention by its words: of two of the same name the second is called by the id.
            people.setdefault(name if people.get(name, known) == known else known, known)
    return list(people.items())[:MAX_OWNERS]


def line(people: Sequence[tuple[str, str]]) -> str:
    """``people`` in a line of Markdown that mentions them."""
    mentions = ", ".join(_words(name) for name, _ in people)
    return f"👤 {'Owner' if len(people) == 1 else 'Owners'}: {mentions}"


def entities(people: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What makes mentions of them.
    https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format#mention-support-within-adaptive-cards
    """
    return [
        {"type": "mention", "text": _words(name), "mentioned": {"id": known, "name": name}} for name, known in people
    ]


def _words(name: str) -> str:
    return f"<at>{name}</at>"
