"""What an issue or a comment says, in GitHub's Markdown.

Alerts are plain text from outside: nothing of them is interpreted. They mention nobody, link no issue and no commit,
and leave no trace in other repositories, which an address of an issue there does by itself.

https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from forwarder.connector import clean, cut, is_web_url, one_line
from forwarder.ticket import Fact

MAX_BODY: Final = 65_536
"""Characters of an issue's or a comment's body, by what GitHub answers to a longer one: ``body is too long (maximum is
65536 characters)``."""

CUT_MARK: Final = "…\n(The text continues beyond GitHub's size limit.)"

MAX_ROWS: Final = 500
"""What people can absorb: rows of a table."""

_ROOMS: Final = ((60_000, MAX_ROWS, 1000), (30_000, 200, 1000), (10_000, 100, 1000), (4_000, 10, 100))
"""Characters of the text, rows of the table and characters of a fact, from the most that ever fits to so little that it
always does."""

_BREAK: Final = "\u200b"
"""A space without width: what it stands in is read as before, and is no reference any more."""

_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n\s*")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._~:/?#@&=%+,;-]*[A-Za-z0-9/]", re.IGNORECASE)
_OF_GITHUB: Final = re.compile(r"(https?://)(?:[^/?#@]*@)?(?:www\.)?github\.com\.?(?=[/:?#]|$)", re.IGNORECASE)
_REFERENCE: Final = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<mention>@)(?=[A-Za-z0-9])"
    # What begins so is a link without any scheme.
    r"|(?P<site>\bwww)(?=\.)"
    r"|(?P<issue>#|\bGH-)(?=\d)"
    r"|\b(?P<commit>[0-9a-f]{4})(?=[0-9a-f]{3,36}\b)",
    re.IGNORECASE,
)
_AT_LINE_START: Final = re.compile(r"^(?:[-+=#>]|\d{1,9}(?=[.)](?:\s|$)))")
_MARKUP: Final = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|&(?=#?\w{1,32};)|<|:(?=[\w+-]+:)")
_SHOWN_BY_NAME: Final = {"<": "&lt;", "&": "&amp;", ":": f":{_BREAK}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What an issue or a comment says. ``mentions`` are called by name as they stand; ``mark`` is seen by no person.

    ``table`` has the same facts in each row, of which the names are the columns'.
    """

    text: str
    facts: Sequence[Fact] = ()
    table: Sequence[Sequence[Fact]] = ()
    small_print: str = ""
    mentions: Sequence[str] = ()
    mark: str = ""


def markdown(content: Content) -> str:
    """``content`` in at most MAX_BODY characters; its text and its table are cut where there would be more."""
    # What is far longer than there is room for is not looked at further.
    text = _BLANK_LINES.sub("\n\n", clean(content.text[: 2 * MAX_BODY])).strip()
    made = ""
    for room in _ROOMS:
        made = _written(content, text, *room)
        if len(made) <= MAX_BODY:
            break
    return made


def hidden(mark: str) -> str:
    """A line that no person sees, by which a body is known again. No text of an alert's can hold one."""
    return f"<!-- {mark} -->"


def escape(text: str) -> str:
    """Markdown that shows ``text`` as it stands. Web addresses can be clicked, and refer to nothing."""
    return "\n".join(_escape_line(line.strip()) for line in text.split("\n"))


def plain(body: str) -> str:
    """A body as a person reads it; for previews."""
    body = re.sub(r"\n*<!-- .* -->\n*", "", body).replace(_BREAK, "")
    body = re.sub(r"\*\*(.+?):\*\* ", r"\1: ", body)
    body = re.sub(r"</?sub>|^\| --- .*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"(?<!\\)\[((?:\\.|[^\]\\])*)\]\(<([^>]*)>\)", r"\1 (\2)", body)
    body = re.sub(r"<(https?://[^>]*)>", r"\1", body)
    body = re.sub(r"\\([^A-Za-z0-9\s])", r"\1", body)
    return body.replace("&lt;", "<").replace("&amp;", "&").strip()


def _written(content: Content, text: str, length: int, rows: int, most: int) -> str:
    left = len(content.table) - rows
    more = f"… and {left:,} more, the least severe: forwarder alerts lists them." if left > 0 else ""
    small = escape(one_line(clean(content.small_print)))
    parts = [
        "\n".join(f"- **{escape(fact.name)}:** {_value(fact, most)}" for fact in content.facts),
        "\n".join(_table(content.table[:rows])),
        escape(more),
        escape(cut(text, length, CUT_MARK)),
        " ".join(content.mentions),
        f"<sub>{small}</sub>" if small else "",
        hidden(content.mark) if content.mark else "",
    ]
    return "\n\n".join(filter(None, parts))


def _table(rows: Sequence[Sequence[Fact]]) -> Iterator[str]:
    if rows:
        yield "| " + " | ".join(escape(fact.name) for fact in rows[0]) + " |"
        yield "| " + " | ".join("---" for _ in rows[0]) + " |"
    for row in rows:
        yield "| " + " | ".join(map(_value, row)) + " |"


def _value(fact: Fact, most: int = MAX_BODY) -> str:
    value = one_line(clean(fact.value)) or "–"
    if not fact.url or not is_web_url(fact.url):
        return escape(cut(value, most))
    address = _address(fact.url.replace("|", "%7C"))
    return f"<{address}>" if value == fact.url else f"[{_escape(cut(value, most))}](<{address}>)"


def _escape_line(line: str) -> str:
    parts, end = [], 0
    for address in _ADDRESS.finditer(line):
        parts += [_escape(line[end : address.start()]), f"<{_address(address[0])}>"]
        end = address.end()
    escaped = "".join([*parts, _escape(line[end:])])
    start = _AT_LINE_START.match(escaped)
    if start is None:
        return escaped
    # Of a numbered list the dot is the mark, of all else the first character.
    at = len(start[0]) if start[0].isdigit() else 0
    return f"{escaped[:at]}\\{escaped[at:]}"


def _escape(text: str) -> str:
    text = _MARKUP.sub(lambda found: _SHOWN_BY_NAME.get(found[0], f"\\{found[0]}"), text)
    return _REFERENCE.sub(_broken, text)


def _broken(found: re.Match[str]) -> str:
    if found["uuid"]:
        return found[0]  # people look alerts up by it
    if (commit := found["commit"]) is None:
        return f"{found[0]}{_BREAK}"
    # A number, or a word such as "defaced", is none; what has both letters and digits may be one.
    whole = re.match(r"[0-9a-f]+", found.string[found.start() :], re.IGNORECASE)
    word = whole[0] if whole else commit
    return commit if word.isdigit() or word.isalpha() else f"{commit}{_BREAK}"


def _address(url: str) -> str:
    """``url``, by a way round where GitHub would note in the issue that it leads to that it was named here."""
    return _OF_GITHUB.sub(r"\1redirect.github.com", url)
