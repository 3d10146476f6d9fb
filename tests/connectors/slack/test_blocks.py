"""Slack's messages: what they show, and that they stay within Slack's limits whatever an alert says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.slack import Slack, SlackConfig, blocks, markup
from forwarder.alert import Alert, Severity
from forwarder.connector import BuiltInTexts, Change, Delivery, Kind, Link, Origin, Receipt
from forwarder.sandbox import Sandbox, blockkit
from forwarder.words import MAX_VALUE, MAX_VENDORS
from tests.kit.samples import alert, bare_alert, delivery, hostile_alerts, odd_alerts, real_alerts
from tests.kit.slack import ELSEWHERE, WORSE, by_token, by_webhook, new_delivery, says, sent


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """A connector with a bot token."""
    return by_token(sandbox)


@pytest.fixture
def hook(sandbox: Sandbox) -> Slack:
    """A connector with an incoming webhook."""
    return by_webhook(sandbox)


def blocks_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [*content["blocks"], *(block for each in content["attachments"] for block in each["blocks"])]


def formatted(value: Any) -> Iterator[str]:
    """All texts of a message in which Slack reads markup."""
    if isinstance(value, list):
        for item in value:
            yield from formatted(item)
    elif isinstance(value, dict):
        if isinstance(value.get("text"), str) and value.get("type") != "plain_text":
            yield value["text"]
        for item in value.values():
            yield from formatted(item)


def message(thing: Delivery, title: str = "A title", body: str = "A body") -> dict[str, Any]:
    return blocks.message(thing, title, body)


def buttons(thing: Delivery, body: str = "A body") -> list[dict[str, Any]]:
    actions = [block for block in blocks_of(message(thing, body=body)) if block["type"] == "actions"]
    return actions[0]["elements"] if actions else []


def test_a_message_shows_what_is_known_of_an_alert(slack: Slack) -> None:
    """Severity, CVE, scores, KEV, vendors, text, links and time are all there."""
    shown = slack.preview(slack.render(delivery(alert=alert(cisa_kev=True), links=(ELSEWHERE,))))
    for expected in (
        "To #secops:",
        "🔴 Authentication bypass in the example gateway",
        "▌ Severity: Critical",
        "▌ CVE: CVE-2026-10001 (https://nvd.nist.gov/vuln/detail/CVE-2026-10001)",
        "▌ CVSS: 9.8",
        "▌ EPSS: 42.0%",
        "▌ CISA KEV: 🔥 Known to be exploited",
        "▌ Vendors: github, aws-lambda",
        "▌ Versions before 4.2.1 are affected.",
        "▌ [Ticket SEC-12] https://jira.example/browse/SEC-12",
        "▌ [example.com] https://example.com/advisories/7?a=1&b=2",
        "Published 2026-03-01 11:30 UTC",
    ):
        assert expected in shown


def test_a_message_without_facts_shows_only_what_is_known(slack: Slack) -> None:
    """Of an alert with nothing but an id and a time no empty field, text or button is made."""
    payload = slack.render(delivery(alert=bare_alert(severity="low")))
    assert [block["type"] for block in blocks_of(dict(payload))] == ["header", "section", "context"]
    assert "🔵" in payload["text"]


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0.0%"), (0.00043, "&lt;0.1%"), (0.001, "0.1%"), (0.9437, "94.4%"), (1.0, "100.0%")]
)
def test_epss_is_a_percentage(share: float, shown: str) -> None:
    """A probability reads as a percentage, and one that rounds to nothing does not read as none."""
    fields = message(delivery(alert=alert(epss_score=share)))["attachments"][0]["blocks"][0]["fields"]
    assert f"*EPSS*\n{shown}" in [field["text"] for field in fields]


def test_every_severity_has_a_colour_and_an_emoji_of_its_own() -> None:
    """The colour bar and the title distinguish the severities."""
    seen = [message(delivery(alert=alert(severity=severity.value))) for severity in Severity]
    assert len({each["attachments"][0]["color"] for each in seen}) == len(Severity)
    assert len({each["blocks"][0]["text"]["text"] for each in seen}) == len(Severity)


def test_an_unknown_severity_is_flagged(slack: Slack) -> None:
    """What the API said stands beside what it is taken for."""
    shown = slack.preview(slack.render(delivery(alert=alert(severity="catastrophic"))))
    assert "⚠️ Critical (the API said: catastrophic)" in shown


@pytest.mark.parametrize(("origin", "expected"), [(Origin.TEST, "TEST: Auth"), (Origin.ALARM, "Forwarder alarm: Auth")])
def test_what_is_no_alert_of_the_feed_says_so(slack: Slack, origin: Origin, expected: str) -> None:
    """A test and an alarm are marked in the title, in the notification and in the plain text."""
    thing = delivery(origin=origin)
    assert expected in slack.render(thing)["text"]
    assert expected in slack.preview(slack.render(thing))
    assert expected in blocks.plain(thing, thing.alert.title, "")


def test_the_connector_s_wording_comes_from_the_config(sandbox: Sandbox) -> None:
    """Templates word title and text; what they bring is cleaned and cannot break the message."""

    class Templated(BuiltInTexts):
        def title(self, delivery: Delivery, built_in: str) -> str:
            return f"<!channel>\n{built_in[:4]} {delivery.revision}\x00"

        def text(self, delivery: Delivery, built_in: str) -> str:
            return f"Look at {built_in[:9]} {delivery.revision}."

    known = {"type": "slack", "token": sandbox.slack.token, "channel": "#secops", "base_url": sandbox.slack.url}
    connector = Slack("secops", SlackConfig.model_validate(known), Templated())
    assert sent(connector, delivery()).note == ""
    (stored,) = sandbox.slack.messages
    assert stored["blocks"][0]["text"]["text"] == "🔴 <!channel> Auth 1\ufffd"
    assert stored["pings"] == []
    assert "Look at A crafted 1." in json.dumps(stored)


# Limits


def test_a_header_is_cut_at_its_limit() -> None:
    """150 characters pass whole, one more is cut with a mark."""
    fits = blocks.MAX_HEADER - len("🔴 ")
    at, past = (message(delivery(), title="t" * length)["blocks"][0]["text"]["text"] for length in (fits, fits + 1))
    assert at == "🔴 " + "t" * fits
    assert len(past) == blocks.MAX_HEADER
    assert past.endswith("t…")


def test_a_text_is_cut_at_its_limit() -> None:
    """3,000 characters pass whole, one more is cut with a mark."""
    at, past = (
        next(
            block
            for block in blocks_of(message(delivery(), body="d" * length))
            if "text" in block and "d" * 9 in block["text"]["text"]
        )
        for length in (blocks.MAX_SECTION, blocks.MAX_SECTION + 1)
    )
    assert at["text"]["text"] == "d" * blocks.MAX_SECTION
    assert len(past["text"]["text"]) == blocks.MAX_SECTION
    assert past["text"]["text"].endswith("d…")


def test_a_fact_is_cut_at_its_limit() -> None:
    """One fact has room for 300 characters, one more is cut with a mark."""
    at, past = (
        next(
            field["text"].removeprefix("*Type*\n")
            for field in message(delivery(alert=alert(alert_type="x" * length)))["attachments"][0]["blocks"][0][
                "fields"
            ]
            if field["text"].startswith("*Type*")
        )
        for length in (MAX_VALUE, blocks.MAX_VALUE + 1)
    )
    assert at == "x" * MAX_VALUE
    assert len(past) == MAX_VALUE
    assert past.endswith("x…")


def test_a_cve_that_is_endless_is_cut_and_not_linked() -> None:
    """A number that is well-formed but absurd neither bursts its field nor leads to a page that is not there."""
    shown = message(delivery(alert=alert(cve_id="CVE-2026-" + "1" * 3000)))
    assert blockkit.problems(blocks_of(shown)) == []
    assert "nvd.nist.gov/vuln/detail/CVE-2026-1111" not in json.dumps(shown)


def test_ten_vendors_are_named_and_the_rest_counted() -> None:
    """Ten vendors are all named; of more the rest is a number."""
    at, past = (
        json.dumps(message(delivery(alert=alert(affected_vendors=[f"v{number}" for number in range(count)]))))
        for count in (MAX_VENDORS, MAX_VENDORS + 1)
    )
    assert "v9" in at
    assert "more" not in at
    assert "v10" not in past
    assert "v9 and 1 more" in past


def test_a_button_s_words_are_cut_at_their_limit() -> None:
    """75 characters pass whole, one more is cut with a mark."""
    at, past = (
        buttons(delivery(links=(Link(connector="tickets", text="b" * length, url="https://jira.example/1"),)))[0]
        for length in (blocks.MAX_BUTTON, blocks.MAX_BUTTON + 1)
    )
    assert at["text"]["text"] == "b" * blocks.MAX_BUTTON
    assert len(past["text"]["text"]) == blocks.MAX_BUTTON
    assert past["text"]["text"].endswith("b…")


@pytest.mark.parametrize(("length", "shown"), [(blocks.MAX_URL, 1), (blocks.MAX_URL + 1, 0)])
def test_a_link_that_is_too_long_is_left_out(length: int, shown: int) -> None:
    """A URL of 3,000 characters is linked; a longer one would lose its end, so it is not."""
    url = "https://example.com/".ljust(length, "u")
    assert [button["url"] for button in buttons(delivery(alert=alert(source_urls=[url])))] == [url] * shown


@pytest.mark.parametrize("count", [blocks.MAX_BUTTONS, blocks.MAX_BUTTONS + 1])
def test_five_links_are_shown_at_most(count: int) -> None:
    """The links to where the alert stands come before its sources, five in all; one host's are numbered."""
    sources = [f"https://example.com/{number}" for number in range(count - 1)]
    shown = buttons(delivery(alert=alert(source_urls=sources), links=(ELSEWHERE,)))
    assert [button["text"]["text"] for button in shown] == [
        "Ticket SEC-12",
        "example.com",
        "example.com (2)",
        "example.com (3)",
        "example.com (4)",
    ]


