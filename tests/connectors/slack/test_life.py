"""What a Slack message tells of its alert's life: who has it, what came of it, that it is still open."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.slack import Slack, blocks
from forwarder.connector import FEED, Action, Delivered, Delivery, Kind, Origin, Receipt, Resolution, Response, Retry
from forwarder.sandbox import Fault, FaultKind, Sandbox, blockkit
from forwarder.words import MAX_REASON
from tests.kit.samples import HOSTILE_TEXTS, NOW, alert, delivery, hostile_alerts
from tests.kit.slack import WORSE, by_token, by_webhook, new_delivery, says, send, sent

ADA = Response(
    number=1, action=Action.ACKNOWLEDGE, at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC), place="secops", person="Ada"
)
DONE = replace(ADA, number=2, action=Action.RESOLVE, resolution=Resolution.NOT_AFFECTED, reason="We run 5.0.")
AGAIN = replace(ADA, number=3, action=Action.REOPEN, person="Bob")
WORSENED = Response(number=4, action=Action.REOPEN, at=NOW, place=FEED, reason="Severity: high -> critical")
PLACE = Receipt(remote_id="C0SECOPS:1700000000.000100")
STATUS = "Acknowledged by Ada · 2026-03-01 14:02 UTC"


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """A connector with a bot token."""
    return by_token(sandbox)


@pytest.fixture
def hook(sandbox: Sandbox) -> Slack:
    """A connector with an incoming webhook."""
    return by_webhook(sandbox)


def telling(response: Response, **changes: Any) -> Delivery:
    """The delivery that is owed for a response, which is the last one."""
    kind = Kind(response.action.value)
    told = {"kind": kind, "revision": response.number, "response": response, "latest": response, "receipt": PLACE}
    return delivery(**{**told, **changes})


def shown(connector: Slack, one: Delivery) -> str:
    return connector.preview(connector.render(one))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("receipt", [None, PLACE])
def test_every_message_shows_who_has_the_alert(slack: Slack, kind: Kind, receipt: Receipt | None) -> None:
    """Whatever is sent or edited after a response shows the status, who and when."""
    one = delivery(kind=kind, receipt=receipt, latest=ADA, changes=WORSE, response=ADA if kind.responds else None)
    payload = slack.render(one)
    if payload["method"] == "none":
        assert receipt is None
        assert kind.responds or kind is Kind.WITHDRAW
        return
    assert STATUS in slack.preview(payload)
    if kind is not Kind.WITHDRAW:
        assert "Acknowledged by Ada" in payload["text"]
        assert "Acknowledged by Ada" in payload["fallback"]


def test_nothing_is_shown_while_nobody_reacted(slack: Slack) -> None:
    """A message without a response has no line for it."""
    shown = slack.render(delivery())["blocks"]
    assert [block["type"] for block in shown] == ["header"]
    assert [block["type"] for block in slack.render(delivery())["blocks"]] == ["header"]


def test_a_resolved_alert_looks_otherwise(slack: Slack) -> None:
    """Its title is struck, the text is gone and the bar is green; how and why stand there. A reopening undoes that."""
    payload = slack.render(telling(DONE))
    assert [block["type"] for block in payload["blocks"]] == ["section"]
    text = payload["blocks"][0]["text"]["text"]
    assert text.startswith("✅ Resolved (not affected) by Ada · <!date^")
    assert "\n~Authentication bypass in the example gateway~\nWe run 5.0." in text
    assert "Versions before 4.2.1" not in json.dumps(payload["attachments"])
    opened = slack.render(telling(AGAIN))
    assert payload["attachments"][0]["color"] != opened["attachments"][0]["color"]
    assert opened["attachments"][0]["color"] == slack.render(delivery())["attachments"][0]["color"]
    assert "Versions before 4.2.1" in json.dumps(opened["attachments"])
    assert "🔁 Reopened by Bob · 2026-03-01 14:02 UTC" in slack.preview(opened)


def test_a_response_edits_the_message_and_says_so_in_its_thread(sandbox: Sandbox, slack: Slack) -> None:
    """The message shows the state, and one line in its thread who did what and why, without a word to the channel."""
    first = sent(slack, new_delivery())
    told = telling(DONE, receipt=first.receipt, enqueued_at=datetime.now(UTC))
    assert sent(slack, told).receipt == first.receipt
    message, reply = sandbox.slack.messages
    assert "Resolved (not affected) by Ada" in message["blocks"][0]["text"]["text"]
    assert reply["thread_ts"] == message["ts"]
    assert reply["text"] == "✅ Resolved (not affected) by Ada\nWe run 5.0."
    assert reply["reply_broadcast"] is False
    assert reply["metadata"]["event_payload"] == {"alert_id": told.alert.id, "kind": "resolve", "revision": 2}


def test_a_response_whose_answer_was_lost_is_found_by_its_reply(sandbox: Sandbox, slack: Slack) -> None:
    """The line in the thread comes once: it is found by its kind and number, and another response's is not it."""
    first = sent(slack, new_delivery())
    told = telling(ADA, receipt=first.receipt, enqueued_at=datetime.now(UTC))
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert not isinstance(send(slack, told), Delivered | Retry)
    assert slack.find(told) == first.receipt
    assert slack.find(replace(told, revision=2)) is None
    assert slack.find(replace(told, kind=Kind.REOPEN)) is None


