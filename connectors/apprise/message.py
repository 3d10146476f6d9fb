"""What is said of an alert, in a title and a body within what one service takes of each. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.apprise.markup import Form, address, harmless, link, newline, said
from forwarder import words
from forwarder.alert import Alert, Severity
from forwarder.connector import Delivery, Kind, Origin, Texts, clean, cut, one_line

MAX_TITLE: Final = 300
MAX_TEXT: Final = 4000
MAX_LINKS: Final = 5
MAX_ADDRESS: Final = 2000
"""Our own, where a service takes more: characters of a title and of a description, links, and characters of an address,
for no browser follows more for certain."""

SHORT: Final = 320
"""Characters of a body up to which it is a text message: two of them, whose alphabet has neither emoji nor dashes.
https://www.etsi.org/deliver/etsi_ts/123000_123099/123038/18.00.00_60/ts_123038v180000p.pdf (6.2.1)"""

_LEAST: Final = 20
"""Characters that are worth cutting a text to; below that it is left out."""

_LEVELS: Final = {
    Severity.CRITICAL: "failure",
    Severity.HIGH: "failure",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
}
"""Apprise's types of a message, by which services choose colours and icons: https://appriseit.com/api/#message-types"""

_PICTURES: Final = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u23f0\ufe0f]+ ?")
_PLAIN: Final = str.maketrans({"→": "->", "·": "-", "…": "...", "–": "-", "−": "-"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a service takes of one message.

    ``title`` and ``body`` are the most characters of each; a ``title`` of 0 says that it has none. ``shared`` says that
    the title counts for the body, too, ``lines`` is the most lines of a body, 0 for any.
    """

    title: int
    body: int
    form: Form
    shared: int = 0
    lines: int = 0

    @property
    def is_short(self) -> bool:
        return self.body <= SHORT


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some lines of a body. The lower its ``rank``, the earlier it gets its room.

    ``shorter`` stands in its place where there is no room for all of it. What ``yields`` is cut to what there is.
    """

    rank: int
    text: str
    url: str | None = None
    shorter: str = ""
    yields: bool = False
    apart: bool = False


def level(delivery: Delivery) -> str:
    """How bad it is, in Apprise's words."""
    if words.is_text_alone(delivery):
        return "info"
    if delivery.kind is Kind.WITHDRAW or words.is_over(delivery):
        return "success"
    return _LEVELS[delivery.alert.severity]


def message(delivery: Delivery, texts: Texts, limits: Limits) -> tuple[str, str]:
    """The title, empty where the service has none, and the body."""
    head = _head(delivery, one_line(clean(texts.title(delivery, delivery.alert.title))))
    if limits.is_short:
        head = _plainly(head)
    parts = list(_parts(delivery, texts))
    if limits.title <= 0:
        parts.insert(0, Part(rank=1, text=cut(head, MAX_TITLE), yields=True))
        return "", _fitted(parts, limits.body, limits, head)
    # A title is plain text in each form, and read as a body is.
    title = _cut(head, min(limits.title, MAX_TITLE), harmless)
    room = limits.body - (min(len(title) + limits.shared, limits.title) if limits.shared else 0)
    return title, _fitted(parts, room, limits, head)


def _head(delivery: Delivery, title: str) -> str:
    if words.is_text_alone(delivery):
        return words.heading(delivery, title)
    if delivery.kind is Kind.WITHDRAW:
        return f"{' '.join(words.over(delivery))}: {title}"
    return words.news_title(delivery, title) if _follows(delivery) else words.heading(delivery, title)


def _follows(delivery: Delivery) -> bool:
    """Whether it follows up on a message that is there."""
    return bool(delivery.receipt) and delivery.kind is not Kind.OPEN


def _parts(delivery: Delivery, texts: Texts) -> Iterator[Part]:
    if words.is_text_alone(delivery):
        yield from _of_many(delivery, texts)
        return
    follows = _follows(delivery)
    if what := words.what_it_is(delivery):
        yield Part(rank=3, text=what)
    if follows:
        yield Part(rank=2, text=words.news(delivery), yields=True)
    elif delivery.kind is Kind.REMIND:
        yield Part(rank=2, text=words.reminder(delivery), yields=True)
    if delivery.latest and not delivery.kind.responds:
        yield Part(rank=3, text="\n".join(filter(None, (words.standing(delivery), words.reason(delivery.latest)))))
    if not follows and delivery.kind is not Kind.WITHDRAW:
        yield from _facts(delivery, texts)
    if delivery.evidence and delivery.kind in (Kind.OPEN, Kind.UPDATE):
        yield Part(rank=6, text=f"Evidence:\n{words.evidence(delivery)}", apart=True)
    yield from _links(delivery)
    yield _foot(delivery)


def _facts(delivery: Delivery, texts: Texts) -> Iterator[Part]:
    facts = words.facts(delivery)
    lines = [f"{name}: {value}" for name, value in facts]
    values = [value if name in ("Severity", "CVE") else f"{name} {value}" for name, value in facts]
    yield Part(rank=4, text="\n".join(lines), shorter=", ".join(values[:3]))
    if body := words.squeezed(clean(texts.text(delivery, delivery.alert.description))):
        yield Part(rank=5, text=cut(body, MAX_TEXT), yields=True, apart=True)


def _links(delivery: Delivery) -> Iterator[Part]:
    """Where the alert itself is read first, then where else it stands, its other sources, and its page."""
    first, seen = _address(delivery.alert.link), 0
    if first:
        # What an alert calls its CVE is its own word; only of the address that holds it is it the name.
        name = one_line(clean(delivery.alert.cve_id or ""))
        label = name if name and len(name) <= words.MAX_LABEL and first.endswith(f"/{name}") else "Read more"
        yield Part(rank=0, text=label, url=first, apart=True)
    if _follows(delivery) or delivery.kind is Kind.WITHDRAW:
        return
    for label, url in words.links(delivery):
        made = _address(url)
        if made and made != first and seen < MAX_LINKS:
            seen += 1
            yield Part(rank=7, text=cut(label, words.MAX_LABEL), url=made)
    if page := _address(delivery.page):
        yield Part(rank=7, text="Why is this here?", url=page)


def _foot(delivery: Delivery) -> Part:
    alert = delivery.alert
    note = f" ({alert.date_note})" if alert.date_note else ""
    when = "Published" if delivery.origin is Origin.FEED else "Since"
    text = f"{when} {words.utc(alert.published_at)}{note} · Alert {cut(one_line(alert.id), words.MAX_VALUE)}"
    return Part(rank=8, text=text, apart=True)


def _of_many(delivery: Delivery, texts: Texts) -> Iterator[Part]:
    """A digest, or a report: a line each, as many as there is room for, and the rest counted."""
    body = words.squeezed(clean(texts.text(delivery, delivery.alert.description)))
    if delivery.items and body == words.squeezed(clean(delivery.alert.description)):
        yield Part(rank=2, text="\n".join(map(_row, delivery.items)), yields=True)
    else:
        yield Part(rank=2, text=cut(body, MAX_TEXT), yields=True)
    if page := _address(delivery.page):
        yield Part(rank=0, text="All of them", url=page, apart=True)


def _row(alert: Alert) -> str:
    told = (alert.severity_label, alert.cve_id, "CISA KEV" if alert.cisa_kev else None, alert.title)
    return f"- {cut(one_line(clean(' · '.join(filter(None, told)))), words.MAX_WHO)}"


def _address(url: str | None) -> str | None:
    made = address(url)
    return made if made and len(made) <= MAX_ADDRESS else None


def _plainly(text: str) -> str:
    """``text`` in letters of which a text message holds the most."""
    return _PICTURES.sub("", text).translate(_PLAIN)


# What fits


def _fitted(parts: Sequence[Part], room: int, limits: Limits, head: str) -> str:
    """As much of ``parts`` as there is room for, those of a low rank first, in their order; never nothing at all."""
    taken: dict[int, str] = {}
    between = " | " if limits.lines else newline(limits.form)
    for number in sorted(range(len(parts)), key=lambda number: parts[number].rank):
        part = parts[number]
        space = room - sum(len(text) + 2 * len(between) for text in taken.values())
        # An address leads nowhere once it is cut, and is not worth everything else.
        limit = min(space, room // 2) if part.url and part.rank == 0 else space
        if made := _made(part, limit, limits):
            taken[number] = made
    body = ""
    for number in sorted(taken):
        gap = between * (2 if parts[number].apart and limits.lines == 0 and not limits.is_short else 1)
        body += (gap if body else "") + taken[number]
    return body or said(cut(head, max(room // 2, 1)), limits.form)


def _made(part: Part, room: int, limits: Limits) -> str:
    """``part`` in at most ``room`` characters on the wire; empty where that is impossible."""
    for text in filter(None, (part.text, part.shorter)):
        if len(made := _written(text, part.url, limits)) <= room:
            return made
    if not part.yields:
        return ""
    by_lines = part.text.count("\n") > 1 and part.text.startswith("- ")
    if by_lines:
        return _lines(part.text.split("\n"), room, limits)
    least = min(_LEAST, len(part.text))
    made = _cut(part.text, room, lambda text: _written(text, None, limits), "..." if limits.is_short else "…")
    return made if len(made) >= least else ""


def _cut(text: str, room: int, written: Callable[[str], str], mark: str = "…") -> str:
    """As much of ``text`` as has at most ``room`` characters once ``written``, with a mark where some had to go."""
    lengths = range(min(len(text), max(room, 0)) + 1)
    length = bisect_right(lengths, room, key=lambda length: len(written(cut(text, length, mark)))) - 1
    return written(cut(text, length, mark)) if length >= 0 else ""


def _lines(lines: Sequence[str], room: int, limits: Limits) -> str:
    """As many of ``lines`` as there is room for, and how many more there are."""

    def first(count: int) -> str:
        return _written("\n".join([*lines[:count], f"… and {len(lines) - count:,} more"]), None, limits)

    count = bisect_right(range(len(lines)), room, key=lambda count: len(first(count))) - 1
    return first(count) if count >= 0 else ""


def _written(text: str, url: str | None, limits: Limits) -> str:
    if limits.is_short:
        text = _plainly(text)
    if limits.lines:
        text = one_line(text)
    if url is None:
        return said(text, limits.form)
    return url if limits.is_short else link(text, url, limits.form)
