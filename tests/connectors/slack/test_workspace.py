"""Slack: finding what a lost answer left, links to messages, and the live check."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from connectors.slack import Slack, SlackConfig
from connectors.slack.lists import PAGE, PAGES
from forwarder.connector import Broken, Delivery, Failed, Finding, Kind, Outcome, RateLimited, Receipt, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import NOW, alert
from tests.kit.slack import WORSE, by_token, by_webhook, new_delivery, says, send, sent


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """A connector with a bot token."""
    return by_token(sandbox)


@pytest.fixture
def hook(sandbox: Sandbox) -> Slack:
    """A connector with an incoming webhook."""
    return by_webhook(sandbox)


def failed_look(connector: Slack, thing: Delivery) -> Outcome:
    """What a look that could not see comes to."""
    with pytest.raises(Failed) as failed:
        connector.find(thing)
    return failed.value.outcome


def found(connector: Slack, thing: Delivery) -> str | None:
    receipt = connector.find(thing)
    return receipt.remote_id if receipt else None


@pytest.mark.parametrize("channel", ["#secops", "secops", "C0SECOPS"])
def test_a_message_whose_answer_was_lost_is_found(sandbox: Sandbox, channel: str) -> None:
    """By a connector that just started as well, whether its channel has a name or an id."""
    thing = new_delivery()
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER))
    assert isinstance(send(by_token(sandbox, channel=channel), thing), Uncertain)
    (stored,) = sandbox.slack.messages
    assert found(by_token(sandbox, channel=channel), thing) == f"C0SECOPS:{stored['ts']}"


def test_only_the_alert_s_own_message_is_found(sandbox: Sandbox, slack: Slack) -> None:
    """Not another alert's, not one that is older than what is owed, not one of another connector, no deleted one."""
    sent(slack, new_delivery())
    assert found(slack, new_delivery(alert=alert(id="another"))) is None
    assert found(slack, new_delivery(enqueued_at=datetime.now(UTC) + timedelta(days=2))) is None
    assert found(Slack("other", slack.config), new_delivery()) is None
    assert found(slack, new_delivery()) is not None
    sandbox.slack.archive("#secops")
    assert found(slack, new_delivery()) is not None


def filler(path: str, times: int, key: str = "messages") -> Fault:
    """Full pages of a list that goes on."""
    body = {"ok": True, key: [{}] * PAGE, "response_metadata": {"next_cursor": "MA=="}}
    return Fault(kind=FaultKind.STATUS, status=200, body=json.dumps(body), path=path, times=times)


def test_a_message_is_found_behind_many_others(sandbox: Sandbox, slack: Slack) -> None:
    """The history is read on, page by page; where one look may read no further, the next goes on from there."""
    sent(slack, new_delivery())
    sandbox.slack.inject(filler("history", PAGES - 1))
    assert found(slack, new_delivery()) is not None
    thing = new_delivery()
    sandbox.slack.inject(filler("history", PAGES))
    assert isinstance(failed_look(slack, thing), Retry)
    assert found(slack, thing) is not None


def test_a_channel_is_found_behind_many_others(sandbox: Sandbox) -> None:
    """The list of channels is read on, page by page."""
    for number in range(PAGE + 1):
        sandbox.slack.add_channel(f"channel{number}")
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER))
    connector = by_token(sandbox, channel=f"#channel{PAGE}")
    assert isinstance(send(connector, new_delivery()), Uncertain)
    assert found(connector, new_delivery()) is not None


def test_a_private_channel_s_scope_is_not_needed_for_a_public_one(sandbox: Sandbox, slack: Slack) -> None:
    """Without groups:read the list of public channels still holds the channel's id."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER), says("missing_scope", "conversations.list"))
    assert isinstance(send(slack, new_delivery()), Uncertain)
    assert found(slack, new_delivery()) is not None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind=FaultKind.STATUS, status=429, headers={"Retry-After": "3"}), RateLimited),
        (Fault(kind=FaultKind.STATUS, status=500), Retry),
        (Fault(kind=FaultKind.RESET_BEFORE), Retry),
        (Fault(kind=FaultKind.HTML), Retry),
        (says("token_revoked", ""), Broken),
    ],
)
def test_a_look_that_fails_is_not_a_no(sandbox: Sandbox, slack: Slack, fault: Fault, expected: type[Outcome]) -> None:
    """The delivery stays uncertain: sending again on a failed look is what makes duplicates."""
    sandbox.slack.inject(fault)
    with pytest.raises(Failed) as failed:
        slack.find(new_delivery())
    assert isinstance(failed.value.outcome, expected)


@pytest.mark.parametrize("fault", [says("token_revoked", ""), Fault(kind=FaultKind.RESET_BEFORE)])
def test_no_error_of_the_sdk_hangs_on_a_failure(sandbox: Sandbox, slack: Slack, fault: Fault) -> None:
    """A traceback shows what an error was raised from, and the SDK's errors hold addresses and bodies."""
    sandbox.slack.inject(fault)
    with pytest.raises(Failed) as failed:
        slack.find(new_delivery())
    error: BaseException | None = failed.value
    while error:
        assert isinstance(error, Failed)
        error = error.__cause__ or error.__context__


def test_a_reply_whose_answer_was_lost_is_found(sandbox: Sandbox, slack: Slack) -> None:
    """The reply ends an edit, so where it stands both are done."""
    receipt = sent(slack, new_delivery()).receipt
    thing = new_delivery(kind=Kind.UPDATE, revision=2, receipt=receipt, changes=WORSE)
    sent(slack, thing)
    replies = json.dumps({"ok": True, "messages": sandbox.slack.messages})
    for revision, expected in ((2, receipt), (3, None)):
        sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=200, body=replies, path="conversations.replies"))
        assert slack.find(new_delivery(kind=Kind.UPDATE, revision=revision, receipt=receipt, changes=WORSE)) == expected


