"""How Jira's search finds words in texts: by stems, without marks, and in any case of letters.

What is found is near to what was asked for, and not always the same.
https://confluence.atlassian.com/jirasoftwareserver/search-syntax-for-text-fields-939938747.html
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_STOP_WORDS: Final = frozenset(
    ("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
     "on", "or", "s", "such", "t", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was",
     "will", "with")
)  # fmt: skip
_SUFFIXES: Final = ("ing", "ed", "es", "s")
_SHORTEST_STEM: Final = 3
_FUZZY: Final = 12
"""Characters by which a careless search tells words apart."""

_PART: Final = re.compile(
    r'\s*(?:"(?P<phrase>[^"]*)"(?:~\d+)?|(?P<join>AND\b|OR\b|NOT\b|&&|\|\||!)|(?P<sign>[+-])(?=\S)|(?P<term>[^\s"]+))'
)
_SPECIAL: Final = re.compile(r"[(){}\[\]:]")


class TextError(ValueError):
    """The text query is none; the message is Jira's, with ``{field}`` where the field is named."""


class Words:
    """The words of one text, as an index has them. ``fuzzy`` tells longer ones apart by their beginning only."""

    def __init__(self, text: str, *, fuzzy: bool = False) -> None:
        self._fuzzy = fuzzy
        self._plain: set[str] = set()
        self._at: dict[str, set[int]] = {}
        for place, word in enumerate(_words(text)):
            self._plain.add(word)
            self._at.setdefault(self._key(word), set()).add(place)

    def _key(self, word: str) -> str:
        return _stem(word)[:_FUZZY] if self._fuzzy else _stem(word)

    def has_phrase(self, words: Sequence[str]) -> bool:
        """Whether these words (at least one), or others of the same stems, stand one after the other."""
        first, *more = [self._at.get(self._key(word), set()) for word in words]
        return any(all(start + step in places for step, places in enumerate(more, 1)) for start in first)

    def has_like(self, pattern: str) -> bool:
        """Whether there is a word of that pattern, in which ``*`` and ``?`` stand for others."""
        return bool(fnmatch.filter(self._plain, pattern.lower()))


Asked = Callable[[Words], bool]


def asked(query: str) -> Asked:
    """Whether words are what ``query`` asks for; raises TextError."""
    if not query.strip():
        raise TextError("The field '{field}' does not support searching for an empty string.")
    if _SPECIAL.search(re.sub(r'"[^"]*"', "", query)) or query.count('"') % 2:
        raise TextError(f"Unable to parse the text '{query}' for field '{{field}}'.")
    branches: list[list[Asked]] = [[]]
    negated = False
    for part in _PART.finditer(query.strip()):
        match part["join"] or part["sign"]:
            case "OR" | "||":
                branches.append([])
            case "NOT" | "!" | "-":
                negated = True
            case None:
                holds = _holds(part["phrase"], part["term"], query)
                if holds is not None:
                    branches[-1].append(_not(holds) if negated else holds)
                negated = False
    return lambda words: any(branch and all(holds(words) for holds in branch) for branch in branches)


def _holds(phrase: str | None, term: str | None, query: str) -> Asked | None:
    """Whether the words are what one term asks for; None where it asks only for what is in no index."""
    if term is None:
        return _phrase(phrase or "")
    # Neither how near nor how much it weighs changes what is found.
    term = re.sub(r"[~^][\d.]*$", "", term)
    if term[:1] in ("*", "?"):
        raise TextError(f"The text query '{query}' for field '{{field}}' is not allowed to start with '{term[0]}'.")
    if "*" in term or "?" in term:
        return lambda words: words.has_like(term)
    return _phrase(term)


def _phrase(text: str) -> Asked | None:
    wanted = _words(text)
    return (lambda words: words.has_phrase(wanted)) if wanted else None


def _not(holds: Asked) -> Asked:
    return lambda words: not holds(words)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            return word[: -len(suffix)]
    return word
