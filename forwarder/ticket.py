"""A ticket about an alert, in plain text: the same facts and sentences in every tracker. Pure.

All of it is plain text, on one line each, and from outside: whoever writes it in a language of markup escapes it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from forwarder.alert import Alert, Change
from forwarder.connector import FEED, Delivery, Kind, Origin, Response, Status, clean, cut, is_web_url, one_line

LABEL: Final = "sentrytex"
"""On every ticket; the label by which one is found again begins with it."""

MAX_SOURCES: Final = 10
"""Sources, and links to where the alert stands elsewhere, that are listed; an alert can come with hundreds."""

MAX_EVIDENCE: Final = 10
"""Lines of evidence; more would bury what they prove."""

MAX_VALUE: Final = 1000
"""Characters of one fact, of a change's value, of a reason."""

MAX_URL: Final = 500
"""Characters of an address; a longer one is left out, for half leads nowhere."""

_MAX_CELL: Final = 60
_MAX_NAME: Final = 255
_MAX_TITLE: Final = 120
_NAMES: Final = {"severity": "Severity", "cvss_score": "CVSS", "cve_id": "CVE"}
_PLAIN_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SILENCED_BY: Final = {
    Kind.ACKNOWLEDGE: ("on_acknowledge",),
    Kind.RESOLVE: ("on_resolve",),
    # It undoes the one or the other: whoever hears of any wants to hear of its end.
    Kind.REOPEN: ("on_acknowledge", "on_resolve"),
}
"""The keys of the config by which nothing is said of a response, where each of them is ``none``."""