def test_a_new_message_in_place_of_one_that_is_gone_is_found(sandbox: Sandbox, slack: Slack) -> None:
    """A change posted anew is looked for in the channel, since its thread is gone."""
    thing = new_delivery(kind=Kind.UPDATE, receipt=Receipt(remote_id="C0SECOPS:1.000001"), changes=WORSE)
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(slack, thing), Uncertain)
    sandbox.slack.inject(says("thread_not_found", "conversations.replies"))
    assert found(slack, thing) == f"C0SECOPS:{sandbox.slack.messages[0]['ts']}"


def test_nothing_is_looked_for_where_nothing_can_be_twice(sandbox: Sandbox, slack: Slack, hook: Slack) -> None:
    """Links alone are an edit, and a webhook cannot be asked."""
    assert slack.find(new_delivery(kind=Kind.UPDATE, receipt=Receipt(remote_id="C0SECOPS:1.000001"))) is None
    assert hook.find(new_delivery()) is None
    assert sandbox.slack.requests == []


# Links to messages


def asked(sandbox: Sandbox) -> int:
    return sum("auth.test" in request.path for request in sandbox.slack.requests)


def test_a_message_s_link_takes_one_question(sandbox: Sandbox, slack: Slack) -> None:
    """The workspace's address is asked for once, with the first message."""
    first, second = sent(slack, new_delivery()), sent(slack, new_delivery())
    ts = sandbox.slack.messages[0]["ts"].replace(".", "")
    assert first.receipt.url == f"https://sandbox.slack.com/archives/C0SECOPS/p{ts}"
    assert second.receipt.url
    assert asked(sandbox) == 1


def test_a_link_that_is_not_to_be_had_fails_and_delays_nothing(sandbox: Sandbox) -> None:
    """After a failure the address is asked for again only minutes later."""
    time = [NOW]
    connector = by_token(sandbox, now=lambda: time[0])
    sandbox.slack.inject(says("unknown_method", "auth.test"))
    assert [sent(connector, new_delivery()).receipt.url for _ in range(3)] == [None] * 3
    assert asked(sandbox) == 1
    time[0] += timedelta(minutes=5)
    assert sent(connector, new_delivery()).receipt.url
    assert asked(sandbox) == 2


# The live check


def wrong(findings: list[Finding]) -> str:
    return " ".join(finding.text for finding in findings if not finding.ok)


def test_a_good_token_and_channel_are_confirmed(slack: Slack) -> None:
    """All is well, and the sentences name the bot and the channel."""
    findings = slack.check()
    assert wrong(findings) == ""
    assert "forwarder" in findings[0].text
    assert "#secops" in findings[-1].text


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        ({"channels:read", "channels:history"}, "chat:write"),
        ({"chat:write", "channels:read"}, "channels:history"),
        ({"chat:write", "channels:read", "groups:history"}, ""),
        ({"chat:write", "channels:history"}, ""),
    ],
)
def test_a_missing_scope_is_named(sandbox: Sandbox, slack: Slack, scopes: set[str], missing: str) -> None:
    """What the token may not do is said with where to grant it; what cannot be looked up is no failure."""
    sandbox.slack.scopes = scopes
    problems = wrong(slack.check())
    assert bool(problems) == bool(missing)
    assert f"scope {missing}" in problems or not missing


@pytest.mark.parametrize(
    ("channel", "made", "expected"),
    [
        ("#nowhere", {}, "no channel #nowhere"),
        ("C0NOWHERE", {}, "channel_not_found"),
        ("#retired", {"archived": True}, "archived"),
        ("C0RETIRED", {"archived": True}, "archived"),
        ("#retired", {"private": True, "member": False}, "no channel #retired"),
    ],
)
def test_a_channel_that_accepts_nothing_is_reported(
    sandbox: Sandbox, channel: str, made: dict[str, bool], expected: str
) -> None:
    """By name or by id, with the way out."""
    if made:
        sandbox.slack.add_channel("retired", **made)
    assert expected in wrong(by_token(sandbox, channel=channel).check())


def test_a_bot_that_is_not_in_the_channel_is_reported(sandbox: Sandbox) -> None:
    """It may post to a public channel with a scope of its own, but not look there."""
    sandbox.slack.add_channel("far", member=False)
    findings = by_token(sandbox, channel="#far").check()
    assert wrong(findings) == ""
    assert "Invite it all the same" in findings[-1].text
    sandbox.slack.scopes -= {"chat:write.public"}
    assert "/invite" in wrong(by_token(sandbox, channel="#far").check())


def test_a_bad_token_is_reported(sandbox: Sandbox, slack: Slack) -> None:
    """Nothing else is asked then."""
    sandbox.slack.revoke()
    (finding,) = slack.check()
    assert not finding.ok
    assert "token_revoked" in finding.text


@pytest.mark.parametrize(
    ("url", "ok", "expected"),
    [
        ("https://hooks.slack.com/services/T0/B0/not-a-real-secret", True, "right form"),
        ("https://hooks.slack.com/workflows/not-a-real-secret", False, "must begin with"),
        ("https://chat.example/hooks/not-a-real-secret", True, "chat.example"),
    ],
)
def test_a_webhook_is_looked_at_without_posting(url: str, ok: bool, expected: str) -> None:
    """Its address is judged by its form, and never shown."""
    (finding,) = Slack("hook", SlackConfig.model_validate({"type": "slack", "webhook_url": url})).check()
    assert finding.ok is ok
    assert expected in finding.text
    assert "not-a-real-secret" not in finding.text
