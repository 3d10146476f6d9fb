"""By what the ticket of an alert is found again: a label, or a line of its description.

A line is found by Jira's search of texts, which takes words apart, folds them and answers with what is near. So what
stands there is one word of plain letters and digits, and it is compared by ourselves.
https://support.atlassian.com/jira-software-cloud/docs/search-syntax-for-text-fields/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from connectors.jira.client import RequestFailed, unreadable
from connectors.jira.markup import Content, plain
from forwarder.connector import RENAMED, Failed, Memory
from forwarder.ticket import LABEL, Fact, identity

if TYPE_CHECKING:
    from connectors.jira.config import JiraConfig

MAX_IDENTITY: Final = 110
"""Our own: of the label by which a ticket is found again."""

DIGITS: Final = 32
"""Of the word: 106 bits. It ends in digits, from which no language's search takes an ending away, and begins with
letters, so that it passes for no number."""

FIELDS: Final = "labels,description"
"""What is asked of a ticket to tell whose it is."""

# What stands in tickets is known by it: another wording must not forget this one.
_SENTENCE: Final = "Please keep this line, by which the forwarder finds this ticket: "
_WORD: Final = rf"{LABEL}\d{{{DIGITS}}}(?!\w)"
_LINES: Final = re.compile(re.escape(_SENTENCE).replace(r"\ ", r"\s+") + f"({_WORD})", re.IGNORECASE)
_WORDS: Final = re.compile(rf"(?<!\w)({LABEL})(?=\d{{{DIGITS}}}(?!\w))", re.IGNORECASE)

_KEPT: Final = "identity"
"""The key of the memory: that tickets were created with a line."""

_TEXT: Final = "text"


@dataclass(frozen=True, slots=True)
class Identity:
    """By what one alert's ticket is found: ``label``, in lower case, or ``word``, in a line of the description."""

    label: str
    word: str

    @classmethod
    def of(cls, alert_id: str) -> Identity:
        """That of the alert with this id."""
        hashed = hashlib.sha256(alert_id.encode("utf-8", "replace")).digest()
        number = int.from_bytes(hashed, "big") % 10**DIGITS
        return cls(label=identity(alert_id, MAX_IDENTITY), word=f"{LABEL}{number:0{DIGITS}}")

    def rank(self, marks: Marks) -> int | None:
        """How clearly a ticket with these ``marks`` is the one: less is clearer, None where it is not.

        Into a ticket of their own people copy what another one says: what bears several is less clearly any of them.
        """
        if self.label in marks.labels:
            return 0
        return len(marks.words) if self.word in marks.words else None


@dataclass(frozen=True, slots=True)
class Marks:
    """By what one ticket may be found, all of it in lower case."""

    labels: frozenset[str]
    words: frozenset[str]

    @classmethod
    def of(cls, issue: Mapping[str, Any]) -> Marks:
        """Those of a ticket with FIELDS, of which a site may have one alone; raises RequestFailed for neither."""
        fields = issue.get("fields")
        if not isinstance(fields, Mapping) or not {"labels", "description"} & fields.keys():
            raise RequestFailed(unreadable(writes=False))
        labels = fields.get("labels", [])
        if not isinstance(labels, list):
            raise RequestFailed(unreadable(writes=False))
        words = _LINES.findall(plain(fields.get("description")))
        return cls(labels=frozenset(str(one).lower() for one in labels), words=frozenset(map(str.lower, words)))


class Ways:
    """How tickets are found: by their label, and ``by_text`` where there may be some that bear a line instead."""

    def __init__(self, config: JiraConfig) -> None:
        self._writes_lines = config.identity == _TEXT
        self.by_text = self._writes_lines

    def remember(self, memory: Memory) -> None:
        """Takes over whether earlier processes wrote lines, and keeps that this one does."""
        if self._writes_lines:
            # Before the first ticket, for another connector may have to find it.
            memory.put(_KEPT, _TEXT)
            return
        try:
            self.by_text = _TEXT in (memory.get(_KEPT), memory.get(RENAMED + _KEPT))
        except Failed:
            self.by_text = True


def with_line(content: Content, alert_id: str) -> Content:
    """``content`` with the line by which its ticket is found."""
    return replace(content, last_line=_SENTENCE + Identity.of(alert_id).word)


def without_words(content: Content) -> Content:
    """``content`` in which nothing that an alert says passes for such a line."""
    return replace(
        content,
        text=_apart(content.text),
        facts=[_fact(fact) for fact in content.facts],
        table=[[_fact(fact) for fact in row] for row in content.table],
        small_print=_apart(content.small_print),
    )


def _fact(fact: Fact) -> Fact:
    return replace(fact, value=_apart(fact.value))


def _apart(text: str) -> str:
    return _WORDS.sub(r"\1 ", text)
