"""A mail as a page of HTML: tables and inline styles, for that is what programs that read mail agree on. Pure.

Everything is escaped, and every address begins with http. Nothing is loaded from anywhere: no pictures, no fonts.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from connectors.email.content import Content, Table, Words
from forwarder.alert import Severity
from forwarder.connector import clean

_COLOURS: Final = {
    Severity.CRITICAL: "#b3142a",
    Severity.HIGH: "#b4530a",
    Severity.MEDIUM: "#7a5c00",
    Severity.LOW: "#1f5fa8",
    None: "#4a5560",
}
"""Of the bar at the top: white words on each have a contrast of 4.5 at least."""

_FONT: Final = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_INK, _GREY, _LINE, _LINK = "#1c2126", "#59636e", "#d8dee4", "#0b57a4"

_DARK: Final = (
    ":root{color-scheme:light dark;supported-color-schemes:light dark}"
    "@media (prefers-color-scheme:dark){"
    ".b{background:#14181c!important}.c{background:#1e2429!important;border-color:#3a434c!important}"
    ".i{color:#e8ecf0!important}.g{color:#a3aeb8!important}.l{border-color:#3a434c!important}"
    ".a{color:#8ab8f0!important}}"
    "@media (max-width:480px){.p{padding-left:14px!important;padding-right:14px!important}.w{width:84px!important}"
    ".v{width:108px!important}}"
)
"""What inline styles cannot say. Programs that know no style sheet show the light form, whole."""

_TABLE: Final = 'role="presentation" cellpadding="0" cellspacing="0" border="0" width="100%"'


def page(content: Content) -> str:
    """The whole of it."""
    parts = [
        _bar(content),
        *(_line(one, 15, strong=True) for one in content.news),
        _pairs((escape(name), _linked(value)) for name, value in content.facts),
        _evidence(content.evidence),
        _paragraphs(content.text),
        *(_table(one) for one in content.tables),
        _listed(content.links),
        _notes(content.notes),
    ]
    return clean(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(content.title)}</title><style>{_DARK}</style></head>"
        f'<body class="b" style="margin:0;padding:0;background:#f3f5f7">'
        f'<table {_TABLE} class="b" style="background:#f3f5f7"><tr><td align="center" style="padding:16px 8px">'
        # Outlook knows no max-width, and all others do.
        '<!--[if mso]><table role="presentation" width="640"><tr><td><![endif]-->'
        f'<table {_TABLE} class="c" style="max-width:640px;background:#ffffff;border:1px solid {_LINE};'
        f'border-collapse:separate;border-radius:6px;{_FONT}">{"".join(parts)}</table>'
        "<!--[if mso]></td></tr></table><![endif]-->"
        "</td></tr></table></body></html>\n"
    )


def _bar(content: Content) -> str:
    colour = _COLOURS[content.severity]
    return (
        f'<tr><td class="p" bgcolor="{colour}" style="background:{colour};padding:14px 24px;border-radius:5px 5px 0 0;'
        f'color:#ffffff;{_FONT}"><div style="font-size:12px;font-weight:bold;letter-spacing:.06em;'
        f'text-transform:uppercase;color:#ffffff">{escape(content.label)}</div>'
        '<h1 style="margin:4px 0 0;font-size:18px;line-height:1.35;font-weight:bold;color:#ffffff;'
        f'word-break:break-word">{escape(content.title)}</h1></td></tr>'
    )


def _row(inner: str, top: int = 14) -> str:
    return f'<tr><td class="p" style="padding:{top}px 24px 0;{_FONT}">{inner}</td></tr>'


def _line(text: str, size: int, *, strong: bool = False) -> str:
    weight = "bold" if strong else "normal"
    return _row(
        f'<div class="i" style="font-size:{size}px;line-height:1.45;font-weight:{weight};color:{_INK};'
        f'word-break:break-word">{escape(text)}</div>',
        10,
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><td class="g w" valign="top" style="padding:6px 12px 6px 0;width:110px;font-size:13px;color:{_GREY};'
        f'line-height:20px">{name}</td><td class="i" valign="top" style="padding:6px 0;font-size:14px;color:{_INK};'
        f'line-height:20px;word-break:break-word">{value}</td></tr>'
        for name, value in pairs
    )
    return _row(f"<table {_TABLE}>{rows}</table>") if rows else ""


def _evidence(lines: Iterable[str]) -> str:
    told = "<br>".join(map(escape, lines))
    return _heading("Evidence") + _row(_text(told), 4) if told else ""


def _paragraphs(text: str) -> str:
    return "".join(_row(_text(escape(part).replace("\n", "<br>"))) for part in text.split("\n\n") if part.strip())


def _text(inner: str) -> str:
    return f'<div class="i" style="font-size:14px;line-height:1.5;color:{_INK};word-break:break-word">{inner}</div>'


def _heading(text: str) -> str:
    return _row(f'<h2 class="i" style="margin:6px 0 0;font-size:14px;line-height:1.4;color:{_INK}">{escape(text)}</h2>')


def _table(table: Table) -> str:
    rows = "".join(
        f'<tr><td class="i l v" valign="top" style="padding:8px 12px 8px 0;width:130px;border-top:1px solid {_LINE};'
        f'font-size:13px;line-height:20px;color:{_INK};word-break:break-word">{_linked(name)}</td>'
        f'<td class="i l" valign="top" style="padding:8px 0;border-top:1px solid {_LINE};font-size:14px;'
        f'line-height:20px;color:{_INK};word-break:break-word">{_linked(value)}{_aside(value)}</td></tr>'
        for name, value in table.rows
    )
    left = f'<div class="g" style="font-size:13px;color:{_GREY}">… and {table.left:,} more</div>' if table.left else ""
    return _heading(table.heading) + _row((f"<table {_TABLE}>{rows}</table>" if rows else "") + left, 6)


def _aside(words: Words) -> str:
    return f'<div class="g" style="font-size:12px;color:{_GREY}">{escape(words.aside)}</div>' if words.aside else ""


def _listed(links: Iterable[Words]) -> str:
    told = "<br>".join(map(_linked, links))
    return _row(_text(told)) if told else ""


def _notes(notes: Iterable[Words]) -> str:
    told = " · ".join(map(_linked, notes))
    if not told:
        return '<tr><td style="padding:0 0 18px;font-size:1px">&nbsp;</td></tr>'
    return (
        f'<tr><td class="p" style="padding:16px 24px 18px;{_FONT}"><div class="g l" '
        f'style="border-top:1px solid {_LINE};padding-top:10px;font-size:12px;line-height:1.5;color:{_GREY};'
        f'word-break:break-word">{told}</div></td></tr>'
    )


def _linked(words: Words) -> str:
    if not words.url:
        return escape(words.text)
    return f'<a class="a" href="{escape(words.url)}" style="color:{_LINK}">{escape(words.text)}</a>'