def test_a_response_without_a_message_sends_nothing(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """Where no message stands there is nothing to show it on, and nothing to find."""
    told = telling(ADA, receipt=None)
    for connector in (slack, hook):
        assert sent(connector, told).note == "nothing to send"
    # A webhook's message cannot be edited by the token that took its place.
    assert sent(slack, telling(ADA, receipt=Receipt(remote_id="webhook"))).note == "nothing to send"
    assert slack.find(told) is None
    assert sandbox.slack.messages == []


def test_a_message_that_is_gone_is_not_made_anew_for_a_response(sandbox: Sandbox, slack: Slack) -> None:
    """Somebody deleted the message: that it was acknowledged is no reason to bring it back, a reminder is."""
    first = sent(slack, new_delivery())
    sandbox.slack.inject(says("message_not_found", "chat.update", times=2))
    assert sent(slack, telling(ADA, receipt=first.receipt)).receipt == first.receipt
    assert len(sandbox.slack.messages) == 1
    reminded = sent(slack, delivery(kind=Kind.REMIND, receipt=first.receipt))
    assert reminded.receipt != first.receipt


def test_an_older_response_is_told_and_the_last_one_shown(slack: Slack) -> None:
    """What was overtaken stands in the thread; the message shows what holds."""
    payload = slack.render(telling(ADA, latest=DONE))
    assert "Resolved (not affected) by Ada" in payload["text"]
    assert payload["reply"]["text"] == "👀 Acknowledged by Ada"


def test_a_webhook_tells_a_response_by_a_short_message(sandbox: Sandbox, hook: Slack) -> None:
    """It cannot edit: who did what to which alert is a message of its own."""
    sent(hook, telling(DONE, receipt=Receipt(remote_id="webhook")))
    (message,) = sandbox.slack.messages
    assert [block["type"] for block in message["blocks"]] == ["header", "section", "context"]
    assert message["blocks"][0]["text"]["text"] == "Resolved: Authentication bypass in the example gateway"
    assert message["blocks"][1]["text"]["text"] == "✅ Resolved (not affected) by Ada\nWe run 5.0."


def test_worse_news_say_that_the_alert_is_open_again(slack: Slack) -> None:
    """The update itself tells it, to the channel; a later one, and one that found it open, do not."""
    update = delivery(kind=Kind.UPDATE, revision=2, changes=WORSE, receipt=PLACE, latest=WORSENED)
    payload = slack.render(update)
    assert payload["reply"]["text"].startswith("🔁 Open again: it got worse\n⬆️ Severity: high → critical")
    assert payload["reply"]["reply_broadcast"] is True
    assert "🔁 Open again: it got worse · 2026-03-01 12:00 UTC" in slack.preview(payload)
    assert "Severity: high -> critical" not in slack.preview(payload)  # the reply has it in better words
    for other in (replace(update, enqueued_at=NOW + timedelta(hours=1)), replace(update, latest=AGAIN)):
        assert "Open again" not in slack.render(other)["reply"]["text"]


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        (None, "⏰ Still open since 2026-03-01 11:30 UTC: nobody has acknowledged it."),
        (AGAIN, "⏰ Still open. Reopened by Bob, 2026-03-01 14:02 UTC: nobody has acknowledged it since."),
        (ADA, "⏰ Not resolved yet. Acknowledged by Ada, 2026-03-01 14:02 UTC."),
        (DONE, "⏰ Resolved (not affected) by Ada, 2026-03-01 14:02 UTC."),
    ],
)
def test_a_reminder_is_a_reply_that_the_channel_sees(
    slack: Slack, hook: Slack, latest: Response | None, words: str
) -> None:
    """It says since when nobody did what; through a webhook, and where no message stands, in a message of its own."""
    reminder = delivery(kind=Kind.REMIND, receipt=PLACE, latest=latest)
    payload = slack.render(reminder)
    assert (payload["reply"]["text"], payload["reply"]["reply_broadcast"]) == (words, True)
    assert words not in shown(slack, reminder).partition("In its thread:")[0]
    alone = replace(reminder, receipt=None)
    assert words in shown(slack, alone)
    assert words in slack.render(alone)["fallback"]
    through = hook.render(replace(reminder, receipt=Receipt(remote_id="webhook")))
    assert through["blocks"][0]["text"]["text"] == "⏰ Reminder: Authentication bypass in the example gateway"
    assert through["blocks"][1]["text"]["text"] == words


