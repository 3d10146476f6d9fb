"""The languages of Jira's long texts: what an alert says is shown as it stands, and cut where Jira's limit is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from connectors.jira.markup import CUT_MARK, MAX_TEXT, Content, adf, cut_line, escape_wiki, plain, wiki
from connectors.jira.ticket import MAX_SUMMARY
from forwarder.common.text import clean
from forwarder.testing import HOSTILE_TEXTS
from forwarder.ticket import Fact
from tests.connectors.jira.kit import units


def texts(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "text":
        yield node["text"]
    for child in node.get("content", ()):
        yield from texts(child)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("write", [adf, wiki])
def test_a_text_reads_as_it_was_written(write: Callable[[Content], Any], text: str) -> None:
    """Whatever a text holds, the person who reads the ticket sees just that, up to Jira's limit."""
    body = write(Content(text=text))
    assert units(body) <= MAX_TEXT
    shown, meant = " ".join(plain(body).split()), " ".join(clean(text).split())
    assert shown == meant or (shown.endswith(CUT_MARK.split("\n")[1]) and meant.startswith(shown[:1000]))


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_document_has_no_empty_text_in_it(text: str) -> None:
    """Jira refuses a document with an empty text node, and control characters serve nobody."""
    page = Content(text=text, facts=[Fact(name="Title", value=text[:500])], small_print=text[:100])
    found = list(texts(adf(page)))
    assert all(found)
    assert all(node == clean(node) for node in found)


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("{code}x{code}", r"\{code\}x\{code\}"),
        ("[text|javascript:alert(1)]", r"\[text\|javascript:alert\(1)\]"),
        ("[~admin] !a.png!", r"\[\~admin\] \!a.png\!"),
        ("h1. Big\nbq. quote", "h1&#46; Big\nbq&#46; quote"),
        ("* item\n# item\n- item\n----", "\\* item\n\\# item\n\\- item\n\\-\\-\\-\\-"),
        ("||head||cell|", r"\|\|head\|\|cell\|"),
        ("_em_ +ins+ ^up^ ~down~ ??cite?? -del-", r"\_em\_ \+ins\+ \^up\^ \~down\~ \?\?cite\?\? \-del\-"),
        (r"C:\new\{x}", r"C:&#92;new&#92;\{x\}"),
        ("&lt;b&gt; a & b", "&#38;lt;b&#38;gt; a & b"),
        (":D ;) (x) (see it)", "&#58;D &#59;) \\(x) (see it)"),
        ("CVE-2026-10001 in a-b c_d?", r"CVE-2026-10001 in a-b c\_d?"),
        ("see https://example.com/a_b-c?d=~e.", "see https://example.com/a_b-c?d=~e."),
        ("https://example.com/{code}", r"https://example.com/\{code\}"),
    ],
)
def test_wiki_markup_of_an_alert_is_escaped(text: str, markup: str) -> None:
    """No macro, link, mention, image, heading, list or table of an alert's own; addresses can still be clicked."""
    assert escape_wiki(text) == markup


def test_a_link_in_wiki_markup_cannot_be_broken_out_of() -> None:
    """A source's address is the target of its link, whatever characters of the markup it holds."""
    url = "https://example.com/[x]!a.png!*b*"
    assert wiki(Content(text="", facts=[Fact(name="Source", value=url, url=url)])) == (
        "* *Source:* [https://example.com/%5Bx%5D%21a.png%21%2Ab%2A]"
    )
    assert "[a\\|b|https://example.com/]" in wiki(
        Content(text="", facts=[Fact(name="x", value="a|b", url="https://example.com/")])
    )


@pytest.mark.parametrize("write", [adf, wiki])
@pytest.mark.parametrize("char", ["a", "*", "\U0001f6a8"])
def test_a_text_at_the_limit_is_whole_and_one_past_it_is_cut_with_a_mark(
    write: Callable[[Content], Any], char: str
) -> None:
    """The limit counts what goes out, as Jira counts it: markup included, and an emoji as two."""
    frame = Content(text="", facts=[Fact(name="Severity", value="high")], small_print="small")
    each = units(write(replace(frame, text=char * 2))) - units(write(replace(frame, text=char)))
    room = (MAX_TEXT - units(write(replace(frame, text=char)))) // each + 1
    whole, cut = write(replace(frame, text=char * room)), write(replace(frame, text=char * (room + 1)))
    assert MAX_TEXT - each < units(whole) <= MAX_TEXT
    assert char * room in plain(whole)
    assert MAX_TEXT - 2 * each < units(cut) <= MAX_TEXT
    assert CUT_MARK in plain(cut)
    assert plain(cut).endswith("small")


@pytest.mark.parametrize("char", ["a", "\U0001f6a8"])
def test_a_line_at_the_limit_is_whole_and_one_past_it_is_cut_with_a_mark(char: str) -> None:
    """A summary's limit counts an emoji as two characters."""
    most = MAX_SUMMARY // units(char)
    assert cut_line(char * most, MAX_SUMMARY) == char * most
    cut = cut_line(char * (most + 1), MAX_SUMMARY)
    assert cut.endswith(f"{char}…")
    assert MAX_SUMMARY - 2 < units(cut) <= MAX_SUMMARY
