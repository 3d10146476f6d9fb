"""Cards: what they show, that they stay within a message, and that an alert's text stays text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.teams import Teams, cards, elements
from connectors.teams.elements import MAX_CARD, harmless, weight
from connectors.teams.owners import TeamsOwner
from forwarder.alert import Alert, Severity
from forwarder.connector import Action, Change, Delivery, Kind, Link, Origin, Receipt, Resolution, Response
from forwarder.lifecycle.digests import compose
from forwarder.sandbox import Sandbox, adaptive
from forwarder.testing import HOSTILE_TEXTS, NOW, alert, delivery, hostile_alerts, odd_alerts
from tests.connectors.teams.kit import posted, text_of

STANDS = Receipt(remote_id="0858")
WORSE = (Change(field="severity", old="high", new="critical"),)
BETTER = (Change(field="severity", old="critical", new="high"),)
ADA, BEN = TeamsOwner("Ada Lovelace <ada@example.com>"), TeamsOwner("ben@example.com")
DONE = Response(
    number=1,
    action=Action.RESOLVE,
    at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC),
    place="oncall",
    person="Ada",
    reason="We run 5.0.",
    resolution=Resolution.DONE,
)
PAGE = "https://alerts.example.com/alerts/1"
FORGED = (
    "[here](https://evil.example) ![x](https://evil.example/x.png) <at>Ada Lovelace</at> < / AT >"
    " <https://evil.example> **bold** {{DATE(2026-03-01T11:30:00Z)}}"
)


def forged() -> Alert:
    """An alert that tries in every field to lead somewhere, or to call the owner."""
    # Its first source passes for the NVD's page of its CVE.
    number = "CVE-2026-0001)[x](https://evil.example"
    sources = [f"https://nvd.nist.gov/vuln/detail/{number}"]
    texts = dict.fromkeys(("title", "description", "severity"), FORGED)
    return alert(**texts, cve_id=number, affected_vendors=[FORGED], source_urls=sources)


def follow_ups(one: Delivery) -> Iterator[Delivery]:
    """All that may be told of an alert, with a card before it and without one."""
    for receipt in (STANDS, None):
        told = replace(one, receipt=receipt)
        yield told
        yield replace(told, kind=Kind.UPDATE, changes=(*WORSE, Change(field="x", old=1, new=one.alert.title)))
        yield replace(told, kind=Kind.REMIND, reminder="Nobody has acknowledged it for 15m")
        yield replace(told, kind=Kind.WITHDRAW)
        yield replace(told, kind=Kind.RESOLVE, response=DONE, latest=DONE)
        yield replace(told, latest=replace(DONE, person=one.alert.title[:500], reason=one.alert.title[:5000]))


def shown(connector: Teams, one: Delivery) -> str:
    return connector.preview(connector.render(one))


def test_a_new_alert_shows_what_people_need(teams: Teams) -> None:
    """Title, facts, evidence, text, its page, and buttons that lead to the ticket and the sources."""
    ticket = Link(connector="tickets", text="SEC-12", url="https://jira.example.com/browse/SEC-12")
    told = shown(teams, delivery(evidence=("It is in your logs.",), links=(ticket,), page=PAGE)).splitlines()
    assert told[1] == "▌ 🔴 Authentication bypass in the example gateway"
    for line in (
        "▌ Severity | Critical",
        "▌ CVE | CVE-2026-10001 (https://nvd.nist.gov/vuln/detail/CVE-2026-10001)",
        "▌ Vendors | github, aws-lambda",
        "▌ It is in your logs.",
        "▌ Versions before 4.2.1 are affected.",
        "[SEC-12] https://jira.example.com/browse/SEC-12",
        "[example.com] https://example.com/advisories/7?a=1&b=2",
    ):
        assert line in told
    assert f"Why is this here? ({PAGE})" in told[-4]


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"kind": Kind.UPDATE, "changes": WORSE}, "🔴 Changed: Auth"),
        ({"kind": Kind.REMIND}, "⏰ Reminder: Auth"),
        ({"kind": Kind.RESOLVE, "response": DONE, "latest": DONE}, "Resolved: Auth"),
        ({"kind": Kind.WITHDRAW}, "⚪ No longer stands: Auth"),
        ({"kind": Kind.WITHDRAW, "origin": Origin.TEST}, "⚪ Test over: Auth"),
        ({"kind": Kind.WITHDRAW, "origin": Origin.ALARM}, "✅ Resolved: Auth"),
    ],
)
def test_what_becomes_of_it_is_a_short_card(sandbox: Sandbox, teams: Teams, changes: dict[str, Any], head: str) -> None:
    """A workflow changes no card, so each change, decision and reminder is one of its own, without the alert's text."""
    told = delivery(receipt=STANDS, **changes)
    assert head in shown(teams, told).splitlines()[1]
    assert "crafted header" not in text_of(posted(sandbox, teams, told))


