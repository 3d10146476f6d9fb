"""Slack: which channel is meant, when names change hands and processes end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.slack import Slack
from forwarder.connector import (
    NOTICE,
    Broken,
    Delivery,
    Failed,
    Kind,
    Memory,
    Outcome,
    ProcessMemory,
    Retry,
    Uncertain,
)
from forwarder.delivery.memory import StoredMemory
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.slack import WORSE, by_token, new_delivery, says, send, sent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


@pytest.fixture
def memory() -> Memory:
    """What is kept from one process to the next."""
    return ProcessMemory()


def started(sandbox: Sandbox, memory: Memory, channel: str = "#secops") -> Slack:
    """The connector of another process that remembers what the last one did."""
    connector = by_token(sandbox, channel=channel)
    connector.remember(memory)
    return connector


def another(number: int = 1) -> Delivery:
    return new_delivery(alert=alert(id=f"another-{number}"))


def channels(sandbox: Sandbox) -> list[str]:
    return [message["channel"] for message in sandbox.slack.messages]


def test_a_renamed_channel_goes_on_within_and_beyond_a_process(sandbox: Sandbox, memory: Memory) -> None:
    """Its id stays, and that is what messages are addressed to; people are told which name the config needs."""
    first = started(sandbox, memory)
    receipt = sent(first, new_delivery()).receipt
    assert memory.get(NOTICE) == ""
    sandbox.slack.rename("#secops", "#security")
    for number, connector in enumerate((first, started(sandbox, memory))):
        sent(connector, another(number))
        assert 'channel: "#security"' in memory.get(NOTICE)
        changed = new_delivery(kind=Kind.UPDATE, revision=2 + number, receipt=receipt, changes=WORSE)
        assert sent(connector, changed).receipt == receipt
    assert set(channels(sandbox)) == {"C0SECOPS"}


def test_a_message_is_found_in_a_channel_that_was_renamed_since(sandbox: Sandbox, memory: Memory) -> None:
    """A process that was killed after the send, a new name, and another process: one message."""
    sent(started(sandbox, memory), another())
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(started(sandbox, memory), new_delivery()), Uncertain)
    sandbox.slack.rename("#secops", "#security")
    receipt = started(sandbox, memory).find(new_delivery())
    assert receipt is not None
    assert receipt.remote_id.startswith("C0SECOPS:")


def test_a_first_message_in_a_channel_renamed_since_is_found(sandbox: Sandbox, memory: Memory) -> None:
    """Nothing told its id yet, but Slack knows which channel had the name before."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(started(sandbox, memory), new_delivery()), Uncertain)
    sandbox.slack.rename("#secops", "#security")
    receipt = started(sandbox, memory).find(new_delivery())
    assert receipt is not None
    assert receipt.remote_id.startswith("C0SECOPS:")


def test_a_name_that_no_channel_has_or_had_stays_uncertain(sandbox: Sandbox, memory: Memory) -> None:
    """There is nothing to look into, until the config has a name that Slack knows."""
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(started(sandbox, memory), new_delivery()), Uncertain)
    sandbox.slack.rename("#secops", "#security")
    unknown = {"channels": [{"id": "C0SECOPS", "name": "security"}], "ok": True}
    sandbox.slack.inject(
        Fault(kind=FaultKind.STATUS, status=200, body=json.dumps(unknown), path="conversations.list", times=1)
    )
    with pytest.raises(Failed) as failed:
        started(sandbox, memory).find(new_delivery())
    assert isinstance(failed.value.outcome, Retry)
    assert started(sandbox, memory, channel="#security").find(new_delivery()) is not None


@pytest.mark.parametrize("how", ["config", "Slack"])
def test_the_right_name_ends_the_notice(sandbox: Sandbox, memory: Memory, how: str) -> None:
    """It is over as soon as the config has the new name, and when the channel gets its old one back."""
    sent(started(sandbox, memory), another())
    sandbox.slack.rename("#secops", "#security")
    sent(started(sandbox, memory), another(2))
    assert memory.get(NOTICE)
    if how == "config":
        connector = started(sandbox, memory, channel="#security")
        assert memory.get(NOTICE) == ""
    else:
        sandbox.slack.rename("#security", "#secops")
        connector = started(sandbox, memory)
    sent(connector, another(3))
    assert memory.get(NOTICE) == ""
    assert set(channels(sandbox)) == {"C0SECOPS"}


def test_another_channel_in_the_config_is_another_channel(sandbox: Sandbox, memory: Memory) -> None:
    """The kept id counts for one configured name, and not again once the config has meant another channel."""
    sent(started(sandbox, memory), new_delivery())
    sent(started(sandbox, memory, channel="#alerts"), another(1))
    sandbox.slack.rename("#secops", "#old")
    sandbox.slack.add_channel("secops")
    sent(started(sandbox, memory), another(2))
    assert channels(sandbox) == ["C0SECOPS", "C0ALERTS", "C0SECOPSX"]


