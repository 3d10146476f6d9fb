"""Slack: what each refusal comes to, and how changes and withdrawals reach the channel."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
from pydantic import ValidationError

import forwarder.sandbox.slack
from connectors.slack import Slack, SlackConfig
from connectors.slack.client import Refusal, classify
from forwarder.connector import (
    Broken,
    BuiltInTexts,
    Change,
    Delivered,
    Delivery,
    Kind,
    Origin,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.exchange import Request
from forwarder.sandbox.limits import Clock
from forwarder.testing import NOW, alert, delivery
from tests.kit.slack import ELSEWHERE, WORSE, by_token, by_webhook, new_delivery, says, send, sent

HOOKED: Final = Receipt(remote_id="webhook")
GONE: Final = Receipt(remote_id="C0SECOPS:1.000001")
REFUSED_FORM: Final = says("invalid_blocks", "chat.")
REFUSED_HOOK: Final = Fault(kind=FaultKind.STATUS, status=400, body="invalid_blocks", path="/services/")


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """A connector with a bot token."""
    return by_token(sandbox)


@pytest.fixture
def hook(sandbox: Sandbox) -> Slack:
    """A connector with an incoming webhook."""
    return by_webhook(sandbox)


# What each refusal comes to


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (
            "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope no_permission "
            "not_allowed_token_type access_denied ekm_access_denied channel_not_found not_in_channel is_archived "
            "restricted_action restricted_action_read_only_channel",
            Broken,
        ),
        (
            "invalid_blocks invalid_blocks_format msg_too_long msg_blocks_too_long no_text invalid_arguments "
            "too_many_attachments metadata_too_large invalid_metadata_format invalid_metadata_schema",
            Rejected,
        ),
        ("ratelimited", RateLimited),
        ("message_limit_exceeded service_unavailable request_timeout a_code_of_tomorrow", Retry),
        ("internal_error fatal_error", Uncertain),
    ],
)
def test_each_code_of_slack_has_its_outcome(
    sandbox: Sandbox, slack: Slack, codes: str, expected: type[Outcome]
) -> None:
    """A refusal at HTTP 200 goes by its code, and its reason names that."""
    for code in codes.split():
        sandbox.slack.inject(says(code, "chat.postMessage", times=2 if expected is Rejected else 1))
        outcome = send(slack, delivery())
        assert isinstance(outcome, expected), (code, outcome)
        assert isinstance(outcome, RateLimited) or code in str(outcome)
    assert sandbox.slack.messages == []


@pytest.mark.parametrize(
    ("status", "word", "expected"),
    [
        (404, "no_service", Broken),
        (404, "channel_not_found", Broken),
        (410, "channel_is_archived", Broken),
        (403, "invalid_token", Broken),
        (403, "action_prohibited", Broken),
        (400, "no_active_hooks", Broken),
        (400, "invalid_payload", Rejected),
        (400, "no_text", Rejected),
        (429, "rate_limited", RateLimited),
        (500, "rollup_error", Uncertain),
        (500, "ok", Uncertain),
        (200, "posted", Uncertain),
    ],
)
def test_each_word_of_a_webhook_has_its_outcome(
    sandbox: Sandbox, hook: Slack, status: int, word: str, expected: type[Outcome]
) -> None:
    """A webhook's refusal goes by its status and, where the status is vague, by its word."""
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=status, body=word, times=2))
    outcome = send(hook, delivery())
    assert isinstance(outcome, expected), outcome
    assert sandbox.slack.messages == []


