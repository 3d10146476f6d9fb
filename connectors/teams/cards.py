"""What an alert looks like in Teams: an Adaptive Card within what a message may hold. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.teams import owners, table
from connectors.teams.elements import (
    MAX_CARD,
    MAX_URL,
    Element,
    adaptive,
    button,
    cve,
    linked,
    own,
    plain,
    row,
    weight,
)
from forwarder import words
from forwarder.alert import Severity
from forwarder.connector import Delivery, Kind, Origin, clean, cut, one_line

MAX_TEXT: Final = 4000
MAX_BUTTONS: Final = 5
"""What people can absorb: characters of a text, and links. Teams shows six buttons at most:
https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-reference#adaptive-card"""

_STYLES: Final = {
    Severity.CRITICAL: "attention",
    Severity.HIGH: "warning",
    Severity.MEDIUM: "accent",
    Severity.LOW: "emphasis",
}
_OVER, _GREY = "good", "emphasis"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """How many characters a short text may have, and how many lines the evidence."""

    label: int
    lines: int


_ROOMS: Final = (_Room(label=300, lines=8), _Room(label=100, lines=4), _Room(label=40, lines=2))
"""The first in which all but the text and the buttons takes no more than half of a card is taken, else the last."""


def card(delivery: Delivery, title: str, body: str) -> Element:
    """What ``delivery`` tells, worded with ``title`` (one line) and ``body``."""
    made: Element = {}
    for room in _ROOMS:
        writer = _Writer(delivery, title, room)
        made = writer.card(body)
        if writer.fits:
            break
    return made


