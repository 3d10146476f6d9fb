"""What stands in a mail: the same as text and as a page, within bounds, and nothing that leads anywhere by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from connectors.email.config import EmailOwner
from connectors.email.mail import MAX_PAGE, MAX_SUBJECT, wire
from forwarder.connector import Delivery, Kind, Link, Origin, Vendor
from forwarder.lifecycle.digests import compose
from forwarder.testing import (
    HOSTILE_TEXTS,
    NOW,
    ROSE,
    TICKET,
    alert,
    delivery,
    hostile_alerts,
    new_delivery,
    responses_to,
)
from tests.connectors.email.kit import email

OURS = email(cc=["c@example.com"])
REPORT = """From 2026-03-01 08:00 to 2026-03-08 08:00 UTC.
New: 7 (2 critical, 5 high).
Open: 3 (3 high).
Time to resolve: median 12m (critical 4m, high 1h).
Longest unresolved:
- high · CVE-2026-1 · A title: with a colon · for 3d
Mutes that end within 7 days:
- vendor wordpress: 2026-03-12 00:00 UTC (not in use)"""


def rendered(one: Delivery) -> dict[str, Any]:
    return dict(OURS.render(one))


def read(page: str) -> tuple[str, list[str], set[str]]:
    """A page's text, the addresses that it leads to, and the names of its elements."""
    found: tuple[list[str], list[str], set[str]] = ([], [], set())

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found[2].add(tag)
            for name, value in attributes:
                assert not name.startswith("on")
                if name in ("href", "src", "background", "action"):
                    found[1].append(value or "")

        def handle_data(self, data: str) -> None:
            found[0].append(data)

    Reader().feed(page[page.index("<body") :])
    return " ".join(" ".join(found[0]).split()), found[1], found[2]


def digest(count: int, title: str = "A title") -> Delivery:
    items = tuple(
        alert(
            id=f"d{number}",
            title=f"{title} {number}",
            severity=("critical", "high", "medium", "low")[number * 4 // count],
            cisa_kev=number == 0,
        )
        for number in range(count)
    )
    return delivery(alert=compose("mail", items, NOW), origin=Origin.DIGEST, items=items)


def report() -> Delivery:
    made = alert(id="report-1", title="Report: 7 new, 3 open", severity="low", description=REPORT, cve_id=None)
    return delivery(alert=made, origin=Origin.REPORT)


def every_kind() -> list[Delivery]:
    first = new_delivery(
        links=(TICKET,), evidence=("Confirmed by the vendor",), vendors={"github": Vendor(key="github", name="GitHub")}
    )
    return [
        first,
        replace(first, kind=Kind.UPDATE, revision=2, changes=ROSE),
        replace(first, kind=Kind.WITHDRAW, revision=3),
        replace(first, kind=Kind.REMIND, revision=4, reminder="Nobody has acknowledged it for 15m"),
        *responses_to(first, None),
        replace(first, origin=Origin.TEST),
        replace(first, origin=Origin.ALARM),
        digest(30),
        report(),
    ]


@pytest.mark.parametrize("one", every_kind(), ids=lambda one: f"{one.origin.value}-{one.kind.value}")
def test_both_forms_say_the_same(one: Delivery) -> None:
    """Every word of the text is on the page, and every link."""
    made = rendered(one)
    text, links, _ = read(made["html"])
    words = re.sub(r"<(https?://[^>]+)>", "", made["text"]).replace("\n-- \n", "\n")
    told = re.findall(r"\w+", words)
    assert len(told) > 8
    on_page = {word.lower() for word in re.findall(r"\w+", text)}
    assert {word.lower() for word in told} <= on_page
    assert sorted(set(links)) == sorted(set(re.findall(r"<(https?://[^>]+)>", made["text"])))


def test_a_page_leads_nowhere_by_itself() -> None:
    """No text of an alert is markup, no address is anything but http, and nothing is loaded from anywhere."""
    for one in hostile_alerts():
        made = rendered(
            new_delivery(alert=one, links=(Link(connector="x", text=one.title, url="javascript:alert(1)"),))
        )
        _, links, elements = read(made["html"])
        assert all(re.match("https?://", link) for link in links)
        assert elements <= {"body", "table", "tr", "td", "div", "h1", "h2", "br", "a"}
        assert len(made["html"].encode()) <= MAX_PAGE
        assert len(wire(made)) < 4 * MAX_PAGE


def test_an_alert_reads_whole() -> None:
    """Its facts by name, who it is about by name, the CVE linked."""
    text, links, _ = read(rendered(every_kind()[0])["html"])
    for fact in (
        "Critical",
        "CVSS 9.8",
        "EPSS 42.0%",
        "GitHub",
        "Confirmed by the vendor",
        "SEC-12",
        "A crafted header",
    ):
        assert fact in text
    assert "https://nvd.nist.gov/vuln/detail/CVE-2026-10001" in links


def test_a_digest_is_a_table_by_severity() -> None:
    """Thirty alerts, each a row with its CVE, the most severe first."""
    made = rendered(digest(30))
    heads = re.findall(r"<h2[^>]*>([^<]+)", made["html"])
    assert [unescape(head) for head in heads] == ["🔴 Critical · 8", "🟠 High · 7", "🟡 Medium · 8", "🔵 Low · 7"]
    assert made["html"].count(">CVE-2026-10001</a>") == 30
    assert "X-Priority" not in made["headers"]
    assert made["text"].index("A title 0") < made["text"].index("A title 29")


def test_a_digest_of_thousands_fits() -> None:
    """What does not fit is counted, and is of the least severe."""
    made = rendered(digest(4000, title="&<>\"' " * 200))
    assert len(made["html"].encode()) <= MAX_PAGE
    assert "… and 1,000 more" in made["html"]
    assert "… and 1,000 more" in made["text"]
    assert made["html"].count(">CVE-2026-10001</a>") >= 10


def test_a_report_is_a_table_of_its_figures() -> None:
    """Each figure by its name, each list under its heading."""
    made = rendered(report())
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]+)</td>", made["html"])]
    assert cells[:6] == [
        *("New", "7 (2 critical, 5 high)", "Open", "3 (3 high)", "Time to resolve"),
        "median 12m (critical 4m, high 1h)",
    ]
    assert [unescape(head) for head in re.findall(r"<h2[^>]*>([^<]+)", made["html"])] == [
        "Longest unresolved",
        "Mutes that end within 7 days",
    ]
    assert "CVE-2026-1 · A title: with a colon · for 3d" in made["html"]