@pytest.mark.parametrize("body", ["[]", "null", "7", '{"ok": false}', '{"ok": true}', '{"ok": tr', "", "\udcff"])
def test_an_answer_that_slack_would_not_give_is_no_answer(sandbox: Sandbox, slack: Slack, body: str) -> None:
    """Whatever stands between us and Slack may have passed the message on."""
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=200, body=body.replace("\udcff", "ÿ"), times=None))
    assert isinstance(send(slack, delivery()), Uncertain)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"Retry-After": "7"}, 7.0), ({"Retry-After": "Sun, 01 Mar 2026 12:00:09 GMT"}, 9.0), ({}, 1.0)],
)
def test_a_rate_limit_waits_as_long_as_slack_says(sandbox: Sandbox, header: dict[str, str], seconds: float) -> None:
    """Seconds, a date by the connector's clock, or a second where nothing is said."""
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=429, headers=header, body="{}"))
    outcome = send(by_token(sandbox, now=lambda: NOW), delivery())
    assert isinstance(outcome, RateLimited)
    assert outcome.after == seconds


def test_the_status_counts_before_the_code() -> None:
    """A yes that a proxy lost is not made a no by what the proxy says."""
    assert classify(503, "service_unavailable") is Refusal.UNCERTAIN
    assert classify(200, "service_unavailable") is Refusal.RETRY
    assert classify(429, "invalid_auth") is Refusal.WAIT


def test_the_sdk_resends_nothing(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """After a cut connection there was one request: looking comes before sending again."""
    for connector in (slack, hook):
        before = len(sandbox.slack.requests)
        sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER))
        assert isinstance(send(connector, delivery()), Uncertain)
        assert len(sandbox.slack.requests) == before + 1


# Plain text where the usual form is refused


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_blocks_too_long", "invalid_attachments"])
def test_a_message_whose_form_is_refused_goes_as_plain_text(sandbox: Sandbox, slack: Slack, code: str) -> None:
    """The same attempt sends text alone, still findable, and says so."""
    sandbox.slack.inject(says(code, "chat.postMessage"))
    outcome = sent(slack, delivery(links=(ELSEWHERE,)))
    (stored,) = sandbox.slack.messages
    assert code in outcome.note
    assert (stored["blocks"], stored["attachments"]) == ([], [])
    assert "Versions before 4.2.1" in stored["text"]
    assert ELSEWHERE.url in stored["text"]
    assert stored["metadata"]["event_payload"]["alert_id"] == delivery().alert.id


def test_a_message_whose_metadata_is_refused_goes_without(sandbox: Sandbox, slack: Slack) -> None:
    """Plain text with the same metadata would be refused again."""
    sandbox.slack.inject(says("invalid_metadata_format", "chat.postMessage"))
    sent(slack, delivery())
    assert sandbox.slack.messages[0]["metadata"] is None


def test_a_webhook_s_message_falls_back_too(sandbox: Sandbox, hook: Slack) -> None:
    """A webhook refuses with 400; text alone follows in the same attempt."""
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=400, body="invalid_blocks"))
    assert "invalid_blocks" in sent(hook, delivery()).note
    assert sandbox.slack.messages[0]["blocks"] == []


def test_an_edit_that_falls_back_leaves_no_old_blocks(sandbox: Sandbox, slack: Slack) -> None:
    """Slack keeps attachments that an edit does not mention: what they say would be out of date."""
    receipt = sent(slack, delivery()).receipt
    sandbox.slack.inject(says("invalid_blocks", "chat.update"))
    outcome = sent(slack, new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE))
    assert "plain text" in outcome.note
    assert sandbox.slack.messages[0]["attachments"] == []


class Wire(forwarder.sandbox.slack.Slack):
    """The sandbox's Slack, which also keeps the JSON of every request."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, limits=False)
        self.bodies: list[dict[str, Any]] = []

    def take_fault(self, request: Request) -> Fault | None:
        if request.body[:1] == b"{":
            self.bodies.append(request.json())
        return super().take_fault(request)


@pytest.fixture
def wire(sandbox: Sandbox) -> Wire:
    """Replaces the sandbox's own Slack before a connector is made."""
    sandbox.slack.close()
    sandbox.slack = kept = Wire(sandbox.clock)
    kept.start()
    return kept


