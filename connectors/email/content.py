"""What a mail says, before it is text or a page: both are written from this, so that they say the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from forwarder import words
from forwarder.alert import Alert, Severity, named
from forwarder.connector import Delivery, Kind, Origin, Texts, clean, cut, is_web_url, one_line

MAX_TITLE: Final = 300
MAX_TEXT: Final = 4_000
MAX_ROW: Final = 160
MAX_LINKS: Final = 20
MAX_ADDRESS: Final = 2_000
"""Our own: characters of a title, a description and a title in a table; links, and characters of one, for no browser
follows more for certain, and half an address leads nowhere."""

MAX_ROWS: Final = 100
"""Our own: alerts of a digest that have a row; the rest is counted."""

_KINDS: Final = {
    Kind.UPDATE: "Changed",
    Kind.WITHDRAW: "Over",
    Kind.ACKNOWLEDGE: "Acknowledged",
    Kind.RESOLVE: "Resolved",
    Kind.REOPEN: "Open again",
    Kind.REMIND: "Reminder",
}
_MANY: Final = {Origin.DIGEST: "Digest", Origin.REPORT: "Report"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Some words, the address that they lead to, and words beside them that matter less."""

    text: str
    url: str | None = None
    aside: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows with a name each, under a heading of their own; ``left`` is how many more there would be."""

    heading: str
    rows: Sequence[tuple[Words, Words]]
    left: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A mail from its top to its end. ``severity`` is what it is coloured by; None where it has none."""

    label: str
    title: str
    severity: Severity | None
    news: Sequence[str] = ()
    facts: Sequence[tuple[str, Words]] = ()
    evidence: Sequence[str] = ()
    text: str = ""
    tables: Sequence[Table] = ()
    links: Sequence[Words] = ()
    notes: Sequence[Words] = ()


def content(delivery: Delivery, texts: Texts, rows: int = MAX_ROWS) -> Content:
    """What is to be told, with at most ``rows`` in its tables."""
    if words.is_text_alone(delivery):
        return _of_many(delivery, texts, rows)
    severity = None if delivery.kind in (Kind.WITHDRAW, Kind.RESOLVE) else delivery.alert.severity
    return Content(
        label=_KINDS.get(delivery.kind, delivery.alert.severity.value.capitalize()),
        title=title_of(delivery, texts),
        severity=severity,
        news=list(_news(delivery)),
        facts=list(_facts(delivery)),
        evidence=[] if delivery.kind is Kind.WITHDRAW else words.evidence(delivery).splitlines(),
        # What an alert is about stands in its first mail, and the thread leads there.
        text=_body(delivery, texts) if delivery.kind is Kind.OPEN else "",
        links=_links(delivery),
        notes=list(_notes(delivery)),
    )


def title_of(delivery: Delivery, texts: Texts) -> str:
    """The title, on a line."""
    alert = delivery.alert
    return cut(one_line(clean(texts.title(delivery, alert.title))) or alert.title, MAX_TITLE)


def _body(delivery: Delivery, texts: Texts) -> str:
    return cut(words.squeezed(clean(texts.text(delivery, delivery.alert.description))), MAX_TEXT)


def _news(delivery: Delivery) -> Iterator[str]:
    if what := words.what_it_is(delivery):
        yield what
    if delivery.kind is not Kind.OPEN:
        yield from filter(None, words.news(delivery).splitlines())
    elif standing := words.standing(delivery):
        yield standing


def _facts(delivery: Delivery) -> Iterator[tuple[str, Words]]:
    alert = delivery.alert
    for name, value in words.facts(delivery):
        yield name, Words(text=value, url=_address(alert.link) if name == "CVE" else None)


def _links(delivery: Delivery) -> list[Words]:
    found = [Words(text=text, url=url) for text, url in words.links(delivery) if _address(url)]
    return found[:MAX_LINKS]