def test_what_went_to_the_channel_before_is_looked_for_there(sandbox: Sandbox, memory: Memory) -> None:
    """A message that may stand in the channel that the config named then is not sent to the new one as well."""
    thing, lost = another(1), another(2)
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(started(sandbox, memory), lost), Uncertain)
    moved = started(sandbox, memory, channel="#alerts")
    receipt = moved.find(lost)
    assert receipt is not None
    assert receipt.remote_id.startswith("C0SECOPS:")
    assert moved.find(thing) is None
    sandbox.slack.delete_channel("#secops")
    assert moved.find(another(3)) is None  # owed since, so it cannot be there
    with pytest.raises(Failed):
        moved.find(thing)


@pytest.mark.parametrize("spelled", ["#secops", "secops"])
def test_the_same_name_spelled_otherwise_is_the_same_channel(sandbox: Sandbox, memory: Memory, spelled: str) -> None:
    """With its # or without."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    sent(started(sandbox, memory, channel=spelled), another())
    assert channels(sandbox) == ["C0SECOPS"] * 2


def test_another_workspace_is_another_channel(sandbox: Sandbox, memory: Memory) -> None:
    """A token that opens another workspace finds its channel by its name there."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.team_id = "T0ELSEWHERE"
    sandbox.slack.rename("#secops", "#old")
    sandbox.slack.add_channel("secops")
    sent(started(sandbox, memory), another())
    assert channels(sandbox) == ["C0SECOPS", "C0SECOPSX"]


def test_a_new_token_of_the_same_workspace_changes_nothing(sandbox: Sandbox, memory: Memory) -> None:
    """What counts is the workspace that it opens."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    sandbox.slack.token = "xoxb-another-token"
    sent(started(sandbox, memory), another())
    assert channels(sandbox) == ["C0SECOPS"] * 2


def test_while_the_workspace_cannot_be_told_nothing_is_sent(sandbox: Sandbox, memory: Memory) -> None:
    """Neither to a channel of another workspace, nor to whoever bears the name by now."""
    sent(started(sandbox, memory), new_delivery())
    connector = started(sandbox, memory)
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=500, path="auth.test"))
    assert isinstance(send(connector, another()), Retry)
    assert len(sandbox.slack.messages) == 1
    sent(connector, another())


def test_a_name_that_another_channel_bears_by_now_misleads_nobody(sandbox: Sandbox, memory: Memory) -> None:
    """The channel in which people read so far goes on; the name's new bearer gets nothing."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    sandbox.slack.add_channel("secops")
    sent(started(sandbox, memory), another())
    assert channels(sandbox) == ["C0SECOPS"] * 2
    assert "#security" in memory.get(NOTICE)


