"""What a ticket or a comment says, in the languages of Jira's long texts: ADF (Cloud), wiki markup (Data Center).

Alerts are plain text from outside. In both languages nothing of them is interpreted: no macro, mention, image or
heading of an alert's own comes to be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from forwarder.connector import clean, cut, is_web_url, one_line
from forwarder.ticket import Fact

MAX_TEXT: Final = 32_767
"""Most characters of a description or a comment, markup included: Jira's default, ``jira.text.field.character.limit``.

https://confluence.atlassian.com/adminjiraserver/advanced-jira-application-configuration-938847001.html
"""

MAX_ROWS: Final = 500
"""What people can absorb: rows of a table."""

CUT_MARK: Final = "…\n(The text continues beyond Jira's size limit.)"

Body = str | dict[str, Any]
"""A long text as Jira accepts it: wiki markup, or the JSON of an ADF document."""

_MAX_LABEL: Final = 200
_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n\s*")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._~:/?#@&=%+,;-]*[A-Za-z0-9/]")
_SHOWN_BY_NUMBER: Final = "\\&.:;"
_WIKI_MARKUP: Final = re.compile(
    r"[\\{}\[\]*_+^~|!]"
    r"|&(?=#?\w{1,32};)"  # an entity
    r"|(?<=\bh[1-6])\.|(?<=\bbq)\."  # a heading, a quote
    r"|[:;](?=[()DPp])|\((?=[^\s()]{1,5}\))"  # an emoticon
    r"|(?<!\w)[-#]|-(?!\w)"  # a list, a rule, a strike-through
    r"|\?(?=\?)|(?<=\?)\?"  # a citation
)
_WIKI_ESCAPE: Final = re.compile(r"&#(\d{1,6});|\\([^A-Za-z0-9\s])")
_WIKI_FACT: Final = re.compile(r"^\* \*(.+?)\* ", re.MULTILINE)

B = TypeVar("B", str, dict[str, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a ticket or a comment says: facts, a table, a text of several paragraphs, small print and a last line.

    ``table`` has the same facts in each row, of which the names are the columns'. Rows that do not fit are left off
    from the end, and counted.
    """

    text: str
    facts: Sequence[Fact] = ()
    small_print: str = ""
    last_line: str = ""
    table: Sequence[Sequence[Fact]] = ()


def adf(content: Content) -> dict[str, Any]:
    """``content`` as an Atlassian Document; its text is cut where the JSON would pass MAX_TEXT.

    https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
    """
    if content.table:
        return _most_rows(content, lambda shown: _adf_document(shown, shown.text))
    return _fit(content.text, lambda text: _adf_document(content, text))


def wiki(content: Content) -> str:
    """``content`` in wiki markup; its text is cut where the markup would pass MAX_TEXT.

    https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all
    """
    if content.table:
        return _most_rows(content, lambda shown: _wiki_text(shown, shown.text))
    return _fit(content.text, lambda text: _wiki_text(content, text))


def plain(body: object) -> str:
    """A long text of Jira's, of either language, as a person reads it."""
    if isinstance(body, str):
        return _WIKI_ESCAPE.sub(lambda found: found[2] or chr(int(found[1])), _WIKI_FACT.sub(r"- \1 ", body))
    return _plain(body) if isinstance(body, Mapping) else ""