def test_a_decision_says_who_and_why(teams: Teams) -> None:
    """What people decided stands in the card, and in that of an alert which comes later."""
    for told in (
        delivery(receipt=STANDS, kind=Kind.RESOLVE, response=DONE, latest=DONE),
        delivery(latest=DONE),
    ):
        assert "✅ Resolved (done) by Ada" in shown(teams, told)
        assert "We run 5.0." in shown(teams, told)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.UPDATE, "receipt": STANDS},
        {"kind": Kind.WITHDRAW},
        {"kind": Kind.RESOLVE, "response": DONE, "latest": DONE},
    ],
)
def test_what_no_card_can_show_is_not_sent(sandbox: Sandbox, teams: Teams, changes: dict[str, Any]) -> None:
    """Links alone, and what became of an alert that stands nowhere, are settled without a card."""
    told = delivery(**changes)
    payload = teams.render(told)
    assert "Nothing is sent" in teams.preview(payload)
    teams.deliver(told, payload)
    assert sandbox.teams.cards == []


def test_whatever_an_alert_says_teams_shows_it(teams: Teams) -> None:
    """No text and no size bursts a message, or makes an element that Teams does not know."""
    for one in (*hostile_alerts(), *odd_alerts()):
        told = delivery(alert=one, owners=(ADA, BEN), evidence=(one.title[:2000],) * 9, page=PAGE.ljust(300, "a"))
        # A new one, a change of it, a reminder of one that stands nowhere, and one that somebody has.
        for each in [every for number, every in enumerate(follow_ups(told)) if number in (0, 1, 5, 8)]:
            card = teams.render(each)["attachments"][0]["content"]
            assert adaptive.problems(card) == []
            assert weight(card) <= MAX_CARD


def test_a_forged_text_leads_nowhere_and_calls_nobody(sandbox: Sandbox, teams: Teams) -> None:
    """Markdown, images, mentions and macros in an alert are text; an owner is called once, by our own line."""
    for told in follow_ups(delivery(alert=forged(), owners=(ADA,), evidence=(FORGED,))):
        if teams.render(told)["type"] == "none":
            continue
        card = posted(sandbox, teams, told)
        buttons = [action["url"] for action in card.get("actions", ())]
        assert adaptive.links(card) == buttons
        assert adaptive.mentions(card) in ([], ["ada@example.com"])
        assert text_of(card).count("<at>") == 2 * len(adaptive.mentions(card))
        assert "{{DATE" not in text_of(card)


def test_only_what_is_ours_is_markdown(teams: Teams) -> None:
    """No word of an alert stands in an element that reads Markdown, whatever is told."""
    word = "Zweihundert"
    one = alert(
        title=word, description=word, cve_id=word, severity=word, affected_vendors=[word], alert_type=word, id=word
    )
    for told in follow_ups(delivery(alert=one, evidence=(word,), owners=(ADA,))):
        for attachment in teams.render(told).get("attachments", ()):
            assert word not in "".join(adaptive.markdown(attachment["content"]))


def test_a_source_does_not_name_the_cve(teams: Teams) -> None:
    """What an alert calls its CVE is shown as it says, though its first source is the NVD's page of another one."""
    other = alert(cve_id="GHSA-1234", source_urls=["https://nvd.nist.gov/vuln/detail/CVE-2026-10001"])
    assert "▌ CVE | GHSA-1234" in shown(teams, delivery(alert=other)).splitlines()


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("<at>Ada</at>", "< at>Ada< /at>"),
        ("< AT id=1>", "<  AT id=1>"),
        ("a < attack, <attr>", "a < attack, <attr>"),
        ("{{ DATE(x)}} {{name}}", "{ { DATE(x)}} {{name}}"),
    ],
)
def test_mentions_and_macros_are_broken(text: str, as_shown: str) -> None:
    """What Teams would read even without Markdown gets a space; nothing else is changed."""
    assert harmless(text) == as_shown


@pytest.mark.parametrize(("kind", "called"), [(Kind.OPEN, True), (Kind.REMIND, True), (Kind.ACKNOWLEDGE, False)])
def test_owners_are_called_where_it_is_news(sandbox: Sandbox, teams: Teams, kind: Kind, called: bool) -> None:
    """A new alert and a reminder call them, a decision calls nobody."""
    took = replace(DONE, action=Action.ACKNOWLEDGE, resolution=None)
    response = {"response": took, "latest": took} if kind.responds else {}
    receipt = None if kind is Kind.OPEN else STANDS
    posted(sandbox, teams, delivery(kind=kind, receipt=receipt, owners=(ADA, BEN), **response))
    assert sandbox.teams.mentions == [["ada@example.com", "ben@example.com"] if called else []]


def test_a_change_calls_them_for_worse_news_alone(sandbox: Sandbox, teams: Teams) -> None:
    """A severity that fell is no reason to call anybody."""
    for changes in (WORSE, BETTER):
        posted(sandbox, teams, delivery(kind=Kind.UPDATE, receipt=STANDS, changes=changes, owners=(ADA,)))
    assert sandbox.teams.mentions == [["ada@example.com"], []]


def test_two_of_the_same_name_are_both_called(sandbox: Sandbox, teams: Teams) -> None:
    """Teams knows a mention by its words, so the second is called by the id; who is named twice is called once."""
    owners = (ADA, TeamsOwner("Ada Lovelace <ada.l@example.com>"), ADA)
    posted(sandbox, teams, delivery(owners=owners))
    assert sandbox.teams.mentions == [["ada@example.com", "ada.l@example.com"]]


