"""Slack: what was lost on its way is looked for in every channel that the config named, before it is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.slack import Slack
from forwarder.connector import Broken, Delivery, Failed, Kind, Memory, ProcessMemory, Receipt, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert
from tests.kit.slack import WORSE, by_token, new_delivery, says, send, sent

LOST = Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage")


@pytest.fixture
def memory() -> Memory:
    return ProcessMemory()


def started(sandbox: Sandbox, memory: Memory, channel: str) -> Slack:
    connector = by_token(sandbox, channel=channel)
    connector.remember(memory)
    return connector


def found(connector: Slack, **changes: Any) -> str | None:
    receipt = connector.find(new_delivery(**{"enqueued_at": OWED.enqueued_at, **changes}))
    return receipt.remote_id.partition(":")[0] if receipt else None


OWED = new_delivery()
ANOTHER = alert(id="another")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("between", [[], ["#beta"], ["#beta", "#gamma"], ["#beta", "#secops", "#gamma"]])
@pytest.mark.parametrize("spelled", ["#secops", "secops", "C0SECOPS"])
def test_it_is_found_however_often_the_channel_changes(
    sandbox: Sandbox, memory: Memory, known: bool, between: list[str], spelled: str
) -> None:
    """Whether or not an answer ever told the channel's id, and whether or not messages arrive in between."""
    for name in ("beta", "gamma", "delta"):
        sandbox.slack.add_channel(name)
    first = started(sandbox, memory, spelled)
    if known:
        sent(first, new_delivery(alert=ANOTHER))
    sandbox.slack.inject(LOST)
    assert isinstance(send(first, OWED), Uncertain)
    for channel in between:
        sent(started(sandbox, memory, channel), new_delivery(alert=ANOTHER))
    last = started(sandbox, memory, "#delta")
    assert found(last) == "C0SECOPS"
    assert found(last, alert=alert(id="never sent")) is None


def test_a_channel_that_was_never_sent_to_is_no_obstacle(sandbox: Sandbox, memory: Memory) -> None:
    """A misspelled one, also where all that was sent there was refused."""
    sandbox.slack.inject(LOST)
    assert isinstance(send(started(sandbox, memory, "#secops"), OWED), Uncertain)
    started(sandbox, memory, "#never")
    assert isinstance(send(started(sandbox, memory, "#typo"), new_delivery(alert=ANOTHER)), Broken)
    last = started(sandbox, memory, "#alerts")
    assert found(last) == "C0SECOPS"
    assert found(last, alert=ANOTHER) is None


def test_one_channel_that_cannot_be_seen_does_not_hide_another(sandbox: Sandbox, memory: Memory) -> None:
    """What is there is found; what is nowhere else may be in the one that is gone."""
    sandbox.slack.add_channel("beta")
    sent(started(sandbox, memory, "#beta"), new_delivery(alert=ANOTHER))
    sandbox.slack.inject(LOST)
    assert isinstance(send(started(sandbox, memory, "#secops"), OWED), Uncertain)
    sandbox.slack.delete_channel("#beta")
    last = started(sandbox, memory, "#alerts")
    sandbox.slack.inject(says("missing_scope", "conversations.list", times=2))
    assert found(last) == "C0SECOPS"
    with pytest.raises(Failed):
        found(last, alert=alert(id="never sent"))


@pytest.mark.parametrize("known_by", ["an answer", "a look"])
def test_what_may_stand_in_another_workspace_is_sent_to_this_one(
    sandbox: Sandbox, memory: Memory, known_by: str
) -> None:
    """Its token cannot look there, and who reads here has not seen it."""
    first = started(sandbox, memory, "#secops")
    if known_by == "an answer":
        sent(first, new_delivery(alert=ANOTHER))
    sandbox.slack.inject(LOST)
    assert isinstance(send(first, OWED), Uncertain)
    assert found(first, alert=alert(id="never sent")) is None
    sandbox.slack.team_id = "T0ELSEWHERE"
    sandbox.slack.delete_channel("#secops")
    assert found(started(sandbox, memory, "#alerts")) is None


def test_a_former_channel_that_is_gone_is_named(sandbox: Sandbox, memory: Memory) -> None:
    """What is in the way is said with the way out: that channel is not in the config any more."""
    sandbox.slack.inject(LOST)
    assert isinstance(send(started(sandbox, memory, "#secops"), OWED), Uncertain)
    sandbox.slack.delete_channel("#secops")
    with pytest.raises(Failed, match=r"the config named #secops when .*: invite the bot to it, or discard"):
        found(started(sandbox, memory, "#alerts"))


def test_news_lost_on_its_way_to_one_channel_is_not_told_in_a_third(sandbox: Sandbox, memory: Memory) -> None:
    """What got worse was told anew where the config led then: that is found, and finished."""
    for name in ("beta", "gamma"):
        sandbox.slack.add_channel(name)
    receipt = sent(started(sandbox, memory, "#secops"), new_delivery()).receipt
    worse = _worse(receipt)
    sandbox.slack.inject(LOST)
    assert isinstance(send(started(sandbox, memory, "#beta"), worse), Uncertain)
    last = started(sandbox, memory, "#gamma")
    assert last.find(worse) is None  # its reply is still owed
    outcome = sent(last, _worse(receipt, attempt=2))
    assert outcome.receipt.remote_id.startswith("C0BETA:")
    posts = [message["channel"] for message in sandbox.slack.messages if not message.get("thread_ts")]
    assert posts == ["C0SECOPS", "C0BETA"]


def _worse(receipt: Receipt, **changes: Any) -> Delivery:
    return new_delivery(
        kind=Kind.UPDATE, revision=2, receipt=receipt, changes=WORSE, enqueued_at=OWED.enqueued_at, **changes
    )