def length(body: Body) -> int:
    """Characters of a text as Jira counts them: UTF-16 units, of which an emoji has two."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def cut_line(text: str, limit: int) -> str:
    """``text`` as one line of at most ``limit`` characters as Jira counts them, with a mark where it was cut."""
    line = _line(text)
    return line if length(line) <= limit else _longest(line[:limit], "…", lambda part: length(part) <= limit)


def escape_wiki(text: str) -> str:
    """Wiki markup that shows ``text`` as it stands; web addresses stay whole, so that they can be clicked."""
    parts, end = [], 0
    for address in _ADDRESS.finditer(text):
        parts += [_escape(text[end : address.start()]), address[0]]
        end = address.end()
    return "".join([*parts, _escape(text[end:])])


def _escape(text: str) -> str:
    # A backslash before a mark takes its meaning away; what it does not work for is written as a character reference.
    return _WIKI_MARKUP.sub(
        lambda found: f"&#{ord(found[0])};" if found[0] in _SHOWN_BY_NUMBER else f"\\{found[0]}", text
    )


def _fit(text: str, write: Callable[[str], B]) -> B:
    # Blank lines go first: only then is a written text never shorter than the text, and the rest can be left aside.
    text = _BLANK_LINES.sub("\n\n", clean(text)).strip()[: MAX_TEXT + 1]
    body = write(text)
    if length(body) <= MAX_TEXT:
        return body
    return write(_longest(text, CUT_MARK, lambda part: length(write(part)) <= MAX_TEXT))


def _most_rows(content: Content, write: Callable[[Content], B]) -> B:
    """``content`` with as many rows of its table as fit beside the rest."""

    def with_rows(count: int) -> B:
        left = len(content.table) - count
        more = f"… and {left:,} more, the least severe: forwarder alerts lists them." if left else ""
        text = "\n\n".join(filter(None, [clean(content.text).strip(), more]))
        return write(replace(content, table=content.table[:count], text=text))

    low, high = 0, min(len(content.table), MAX_ROWS)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(with_rows(middle)) <= MAX_TEXT else (low, middle - 1)
    return with_rows(low)


def _longest(text: str, mark: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of ``text`` that ``fits`` with ``mark`` after it."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle] + mark) else (low, middle - 1)
    return text[:low].rstrip() + mark


def _line(text: str) -> str:
    return one_line(clean(text))


def _wiki_text(content: Content, text: str) -> str:
    facts = "\n".join(f"* *{escape_wiki(fact.name)}:* {_wiki_value(fact)}" for fact in content.facts)
    lines = [escape_wiki(_line(line)) for line in (content.small_print, content.last_line)]
    parts = [facts, _wiki_table(content.table), escape_wiki(text), *lines]
    return "\n\n".join(filter(None, parts))


def _wiki_table(rows: Sequence[Sequence[Fact]]) -> str:
    if not rows:
        return ""
    head = "".join(f"||{escape_wiki(fact.name)}" for fact in rows[0])
    # A cell without anything in it would end the table.
    body = ("".join(f"|{_wiki_value(fact) or ' '}" for fact in row) + "|" for row in rows)
    return "\n".join([f"{head}||", *body])


def _wiki_value(fact: Fact) -> str:
    if not fact.url or not is_web_url(fact.url):
        return escape_wiki(_line(fact.value))
    url = re.sub(r"[\[\]!*|]", lambda found: f"%{ord(found[0]):02X}", fact.url)
    return f"[{url}]" if fact.value == fact.url else f"[{_escape(_line(fact.value))}|{url}]"


def _adf_document(content: Content, text: str) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    if content.facts:
        nodes.append({"type": "bulletList", "content": [_adf_fact(fact) for fact in content.facts]})
    if content.table:
        nodes.append(_adf_table(content.table))
    paragraphs = map(_adf_lines, [*text.split("\n\n"), _line(content.small_print), _line(content.last_line)])
    nodes.extend({"type": "paragraph", "content": lines} for lines in paragraphs if lines)
    return {"type": "doc", "version": 1, "content": nodes}


def _adf_table(rows: Sequence[Sequence[Fact]]) -> dict[str, Any]:
    """https://developer.atlassian.com/cloud/jira/platform/apis/document/nodes/table/"""
    head = [_adf_cell("tableHeader", {"type": "text", "text": fact.name}) for fact in rows[0]]
    body = [[_adf_cell("tableCell", _adf_value(fact)) for fact in row] for row in rows]
    return {"type": "table", "content": [{"type": "tableRow", "content": cells} for cells in (head, *body)]}


def _adf_cell(kind: str, text: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "content": [{"type": "paragraph", "content": [text]}]}


def _adf_value(fact: Fact) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "text", "text": _line(fact.value) or "–"}
    if fact.url and is_web_url(fact.url):
        value["text"] = cut(value["text"], _MAX_LABEL)
        value["marks"] = [{"type": "link", "attrs": {"href": fact.url}}]
    return value


def _adf_fact(fact: Fact) -> dict[str, Any]:
    value = _adf_value(fact)
    name = {"type": "text", "text": f"{fact.name}: ", "marks": [{"type": "strong"}]}
    return {"type": "listItem", "content": [{"type": "paragraph", "content": [name, value]}]}


def _adf_lines(paragraph: str) -> list[dict[str, Any]]:
    """The lines of ``paragraph`` with breaks in between. Jira refuses a document that has an empty text in it."""
    nodes: list[dict[str, Any]] = []
    for line in filter(str.strip, paragraph.split("\n")):
        nodes += [{"type": "hardBreak"}, {"type": "text", "text": line}]
    return nodes[1:]


def _plain(node: Mapping[str, Any]) -> str:
    parts = map(_plain, _children(node))
    match node.get("type"):
        case "doc":
            return "\n\n".join(filter(None, parts))
        case "bulletList" | "orderedList" | "table":
            return "\n".join(parts)
        case "tableRow":
            return " | ".join(parts)
        case "listItem":
            return "- " + "".join(parts)
        case "hardBreak":
            return "\n"
        case "text":
            return str(node.get("text", ""))
    return "".join(parts)


def _children(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = node.get("content")
    return [child for child in content if isinstance(child, Mapping)] if isinstance(content, list) else []