class CountingTexts(BuiltInTexts):
    """The connector's own words, and how often it asked for each."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def title(self, delivery: Delivery, built_in: str) -> str:
        self.asked["title"] += 1
        return super().title(delivery, built_in)

    def text(self, delivery: Delivery, built_in: str) -> str:
        self.asked["text"] += 1
        return super().text(delivery, built_in)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": Kind.UPDATE, "receipt": GONE, "changes": WORSE},
        {"kind": Kind.UPDATE, "receipt": HOOKED, "changes": WORSE},
        {"kind": Kind.WITHDRAW, "receipt": HOOKED},
    ],
)
def test_each_template_is_rendered_once_for_a_delivery(
    sandbox: Sandbox, slack: Slack, hook: Slack, changes: dict[str, Any]
) -> None:
    """Even where Slack refuses the form: a template that fails then reports it once, not once for each form."""
    for connector in (slack, hook):
        texts = CountingTexts()
        counting = Slack(connector.name, connector.config, texts)
        for _ in range(2):
            sandbox.slack.inject(REFUSED_FORM if connector is slack else REFUSED_HOOK)
        assert isinstance(send(counting, new_delivery(**changes)), Rejected)
        assert texts.asked == {"title": 1, "text": 1}


def test_the_fallback_that_is_sent_is_the_payload_s(wire: Wire, slack: Slack, hook: Slack) -> None:
    """What is kept of a delivery holds every form that people may have seen, an edit's too."""
    receipt = sent(slack, new_delivery()).receipt
    for connector, changes in (
        (slack, {}),
        (slack, {"kind": Kind.UPDATE, "receipt": receipt, "changes": WORSE}),
        (slack, {"kind": Kind.WITHDRAW, "receipt": receipt}),
        (hook, {}),
        (hook, {"kind": Kind.UPDATE, "receipt": HOOKED, "changes": WORSE}),
        (hook, {"kind": Kind.WITHDRAW, "receipt": HOOKED}),
    ):
        thing = new_delivery(**changes)
        payload = connector.render(thing)
        wire.inject(REFUSED_FORM if connector is slack else REFUSED_HOOK)
        wire.bodies.clear()
        outcome = connector.deliver(thing, payload)
        assert isinstance(outcome, Delivered), outcome
        assert "plain text" in outcome.note
        assert wire.bodies[1]["text"] == payload["fallback"]


def test_a_reply_whose_form_is_refused_goes_as_its_fallback(sandbox: Sandbox, slack: Slack) -> None:
    """The reply has a plain text of its own in the payload."""
    receipt = sent(slack, new_delivery()).receipt
    thing = new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE)
    sandbox.slack.inject(says("invalid_blocks", "chat.postMessage"))
    assert "plain text" in sent(slack, thing).note
    assert sandbox.slack.messages[1]["text"] == slack.render(thing)["reply"]["fallback"]
    assert sandbox.slack.messages[1]["blocks"] == []


def test_only_slack_s_own_arguments_go_on_the_wire(wire: Wire, slack: Slack, hook: Slack) -> None:
    """What the payload holds for the connector itself is taken out before anything is sent, whatever the message."""
    receipt = sent(slack, new_delivery()).receipt
    for connector, where in ((slack, None), (slack, receipt), (slack, GONE), (hook, None), (hook, HOOKED)):
        for kind in (Kind.OPEN, Kind.UPDATE, Kind.WITHDRAW):
            thing = new_delivery(kind=kind, receipt=where, changes=WORSE if kind is Kind.UPDATE else ())
            send(connector, thing)
            wire.inject(REFUSED_FORM if connector is slack else REFUSED_HOOK)
            send(connector, thing)
            wire.clear_faults()
    assert len(wire.bodies) > 20
    assert [body for body in wire.bodies if body.keys() & {"method", "reply", "fallback"}] == []


def test_a_fallback_that_is_cut_off_is_uncertain(sandbox: Sandbox, slack: Slack) -> None:
    """The second request of an attempt can be lost as the first can."""
    sandbox.slack.inject(says("invalid_blocks", "chat.postMessage"), Fault(kind=FaultKind.RESET_AFTER))
    assert isinstance(send(slack, delivery()), Uncertain)


