"""Messages: what they say, that they stay within what a service takes, and that an alert's text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from connectors.apprise.markup import Form, address, harmless, link, said, shown
from connectors.apprise.message import SHORT, Limits, level, message
from forwarder.alert import Severity
from forwarder.connector import (
    Action,
    BuiltInTexts,
    Change,
    Delivery,
    Kind,
    Link,
    Origin,
    Receipt,
    Resolution,
    Response,
)
from forwarder.lifecycle.digests import compose
from forwarder.testing import NOW, alert, delivery, hostile_alerts, odd_alerts
from tests.kit.thorough import beyond

STANDS: Final = Receipt(remote_id="accepted")
WORSE: Final = (Change(field="severity", old="high", new="critical"), Change(field="cisa_kev", old=False, new=True))
DONE: Final = Response(
    number=1,
    action=Action.RESOLVE,
    at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC),
    place="oncall",
    person="Ada",
    reason="We run 5.0.",
    resolution=Resolution.DONE,
)
CHAT: Final = Limits(title=250, body=2000, form=Form.TEXT, shared=12)
PLAIN: Final = Limits(title=0, body=4000, form=Form.TEXT)
SMS: Final = Limits(title=0, body=158, form=Form.TEXT)
MARKDOWN: Final = Limits(title=0, body=1000, form=Form.MARKDOWN)
HTML: Final = Limits(title=100, body=4000, form=Form.HTML)
ONE_LINE: Final = Limits(title=250, body=4000, form=Form.TEXT, lines=2)
EACH: Final = (CHAT, PLAIN, SMS, MARKDOWN, HTML, ONE_LINE)
NVD: Final = "https://nvd.nist.gov/vuln/detail/CVE-2026-10001"
FORGED: Final = (
    "[here](https://evil.example) ![x](https://evil.example/x.png) [a][1]\n[1]: https://evil.example\n"
    "<https://evil.example|there> <!channel> <@U1> <users/all> <at id=all></at> @everyone @**all** {{DATE(x)}} "
    "(met)all(met) [CQ:at,qq=all] <script>alert(1)</script> &lt;!here&gt;"
)
MEANS: Final = re.compile(
    r"\]\(h|\]\[|\]:|<[!@#/A-Za-z]|(?<![A-Za-z0-9./])@[A-Za-z*]|\{\{|\(met\)|\[CQ:", re.IGNORECASE
)
"""What a service would read in it."""


def told(one: Delivery, limits: Limits = PLAIN) -> tuple[str, str]:
    return message(one, BuiltInTexts(), limits)


def follow_ups(one: Delivery) -> Iterator[Delivery]:
    for receipt in (STANDS, None):
        stands = replace(one, receipt=receipt)
        yield stands
        yield replace(stands, kind=Kind.UPDATE, changes=(*WORSE, Change(field="x", old=1, new=one.alert.title)))
        yield replace(stands, kind=Kind.REMIND, reminder="Nobody has acknowledged it for 15m")
        yield replace(stands, kind=Kind.WITHDRAW)
        yield replace(stands, kind=Kind.RESOLVE, response=DONE, latest=DONE)
        yield replace(stands, latest=replace(DONE, person=one.alert.title[:500], reason=one.alert.title[:5000]))


def test_a_new_alert_says_what_people_need() -> None:
    """Title, facts, text, evidence, where to read on, its page, and where else it stands."""
    ticket = Link(connector="tickets", text="SEC-12", url="https://jira.example.com/browse/SEC-12")
    title, body = told(
        delivery(evidence=("state: verified",), links=(ticket,), page="https://f.example.com/alerts/1"), CHAT
    )
    assert title == "🔴 Authentication bypass in the example gateway"
    lines = body.splitlines()
    for line in (
        "Severity: Critical",
        "Vendors: github, aws-lambda",
        "Versions before 4.2.1 are affected.",
        "state: verified",
        f"CVE-2026-10001: {NVD}",
        "SEC-12: https://jira.example.com/browse/SEC-12",
        "Why is this here? https://f.example.com/alerts/1",
    ):
        assert line in lines
    assert lines[-1].startswith("Published 2026-03-01 11:30 UTC · Alert ")


@pytest.mark.parametrize(
    ("changes", "head", "how_bad"),
    [
        ({"kind": Kind.UPDATE, "changes": WORSE}, "🔴 Changed: Auth", "failure"),
        ({"kind": Kind.REMIND}, "⏰ Reminder: Auth", "failure"),
        ({"kind": Kind.RESOLVE, "response": DONE, "latest": DONE}, "Resolved: Auth", "success"),
        ({"kind": Kind.WITHDRAW}, "⚪ No longer stands: Auth", "success"),
        ({"kind": Kind.WITHDRAW, "origin": Origin.ALARM}, "✅ Resolved: Auth", "success"),
    ],
)
def test_what_becomes_of_it_is_a_short_message(changes: dict[str, Any], head: str, how_bad: str) -> None:
    """No message is changed, so each change, decision and reminder is one of its own, without the alert's text."""
    one = delivery(receipt=STANDS, **changes)
    title, body = told(one, CHAT)
    assert title.startswith(head)
    assert "crafted header" not in body
    assert NVD in body
    assert level(one) == how_bad


