"""Slack: a look that could not see everything never says that a message is not there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.slack import Slack
from connectors.slack.lists import PAGE, PAGES
from forwarder.connector import Broken, Delivered, Delivery, Failed, Kind, Outcome, RateLimited, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert
from tests.kit.slack import WORSE, by_token, new_delivery, says, send, sent

HISTORY, LIST, REPLIES = "conversations.history", "conversations.list", "conversations.replies"


@pytest.fixture
def slack(sandbox: Sandbox) -> Slack:
    """A connector with a bot token."""
    return by_token(sandbox)


def blind(connector: Slack, thing: Delivery) -> Outcome:
    """What a look that could not see comes to."""
    with pytest.raises(Failed) as failed:
        connector.find(thing)
    return failed.value.outcome


def answers(path: str, times: int | None = 1, **body: Any) -> Fault:
    """Slack answers ``path`` with ``body``."""
    return Fault(kind=FaultKind.STATUS, status=200, body=json.dumps({"ok": True, **body}), path=path, times=times)


def lost(sandbox: Sandbox, connector: Slack, thing: Delivery) -> None:
    """``thing`` is posted, and the answer is lost."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(connector, thing), Uncertain)


# The channel


def test_a_channel_that_is_not_listed_is_no_answer(sandbox: Sandbox) -> None:
    """Not there, private, or only called otherwise: nobody looked into it."""
    sandbox.slack.add_channel("hidden", private=True, member=False)
    for channel in ("#nowhere", "nowhere", "#hidden"):
        outcome = blind(by_token(sandbox, channel=channel), new_delivery())
        assert isinstance(outcome, Retry)
        assert channel in outcome.reason
        assert "id" in outcome.reason


def test_a_private_channel_without_its_scope_is_no_answer(sandbox: Sandbox) -> None:
    """The list of public channels does not hold it, which says nothing."""
    sandbox.slack.add_channel("inner", private=True)
    connector = by_token(sandbox, channel="#inner")
    lost(sandbox, connector, new_delivery())
    sandbox.slack.inject(says("missing_scope", LIST))
    sandbox.slack.inject(answers(LIST, channels=[]))
    assert isinstance(blind(connector, new_delivery()), Retry)
    assert connector.find(new_delivery()) is not None


def test_a_token_that_may_not_list_looks_under_the_id_that_the_first_answer_told(
    sandbox: Sandbox, slack: Slack
) -> None:
    """Slack names the channel's id with each yes, and looking needs no more."""
    sandbox.slack.scopes = {"chat:write", "channels:history"}
    assert isinstance(blind(slack, new_delivery()), Retry)
    sent(slack, new_delivery())
    assert slack.find(new_delivery()) is not None
    assert slack.find(new_delivery(alert=alert(id="another"))) is None


def test_a_channel_behind_more_than_one_look_reads_is_found_by_the_next(sandbox: Sandbox, slack: Slack) -> None:
    """A list that goes on is no list without the channel: the next look reads on."""
    lost(sandbox, slack, new_delivery())
    more: dict[str, Any] = {"channels": [{}] * PAGE, "response_metadata": {"next_cursor": "MA=="}}
    sandbox.slack.inject(answers(LIST, PAGES, **more))
    outcome = blind(slack, new_delivery())
    assert isinstance(outcome, Retry)
    assert "2,000" in outcome.reason
    assert slack.find(new_delivery()) is not None


def test_a_list_that_comes_slowly_is_read_on_by_the_next_look(sandbox: Sandbox) -> None:
    """A look ends well before its delivery is taken for abandoned, and says that it did not see all."""
    times = iter(datetime.now(UTC) + timedelta(seconds=15 * number) for number in range(1000))
    connector = by_token(sandbox, now=lambda: next(times))
    lost(sandbox, connector, new_delivery())
    sandbox.slack.inject(answers(LIST, 2, channels=[{}], response_metadata={"next_cursor": "MA=="}))
    for _ in range(2):
        assert isinstance(blind(connector, new_delivery()), Retry)
    assert sum(LIST in request.path for request in sandbox.slack.requests) == 2
    assert connector.find(new_delivery()) is not None


@pytest.mark.parametrize("channel", ["c0secops", "C0SECOPS", "W0SECOPS9", "secops-2"])
def test_a_text_of_any_form_that_slack_takes_for_an_id_is_one(sandbox: Sandbox, channel: str) -> None:
    """It is tried: Slack, and not a pattern, knows which of its texts are ids."""
    connector = by_token(sandbox, channel=channel)
    thing = new_delivery()
    metadata = connector.render(thing)["metadata"]
    message = {"ts": "1.000001", "bot_id": "B0FORWARDER", "metadata": metadata}
    sandbox.slack.inject(answers(HISTORY, None, messages=[message]))
    receipt = connector.find(thing)
    assert receipt is not None
    assert receipt.remote_id == f"{channel}:1.000001"
    assert not any(LIST in request.path for request in sandbox.slack.requests)


