"""Slack: an alert that got worse after the config named another channel is told where people look now."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.slack import Slack
from forwarder.connector import Change, Delivered, Delivery, Kind, Memory, ProcessMemory, Receipt, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.slack import WORSE, by_token, new_delivery, says, send, sent

POST, EDIT = "chat.postMessage", "chat.update"


@pytest.fixture
def memory() -> Memory:
    return ProcessMemory()


def started(sandbox: Sandbox, memory: Memory, channel: str) -> Slack:
    connector = by_token(sandbox, channel=channel)
    connector.remember(memory)
    return connector


@pytest.fixture
def first(sandbox: Sandbox, memory: Memory) -> Receipt:
    """Where the alert was told before the config named another channel."""
    sandbox.slack.add_channel("#security")
    return sent(started(sandbox, memory, "#secops"), new_delivery()).receipt


def worse(receipt: Receipt, revision: int = 2, **changes: Any) -> Delivery:
    return new_delivery(kind=Kind.UPDATE, revision=revision, receipt=receipt, changes=WORSE, **changes)


def told(sandbox: Sandbox) -> list[tuple[str, bool]]:
    """Each message's channel, and whether it is a reply."""
    return [(message["channel"], bool(message.get("thread_ts"))) for message in sandbox.slack.messages]


BOTH = [("C0SECOPS", False), ("C0SECURITY", False), ("C0SECOPS", True)]


@pytest.mark.parametrize("channel", ["#security", "C0SECURITY"])
def test_what_got_worse_is_told_in_the_channel_of_today(
    sandbox: Sandbox, memory: Memory, first: Receipt, channel: str
) -> None:
    """A new message that leads to the old one, which is edited and leads to the new one; later news goes there."""
    moved = started(sandbox, memory, channel)
    receipt = sent(moved, worse(first)).receipt
    assert told(sandbox) == BOTH
    assert receipt.remote_id.startswith("C0SECURITY:")
    old, new, reply = sandbox.slack.messages
    assert str(first.url) in str(new["attachments"])
    assert str(receipt.url) in str(reply["blocks"])
    assert len(old["edits"]) == 1
    assert sent(moved, worse(receipt, revision=3)).receipt == receipt
    assert told(sandbox) == [*BOTH, ("C0SECURITY", True)]


def test_a_small_change_stays_in_the_thread(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """Only what got worse is worth a new message."""
    score = (Change(field="cvss_score", old=5.0, new=6.0),)
    change = new_delivery(kind=Kind.UPDATE, revision=2, receipt=first, changes=score)
    assert sent(started(sandbox, memory, "#security"), change).receipt == first
    assert told(sandbox) == [("C0SECOPS", False), ("C0SECOPS", True)]


def test_a_new_name_of_the_same_channel_is_no_move(sandbox: Sandbox, memory: Memory) -> None:
    """The config follows a channel that was renamed: people look where they looked before."""
    receipt = sent(started(sandbox, memory, "#secops"), new_delivery()).receipt
    sandbox.slack.rename("#secops", "#security")
    assert sent(started(sandbox, memory, "#security"), worse(receipt)).receipt == receipt
    assert told(sandbox) == [("C0SECOPS", False), ("C0SECOPS", True)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=kind, path=path, times=times)
        for kind in (FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE)
        for path in (POST, EDIT)
        for times in (1, 2, 3)
    ],
)
def test_nothing_comes_twice_whatever_is_lost(sandbox: Sandbox, memory: Memory, first: Receipt, fault: Fault) -> None:
    """Requests are lost before and after Slack did them, and other processes go on."""
    sandbox.slack.inject(fault)
    outcome: Any = send(started(sandbox, memory, "#security"), worse(first))
    attempt = 1
    while not isinstance(outcome, Delivered):
        attempt += 1
        another = started(sandbox, memory, "#security")
        found = another.find(worse(first, attempt=attempt)) if isinstance(outcome, Uncertain) else None
        outcome = Delivered(found) if found else send(another, worse(first, attempt=attempt))
    assert sorted(told(sandbox)) == sorted(BOTH)
    assert outcome.receipt.remote_id.startswith("C0SECURITY:")


def test_a_process_killed_between_the_posts_goes_on(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """The new message is there, the thread knows nothing: the next attempt does the rest."""
    sandbox.slack.inject(says("ratelimited", EDIT))
    send(started(sandbox, memory, "#security"), worse(first))
    assert told(sandbox) == BOTH[:2]
    another = started(sandbox, memory, "#security")
    assert another.find(worse(first)) is None
    receipt = sent(another, worse(first)).receipt
    assert told(sandbox) == BOTH
    assert started(sandbox, memory, "#security").find(worse(first)) == receipt


def test_a_reply_from_before_the_move_is_not_repeated(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """The thread was answered before the config named another channel, and the answer to that was lost."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path=POST))
    assert isinstance(send(started(sandbox, memory, "#secops"), worse(first)), Uncertain)
    moved = started(sandbox, memory, "#security")
    assert moved.find(worse(first)) is None
    sent(moved, worse(first))
    assert sorted(told(sandbox)) == sorted(BOTH)


def test_a_channel_that_is_gone_is_no_obstacle(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """The new message is what counts."""
    sandbox.slack.delete_channel("#secops")
    outcome = sent(started(sandbox, memory, "#security"), worse(first))
    assert outcome.receipt.remote_id.startswith("C0SECURITY:")
    assert "channel_not_found" in outcome.note


def test_moved_back_it_is_told_once_more(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """The first message far up in the channel is not taken for the news."""
    receipt = sent(started(sandbox, memory, "#security"), worse(first)).receipt
    back = sent(started(sandbox, memory, "#secops"), worse(receipt, revision=3)).receipt
    assert back.remote_id.startswith("C0SECOPS:")
    assert back != first


def test_a_token_that_may_not_look_still_tells(sandbox: Sandbox, memory: Memory, first: Receipt) -> None:
    """Without channels:read and channels:history, what got worse is told all the same."""
    for path in ("conversations.list", "conversations.info", "conversations.history"):
        sandbox.slack.inject(says("missing_scope", path, times=9))
    outcome = send(started(sandbox, memory, "#security"), worse(first))
    assert not isinstance(outcome, Retry), outcome
    assert told(sandbox) == BOTH
