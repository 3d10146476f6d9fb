"""How words and links are written in the three forms that services take: plain text, Markdown and HTML. Pure.

An alert is other people's text. Many services read Markdown and mentions in what is sent as plain text, too, so what
would lead somewhere or call somebody is broken in every form.
"""

from __future__ import annotations

import re
from enum import StrEnum
from html import escape, unescape
from typing import Final
from urllib.parse import urlsplit

from forwarder.connector import is_web_url


class Form(StrEnum):
    """What a service reads; the values are Apprise's."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"


BREAK: Final = "\u200b"
"""A space of no width: it is not seen, and no service reads over it."""

_CALLS: Final = re.compile(
    r"(@)(?=\S)"  # @everyone, @here, @user, @**all**
    r"|(<)(?=[!@#/:A-Za-z])"  # <!channel>, <@U123>, <users/all>, <at id=all>, <https://…>
    r"|(\])(?=[(:\[])"  # [words](address), ![picture](address), [words][1], [1]: address
    r"|(\{)(?=[{%])"  # {{DATE(…)}}, {% … %}
    r"|(\()(?=(?:met|rol|chn)\))"  # (met)all(met), as KOOK writes a mention
    r"|(\[)(?=CQ:)",  # [CQ:at,qq=all], as OneBot does
    re.IGNORECASE,
)
_MARKS: Final = re.compile(
    r"([\\`*_\[\]~|<>]|&(?=#?\w+;)"
    r"|(?<=^)[#+=-]|(?<=\n)[#+=-]"  # a heading, a list or a rule
    r"|(?<=\d)[.)](?=\s))"  # a numbered list
)
"""What may mean something in Markdown, each of which a backslash makes itself:
https://spec.commonmark.org/0.31.2/#backslash-escapes. No more than that, for some services show the backslash."""

_IN_ADDRESS: Final = {ord(char): f"%{ord(char):02X}" for char in "()[]@*~"}
_NEWLINES: Final = {Form.TEXT: "\n", Form.MARKDOWN: "  \n", Form.HTML: "<br/>\n"}


def newline(form: Form) -> str:
    """What ends a line. Two spaces before it are a hard break: https://spec.commonmark.org/0.31.2/#hard-line-breaks"""
    return _NEWLINES[form]


def harmless(text: str) -> str:
    """``text``, in which nothing is a mention, a link behind other words, a picture or a macro."""
    return _CALLS.sub(lambda found: f"{found[0]}{BREAK}", text)


def said(text: str, form: Form) -> str:
    """Other people's text, as it reads."""
    text = harmless(text)
    if form is Form.HTML:
        text = escape(text)
    elif form is Form.MARKDOWN:
        text = _MARKS.sub(r"\\\1", text)
    return text.replace("\n", newline(form))


def link(words: str, url: str, form: Form) -> str:
    """``words``, and the address to which they lead."""
    if form is Form.HTML:
        return f'<a href="{escape(url)}">{said(words, form)}</a>'
    if form is Form.MARKDOWN:
        return f"[{said(words, form)}]({url})"
    return f"{said(words, form)}{'' if words.endswith('?') else ':'} {url}"


def address(url: str | None) -> str | None:
    """``url`` in a form in which nothing means something else; None where it cannot be linked."""
    if not url or not is_web_url(url):
        return None
    try:
        place = urlsplit(url).netloc
    except ValueError:
        return None
    if "@" in place or "[" in place:
        return None
    head, found, rest = url.partition(place)
    return f"{head}{found}{rest.translate(_IN_ADDRESS)}"


def shown(body: str, form: Form) -> str:
    """What was written in ``form`` as people see it, in plain text, with the address behind each link."""
    if form is Form.HTML:
        body = re.sub(r'<a href="([^"]*)">(.*?)</a>', r"\2 (\1)", body, flags=re.DOTALL)
        return unescape(body.replace(_NEWLINES[Form.HTML], "\n"))
    if form is Form.MARKDOWN:
        body = re.sub(r"(?<!\\)\[((?:[^\[\]\\]|\\.)*)\]\(([^)]*)\)", r"\1 (\2)", body)
        return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", body.replace(_NEWLINES[Form.MARKDOWN], "\n"))
    return body