# The history


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (says("missing_scope", HISTORY), Retry),
        (says("no_permission", HISTORY), Retry),
        (says("not_in_channel", HISTORY), Retry),
        (says("channel_not_found", HISTORY), Retry),
        (says("is_archived", HISTORY), Retry),
        (says("unknown_method", HISTORY), Retry),
        (says("a_code_of_tomorrow", HISTORY), Retry),
        (says("token_revoked", HISTORY), Broken),
        (says("ratelimited", HISTORY), RateLimited),
        (Fault(kind=FaultKind.STATUS, status=404, body="<html>", path=HISTORY), Broken),
        (answers(HISTORY, messages=[], has_more=True), Retry),
        (answers(HISTORY, messages=[], has_more=True, response_metadata={"next_cursor": ""}), Retry),
        (answers(HISTORY, messages=[], has_more=True, response_metadata=None), Retry),
        (answers(HISTORY), Retry),
        (answers(HISTORY, messages=None), Retry),
        (answers(HISTORY, messages={"ts": "1.1"}), Retry),
        (answers(HISTORY, messages=["?"]), Retry),
        (answers(LIST, channels=None), Retry),
        (answers(LIST, channels=[{"name": "other"}], has_more=True), Retry),
        (says("missing_scope", LIST, times=2), Retry),
        (says("token_revoked", LIST), Broken),
        (says("ratelimited", LIST), RateLimited),
    ],
    ids=lambda value: f"{value.path} {value.body or value.status}" if isinstance(value, Fault) else value.__name__,
)
def test_a_look_that_was_stopped_or_cut_short_is_no_answer(
    sandbox: Sandbox, slack: Slack, fault: Fault, expected: type[Outcome]
) -> None:
    """The delivery stays uncertain; only what stops messages as well pauses the connector."""
    lost(sandbox, slack, new_delivery())
    sandbox.slack.inject(fault)
    outcome = blind(slack, new_delivery())
    assert isinstance(outcome, expected)
    assert slack.find(new_delivery()) is not None


def test_a_list_that_fails_midway_is_no_answer(sandbox: Sandbox, slack: Slack) -> None:
    """The first pages alone do not show what the others hold."""
    lost(sandbox, slack, new_delivery())
    half: dict[str, Any]
    for path, key in ((LIST, "channels"), (HISTORY, "messages")):
        half = {key: [{}], "response_metadata": {"next_cursor": "MA=="}}
        sandbox.slack.inject(answers(path, **half), says("invalid_cursor", path))
        assert isinstance(blind(slack, new_delivery()), Retry)
    assert slack.find(new_delivery()) is not None


def test_messages_without_their_metadata_are_no_answer(sandbox: Sandbox, slack: Slack) -> None:
    """One of ours that does not say what it is may be the one; people's, other bots' and "joined" are not."""
    ours = {"ts": "1.000001", "bot_id": "B0FORWARDER", "text": "An alert"}
    others: list[dict[str, Any]] = [
        {"ts": "1.000002", "user": "U0PERSON", "text": "Hello"},
        {"ts": "1.000003", "bot_id": "B0OTHER", "user": "U0FORWARDER", "text": "By a webhook"},
        {"ts": "1.000004", "user": "U0FORWARDER", "subtype": "channel_join"},
    ]
    marked = {**ours, "metadata": {"event_type": "sentrytex_alert", "event_payload": {"alert_id": "x"}}}
    sandbox.slack.inject(answers(HISTORY, messages=[*others, ours]))
    outcome = blind(slack, new_delivery())
    assert isinstance(outcome, Retry)
    assert "metadata" in outcome.reason
    for messages in (others, [*others, ours, marked]):
        sandbox.slack.inject(answers(HISTORY, messages=messages))
        assert slack.find(new_delivery()) is None


def test_a_history_that_does_not_reach_back_is_no_answer(sandbox: Sandbox, slack: Slack) -> None:
    """What was owed days ago may have been deleted since, by the workspace's retention or its plan's limit."""
    long_ago = new_delivery(enqueued_at=datetime.now(UTC) - timedelta(days=2))
    outcome = blind(slack, long_ago)
    assert isinstance(outcome, Retry)
    assert "reach back" in outcome.reason
    sandbox.slack.inject(answers(HISTORY, messages=[], is_limited=True))
    assert isinstance(blind(slack, new_delivery()), Retry)
    older = answers(HISTORY, messages=[{"ts": "1.000001", "user": "U0PERSON"}])
    sandbox.slack.inject(answers(HISTORY, messages=[]), older)
    assert slack.find(long_ago) is None


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel", "unknown_method", "channel_not_found"])
def test_a_thread_that_cannot_be_read_is_no_answer(sandbox: Sandbox, slack: Slack, code: str) -> None:
    """A reply that may be there is not posted again."""
    receipt = sent(slack, new_delivery()).receipt
    thing = new_delivery(kind=Kind.UPDATE, revision=2, receipt=receipt, changes=WORSE)
    sent(slack, thing)
    sandbox.slack.inject(says(code, REPLIES))
    assert isinstance(blind(slack, thing), Retry)
    assert slack.find(thing) == receipt


def test_with_sight_it_is_sent_again(sandbox: Sandbox, slack: Slack) -> None:
    """Where all was seen and nothing was there, None says so, and the message goes out."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_BEFORE, path="chat.postMessage"))
    assert isinstance(send(slack, new_delivery()), Uncertain)
    assert slack.find(new_delivery()) is None
    assert isinstance(send(slack, new_delivery()), Delivered)
    assert len(sandbox.slack.messages) == 1