def test_a_decision_says_who_and_why() -> None:
    """What people decided stands in the message of it, and in that of an alert which comes later."""
    for one in (delivery(receipt=STANDS, kind=Kind.RESOLVE, response=DONE, latest=DONE), delivery(latest=DONE)):
        _, body = told(one)
        assert "✅ Resolved (done) by Ada" in body
        assert "We run 5.0." in body


def test_where_there_is_no_title_it_is_the_first_line() -> None:
    """A service without titles has it in the body."""
    title, body = told(delivery())
    assert title == ""
    assert body.startswith("🔴 Authentication bypass in the example gateway\nSeverity: Critical\n")


@pytest.mark.parametrize("limits", beyond([CHAT], EACH), ids=str)
def test_whatever_an_alert_says_fits(limits: Limits) -> None:
    """No text and no size makes a title or a body longer than what the service takes, or leaves a body empty."""
    for one in (*hostile_alerts(), *odd_alerts()):
        base = delivery(alert=one, evidence=(one.title[:2000],) * 9, page="https://f.example.com/".ljust(300, "a"))
        for number, each in enumerate(follow_ups(base)):
            if number in (0, 1, 5, 8):
                title, body = told(each, limits)
                assert len(title) <= limits.title
                assert 0 < len(body) <= limits.body - (len(title) if limits.shared else 0)
                assert body.strip()
                assert not limits.lines or "\n" not in body


@pytest.mark.parametrize("form", list(Form))
def test_a_text_is_cut_to_what_is_left_and_the_link_stays(form: Form) -> None:
    """With one character less of room than it takes, it ends with a mark; facts and address are there all the same."""
    one = delivery(alert=alert(description="x" * 500))

    def body(room: int) -> str:
        return told(one, Limits(title=250, body=room, form=form))[1]

    room = next(room for room in range(500, 2000) if "x" * 500 in body(room))
    assert f"{'x' * 498}…" in body(room - 1)
    for cut_short in (body(room), body(room - 1), body(room - 200)):
        assert NVD in cut_short
        assert "Vendors: github" in cut_short


def test_a_text_message_keeps_the_link_and_its_alphabet() -> None:
    """Within 158 characters stand the title, how bad it is and the address, with nothing that makes it three parts."""
    for one in (delivery(), delivery(kind=Kind.UPDATE, receipt=STANDS, changes=WORSE)):
        _, body = told(one, SMS)
        assert len(body) <= 158
        assert "Authentication bypass in the example gateway" in body
        assert NVD in body
        assert "ritical" in body
        assert body.isascii()
    assert SMS.body <= SHORT