class _Writer:
    """Writes one card with so much room for its short texts."""

    def __init__(self, delivery: Delivery, title: str, room: _Room) -> None:
        self._delivery, self._title, self._room = delivery, title, room
        self.fits = True

    def card(self, body: str) -> Element:
        delivery = self._delivery
        if words.is_text_alone(delivery):
            return self._text_alone(body)
        if delivery.kind is Kind.WITHDRAW:
            emoji, verdict = words.over(delivery)
            style = _OVER if delivery.origin is Origin.ALARM else _GREY
            return self._made([self._head(f"{emoji} {verdict}: {self._title}", style), *self._standing(), self._foot()])
        if delivery.receipt and delivery.kind is not Kind.OPEN:
            return self._follow_up()
        return self._alert("" if words.is_over(delivery) else body)

    def _alert(self, body: str) -> Element:
        """The alert as it stands."""
        delivery, over = self._delivery, words.is_over(self._delivery)
        style = _OVER if over else _STYLES[delivery.alert.severity]
        note = words.reminder(delivery) if delivery.kind is Kind.REMIND else ""
        head = [
            self._head(words.heading(delivery, self._title), style, strikethrough=over),
            *([plain(self._short(note))] if note else []),
            *self._standing(),
            *self._facts(),
            *([] if over else self._evidence()),
        ]
        return self._made([*head, self._foot()], body, at=len(head), links=list(words.links(delivery)))

    def _follow_up(self) -> Element:
        """A short card of what is new."""
        delivery = self._delivery
        style = _OVER if words.is_over(delivery) else _STYLES[delivery.alert.severity]
        more = self._standing() + self._evidence() if delivery.kind is Kind.UPDATE else []
        head = self._head(words.news_title(delivery, self._title), style)
        return self._made([head, *more, self._foot()], words.news(delivery), at=1)

    def _text_alone(self, body: str) -> Element:
        """A digest, or a report."""
        delivery = self._delivery
        head = self._head(words.heading(delivery, self._title), _GREY)
        links = list(words.links(delivery))
        if not delivery.items or body != clean(delivery.alert.description):
            return self._made([head], body, links=links)
        room = MAX_CARD - weight(adaptive([head], _buttons(links, MAX_CARD // 4)))
        return self._made([head, *table.rows(delivery.items, room, self._page)], links=links)

    def _made(
        self, parts: Sequence[Element], body: str = "", *, at: int | None = None, links: Sequence[tuple[str, str]] = ()
    ) -> Element:
        """A card of ``parts``, with ``body`` before the part of that number, and as many ``links`` as there is room."""
        people = owners.called(self._delivery)
        while people and weight([owners.line(people), owners.entities(people)]) > MAX_CARD // 4:
            people.pop()
        found = [*parts]
        if people:
            found.insert(1, own(owners.line(people), wrap=True))
            at = None if at is None else at + 1
        room = MAX_CARD - weight(adaptive(found, [], owners.entities(people)))
        self.fits = room >= (MAX_CARD // 2 if body else 0)
        if text := _within(words.squeezed(body), room):
            found.insert(len(found) if at is None else at, plain(text))
            room -= weight(plain(text)) + 1
        return adaptive(found, _buttons(links, room), owners.entities(people))

    def _head(self, text: str, style: str, *, strikethrough: bool = False) -> Element:
        struck: Mapping[str, Any] = {"strikethrough": True} if strikethrough else {}
        shown = plain(cut(text, self._room.label), weight="Bolder", size="Medium", **struck)
        return {"type": "Container", "style": style, "bleed": True, "items": [shown]}

    def _standing(self) -> list[Element]:
        """Who has it, when and why; nothing while nobody reacted."""
        latest = self._delivery.latest
        if latest is None:
            return []
        who = f"{self._short(words.who_did_what(latest))} · {words.utc(latest.at)}"
        return [plain(line) for line in (who, self._short(words.reason(latest))) if line]

    def _short(self, text: str) -> str:
        """A sentence, which may take as much as two labels."""
        return cut(text, 2 * self._room.label)

    def _facts(self) -> list[Element]:
        limit = self._room.label
        return [
            row(
                ("90px", own(name, isSubtle=True)),
                ("stretch", cve(self._delivery.alert, limit) if name == "CVE" else plain(cut(value, limit))),
                spacing="Small",
            )
            for name, value in words.facts(self._delivery)
        ]

    def _evidence(self) -> list[Element]:
        lines = [cut(line, self._room.label) for line in words.evidence(self._delivery).splitlines()]
        shown = plain("\n".join(lines[: self._room.lines]), spacing="Small")
        return [own("Evidence", weight="Bolder"), shown] if lines else []

    def _foot(self) -> Element:
        """When it came, its id, and where to read on."""
        delivery, alert = self._delivery, self._delivery.alert
        note = f" ({alert.date_note})" if alert.date_note else ""
        when = words.utc(alert.published_at)
        parts = [words.what_it_is(delivery)]
        parts.append(f"Published {when}{note}" if delivery.origin is Origin.FEED else f"Since {when}")
        parts.append(f"Alert {cut(one_line(alert.id), self._room.label)}")
        foot = plain(" · ".join(filter(None, parts)), isSubtle=True, size="Small")
        if not self._page:
            return foot
        page = own(linked("Why is this here?", self._page), size="Small")
        return row(("stretch", foot), ("auto", page))

    @property
    def _page(self) -> str | None:
        """The status page of it, where there is one whose address fits."""
        page = self._delivery.page
        return page if page and len(page) <= words.MAX_VALUE else None


def _within(text: str, room: int) -> str:
    """``text`` in at most ``room`` bytes of a card."""
    shown = cut(text, MAX_TEXT)
    if not shown or weight(plain(shown)) < room:
        return shown
    length = bisect_right(range(len(shown)), room - 1, key=lambda length: weight(plain(cut(shown, length)))) - 1
    return cut(shown, max(length, 0))


def _buttons(links: Sequence[tuple[str, str]], room: int) -> list[Element]:
    """As many of ``links`` as buttons as there is room for."""
    found: list[Element] = []
    for label, url in links:
        made = button(cut(label, words.MAX_LABEL), url)
        if len(url) <= MAX_URL and weight(made) < room:
            room -= weight(made) + 1
            found.append(made)
        if len(found) == MAX_BUTTONS:
            break
    return found