# Changes and withdrawals


def test_a_change_edits_the_message_and_is_reported_in_its_thread(sandbox: Sandbox, slack: Slack) -> None:
    """The message shows the alert as it is now; a reply, shown in the channel too, says what got worse."""
    receipt = sent(slack, delivery(alert=alert(severity="high"))).receipt
    assert sent(slack, new_delivery(kind=Kind.UPDATE, revision=2, receipt=receipt, changes=WORSE)).receipt == receipt
    first, reply = sandbox.slack.messages
    assert first["blocks"][0]["text"]["text"].startswith("🔴")
    assert first["attachments"][0]["blocks"]
    assert reply["thread_ts"] == first["ts"]
    assert reply["text"] == "⬆️ Severity: high → critical\n🔥 Now on CISA KEV: known to be exploited"
    assert (
        slack.render(new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE))["reply"]["reply_broadcast"] is True
    )


def test_a_change_for_the_better_is_not_shown_in_the_channel(slack: Slack) -> None:
    """Only what got worse leaves the thread."""
    change = Change(field="severity", old="critical", new="low")
    thing = new_delivery(kind=Kind.UPDATE, receipt=Receipt(remote_id="C0SECOPS:1.000001"), changes=(change,))
    assert "reply_broadcast" not in slack.render(thing)["reply"]


def test_new_links_edit_the_message_in_silence(sandbox: Sandbox, slack: Slack) -> None:
    """A ticket made after the message becomes its first button, without a reply."""
    receipt = sent(slack, delivery()).receipt
    sent(slack, new_delivery(kind=Kind.UPDATE, receipt=receipt, links=(ELSEWHERE,)))
    (stored,) = sandbox.slack.messages
    actions = next(block for block in stored["attachments"][0]["blocks"] if block["type"] == "actions")
    assert actions["elements"][0]["url"] == ELSEWHERE.url


def test_links_alone_make_no_message(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """Where a connector got a token later, or lost it, there is no message that could be edited."""
    for connector, receipt in ((slack, HOOKED), (hook, HOOKED), (hook, Receipt(remote_id="C0SECOPS:1.000001"))):
        thing = new_delivery(kind=Kind.UPDATE, receipt=receipt, links=(ELSEWHERE,))
        assert sent(connector, thing).receipt == receipt
        assert "Nothing is sent" in connector.preview(connector.render(thing))
    assert sandbox.slack.requests == []


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "invalid_blocks", "is_archived"])
def test_links_that_cannot_be_added_are_no_failure(sandbox: Sandbox, slack: Slack, code: str) -> None:
    """The alert was delivered; the message stays in its form, and the note says why it is without the link."""
    receipt = sent(slack, delivery()).receipt
    sandbox.slack.inject(says(code, "chat.update", times=1))
    outcome = sent(slack, new_delivery(kind=Kind.UPDATE, receipt=receipt, links=(ELSEWHERE,)))
    assert outcome.receipt == receipt
    assert code in outcome.note
    assert sandbox.slack.messages[0]["attachments"]


def test_a_proxy_that_knows_no_edits_pauses_nothing(sandbox: Sandbox, slack: Slack) -> None:
    """Links alone do not show that the destination is broken; a token that was revoked does."""
    receipt = sent(slack, delivery()).receipt
    link = new_delivery(kind=Kind.UPDATE, receipt=receipt, links=(ELSEWHERE,))
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=404, body="<html>", path="chat.update"))
    assert "HTTP 404" in sent(slack, link).note
    sandbox.slack.revoke()
    assert isinstance(send(slack, link), Broken)


def test_an_update_of_nothing_is_a_message(sandbox: Sandbox, slack: Slack) -> None:
    """Without a receipt there is nothing to edit: people must hear of the alert all the same."""
    sent(slack, new_delivery(kind=Kind.UPDATE, revision=2, changes=WORSE))
    (stored,) = sandbox.slack.messages
    assert stored["thread_ts"] is None
    assert stored["metadata"]["event_payload"]["alert_id"] == delivery().alert.id