def test_owners_with_endless_names_leave_room(sandbox: Sandbox, teams: Teams) -> None:
    """Those who do not fit are left out, and the card is shown."""
    owners = tuple(TeamsOwner(f"{chr(0x1F600 + number) * 40} <{'a' * 60}{number}@example.com>") for number in range(10))
    posted(sandbox, teams, delivery(owners=owners))
    assert 0 < len(sandbox.teams.mentions[0]) < 10


def test_a_long_text_is_cut_to_what_is_left(sandbox: Sandbox, teams: Teams) -> None:
    """A text that fits stays whole; a longer one ends with a mark, within the card, and takes nothing else away."""
    at, past = (
        posted(sandbox, teams, delivery(alert=alert(description="x" * length)))
        for length in (cards.MAX_TEXT, cards.MAX_TEXT + 1)
    )
    assert "x" * cards.MAX_TEXT in text_of(at)
    assert "x" * (cards.MAX_TEXT - 1) + "…" in text_of(past)
    heavy = posted(sandbox, teams, delivery(alert=alert(description="🚨" * cards.MAX_TEXT)))
    assert MAX_CARD - 20 < weight(heavy["body"]) + weight({**heavy, "body": []}) <= MAX_CARD + 20
    assert "🚨…" in text_of(heavy)


@pytest.mark.parametrize("length", [elements.MAX_URL, elements.MAX_URL + 1])
def test_a_button_leads_where_a_browser_can_go(teams: Teams, length: int) -> None:
    """An address of 2,000 characters is a button, a longer one is none."""
    url = "https://example.com/".ljust(length, "a")
    payload = teams.render(delivery(alert=alert(source_urls=[url])))
    actions = payload["attachments"][0]["content"].get("actions", [])
    assert [action["url"] for action in actions] == ([url] if length == elements.MAX_URL else [])


def test_five_links_are_buttons(teams: Teams) -> None:
    """Of more the first five are shown."""
    urls = [f"https://example.com/{number}" for number in range(9)]
    payload = teams.render(delivery(alert=alert(source_urls=urls)))
    assert len(payload["attachments"][0]["content"]["actions"]) == cards.MAX_BUTTONS


def told_together(count: int, **changes: Any) -> Delivery:
    severities = list(Severity)
    items = [
        alert(
            id=f"a-{number}",
            title=f"Trouble {number}",
            severity=severities[number * 4 // count].value,
            cve_id=f"CVE-2026-{number + 1:04d}",
        )
        for number in range(count)
    ]
    made = compose("teams", items, NOW)
    return delivery(alert=made, origin=Origin.DIGEST, items=tuple(items), **changes)


def test_a_digest_is_a_table(sandbox: Sandbox, teams: Teams) -> None:
    """A line each, the most severe first, each severity with its number."""
    card = posted(sandbox, teams, told_together(12))
    told = shown(teams, told_together(12))
    places = [told.index(f"{severity.value.capitalize()} · 3") for severity in Severity]
    assert places == sorted(places)
    assert sum("Trouble" in text_of(row) for row in card["body"] if row["type"] == "ColumnSet") == 12
    assert "more, the least severe" not in told


@pytest.mark.parametrize(
    ("page", "where"),
    [(PAGE, f"all of them ({PAGE})"), (None, "forwarder alerts lists them"), ("x" * 301, "forwarder alerts")],
)
def test_what_does_not_fit_a_digest_is_counted(sandbox: Sandbox, teams: Teams, page: str | None, where: str) -> None:
    """Five hundred alerts are one card within a message; the rest is of the least severe, counted and linked."""
    digest = told_together(500, page=page)
    card = posted(sandbox, teams, digest)
    rows = sum("Trouble" in text_of(row) for row in card["body"] if row["type"] == "ColumnSet")
    assert rows > 30
    assert f"… and {500 - rows} more, the least severe: {where}" in shown(teams, digest)
    assert MAX_CARD - 700 < weight(card) <= MAX_CARD
    assert "Low · 125" in shown(teams, digest)


def test_a_hostile_digest_is_shown(sandbox: Sandbox, teams: Teams) -> None:
    """Titles that forge links stay text in the table, too."""
    items = tuple(
        alert(title=text or "-", cve_id=text, source_urls=[], severity="low") for text in (*HOSTILE_TEXTS, FORGED)
    )
    made = compose("teams", items, NOW)
    card = posted(sandbox, teams, delivery(alert=made, origin=Origin.DIGEST, items=items))
    assert adaptive.links(card) == []


def test_a_report_is_its_text(sandbox: Sandbox, teams: Teams) -> None:
    """It has no facts and no severity."""
    report = alert(title="Report", description="3 alerts came.\n\n1 is open.", source_urls=[])
    card = posted(sandbox, teams, delivery(alert=report, origin=Origin.REPORT))
    assert [line["type"] for line in card["body"]] == ["Container", "RichTextBlock"]
    assert "📊 Report" in text_of(card)
    assert "1 is open." in text_of(card)