def test_all_blocks_together_stay_within_their_limit() -> None:
    """A link that just fits beside a long text is shown; with one character more it is left out."""
    text = '"' * blocks.MAX_SECTION  # twice as long on the wire

    def total(length: int) -> tuple[int, int]:
        thing = delivery(alert=alert(source_urls=["https://example.com/".ljust(length, "u")]))
        content = message(thing, body=text)
        size = markup.size(content["blocks"]) + markup.size(content["attachments"])
        return size, len(buttons(thing, body=text))

    longest = max(length for length in range(30, blocks.MAX_URL) if total(length)[1])
    assert longest < blocks.MAX_URL - 1
    assert blocks.MAX_TOTAL - 300 < total(longest)[0] <= blocks.MAX_TOTAL
    assert total(longest + 1)[1] == 0


def test_a_text_gives_way_where_all_blocks_are_too_long() -> None:
    """Facts, title and text that are each as long as they may be, and twice as long on the wire, still fit together."""
    longest = '"\\' * 300
    facts = {"severity": longest, "cve_id": longest, "affected_vendors": [longest], "alert_type": longest}
    thing = delivery(alert=alert(**facts, id=longest[:255]))
    content = message(thing, title=longest, body=longest * 20)
    assert markup.size(content["blocks"]) + markup.size(content["attachments"]) <= blocks.MAX_TOTAL
    text = blocks_of(content)[2]["text"]["text"]
    assert text.endswith("…")
    assert blocks.MAX_SECTION * 2 // 3 < len(text) < blocks.MAX_SECTION


