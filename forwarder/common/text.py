"""Texts: cleaned, cut, on one line, and in the right number."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from forwarder.common.units import format_duration

_WEB_URL: Final = re.compile(r"https?://[^\s<>\"'`|\\^{}]+", re.IGNORECASE)
_ALWAYS_UNSAFE: Final = {"Cc", "Cs"}
_BIDI: Final = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")


def clean(text: str) -> str:
    """``text`` without control characters, lone surrogates and marks that turn the reading direction.

    They break JSON, terminals and databases, or make a text read as something that it is not. Newlines and tabs stay.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        char if char in "\n\t" else "\ufffd" if unicodedata.category(char) in _ALWAYS_UNSAFE else char
        for char in text
        if char not in _BIDI
    )


def one_line(text: str) -> str:
    """``text`` with every run of white space as one space."""
    return " ".join(text.split())


def is_web_url(url: str) -> bool:
    """Whether ``url`` is an http(s) address that can be linked as it stands (``javascript:`` is not)."""
    return bool(_WEB_URL.fullmatch(url))


def cut(text: str, limit: int, mark: str = "…") -> str:
    """``text`` in at most ``limit`` characters, with ``mark`` at its end where something had to go."""
    return text if len(text) <= limit else text[: max(limit - len(mark), 0)].rstrip() + mark[:limit]


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 delivery``, ``2 deliveries``, ``1,974 deliveries``; the plural is ``one`` with an s where none is given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ago(seconds: float) -> str:
    """How long ago something was, ``seconds`` back from now; a negative one lies ahead."""
    if abs(seconds) < 1:
        return "just now"
    return f"{format_duration(round(seconds))} ago" if seconds > 0 else f"in {format_duration(round(-seconds))}"
