"""What people are told of an alert where they talk, in plain text: what it is, what changed, who did what. Pure.

It may hold other people's text as it stands: a connector escapes it as its destination asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from forwarder.alert import Change, Severity
from forwarder.connector import FEED, Action, Delivery, Kind, Origin, Response, Status, clean, cut, is_web_url, one_line

MAX_VALUE: Final = 300
MAX_VENDORS: Final = 10
MAX_EVIDENCE: Final = 8
MAX_LABEL: Final = 75
MAX_WHO: Final = 200
MAX_REASON: Final = 500
"""What people can absorb: characters of one fact, names of vendors, lines of evidence, characters of a link's words, of
the words who did what, and of the reason."""

EMOJI: Final = {Severity.CRITICAL: "🔴", Severity.HIGH: "🟠", Severity.MEDIUM: "🟡", Severity.LOW: "🔵"}

_MARKS: Final = {Action.ACKNOWLEDGE: "👀", Action.RESOLVE: "✅", Action.REOPEN: "🔁"}
_ACTIONS: Final = {Action.ACKNOWLEDGE: "Acknowledged", Action.RESOLVE: "Resolved", Action.REOPEN: "Open again"}
_ORIGINS: Final = {
    Origin.ALARM: ("Forwarder alarm: ", "The forwarder's own trouble, not a vulnerability."),
    Origin.TEST: ("TEST: ", "🧪 A test of the forwarder: nothing has happened and nothing needs to be done."),
}
_TEXTS: Final = {Origin.DIGEST: "🗞️", Origin.REPORT: "📊"}


def is_text_alone(delivery: Delivery) -> bool:
    """Whether it is no alert, but all text: it has no facts, and no severity."""
    return delivery.origin in _TEXTS


def heading(delivery: Delivery, title: str) -> str:
    """``title`` with the severity's emoji and, where it is not an alert of the feed, what it is."""
    if emoji := _TEXTS.get(delivery.origin):
        return f"{emoji} {title}"
    prefix, _ = _ORIGINS.get(delivery.origin, ("", ""))
    return f"{EMOJI[delivery.alert.severity]} {prefix}{title}"


def what_it_is(delivery: Delivery) -> str:
    """That it is no alert of the feed, in a sentence; empty where it is one."""
    return _ORIGINS.get(delivery.origin, ("", ""))[1]


def summary(delivery: Delivery, shown: str) -> str:
    """The alert in a line, with ``shown`` for its title: for notifications and screen readers."""
    alert = delivery.alert
    told = [alert.severity_label]
    told += [alert.cve_id] if alert.cve_id else []
    told += [f"CVSS {alert.cvss_score:g}"] if alert.cvss_score is not None else []
    told += ["on CISA KEV"] if alert.cisa_kev else []
    how_far = f" · {standing(delivery)}" if delivery.latest else ""
    return f"{cut(shown, MAX_VALUE)} ({cut(', '.join(told), MAX_VALUE)}){how_far}"


def facts(delivery: Delivery) -> list[tuple[str, str]]:
    """What is known of the alert, by name."""
    alert = delivery.alert
    flag = "" if alert.severity_known else "⚠️ "
    found = [("Severity", flag + alert.severity_label[:1].upper() + alert.severity_label[1:])]
    if alert.cve_id:
        found.append(("CVE", alert.cve_id))
    if alert.cvss_score is not None:
        found.append(("CVSS", f"{alert.cvss_score:.1f}"))
    if alert.epss_score is not None:
        found.append(("EPSS", _percent(alert.epss_score)))
    if alert.cisa_kev:
        found.append(("CISA KEV", "🔥 Known to be exploited"))
    if alert.affected_vendors:
        found.append(("Vendors", _listed(delivery.vendor_names)))
    if alert.alert_type and alert.alert_type != "cve":
        found.append(("Type", alert.alert_type))
    return [(name, cut(one_line(clean(value)), MAX_VALUE)) for name, value in found]


def evidence(delivery: Delivery) -> str:
    """What the API says of the evidence, a line each; empty where that is nothing."""
    return "\n".join(cut(one_line(clean(line)), MAX_VALUE) for line in delivery.evidence[:MAX_EVIDENCE])


def links(delivery: Delivery) -> Iterator[tuple[str, str]]:
    """Words and addresses: first where else the alert stands, then its sources."""
    for link in delivery.links:
        if is_web_url(link.url):
            yield one_line(clean(link.text)) or link.connector, link.url
    hosts: dict[str, int] = {}
    for url in delivery.alert.source_urls:
        if host := _host(url):
            hosts[host] = hosts.get(host, 0) + 1
            yield host if hosts[host] == 1 else f"{cut(host, MAX_LABEL - 6)} ({hosts[host]})", url


def squeezed(text: str) -> str:
    """``text`` without its empty lines, but for one between two paragraphs."""
    return re.sub(r"\n{3,}", "\n\n", text).strip()