@pytest.mark.parametrize("text", ["t" * 9, "&" * 2, "<!channel>", "a&b<c>d", "é🔴" * 5])
def test_escaped_text_is_cut_without_halving_an_entity(text: str) -> None:
    """At the limit the text is whole, below it a mark ends it, and what is left unescapes to the text's beginning."""
    whole = markup.escape(text)
    assert markup.escape_within(text, len(whole)) == whole
    for limit in range(1, len(whole)):
        short = markup.escape_within(text, limit)
        read = short.removesuffix("…").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert len(short) <= limit
        assert short.endswith("…")
        assert text.startswith(read)


def test_a_plain_text_is_cut_at_its_limit() -> None:
    """3,500 characters, escapes included, pass whole; one more is cut with a mark."""
    room = blocks.MAX_TEXT - len(blocks.plain(delivery(), "A title", "&b")) + 1
    at, past = (blocks.plain(delivery(), "A title", "&" + "b" * length) for length in (room, room + 1))
    assert at.endswith("&amp;" + "b" * room)
    assert (len(at), len(past)) == (blocks.MAX_TEXT, blocks.MAX_TEXT)
    assert past.endswith("b…")


def test_real_alerts_are_within_every_limit(slack: Slack) -> None:
    """Block Kit as the sandbox checks it finds nothing wrong in any message of a real alert."""
    for raw in real_alerts():
        payload = slack.render(delivery(alert=Alert.parse(raw)))
        shown = blocks_of(dict(payload))
        assert blockkit.problems(shown) == []
        assert blockkit.size(shown) <= blocks.MAX_TOTAL
        assert len(payload["text"]) <= blocks.MAX_TEXT