@pytest.mark.parametrize("code", ["message_not_found", "is_archived", "channel_not_found"])
def test_a_change_to_a_message_that_is_gone_is_a_new_message(sandbox: Sandbox, slack: Slack, code: str) -> None:
    """Deleted, or left behind in a channel that the config no longer names: the change goes where people are now."""
    sandbox.slack.inject(says(code, "chat.update"))
    old = Receipt(remote_id="C0OLD:1.000001")
    outcome = sent(slack, new_delivery(kind=Kind.UPDATE, receipt=old, changes=WORSE))
    (stored,) = sandbox.slack.messages
    assert outcome.receipt.remote_id == f"C0SECOPS:{stored['ts']}"


@pytest.mark.parametrize("code", ["cant_update_message", "edit_window_closed"])
def test_a_change_to_a_message_that_cannot_be_edited_is_reported_in_its_thread(
    sandbox: Sandbox, slack: Slack, code: str
) -> None:
    """The message stands as it was; the reply says what is different."""
    receipt = sent(slack, delivery()).receipt
    sandbox.slack.inject(says(code, "chat.update"))
    assert code in sent(slack, new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE)).note
    assert "Severity: high → critical" in sandbox.slack.messages[1]["text"]


def test_a_thread_that_is_closed_is_no_failure(sandbox: Sandbox, slack: Slack) -> None:
    """The message was edited, which is what counts."""
    receipt = sent(slack, delivery()).receipt
    sandbox.slack.inject(says("restricted_action_thread_locked", "chat.postMessage"))
    assert "thread_locked" in sent(slack, new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE)).note


def test_a_lost_answer_to_an_edit_is_tried_again(sandbox: Sandbox, slack: Slack) -> None:
    """An edit may be repeated, so there is nothing to look for; only its reply can come twice."""
    receipt = sent(slack, delivery()).receipt
    thing = new_delivery(kind=Kind.UPDATE, receipt=receipt, changes=WORSE)
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.update"))
    assert isinstance(send(slack, thing), Retry)
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(slack, thing), Uncertain)


@pytest.mark.parametrize(
    ("origin", "words"),
    [(Origin.FEED, "No longer stands"), (Origin.ALARM, "Resolved"), (Origin.TEST, "Test over")],
)
def test_a_withdrawn_alert_is_struck_out(sandbox: Sandbox, slack: Slack, origin: Origin, words: str) -> None:
    """The message says that it is over, and so does its thread."""
    receipt = sent(slack, delivery(origin=origin)).receipt
    sent(slack, new_delivery(kind=Kind.WITHDRAW, origin=origin, receipt=receipt))
    first, reply = sandbox.slack.messages
    assert f"*{words}*\n~Authentication bypass" in first["blocks"][0]["text"]["text"]
    assert words in first["text"]
    assert words in reply["text"]


