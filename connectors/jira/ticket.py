"""What a ticket says of an alert, and the labels it carries. Pure: nothing here knows the way to Jira."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.jira.markup import Content, Fact, cut_line, plain
from forwarder.alert import Alert
from forwarder.connector import Delivery, Origin, Texts, is_web_url

MAX_SUMMARY: Final = 255
"""Characters of a summary, which is one line.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
"""

MAX_LABEL: Final = 255
"""Characters of a label, none of them white space."""

MAX_SOURCES: Final = 10
"""Sources that a description lists; an alert can come with hundreds."""

MAX_EVIDENCE: Final = 10
"""Lines of evidence; more would bury what they prove."""

LABEL: Final = "sentrytex"
"""On every ticket; the label by which one is found again begins with it."""

OURS: Final = frozenset({"summary", "description", "project", "issuetype", "labels"})
"""Fields that every ticket gets from the forwarder."""

EXTRAS: Final = frozenset({"priority", "duedate"})
"""Fields that a ticket gets where the config asks for them."""

_MAX_CELL: Final = 60
_MAX_TITLE: Final = 120
_MAX_URL: Final = 500
_MAX_VALUE: Final = 1000
_PLAIN_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_PLAIN_LABEL: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def identity_label(alert_id: str) -> str:
    """The label by which the ticket of an alert is found.

    A search knows no difference between capital and small letters, and a label no spaces: an id with more than plain
    characters is hashed.
    """
    if _PLAIN_ID.fullmatch(alert_id):
        return f"{LABEL}-{alert_id}"
    return f"{LABEL}-{hashlib.sha256(alert_id.encode('utf-8', 'replace')).hexdigest()[:40]}"


def labels(delivery: Delivery, further: tuple[str, ...]) -> list[str]:
    """``further`` labels, then the forwarder's own: its name, the alert's identity, the CVE."""
    own = [LABEL, identity_label(delivery.alert.id)]
    if (cve := delivery.alert.cve_id) and _PLAIN_LABEL.fullmatch(cve):
        own.append(cve)
    return list(dict.fromkeys([*further, *own]))


def is_alert(delivery: Delivery) -> bool:
    """Whether it tells of one alert: of a digest and a report their text is all that there is."""
    return delivery.origin not in {Origin.DIGEST, Origin.REPORT}


def summary(delivery: Delivery, texts: Texts) -> str:
    """One line of at most MAX_SUMMARY characters."""
    alert = delivery.alert
    built_in = alert.title
    if alert.cve_id and alert.cve_id.lower() not in alert.title.lower():
        built_in = f"{alert.cve_id}: {alert.title}"
    return cut_line(texts.title(delivery, built_in), MAX_SUMMARY) or cut_line(built_in, MAX_SUMMARY)


def description(delivery: Delivery, texts: Texts) -> Content:
    """What is known of the alert, and its text; of a digest its alerts, a row each."""
    if delivery.items:
        rows = [_row(alert) for alert in delivery.items]
        return Content(text="", facts=links(delivery), table=rows, small_print=_small_print(delivery))
    return Content(
        text=texts.text(delivery, delivery.alert.description),
        facts=[*(_facts(delivery) if is_alert(delivery) else ()), *links(delivery), *_page(delivery)],
        small_print=_small_print(delivery),
    )


def preview(fields: Mapping[str, Any]) -> str:
    """A ticket with these ``fields``, line by line."""
    lines = [f"{fields['project']['key']} · {fields['issuetype']['name']}", f"Summary: {fields['summary']}"]
    if "priority" in fields:
        lines.append(f"Priority: {_named(fields['priority'])}")
    if "duedate" in fields:
        lines.append(f"Due: {fields['duedate']}")
    lines.append(f"Labels: {', '.join(fields['labels'])}")
    lines += [f"{name}: {value}" for name, value in fields.items() if name not in OURS | EXTRAS]
    return "\n".join(lines) + "\n\n" + plain(fields["description"])


def _facts(delivery: Delivery) -> list[Fact]:
    alert = delivery.alert
    facts = [Fact(name="Severity", value=alert.severity_label)]
    if alert.cve_id:
        facts.append(Fact(name="CVE", value=cut_line(alert.cve_id, MAX_LABEL), url=_short(alert.link)))
    if alert.cvss_score is not None:
        facts.append(Fact(name="CVSS", value=f"{alert.cvss_score:.1f}"))
    if alert.epss_score is not None:
        facts.append(Fact(name="EPSS", value=f"{alert.epss_score:.1%} likely to be exploited within 30 days"))
    if delivery.origin is not Origin.ALARM:
        facts.append(Fact(name="CISA KEV", value="yes, known to be exploited" if alert.cisa_kev else "no"))
    if alert.affected_vendors:
        facts.append(Fact(name="Vendors", value=cut_line(", ".join(delivery.vendor_names), _MAX_VALUE)))
    if delivery.accounts:
        facts.append(Fact(name="Account", value=cut_line(delivery.seen_by, _MAX_VALUE)))
    if alert.alert_type:
        facts.append(Fact(name="Type", value=cut_line(alert.alert_type, MAX_LABEL)))
    note = f" ({alert.date_note})" if alert.date_note else ""
    facts.append(Fact(name="Published", value=f"{alert.published_at:%Y-%m-%d %H:%M} UTC{note}"))
    return [*facts, *evidence(delivery), *_sources(alert.source_urls)]


def evidence(delivery: Delivery) -> list[Fact]:
    """What the API says of the evidence, a fact for each line."""
    return [Fact(name="Evidence", value=cut_line(line, _MAX_VALUE)) for line in delivery.evidence[:MAX_EVIDENCE]]


def _row(alert: Alert) -> list[Fact]:
    url = _short(alert.link)
    severity = f"{alert.severity_label}, CISA KEV" if alert.cisa_kev else alert.severity_label
    return [
        Fact(name="Severity", value=cut_line(severity, _MAX_CELL)),
        Fact(name="CVE", value=cut_line(alert.cve_id or ("source" if url else "–"), _MAX_CELL), url=url),
        Fact(name="Alert", value=cut_line(alert.title, _MAX_TITLE)),
    ]


def _sources(urls: tuple[str, ...]) -> list[Fact]:
    shown = [url for url in urls if _short(url)][:MAX_SOURCES]
    facts = [Fact(name="Source", value=url, url=url) for url in shown]
    if left := len(urls) - len(shown):
        facts.append(Fact(name="Further sources", value=f"{left}, see Sentrytex"))
    return facts


def links(delivery: Delivery) -> list[Fact]:
    """Where the alert stands elsewhere."""
    return [
        Fact(name=cut_line(link.connector, 100), value=cut_line(link.text, 100) or "link", url=_short(link.url))
        for link in delivery.links[:MAX_SOURCES]
    ]


def _page(delivery: Delivery) -> list[Fact]:
    """The alert's own page."""
    url = _short(delivery.page)
    return [Fact(name="Forwarder", value="why it is here, and who has it", url=url)] if url else []


def _short(url: str | None) -> str | None:
    return url if url and len(url) <= _MAX_URL and is_web_url(url) else None


def _small_print(delivery: Delivery) -> str:
    match delivery.origin:
        case Origin.TEST:
            return "A test of sentrytex-forwarder: there is nothing to do."
        case Origin.ALARM:
            return "An alarm of sentrytex-forwarder itself."
        case Origin.DIGEST | Origin.REPORT:
            return "Sent by sentrytex-forwarder."
        case Origin.FEED:
            return f"Sentrytex alert {cut_line(delivery.alert.id, MAX_LABEL)}"


def _named(value: object) -> str:
    return str(value["name"] if isinstance(value, Mapping) and "name" in value else value)
