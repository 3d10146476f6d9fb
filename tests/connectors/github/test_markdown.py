"""What an alert says is text in an issue: no markup, no mention, no reference, within GitHub's limits."""

from __future__ import annotations

from typing import Final

import pytest

from connectors.github.markdown import CUT_MARK, MAX_BODY, Content, escape, hidden, markdown, plain
from forwarder.sandbox.github import taken_from
from forwarder.testing import HOSTILE_TEXTS
from forwarder.ticket import Fact

Z = "\u200b"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ask @ada and @example/team", f"ask @{Z}ada and @{Z}example/team"),
        ("fixes #12, example/other#3, GH-4", f"fixes #{Z}12, example/other#{Z}3, GH-{Z}4"),
        ("since 4f1a2b3c and deadbeef, CVE-2026-1234567", f"since 4f1a{Z}2b3c and deadbeef, CVE-2026-1234567"),
        ("see https://github.com/o/r/issues/1.", "see <https://redirect.github.com/o/r/issues/1>."),
        ("HTTP://www.GitHub.com/o/r/pull/1", "<HTTP://redirect.github.com/o/r/pull/1>"),
        ("www.github.com/o/r/issues/1", f"www{Z}.github.com/o/r/issues/1"),
        ("https://me@github.com./o/r/issues/1", "<https://redirect.github.com/o/r/issues/1>"),
        ("https://github.community/x#1", "<https://github.community/x#1>"),
        ("a *b* _c_ snake_case `d` [e](f) <b> ~g~ |h| $i$", None),
        ("<!-- sentrytex open r1 -->", r"&lt;!-- sentrytex open r1 -->"),
        ("# head\n- list\n+ list\n===\n> quote\n1. first\n2) second", None),
        ("    code", "code"),
        ("10.0 of 10", "10.0 of 10"),
        ("&lt; &#64;ada &amp; a & b", f"&amp;lt; &amp;#{Z}64;ada &amp;amp; a & b"),
        ("go :rocket: :+1: std::vector", f"go :{Z}rocket: :{Z}+1: std::vector"),
    ],
)
def test_text_is_shown_as_it_stands(text: str, written: str | None) -> None:
    """Markup is escaped, and what would be a reference is one no more; a reader sees what the alert says."""
    escaped = escape(text)
    if written is not None:
        assert escaped == written
    if "/o/r/" not in text:
        assert plain(escaped) == text.strip()


@pytest.mark.parametrize("mark", ["*", "_", "`", "[", "]", "<", "|", "~", "$", "\\"])
def test_every_mark_of_markdown_is_escaped(mark: str) -> None:
    assert escape(f"{mark}a{mark}") in {f"\\{mark}a\\{mark}", "&lt;a&lt;"}


@pytest.mark.parametrize("start", ["- ", "+ ", "# ", "> ", "=", "1. ", "12) "])
def test_no_line_begins_a_block(start: str) -> None:
    """A list, a heading, a quote or the line under a heading would change what follows it."""
    written = escape(f"{start}x")
    assert "\\" in written
    assert written.replace("\\", "") == f"{start}x"


REFERRING: Final = (
    "@ada (@ada) [@ada](x) `@ada` **@ada** \\@ada &#64;ada <b>@ada</b> @example/team",
    "fixes #1 (#1) GH-1 example/other#1 `#1` &#35;1",
    "https://github.com/o/r/issues/1 <https://github.com/o/r/pull/1> [x](https://github.com/o/r/issues/1)",
    "www.github.com/o/r/issues/1 https://me@github.com/o/r/issues/1 https://github.com./o/r/issues/1",
    "https://example.com/@ada#1 and then @ada",
)


@pytest.mark.parametrize("text", [*REFERRING, *(text for text in HOSTILE_TEXTS if len(text) < 10_000)])
def test_no_text_mentions_or_refers_to_anything(text: str) -> None:
    """GitHub, as the stand-in reads bodies, takes nothing out of an alert: not as a fact, in a table, nor as text."""
    facts = [Fact(name="Source", value=text, url=text), Fact(name="Vendor", value=text)]
    body = markdown(Content(text=text, facts=facts, table=[facts], small_print=text, mark="mark"))
    assert body.splitlines().count(hidden("mark")) == 1
    assert "<!--" not in body.replace(hidden("mark"), "")
    assert taken_from(body) == ([], [])


def test_the_stand_in_takes_what_is_not_escaped() -> None:
    """Else nothing would be proved by what it does not take."""
    mentions, references = taken_from("@ada fixes #1, GH-2 and https://github.com/o/r/issues/1, not <!-- @grace -->")
    assert mentions == ["ada"]
    assert len(references) == 3


def test_a_body_is_cut_where_github_ends() -> None:
    """At the limit nothing is cut; one character more is, with a mark, and it always fits."""
    room = 60_000
    assert markdown(Content(text="x" * room)) == "x" * room
    cut = markdown(Content(text="x" * (room + 1)))
    assert cut.endswith(escape(CUT_MARK))
    assert len(cut) <= room + len(CUT_MARK)
    facts = [Fact(name="Evidence", value="<" * 1000)] * 40
    row = [Fact(name="Alert", value="<" * 120, url=f"https://e.com/{'x' * 480}")] * 3
    for content in (
        Content(text="<" * 2_000_000, facts=facts),
        Content(text="", table=[row] * 5000, facts=facts),
        Content(text="@a" * 40_000),
    ):
        assert len(markdown(content)) <= MAX_BODY


def test_a_table_shows_what_fits_and_counts_the_rest() -> None:
    rows = [[Fact(name="Severity", value="high"), Fact(name="Alert", value=f"a|{number}")] for number in range(600)]
    body = markdown(Content(text="", table=rows))
    assert body.splitlines()[:3] == ["| Severity | Alert |", "| --- | --- |", "| high | a\\|0 |"]
    assert sum(line.startswith("| high") for line in body.splitlines()) == 500
    assert "… and 100 more, the least severe: forwarder alerts lists them." in plain(body)