@pytest.mark.parametrize("origin", [Origin.DIGEST, Origin.REPORT])
def test_a_digest_is_its_text(sandbox: Sandbox, slack: Slack, hook: Slack, origin: Origin) -> None:
    """A digest and a report have a title and a text, and no facts of an alert."""
    one = new_delivery(alert=alert(title="Week 9", description="Three alerts.\nNone is open.", source_urls=[]))
    for connector in (slack, hook):
        assert sent(connector, replace(one, origin=origin)).note == ""
        told = shown(connector, replace(one, origin=origin))
        assert "Week 9" in told
        assert "▌ Three alerts.\n▌ None is open." in told
        assert not any(word in told for word in ("Severity", "CVSS", "Published", "Alert"))
    empty = slack.render(delivery(alert=alert(description="", source_urls=[]), origin=origin))
    assert empty["attachments"] == []
    assert "Three alerts." in blocks.plain(replace(one, origin=origin), "Week 9", "Three alerts.")


def test_a_digest_of_hostile_alerts_is_accepted(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """Whatever its alerts say, it arrives in its usual form, and pings nobody."""
    for connector in (slack, hook):
        digest = new_delivery(alert=alert(title="Digest"), origin=Origin.DIGEST, items=tuple(hostile_alerts()))
        assert sent(connector, digest).note == ""
    assert [message["pings"] for message in sandbox.slack.messages if message["pings"]] == []


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        (None, "⏰ Nobody has acknowledged it for 15m."),
        (ADA, "⏰ Nobody has acknowledged it for 15m. Acknowledged by Ada, 2026-03-01 14:02 UTC."),
    ],
)
def test_a_reminder_says_what_it_is_time_for(slack: Slack, latest: Response | None, words: str) -> None:
    """The config's reminder has the word, and then what is known of the alert."""
    one = delivery(kind=Kind.REMIND, receipt=PLACE, latest=latest, reminder="Nobody has acknowledged it for 15m")
    assert slack.render(one)["reply"]["text"] == words


def test_what_people_write_pings_nobody(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """Names and reasons of any kind and length are text, and Slack accepts every message in its usual form."""
    standing = {connector: sent(connector, new_delivery()).receipt for connector in (slack, hook)}
    for text in HOSTILE_TEXTS:
        nasty = replace(DONE, person=text, reason=text, place=text or "x")
        for connector, receipt in standing.items():
            for one in (telling(nasty, receipt=receipt), delivery(kind=Kind.REMIND, receipt=receipt, latest=nasty)):
                assert sent(connector, one).note == ""
            assert sent(connector, new_delivery(latest=replace(nasty, action=Action.ACKNOWLEDGE))).note == ""
    assert [message["pings"] for message in sandbox.slack.messages if message["pings"]] == []


def test_long_alerts_with_a_long_life_stay_within_the_limits(slack: Slack) -> None:
    """All blocks together are never more than Slack takes, with a status and a reason as long as they may be."""
    longest = '"\\' * 1000
    for one in hostile_alerts():
        for response in (ADA, DONE, AGAIN):
            told = telling(replace(response, person=longest, reason=longest), alert=one)
            for each in (told, replace(told, kind=Kind.REMIND, response=None, receipt=None)):
                payload = slack.render(each)
                every = [*payload["blocks"], *(block for part in payload["attachments"] for block in part["blocks"])]
                assert blockkit.problems(every) == []
                assert blockkit.size(every) <= blocks.MAX_TOTAL
                assert len(payload["text"]) <= blocks.MAX_TEXT


@pytest.mark.parametrize("length", [MAX_REASON, MAX_REASON + 1])
def test_a_reason_is_cut_at_its_limit(slack: Slack, length: int) -> None:
    """500 characters pass whole, one more is cut with a mark."""
    text = slack.render(telling(replace(ADA, reason="r" * length)))["blocks"][1]["text"]["text"]
    assert text.endswith("…") is (length > MAX_REASON)
    assert len(text.rpartition("\n")[2]) == MAX_REASON