def test_a_withdrawal_of_what_never_came_sends_nothing(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """There is nothing to take back, and nothing to fail."""
    for connector in (slack, hook):
        assert sent(connector, new_delivery(kind=Kind.WITHDRAW)).note
    assert sandbox.slack.requests == []


def test_a_withdrawal_of_a_deleted_message_is_done(sandbox: Sandbox, slack: Slack) -> None:
    """A person took the message away before."""
    sandbox.slack.inject(says("message_not_found", "chat.update"))
    outcome = sent(slack, new_delivery(kind=Kind.WITHDRAW, receipt=Receipt(remote_id="C0SECOPS:1.000001")))
    assert "message_not_found" in outcome.note
    assert sandbox.slack.messages == []


def test_a_webhook_reports_changes_in_messages_of_their_own(sandbox: Sandbox, hook: Slack) -> None:
    """It cannot edit: a short message says what changed, another that the alert is withdrawn."""
    assert sent(hook, delivery()).receipt == HOOKED
    sent(hook, new_delivery(kind=Kind.UPDATE, receipt=HOOKED, changes=WORSE))
    sent(hook, new_delivery(kind=Kind.UPDATE, receipt=HOOKED, links=(ELSEWHERE,)))
    sent(hook, new_delivery(kind=Kind.WITHDRAW, receipt=HOOKED))
    _, change, withdrawal = sandbox.slack.messages
    assert change["text"].startswith("🔴 Changed: Authentication bypass")
    assert "Severity: high → critical" in change["text"]
    assert "No longer stands" in withdrawal["text"]


def test_what_each_way_in_can_do_is_declared(slack: Slack, hook: Slack) -> None:
    """Only a token can be asked what arrived, and only its messages can be given links later."""
    assert (len(slack.reconcile_after) > 0, slack.follows_links) == (True, True)
    assert (len(hook.reconcile_after), hook.follows_links) == (0, False)
    patient = SlackConfig.model_validate({**slack.config.model_dump(), "reconcile_after": ["2s", "1m"]})
    assert Slack("target", patient).reconcile_after == (2.0, 60.0)


# Config and secrets


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "either a token or a webhook_url"),
        ({"token": "xoxb-not-a-real-token", "webhook_url": "https://hooks.slack.com/services/x"}, "either"),
        ({"token": "xoxb-not-a-real-token"}, "a token needs a channel"),
        ({"webhook_url": "hooks.slack.com/services/x"}, "must be an address"),
        ({"token": "xoxb-not a real\ntoken", "channel": "#a"}, "one word"),
        ({"token": "xoxb-not-a-real-tokén", "channel": "#a"}, "one word"),
        ({"token": "xoxb-not-a-real-token", "channel": ""}, "at least 1 character"),
        ({"token": "xoxb-not-a-real-token", "channel": "#a", "base_url": "slack.com"}, "https://"),
        ({"token": "xoxb-not-a-real-token", "channel": "#a", "base_url": "http://slack.com"}, "this machine"),
    ],
)
def test_an_impossible_config_is_refused_with_a_sentence(config: dict[str, str], reason: str) -> None:
    """The sentence says what is wrong, and shows no value."""
    with pytest.raises(ValidationError) as refused:
        SlackConfig.model_validate({"type": "slack", **config})
    assert reason in str(refused.value)
    assert "xoxb" not in str(refused.value)


@pytest.fixture
def at_debug(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that any logger says."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_no_secret_is_logged_or_shown(
    sandbox: Sandbox, slack: Slack, hook: Slack, at_debug: pytest.LogCaptureFixture
) -> None:
    """The SDK by itself logs a webhook's address and what messages say: none of it comes through."""
    shown: list[object] = [slack, hook, slack.config, hook.config, *slack.check(), *hook.check()]
    for connector in (slack, hook):
        shown += [connector.render(new_delivery()), send(connector, new_delivery())]
        for kind in FaultKind:
            sandbox.slack.inject(Fault(kind=kind, seconds=0.01))
            shown.append(send(connector, new_delivery()))
            sandbox.slack.clear_faults()
        sandbox.slack.revoke()
        shown.append(send(connector, new_delivery()))
        sandbox.slack.restore()
    everything = repr(shown) + at_debug.text
    assert [record for record in at_debug.records if record.name.startswith("slack_sdk")] == []
    assert sandbox.slack.token not in everything
    assert sandbox.slack.webhook_url.rpartition("/")[2] not in everything


def test_a_host_that_is_not_there_is_tried_again(sandbox: Sandbox) -> None:
    """Where no connection ever stood nothing was sent, so there is nothing to look for."""
    for url, words in (("http://127.0.0.1:9/api/", "refuses"), ("https://no-such-host.invalid/api/", "the name of")):
        outcome = send(by_token(sandbox, base_url=url), delivery())
        assert isinstance(outcome, Retry), outcome
        assert words in outcome.reason