def test_an_address_that_takes_all_the_room_is_left_out() -> None:
    """Half of one leads nowhere, and the alert matters more."""
    long = alert(cve_id=None, source_urls=["https://example.com/".ljust(120, "a")])
    _, body = told(delivery(alert=long), SMS)
    assert "https://" not in body
    assert "Authentication bypass" in body


@pytest.mark.parametrize("form", list(Form))
def test_a_forged_text_leads_nowhere_and_calls_nobody(form: Form) -> None:
    """Links, pictures, mentions and macros in an alert are text, in the title and in the body."""
    forged = alert(
        title=FORGED,
        description=FORGED,
        severity=FORGED,
        cve_id=FORGED,
        affected_vendors=[FORGED],
        source_urls=["https://evil.example/](https://evil.example)@everyone"],
    )
    for one in follow_ups(delivery(alert=forged, evidence=(FORGED,))):
        title, body = told(one, Limits(title=250, body=8000, form=form))
        ours = re.sub(r"\[(?:[^\[\]\\]|\\.)*\]\(https://[^)]*\)|</?a\b[^>]*>|<br/>", "", body)
        assert MEANS.search(title) is None
        assert MEANS.search(ours if form is not Form.TEXT else body) is None, ours
        assert "](https://evil.example)" not in body


@pytest.mark.parametrize(
    ("text", "unharmed"),
    [
        ("a < b, a<=b, x @ y, f(x) [1] {x}", True),
        ("aws-* and snake_case", True),
        ("write to ada@example.com", False),
        ("<b>", False),
    ],
)
def test_what_means_nothing_is_left_as_it_is(text: str, unharmed: bool) -> None:
    """Nothing is broken up but what a service may read."""
    assert (harmless(text) == text) == unharmed


@pytest.mark.parametrize("form", list(Form))
def test_what_is_shown_is_what_was_said(form: Form) -> None:
    """A preview reads as the service shows it, whatever stands in the text."""
    text = "1. *a* _b_ `c` <d> &amp; [e] # f\n# g\n- h | ~i~ \\ j"
    body = f"{said(text, form)}{link('SEC-1 [x]', 'https://example.com/?a=1&b=2', form)}"
    assert shown(body, form).replace("\u200b", "").startswith(text)
    assert "https://example.com/?a=1&b=2" in shown(body, form)


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        (NVD, NVD),
        ("https://example.com/a_(b)?@x=*", "https://example.com/a_%28b%29?%40x=%2A"),
        ("https://example.com@evil.example/", None),
        ("https://[::1]/", None),
        ("javascript:alert(1)", None),
        ("https://exa mple.com/", None),
        (None, None),
    ],
)
def test_an_address_means_nothing_else(url: str | None, linked: str | None) -> None:
    """What could end a link, or call somebody, is escaped in it; one that hides where it leads is left out."""
    assert address(url) == linked


@pytest.mark.parametrize("limits", [CHAT, PLAIN, SMS, MARKDOWN, HTML], ids=str)
def test_a_digest_counts_what_has_no_room(limits: Limits) -> None:
    """A line each, the most severe first, and those that are left out are counted; their page is kept."""
    severities = list(Severity)
    items = [alert(id=f"a-{n}", title=f"Trouble {n}", severity=severities[n // 50].value) for n in range(200)]
    page = "https://f.example.com/digests/1"
    one = delivery(alert=compose("push", items, NOW), origin=Origin.DIGEST, items=tuple(items), page=page)
    title, body = told(one, limits)
    lines = shown(body, limits.form).splitlines()
    rows = [line for line in lines if line.startswith("- ")]
    assert rows
    assert "Trouble 0" in rows[0]
    left = re.search(r"(?:…|\.\.\.) and (\d+) more", shown(body, limits.form))
    assert left is not None
    assert int(left[1]) + len(rows) == 200
    assert page in body
    assert "200 alerts" in (title or body)
    assert level(one) == "info"