_OVER: Final = {
    Origin.ALARM: "This alarm is over.",
    Origin.TEST: "The test is over.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One line of a list: what it is about, its value, and where the value leads."""

    name: str
    value: str
    url: str | None = None


def identity(alert_id: str, most: int) -> str:
    """The label, of at most ``most`` characters, by which the ticket of an alert is found.

    Trackers know no difference between capital and small letters, and some labels no spaces: an id with more than plain
    characters, or a longer one, is hashed.
    """
    label = f"{LABEL}-{alert_id}"
    if _PLAIN_ID.fullmatch(alert_id) and len(label) <= most:
        return label
    return f"{LABEL}-{hashlib.sha256(alert_id.encode('utf-8', 'replace')).hexdigest()[:40]}"


def marker(delivery: Delivery) -> str:
    """By what a comment is known again when it is uncertain whether an attempt made it."""
    return f"{LABEL} {delivery.kind} r{delivery.revision}"


def why_silent(delivery: Delivery, config: object) -> str:
    """Why nothing is said of it in a ticket, by ``on_acknowledge`` and ``on_resolve``; empty where something is."""
    if delivery.kind is Kind.REMIND and delivery.status is Status.RESOLVED:
        return "nothing is said: the alert was resolved meanwhile"
    keys = _SILENCED_BY.get(delivery.kind, ())
    if keys and all(getattr(config, key) == "none" for key in keys):
        return f"nothing is said: {' and '.join(keys)} none"
    return ""


def is_alert(delivery: Delivery) -> bool:
    """Whether it tells of one alert: of a digest and a report their text is all that there is."""
    return delivery.origin not in {Origin.DIGEST, Origin.REPORT}


def title(alert: Alert) -> str:
    """The alert's title, with its CVE where that is not in it."""
    if alert.cve_id and alert.cve_id.lower() not in alert.title.lower():
        return f"{alert.cve_id}: {alert.title}"
    return alert.title


def facts(delivery: Delivery) -> list[Fact]:
    """What is known of the alert, and where it stands elsewhere."""
    return [*(_known(delivery) if is_alert(delivery) else ()), *links(delivery), *_page(delivery)]


def evidence(delivery: Delivery) -> list[Fact]:
    """What the API says of the evidence, a fact for each line."""
    return [Fact(name="Evidence", value=_short(line)) for line in delivery.evidence[:MAX_EVIDENCE]]


def links(delivery: Delivery) -> list[Fact]:
    """Where the alert stands elsewhere."""
    return [
        Fact(name=_short(link.connector, 100), value=_short(link.text, 100) or "link", url=_address(link.url))
        for link in delivery.links[:MAX_SOURCES]
    ]


def row(alert: Alert) -> list[Fact]:
    """One alert of a digest, as a row of a table whose columns are called by the facts' names."""
    url = _address(alert.link)
    severity = f"{alert.severity_label}, CISA KEV" if alert.cisa_kev else alert.severity_label
    return [
        Fact(name="Severity", value=_short(severity, _MAX_CELL)),
        Fact(name="CVE", value=_short(alert.cve_id or ("source" if url else "–"), _MAX_CELL), url=url),
        Fact(name="Alert", value=_short(alert.title, _MAX_TITLE)),
    ]


def small_print(delivery: Delivery) -> str:
    """Where it comes from."""
    match delivery.origin:
        case Origin.TEST:
            return "A test of sentrytex-forwarder: there is nothing to do."
        case Origin.ALARM:
            return "An alarm of sentrytex-forwarder itself."
        case Origin.DIGEST | Origin.REPORT:
            return "Sent by sentrytex-forwarder."
        case Origin.FEED:
            return f"Sentrytex alert {_short(delivery.alert.id, _MAX_NAME)}"


def news(delivery: Delivery, noun: str) -> str:
    """What became of an alert whose ``noun`` is there, or what a person decided about it elsewhere."""
    match delivery.kind:
        case Kind.WITHDRAW:
            return _OVER.get(delivery.origin, "Sentrytex no longer reports this alert.")
        case Kind.REMIND:
            return _reminder(delivery)
        case Kind.ACKNOWLEDGE | Kind.RESOLVE | Kind.REOPEN:
            return _decision(delivery.response) if delivery.response else f"Elsewhere: {delivery.kind}."
    sentences = [_sentence(change, delivery) for change in delivery.changes] or ["This alert changed."]
    if is_open_again(delivery):
        sentences.append(f"This alert is open again, for it got worse: reopen the {noun} if it is closed.")
    return "\n".join(sentences)


def is_open_again(delivery: Delivery) -> bool:
    """Whether this very change made the alert worse, and so opened it again."""
    worse = any(change.is_worse for change in delivery.changes)
    return worse and delivery.latest is not None and delivery.latest.place == FEED


def _known(delivery: Delivery) -> list[Fact]:
    alert = delivery.alert
    known = [Fact(name="Severity", value=alert.severity_label)]
    if alert.cve_id:
        known.append(Fact(name="CVE", value=_short(alert.cve_id, _MAX_NAME), url=_address(alert.link)))
    if alert.cvss_score is not None:
        known.append(Fact(name="CVSS", value=f"{alert.cvss_score:.1f}"))
    if alert.epss_score is not None:
        known.append(Fact(name="EPSS", value=f"{alert.epss_score:.1%} likely to be exploited within 30 days"))
    if delivery.origin is not Origin.ALARM:
        known.append(Fact(name="CISA KEV", value="yes, known to be exploited" if alert.cisa_kev else "no"))
    if alert.affected_vendors:
        known.append(Fact(name="Vendors", value=_short(", ".join(delivery.vendor_names))))
    if delivery.accounts:
        known.append(Fact(name="Account", value=_short(delivery.seen_by)))
    if alert.alert_type:
        known.append(Fact(name="Type", value=_short(alert.alert_type, _MAX_NAME)))
    note = f" ({alert.date_note})" if alert.date_note else ""
    known.append(Fact(name="Published", value=f"{alert.published_at:%Y-%m-%d %H:%M} UTC{note}"))
    return [*known, *evidence(delivery), *_sources(alert.source_urls)]


def _sources(urls: tuple[str, ...]) -> list[Fact]:
    shown = [url for url in urls if _address(url)][:MAX_SOURCES]
    sources = [Fact(name="Source", value=url, url=url) for url in shown]
    if left := len(urls) - len(shown):
        sources.append(Fact(name="Further sources", value=f"{left}, see Sentrytex"))
    return sources


def _page(delivery: Delivery) -> list[Fact]:
    """The alert's own page."""
    url = _address(delivery.page)
    return [Fact(name="Forwarder", value="why it is here, and who has it", url=url)] if url else []


def _decision(response: Response) -> str:
    """Who decided what, where, when and why. Each on one line: nobody can write a line that passes for a marker."""
    where = f" via {response.place}" if response.person else ""
    lines = [f"{_short(f'{response.words}{where}')}, {response.at:%Y-%m-%d %H:%M} UTC."]
    if response.reason.strip():
        lines.append(f"Reason: {_short(response.reason)}")
    return "\n".join(lines)


def _reminder(delivery: Delivery) -> str:
    words = f"Still open. {delivery.reminder}." if delivery.reminder else "This alert is still open."
    if delivery.status is Status.ACKNOWLEDGED and delivery.latest is not None:
        words += f" {_short(delivery.latest.words)}."
    return words


def _sentence(change: Change, delivery: Delivery) -> str:
    match change.field:
        case "cisa_kev":
            now = "now" if change.new else "no longer"
            return f"It is {now} on CISA's list of known exploited vulnerabilities (KEV)."
        case "affected_vendors":
            before, after = set(change.old or ()), set(change.new or ())
            differences = (("Also affected", after - before), ("No longer affected", before - after))
            return " ".join(
                f"{what}: {_value(', '.join(delivery.named(sorted(keys))))}." for what, keys in differences if keys
            )
    return f"{_NAMES.get(change.field, change.field)} is now {_value(change.new)}; it was {_value(change.old)}."


def _value(value: object) -> str:
    return "none" if value is None else _short(str(value))


def _short(text: str, limit: int = MAX_VALUE) -> str:
    """``text`` as one line of at most ``limit`` characters, with a mark where it was cut."""
    return cut(one_line(clean(text)), limit)


def _address(url: str | None) -> str | None:
    return url if url and len(url) <= MAX_URL and is_web_url(url) else None
