"""What a card is made of, and what it weighs. Pure.

An alert is other people's text. It stands in a RichTextBlock alone, which reads no Markdown: nothing in it becomes a
link, an image or a mention. Markdown is for our own words.
https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from forwarder.alert import Alert
from forwarder.connector import cut

VERSION: Final = "1.4"
"""The newest that a workflow posts: of a newer one nothing is shown, though Teams itself knows it.
https://github.com/microsoft/AdaptiveCards/issues/8965"""

MAX_MESSAGE: Final = 28 * 1024
"""Bytes of a message in Teams, with all that belongs to it.
https://learn.microsoft.com/connectors/teams/#known-issues-and-limitations-with-actions"""

MAX_CARD: Final = 24 * 1024
"""Our own, in bytes as ``weight`` counts them: the rest is left for what Teams itself adds to a message."""

MAX_URL: Final = 2000
"""Our own, in characters: no browser follows more for certain."""

_MENTION: Final = re.compile(r"<(?=\s*/?\s*at\b)", re.IGNORECASE)
_MACRO: Final = re.compile(r"\{\{(?=\s*(?:DATE|TIME)\b)", re.IGNORECASE)
_CVE: Final = re.compile(r"https://nvd\.nist\.gov/vuln/detail/(CVE-\d{4}-\d{4,})")

Element = dict[str, Any]


def weight(part: Any) -> int:
    """Bytes of ``part`` in a message.

    Teams keeps a card as text within its own JSON, so each quotation mark counts twice, and anything but ASCII may be
    written as an escape: a card of 24,453 bytes was refused for its 28,897.
    https://github.com/MicrosoftDocs/msteams-docs/issues/11274
    """
    return len(json.dumps(json.dumps(part, separators=(",", ":")))) - 2


def plain(text: str, *, spacing: str = "", **style: Any) -> Element:
    """Other people's text, as it reads, in the ``style`` of a TextRun."""
    block = {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": harmless(text), **style}]}
    return {**block, "spacing": spacing} if spacing else block


def harmless(text: str) -> str:
    """``text`` without what Teams reads even where there is no Markdown: mentions, and macros for dates."""
    return _MACRO.sub("{ {", _MENTION.sub("< ", text))


def own(markdown: str, **style: Any) -> Element:
    """Our own words, in Markdown."""
    return {"type": "TextBlock", "text": markdown, **style}


def linked(words: str, url: str) -> str:
    """``words`` of our own as Markdown that leads to ``url``."""
    return f"[{words}]({url.replace('(', '%28').replace(')', '%29')})"


def cve(alert: Alert, limit: int) -> Element:
    """The alert's CVE, linked to its entry in the NVD where it is well-formed."""
    found = _CVE.fullmatch(alert.link or "")
    # The address may be one of the alert's own sources: only of a well-formed one nothing is Markdown.
    if found and found[1] == alert.cve_id and len(found[1]) <= limit:
        return own(linked(found[1], found[0]))
    return plain(cut(alert.cve_id or "–", limit))


def row(*columns: tuple[str, Element], **style: Any) -> Element:
    """A line of columns, each with its width."""
    return {
        "type": "ColumnSet",
        "columns": [{"type": "Column", "width": width, "items": [item]} for width, item in columns],
        **style,
    }


def button(words: str, url: str) -> Element:
    """A button that opens ``url``. Its words are no Markdown."""
    return {"type": "Action.OpenUrl", "title": harmless(words), "url": url}


def adaptive(body: Sequence[Element], actions: Sequence[Element] = (), entities: Sequence[Element] = ()) -> Element:
    """The whole card."""
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": VERSION,
        "body": list(body),
        **({"actions": list(actions)} if actions else {}),
        "msteams": {"width": "Full", **({"entities": list(entities)} if entities else {})},
    }