def _notes(delivery: Delivery) -> Iterator[Words]:
    alert = delivery.alert
    when = "Published" if delivery.origin is Origin.FEED else "Since"
    note = f" ({alert.date_note})" if alert.date_note else ""
    yield Words(text=f"{when} {words.utc(alert.published_at)}{note}")
    yield Words(text=f"Alert {one_line(alert.id)}")
    if page := _address(delivery.page):
        yield Words(text="Why is this here?", url=page)


def _address(url: str | None) -> str | None:
    return url if url and len(url) <= MAX_ADDRESS and is_web_url(url) else None


# Digests and reports


def _of_many(delivery: Delivery, texts: Texts, rows: int) -> Content:
    body, label = _body(delivery, texts), _MANY[delivery.origin]
    built_in = body == cut(words.squeezed(clean(delivery.alert.description)), MAX_TEXT)
    news: Sequence[str] = ()
    facts: Sequence[tuple[str, Words]] = ()
    tables: Sequence[Table] = ()
    if built_in and delivery.items:
        body, tables = "", list(_by_severity(delivery, rows))
    elif built_in and delivery.origin is Origin.REPORT:
        news, facts, tables = _report(body.splitlines())
        body = ""
    page = _address(delivery.page)
    return Content(
        label=label,
        title=title_of(delivery, texts).removeprefix(f"{label}: "),
        severity=None,
        news=news,
        facts=facts,
        text=body,
        tables=tables,
        links=_links(delivery),
        notes=[Words(text="All of them", url=page)] if page else [],
    )


def _by_severity(delivery: Delivery, rows: int) -> Iterator[Table]:
    """A table for each severity, the most severe first; what is left out is of the least severe."""
    for severity in Severity:
        alerts = [one for one in delivery.items if one.severity is severity]
        shown = alerts[: max(rows, 0)]
        rows -= len(shown)
        if alerts:
            yield Table(
                heading=f"{words.EMOJI[severity]} {severity.value.capitalize()} · {len(alerts):,}",
                rows=[_row(one, delivery) for one in shown],
                left=len(alerts) - len(shown),
            )


def _row(alert: Alert, delivery: Delivery) -> tuple[Words, Words]:
    name = cut(one_line(alert.cve_id or alert.alert_type or "–"), 40)
    beside = [*(["🔥 CISA KEV"] if alert.cisa_kev else []), *([] if alert.severity_known else ["⚠️ severity not known"])]
    beside += [cut(", ".join(named(alert.affected_vendors[:5], delivery.vendors)), MAX_ROW)]
    beside += [f"CVSS {alert.cvss_score:.1f}"] if alert.cvss_score is not None else []
    return (
        Words(text=name, url=_address(alert.link)),
        Words(text=cut(one_line(clean(alert.title)), MAX_ROW), aside=" · ".join(filter(None, beside))),
    )


def _report(lines: Sequence[str]) -> tuple[list[str], list[tuple[str, Words]], list[Table]]:
    """A report's lines as what comes first, its figures by name, and its lists, each under its heading."""
    first: list[str] = []
    facts: list[tuple[str, Words]] = []
    tables: list[Table] = []
    for line in lines:
        name, colon, value = line.partition(": ")
        if line.startswith("- ") and tables:
            last = tables[-1]
            tables[-1] = Table(heading=last.heading, rows=[*last.rows, _entry(line[2:])])
        elif line.endswith(":"):
            tables.append(Table(heading=line[:-1], rows=[]))
        elif colon and not tables:
            facts.append((name, Words(text=value.removesuffix("."))))
        else:
            first.append(line)
    return first, facts, tables


def _entry(line: str) -> tuple[Words, Words]:
    """A line of a list: what comes first in it, and the rest."""
    for mark in (" · ", ": "):
        name, found, rest = line.partition(mark)
        if found:
            return Words(text=name), Words(text=rest)
    return Words(text="–"), Words(text=line)