def test_the_headers_are_those_of_a_program_s_mail() -> None:
    """For filters, for programs that are away, and for who gets it."""
    made = rendered(new_delivery())
    headers = made["headers"]
    assert headers["From"] == "Alerts <alerts@example.com>"
    assert (headers["To"], headers["Cc"]) == ("a@example.com, b@example.com", "c@example.com")
    assert headers["List-Id"] == "<target.example.com>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<sentrytex\.[0-9a-f]{32}@example\.com>", made["id"])
    assert headers["Subject"].startswith("[Sentrytex] CRITICAL: ")
    assert "In-Reply-To" not in headers


def test_the_date_is_the_delivery_s() -> None:
    """So that a repeat is the same mail; of a decision it is when that was made."""
    one = delivery()
    assert rendered(one)["headers"]["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert rendered(responses_to(one, None)[0])["headers"]["Date"] == "Sun, 01 Mar 2026 14:02:00 +0000"


@pytest.mark.parametrize(
    ("changes", "urgent"),
    [
        ({}, True),
        ({"alert": alert(severity="high")}, False),
        ({"kind": Kind.UPDATE, "changes": ROSE}, True),
        ({"kind": Kind.UPDATE, "changes": ROSE[:0]}, False),
        ({"kind": Kind.REMIND}, True),
        ({"kind": Kind.RESOLVE}, False),
    ],
)
def test_only_what_is_critical_and_new_is_urgent(changes: dict[str, Any], urgent: bool) -> None:
    """Two headers say so, to Outlook and to the others."""
    headers = rendered(delivery(**changes))["headers"]
    assert (headers.get("X-Priority"), headers.get("Importance")) == (
        ("1 (Highest)", "high") if urgent else (None, None)
    )


def test_ids_stay_whole_however_long_they_are() -> None:
    """A thread is found by them, so they are neither folded nor encoded."""
    long: dict[str, Any] = {"from": f"alerts@{'.'.join(['department'] * 12)}.example.com"}
    mail = email(**long)
    later = replace(delivery(), kind=Kind.UPDATE, revision=2)
    first, raw = mail.render(delivery()), wire(mail.render(later))
    for name in ("In-Reply-To", "References"):
        assert f"\r\n{name}: {first['id']}\r\n".encode() in raw


def test_a_subject_has_its_limit() -> None:
    """At the limit it is whole, one past it it ends with a mark."""
    prefix = "[Sentrytex] CRITICAL: "
    room = MAX_SUBJECT - len(prefix)
    subjects = [rendered(delivery(alert=alert(title="x" * size)))["headers"]["Subject"] for size in (room, room + 1)]
    assert subjects == [prefix + "x" * room, prefix + "x" * (room - 1) + "…"]


def test_owners_get_it_too() -> None:
    """Who must act is among the recipients, once."""
    owners = tuple(EmailOwner.model_validate(one) for one in ("dev@example.com", "A@example.com", "b@EXAMPLE.com"))
    made = rendered(replace(delivery(), owners=owners))
    assert made["recipients"] == ["a@example.com", "b@EXAMPLE.com", "dev@example.com", "A@example.com", "c@example.com"]


def test_a_preview_is_what_people_see() -> None:
    """The headers that they see, then the text; no text of an alert reaches the terminal as a command."""
    for text in HOSTILE_TEXTS:
        shown = OURS.preview(rendered(new_delivery(alert=alert(title=text, description=text))))
        assert shown.startswith("From: Alerts <alerts@example.com>\nTo: a@example.com, b@example.com\nCc: ")
        assert not any(char in shown for char in "\x00\x07\x1b\x9b\u202e")