def test_nothing_in_a_notification_is_read_as_a_mention(slack: Slack) -> None:
    """A post, an edit and a reply all ask Slack to show the text as it stands; an edit would not by default."""
    edit = slack.render(delivery(kind=Kind.UPDATE, receipt=Receipt(remote_id="C0SECOPS:1.000001"), changes=WORSE))
    for sent_along in (slack.render(delivery()), edit, edit["reply"]):
        assert (sent_along["parse"], sent_along["link_names"]) == ("none", False)


def test_hostile_alerts_ping_nobody_and_forge_no_link(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """In every field, kind of message and fallback hostile text stays text, and Slack accepts it in its usual form."""
    for nasty in [*hostile_alerts(), *odd_alerts()]:
        changed = (Change(field="affected_vendors", old=[], new=[nasty.title]),)
        link = Link(connector="tickets", text=nasty.title, url=nasty.title)
        for connector in (slack, hook):
            first = sent(connector, new_delivery(alert=nasty, links=(link,)))
            update = new_delivery(alert=nasty, kind=Kind.UPDATE, receipt=first.receipt, changes=changed)
            taken_back = new_delivery(alert=nasty, kind=Kind.WITHDRAW, receipt=first.receipt)
            assert [first.note, sent(connector, update).note, sent(connector, taken_back).note] == ["", "", ""]
        sandbox.slack.inject(says("invalid_blocks", "chat.postMessage"))
        assert sent(slack, new_delivery(alert=nasty)).note
    assert [stored["pings"] for stored in sandbox.slack.messages if stored["pings"]] == []
    read = [text for stored in sandbox.slack.messages for text in formatted(stored)]
    assert [text for text in read if re.search(r"<(?!!date\^|https://nvd\.nist\.gov/vuln/detail/CVE-)", text)] == []
    assert '"url": "javascript' not in json.dumps(sandbox.slack.messages)


def test_a_message_leads_to_the_alert_s_own_page(slack: Slack) -> None:
    """Where the config says how people reach it; without it the message is as it was."""
    page = "https://alerts.example.com/alerts/a"
    assert f"<{page}|Why is this here?>" in json.dumps(slack.render(delivery(page=page)))
    assert "Why is this here?" not in json.dumps(slack.render(delivery()))
