"""A digest in Slack: one message within Slack's limits, every alert shown or counted, nothing in it that acts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.slack import blocks, digest
from forwarder.alert import Alert, Severity
from forwarder.connector import Delivered, Delivery, Kind, Origin
from forwarder.lifecycle.digests import compose
from forwarder.sandbox import Sandbox, blockkit
from forwarder.testing import HOSTILE_TEXTS, alert, bare_alert, hostile_alerts
from forwarder.words import EMOJI
from tests.kit.slack import by_token, by_webhook, new_delivery, sent


def told(items: Sequence[Alert], **changes: Any) -> Delivery:
    ordered = tuple(sorted(items, key=lambda one: one.severity.rank))
    made = compose("secops", ordered, datetime.now(UTC))
    return new_delivery(alert=made, origin=Origin.DIGEST, items=ordered, **changes)


def many(count: int, *severities: str, **changes: Any) -> list[Alert]:
    return [
        alert(
            id=f"a{number}",
            severity=severities[number % len(severities)],
            cve_id=f"CVE-2026-{10000 + number}",
            title=f"Hole {number} in a product with a name of the usual length, and some more",
            **changes,
        )
        for number in range(count)
    ]


def text_of(message: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in message["blocks"] if "text" in block)


def lines_of(message: dict[str, Any]) -> list[str]:
    return [line for line in text_of(message).split("\n") if line[:1] in "🔴🟠🟡🔵"]


@pytest.mark.parametrize("count", [1, 30, 500, 5000])
@pytest.mark.parametrize("severities", [("low",), ("critical", "high", "medium", "low")])
def test_all_are_shown_or_counted(sandbox: Sandbox, count: int, severities: tuple[str, ...]) -> None:
    """One message of a size that Slack takes; what does not fit is the least severe, and counted."""
    items = many(count, *severities)
    assert isinstance(sent(by_token(sandbox), told(items)), Delivered)
    (message,) = sandbox.slack.messages
    assert blockkit.size(message["blocks"]) <= blocks.MAX_TOTAL
    assert len(message["blocks"]) <= 50
    assert f"Digest: {count:,} alert" in message["blocks"][0]["text"]["text"]
    for severity, number in Counter(one.severity for one in items).items():
        assert f"*{severity.value.capitalize()} · {number:,}*" in text_of(message)
    more = re.search(r"… and ([\d,]+) more", json.dumps(message["blocks"], ensure_ascii=False))
    assert len(lines_of(message)) + (int(more[1].replace(",", "")) if more else 0) == count
    if more:
        ranks = [EMOJI[severity] for severity in Severity]
        shown = [line[0] for line in lines_of(message)]
        assert shown == sorted(shown, key=ranks.index)
        assert len(shown) >= 30


def test_the_rest_is_linked(sandbox: Sandbox) -> None:
    """What does not fit is a click away where there is a status page; else the command that lists it is named."""
    page = "https://forwarder.example/alerts/digest-1"
    slack, items = by_token(sandbox), many(500, "low")
    last = slack.render(told(items, page=page))["blocks"][-1]
    assert re.fullmatch(rf"… and \d+ more, the least severe: <{page}\|all of them>\.", last["elements"][0]["text"])
    for nowhere in (None, page + "x" * 3000):
        last = slack.render(told(items, page=nowhere))["blocks"][-1]
        assert last["elements"][0]["text"].endswith("more, the least severe: `forwarder alerts` lists them.")


def test_what_fits_is_whole(sandbox: Sandbox) -> None:
    """Thirty alerts fit; nothing is said of more."""
    payload = by_token(sandbox).render(told(many(30, "high")))
    assert "context" not in {block["type"] for block in payload["blocks"]}
    assert len(lines_of(dict(payload))) == 30


def test_a_line(sandbox: Sandbox) -> None:
    """The severity, the CVE with its link, KEV and the title."""
    one = alert(severity="high", cisa_kev=True, title="A hole " + "x" * 200)
    (found,) = lines_of(dict(by_token(sandbox).render(told([one]))))
    assert found.startswith("🟠 <https://nvd.nist.gov/vuln/detail/CVE-2026-10001|CVE-2026-10001> · 🔥 KEV · A hole xxx")
    assert found.endswith("…")
    assert digest.line(bare_alert(id="x")).strip()


def test_no_buttons_and_no_facts(sandbox: Sandbox) -> None:
    """Nobody can acknowledge a digest, and it has no CVSS score."""
    payload = by_token(sandbox, app_token=sandbox.slack.app_token).render(told(many(3, "low")))
    assert {block["type"] for block in payload["blocks"]} == {"header", "section"}
    assert payload["attachments"] == []
    assert "CVSS" not in json.dumps(payload)


@pytest.mark.few(8)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_titles(sandbox: Sandbox, text: str) -> None:
    """Nothing in an alert pings, links or makes another line; each message is one that Slack takes."""
    items = [alert(id=f"h{number}", title=text, cve_id=text or None, severity="low") for number in range(40)]
    payload = by_token(sandbox).render(told(items))
    assert blockkit.problems(payload["blocks"]) == []
    assert blockkit.size(payload["blocks"]) <= blocks.MAX_TOTAL
    assert blockkit.pings(payload["text"], payload["blocks"], []) == []
    assert blockkit.pings(payload["fallback"], [], []) == []
    assert "<https://evil" not in json.dumps(payload)
    assert all(line[:1] in "🔵*…" for line in text_of({"blocks": payload["blocks"][1:]}).split("\n"))


def test_hostile_alerts_of_all_kinds(sandbox: Sandbox) -> None:
    """All at once, through a token and a webhook."""
    one = told(list(hostile_alerts()))
    sent(by_token(sandbox), one)
    sent(by_webhook(sandbox), one)
    assert [message["pings"] for message in sandbox.slack.messages] == [[], []]


def test_a_digest_without_items_and_a_report_are_their_text(sandbox: Sandbox) -> None:
    """Where there is no alert to show, the text is all there is."""
    report = alert(title="Report: 3 new", description="New: 3 high.\nOpen: none.", cve_id=None, source_urls=[])
    payload = by_token(sandbox).render(new_delivery(alert=report, origin=Origin.REPORT, kind=Kind.OPEN))
    assert "▌ New: 3 high.\n▌ Open: none." in by_token(sandbox).preview(payload)
