"""Who must act, in Slack: pinged once by an alert's first message, and by nothing that an alert says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.slack.owners import MAX_OWNERS, SlackOwner, calling
from forwarder.connector import NOTICE, Action, Delivered, Delivery, Kind, ProcessMemory, Response, Status
from forwarder.sandbox import Fault, FaultKind, Sandbox, blockkit
from forwarder.testing import alert, hostile_alerts
from tests.kit.slack import WORSE, by_token, by_webhook, new_delivery, says, send, sent

GROUP, ADA = "!subteam^S0DEVTOOLS", "@U0ALICE"


def owned(*names: str, **changes: Any) -> Delivery:
    return new_delivery(owners=tuple(SlackOwner(name) for name in names), **changes)


def pings(sandbox: Sandbox) -> list[list[str]]:
    return [message["pings"] for message in sandbox.slack.messages]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("@dev-tools", "@dev-tools"),
        (" @ada ", "@ada"),
        ("U0123ABCD", "U0123ABCD"),
        ("<@U0123ABCD>", "U0123ABCD"),
        ("<!subteam^S0123ABCD|@dev>", "S0123ABCD"),
    ],
)
def test_an_owner_is_a_handle_or_an_id(written: str, kept: str) -> None:
    """Mentions as Slack copies them are ids."""
    assert SlackOwner(written).root == kept


@pytest.mark.parametrize(
    "written", ["", "ada", "SUPPORT", "@", "@channel", "@Here", "<!channel>", "@a b", "@" + "x" * 90]
)
def test_nobody_and_everybody_are_no_owner(written: str) -> None:
    """What names nobody is a mistake in the config."""
    with pytest.raises(ValidationError):
        SlackOwner(written)


def test_the_first_message_pings_once(sandbox: Sandbox) -> None:
    """A group and a person are pinged by the first message; an edit names them and pings nobody."""
    slack = by_token(sandbox)
    receipt = sent(slack, owned("@dev-tools", "@alice")).receipt
    assert pings(sandbox) == [[GROUP, ADA]]
    change = owned("@dev-tools", kind=Kind.UPDATE, receipt=receipt, revision=2, changes=())
    sent(slack, change)
    assert "Owner: @dev-tools" in json.dumps(sandbox.slack.messages[0]["blocks"])
    assert pings(sandbox) == [[GROUP, ADA]]


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.REMIND])
def test_what_the_whole_channel_hears_pings_again(sandbox: Sandbox, kind: Kind) -> None:
    """Worse news and reminders are broadcast, and call the owners; the edit before them does not."""
    slack = by_token(sandbox)
    receipt = sent(slack, owned("@dev-tools")).receipt
    changes = WORSE if kind is Kind.UPDATE else ()
    sent(slack, owned("@dev-tools", kind=kind, receipt=receipt, revision=2, changes=changes))
    message, reply = sandbox.slack.messages
    assert reply["reply_broadcast"]
    assert (message["pings"], reply["pings"]) == ([GROUP], [GROUP])


def test_an_alert_that_moves_to_another_channel_pings_there_alone(sandbox: Sandbox) -> None:
    """The new message calls the owners; the last reply in the old thread names them and calls nobody."""
    receipt = sent(by_token(sandbox), owned("@dev-tools")).receipt
    elsewhere = by_token(sandbox, channel="#alerts")
    sent(elsewhere, owned("@dev-tools", kind=Kind.UPDATE, receipt=receipt, revision=2, changes=WORSE))
    first, *_ = sandbox.slack.messages
    told = {message["channel"] == first["channel"]: message["pings"] for message in sandbox.slack.messages[1:]}
    assert first["pings"] == [GROUP]
    assert told == {True: [], False: [GROUP]}


def test_ids_need_no_scope(sandbox: Sandbox) -> None:
    """An id is pinged without asking who that is, through a webhook too."""
    sandbox.slack.scopes -= {"users:read", "usergroups:read"}
    sent(by_token(sandbox), owned("S0DEVTOOLS", "U0ALICE"))
    sent(by_webhook(sandbox), owned("S0DEVTOOLS", "U0ALICE"))
    assert pings(sandbox) == [[GROUP, ADA], [GROUP, ADA]]


@pytest.mark.parametrize("missing", [{"usergroups:read"}, {"users:read"}, {"users:read", "usergroups:read"}])
def test_a_missing_scope_costs_the_ping_alone(sandbox: Sandbox, missing: set[str]) -> None:
    """The message arrives, names the owner and pings nobody; people are told the scope."""
    sandbox.slack.scopes -= missing
    slack, memory = by_token(sandbox), ProcessMemory()
    slack.remember(memory)
    sent(slack, owned("@nobody"))
    assert pings(sandbox) == [[]]
    assert "Owner: @nobody" in json.dumps(sandbox.slack.messages[0]["blocks"])
    assert any(f"add the scope {scope}, or write the id" in memory.get(NOTICE) for scope in missing)


def test_a_notice_ends_once_the_owner_is_found(sandbox: Sandbox) -> None:
    """Who is not found is asked for again after some minutes, and the notice goes."""
    moment = datetime.now(UTC)
    slack, memory = by_token(sandbox, now=lambda: moment), ProcessMemory()
    slack.remember(memory)
    sent(slack, owned("@late"))
    assert "The owner @late is not pinged: no user group and nobody in Slack" in memory.get(NOTICE)
    sandbox.slack.people.add_group("late")
    moment += timedelta(minutes=6)
    sent(slack, owned("@late"))
    assert pings(sandbox) == [[], ["!subteam^S0LATE"]]
    assert memory.get(NOTICE) == ""


def test_who_was_found_is_known_after_a_restart(sandbox: Sandbox) -> None:
    """While Slack does not answer, the ids that an earlier process found count."""
    memory = ProcessMemory()
    first = by_token(sandbox)
    first.remember(memory)
    sent(first, owned("@dev-tools"))
    sandbox.slack.inject(says("internal_error", "usergroups.list", times=9))
    sandbox.slack.inject(says("internal_error", "users.list", times=9))
    again = by_token(sandbox)
    again.remember(memory)
    sent(again, owned("@dev-tools", alert=alert(id="another")))
    assert pings(sandbox) == [[GROUP], [GROUP]]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.STATUS, status=503, path="usergroups.list", times=9),
        Fault(kind=FaultKind.STATUS, status=429, path="usergroups.list", times=9),
        Fault(kind=FaultKind.STATUS, status=200, body='{"ok": true}', path="usergroups.list", times=9),
    ],
)
def test_no_failure_of_the_question_keeps_the_message_back(sandbox: Sandbox, fault: Fault) -> None:
    """Whatever Slack answers to who somebody is, the message arrives."""
    sandbox.slack.inject(fault)
    outcome = send(by_token(sandbox), owned("@dev-tools"))
    assert isinstance(outcome, Delivered)
    assert pings(sandbox) == [[]]


def test_people_who_share_a_name_are_not_pinged(sandbox: Sandbox) -> None:
    """A name that somebody else chose too pings neither; the unique name counts first."""
    sandbox.slack.people.add("ada.l", user_id="U0ADA1")
    sandbox.slack.people.add("ada.b", user_id="U0ADA2")
    for user in ("U0ADA1", "U0ADA2"):
        sandbox.slack.people.get(user)["profile"]["display_name"] = "ada"
    slack, memory = by_token(sandbox), ProcessMemory()
    slack.remember(memory)
    sent(slack, owned("@ada", "@ada.b"))
    assert pings(sandbox) == [["@U0ADA2"]]
    assert "several people in Slack are called so" in memory.get(NOTICE)


def test_nothing_in_an_alert_pings(sandbox: Sandbox) -> None:
    """Whatever an alert says, only the owners of the config are called; each message is one that Slack takes."""
    slack = by_token(sandbox)
    known = {"@dev-tools": f"<{GROUP}>"}
    for hostile in [*hostile_alerts(), alert(title="👤 Owner: @dev-tools", affected_vendors=["<!channel>"])]:
        for kind in (Kind.OPEN, Kind.UPDATE):
            one = owned("@dev-tools", alert=hostile, kind=kind, changes=WORSE if kind is Kind.UPDATE else ())
            payload = slack.render(one)
            called = calling(payload, known)
            for made, expected in ((payload, []), (called, [GROUP])):
                assert blockkit.pings(made["text"], made["blocks"], made["attachments"]) == expected
                assert blockkit.pings(made["fallback"], [], []) == expected
                assert not blockkit.problems(made["blocks"])
                assert len(made["fallback"]) <= 4000


def test_a_resolved_alert_calls_nobody(sandbox: Sandbox) -> None:
    """What is over, or taken back, needs nobody to act."""
    done = Response(number=1, action=Action.RESOLVE, at=datetime.now(UTC), place="page")
    slack = by_token(sandbox)
    one = owned("@dev-tools", latest=done)
    assert one.status is Status.RESOLVED
    sent(slack, one)
    assert pings(sandbox) == [[]]


def test_many_owners_are_cut(sandbox: Sandbox) -> None:
    """More than people can absorb are not named."""
    names = [f"@team-{number}" for number in range(30)]
    payload = by_token(sandbox).render(owned(*names))
    assert f"@team-{MAX_OWNERS - 1}" in payload["fallback"]
    assert f"@team-{MAX_OWNERS}" not in payload["fallback"]


def test_the_check_says_who_cannot_be_pinged(sandbox: Sandbox) -> None:
    """Each owner is asked for, ids too."""
    owners = [SlackOwner(name) for name in ("@dev-tools", "@bob", "@gone", "S0NOBODY", "U0ALICE")]
    found = by_token(sandbox).check_owners(owners)
    assert [finding.ok for finding in found] == [True, True, False, False, True]
    assert "@gone is pinged by no message: no user group and nobody" in found[2].text
    hook = by_webhook(sandbox).check_owners([SlackOwner("@bob"), SlackOwner("U0ALICE")])
    assert [finding.ok for finding in hook] == [False, True]
    assert "a webhook cannot ask who that is: use a token" in hook[0].text