# What became of it


def is_over(delivery: Delivery) -> bool:
    """Whether nothing is left to do."""
    return delivery.status is Status.RESOLVED


def over(delivery: Delivery) -> tuple[str, str]:
    """An emoji and the words for an alert that is withdrawn."""
    if delivery.origin is Origin.ALARM:
        return "✅", "Resolved"
    return "⚪", "Test over" if delivery.origin is Origin.TEST else "No longer stands"


def standing(delivery: Delivery) -> str:
    """The alert's status in a line, such as ``👀 Acknowledged by Ada``; empty while nobody reacted."""
    return who_did_what(delivery.latest) if delivery.latest else ""


def news_title(delivery: Delivery, title: str) -> str:
    """What kind of news a follow-up brings, then ``title``."""
    if delivery.response:
        return f"{_ACTIONS[delivery.response.action]}: {title}"
    if delivery.kind is Kind.REMIND:
        return f"⏰ Reminder: {title}"
    return f"{EMOJI[delivery.alert.severity]} Changed: {title}"


def news(delivery: Delivery) -> str:
    """What a follow-up brings: the changes, who did what, a reminder, or that the alert is withdrawn."""
    if delivery.kind is Kind.WITHDRAW:
        return " ".join(over(delivery)) + "."
    if delivery.kind is Kind.UPDATE:
        lines = [opened_again(delivery), *(sentence(change, delivery.named) for change in delivery.changes)]
        return "\n".join(filter(None, lines))
    return reminder(delivery) if delivery.kind is Kind.REMIND else decision(delivery)


def decision(delivery: Delivery) -> str:
    """A line who did what, and one why; empty where nobody did."""
    if delivery.response is None:
        return ""
    return "\n".join(filter(None, (cut(who_did_what(delivery.response), MAX_WHO), reason(delivery.response))))


def sentence(change: Change, named: Callable[[Iterable[str]], Sequence[str]] = list) -> str:
    """One change in words; ``named`` says how vendors are called."""
    if change.field == "cisa_kev":
        return "🔥 Now on CISA KEV: known to be exploited" if change.new else "No longer on CISA KEV"
    if change.field == "affected_vendors":
        old, new = _names(change.old), _names(change.new)
        gained, lost = named(key for key in new if key not in old), named(key for key in old if key not in new)
        return f"Vendors: {_listed([*(f'+ {name}' for name in gained), *(f'− {name}' for name in lost)])}"
    names = {"severity": "Severity", "cvss_score": "CVSS", "cve_id": "CVE"}
    mark = "⬆️ " if change.field == "severity" and change.is_worse else ""
    return f"{mark}{names.get(change.field, change.field)}: {_value(change.old)} → {_value(change.new)}"


def opened_again(delivery: Delivery) -> str:
    """That this very change opened the alert again; empty where it did not."""
    latest = delivery.latest
    told = delivery.kind is Kind.UPDATE and latest is not None and latest.place == FEED
    return who_did_what(latest) if told and latest and latest.at >= delivery.enqueued_at else ""


def who_did_what(response: Response) -> str:
    """A decision in a line, such as ``👀 Acknowledged by Ada``."""
    return f"{_MARKS[response.action]} {one_line(clean(response.words))}"


def reason(response: Response) -> str:
    """Why, in a line; empty where nobody said so, and where the change itself tells why an alert got worse."""
    return cut(one_line(clean(response.reason)), MAX_REASON) if response.place != FEED else ""


def reminder(delivery: Delivery) -> str:
    """What it is time for, in a line."""
    latest = delivery.latest
    if delivery.reminder:
        said = [f"{one_line(clean(latest.words))}, {utc(latest.at)}"] if latest else []
        return f"⏰ {'. '.join(cut(part, MAX_WHO) for part in (one_line(clean(delivery.reminder)), *said))}."
    if latest is None:
        return f"⏰ Still open since {utc(delivery.alert.published_at)}: nobody has acknowledged it."
    words = cut(one_line(clean(latest.words)), MAX_WHO)
    match delivery.status:
        case Status.OPEN:
            return f"⏰ Still open. {words}, {utc(latest.at)}: nobody has acknowledged it since."
        case Status.ACKNOWLEDGED:
            return f"⏰ Not resolved yet. {words}, {utc(latest.at)}."
        case Status.RESOLVED:
            return f"⏰ {words}, {utc(latest.at)}."


def utc(when: datetime) -> str:
    """``when`` for where everybody reads the same clock."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname if is_web_url(url) else None
    except ValueError:
        return None


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MAX_VENDORS
    return ", ".join(names[:MAX_VENDORS]) + (f" and {rest} more" if rest > 0 else "")


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _value(value: object) -> str:
    return "none" if value is None else cut(one_line(clean(str(value))), MAX_VALUE)