@pytest.mark.parametrize("gone", ["archived", "deleted", "without the bot"])
def test_a_channel_that_is_gone_makes_way_for_the_name_s_new_bearer(
    sandbox: Sandbox, memory: Memory, gone: str
) -> None:
    """Nobody reads on where nothing is accepted: the configured name counts again, and a lost answer is found there."""
    sandbox.slack.scopes -= {"chat:write.public"}
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#old")
    _end(sandbox, "#old", gone)
    sandbox.slack.add_channel("secops")
    connector = started(sandbox, memory)
    sent(connector, another(1))
    assert channels(sandbox) == ["C0SECOPS", "C0SECOPSX"]
    sandbox.slack.inject(Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage"))
    assert isinstance(send(connector, another(2)), Uncertain)
    receipt = started(sandbox, memory).find(another(2))
    assert receipt is not None
    assert receipt.remote_id.startswith("C0SECOPSX:")


def test_the_first_message_to_a_name_s_new_bearer_is_looked_for_there(sandbox: Sandbox, memory: Memory) -> None:
    """Also where the answer that would have told its id was lost."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#old")
    sandbox.slack.archive("#old")
    sandbox.slack.add_channel("secops")
    sandbox.slack.inject(
        says("is_archived", "chat.postMessage"), Fault(kind=FaultKind.RESET_AFTER, path="chat.postMessage")
    )
    assert isinstance(send(started(sandbox, memory), another()), Uncertain)
    receipt = started(sandbox, memory).find(another())
    assert receipt is not None
    assert receipt.remote_id.startswith("C0SECOPSX:")


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("gone", ["archived", "deleted", "without the bot"])
def test_a_channel_that_is_gone_without_another_is_broken(
    sandbox: Sandbox, memory: Memory, gone: str, renamed: bool
) -> None:
    """Under its name or another; and when it is usable again, it goes on."""
    sandbox.slack.scopes -= {"chat:write.public"}
    sent(started(sandbox, memory), new_delivery())
    name = "#security" if renamed else "#secops"
    sandbox.slack.rename("#secops", name)
    _end(sandbox, name, gone)
    connector = started(sandbox, memory)
    for _ in range(2):
        outcome: Outcome = send(connector, another())
        assert isinstance(outcome, Broken)
        assert {"archived": "is_archived", "deleted": "channel_not_found"}.get(gone, "not_in_channel") in outcome.reason
    if gone != "deleted":
        sandbox.slack.unarchive(name)
        sandbox.slack.move_bot(name, member=True)
        sent(started(sandbox, memory), another())
        assert channels(sandbox) == ["C0SECOPS"] * 2


def _end(sandbox: Sandbox, channel: str, how: str) -> None:
    match how:
        case "archived":
            sandbox.slack.archive(channel)
        case "deleted":
            sandbox.slack.delete_channel(channel)
        case _:
            sandbox.slack.move_bot(channel, member=False)


def test_an_id_in_the_config_is_never_second_guessed(sandbox: Sandbox, memory: Memory) -> None:
    """It says which channel is meant, whatever an earlier config meant, and a rename does not matter."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    new = sandbox.slack.add_channel("secops")
    sent(started(sandbox, memory, channel=new), another(1))
    sent(started(sandbox, memory, channel="C0SECOPS"), another(2))
    assert channels(sandbox) == ["C0SECOPS", new, "C0SECOPS"]
    assert memory.get(NOTICE) == ""


def test_what_cannot_be_told_of_a_name_stops_nothing(sandbox: Sandbox, memory: Memory) -> None:
    """Without channels:read, or where Slack does not answer that, messages go on by the id."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    sandbox.slack.scopes = {"chat:write", "channels:history"}
    sent(started(sandbox, memory), another(1))
    sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=500, path="conversations.info"))
    sent(started(sandbox, memory), another(2))
    assert channels(sandbox) == ["C0SECOPS"] * 3


def test_what_was_kept_in_another_form_is_no_knowledge(sandbox: Sandbox) -> None:
    """A memory that cannot be read any more is learned anew."""
    for kept in ("C0SECOPS", "[]", '{"name": "secops"}'):
        memory = ProcessMemory({"channel": kept})
        sent(started(sandbox, memory), new_delivery())
        assert '"C0SECOPS"' in memory.get("channel")


# In the database


def test_what_a_connector_learned_outlives_its_process(sandbox: Sandbox, store: Store) -> None:
    """The id is in the database, and the log speaks of the name once."""
    sent(started(sandbox, StoredMemory(store.memory, "secops")), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    with capture_logs() as logs:
        for number in range(3):
            sent(started(sandbox, StoredMemory(store.memory, "secops")), another(number))
    told = [line for line in logs if line["event"] == "connector_notice"]
    assert [(line["connector"], line["log_level"]) for line in told] == [("secops", "warning")]
    assert "#security" in told[0]["reason"]
    assert channels(sandbox) == ["C0SECOPS"] * 4


# The live check


def test_without_the_id_an_old_name_fails_the_check(sandbox: Sandbox, memory: Memory) -> None:
    """A message to that name is refused; the check knows the name that works."""
    sandbox.slack.rename("#secops", "#security")
    assert isinstance(send(started(sandbox, memory), new_delivery()), Broken)
    assert any('channel: "#security"' in finding.text for finding in started(sandbox, memory).check() if not finding.ok)


def test_an_id_in_small_letters_is_no_name_that_is_out_of_date(sandbox: Sandbox, memory: Memory) -> None:
    """Where Slack takes it for the channel's id, that is what it is."""
    connector = started(sandbox, memory, channel="c0secops")
    connector.remember(ProcessMemory({"channel": '{"name": "c0secops", "team": "T0SANDBOX", "id": "C0SECOPS"}'}))
    sent(connector, new_delivery())
    assert connector.memory.get(NOTICE) == ""
    assert not any("by now" in finding.text for finding in connector.check())


def test_the_check_names_the_new_name(sandbox: Sandbox, memory: Memory) -> None:
    """All works; what the config should say instead is told."""
    sent(started(sandbox, memory), new_delivery())
    sandbox.slack.rename("#secops", "#security")
    findings = started(sandbox, memory).check()
    assert all(finding.ok for finding in findings)
    assert any('channel: "#security"' in finding.text for finding in findings)
    sandbox.slack.archive("#security")
    assert any("archived" in finding.text for finding in started(sandbox, memory).check() if not finding.ok)
