"""What becomes of a ticket: comments, the transition that closes it, and people's own edits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.jira import Jira
from connectors.jira.markup import plain
from forwarder.connector import Delivered, Failed, Kind, Origin, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import delivery
from tests.connectors.jira.kit import LABEL, comments, follow_up, opened, send


def test_an_update_only_comments(jira: Jira, sandbox: Sandbox) -> None:
    """People own the ticket: what they edited stays, and the comment is found again by its mark."""
    receipt = opened(jira, delivery())
    fields = sandbox.jira.issues["SEC-1"]["fields"]
    fields |= {"summary": "Edited", "labels": [LABEL], "assignee": {"name": "me"}, "priority": {"name": "Low"}}
    edited = dict(fields)
    update = follow_up(Kind.UPDATE, receipt)
    assert jira.find(update) is None
    assert send(jira, update) == Delivered(receipt)
    assert comments(sandbox) == ["Severity is now critical; it was high.\n\nsentrytex update r2"]
    assert sandbox.jira.issues["SEC-1"]["fields"] == edited
    assert jira.find(update) == receipt
    send(jira, replace(update, revision=30))
    assert jira.find(replace(update, revision=3)) is None


def test_a_comment_whose_answer_was_lost_is_found(jira: Jira, sandbox: Sandbox) -> None:
    """An ambiguous comment is looked for on the ticket itself, which no index delays."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="/comment"))
    update = follow_up(Kind.UPDATE, receipt)
    assert isinstance(send(jira, update), Uncertain)
    assert jira.find(update) == receipt
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize("body", ['{"comments": 1}', "{}", "[]", "<html>"])
def test_comments_that_cannot_be_read_are_not_taken_for_none(jira: Jira, sandbox: Sandbox, body: str) -> None:
    """``find`` must not say "not there" of a list that it could not read: the comment would be written twice."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, path="/comment"))
    with pytest.raises(Failed) as failed:
        jira.find(follow_up(Kind.UPDATE, receipt))
    assert isinstance(failed.value.outcome, Retry)


def test_an_update_without_a_receipt_finds_the_ticket_or_creates_it(jira: Jira, sandbox: Sandbox) -> None:
    """The alert as it is now stands in Jira, whatever became of the delivery that should have opened it."""
    update = follow_up(Kind.UPDATE, None)
    assert opened(jira, update).remote_id == "SEC-1"
    assert comments(sandbox) == []
    assert opened(jira, update).remote_id == "SEC-1"
    assert len(comments(sandbox)) == 1
    assert len(sandbox.jira.issues) == 1


def test_a_withdrawal_closes_the_ticket_whatever_the_status_is_called(jira: Jira, sandbox: Sandbox) -> None:
    """The workflow's names are German here; its category says what is done. Closed once, commented once."""
    receipt = opened(jira, delivery())
    withdrawal = follow_up(Kind.WITHDRAW, receipt)
    assert send(jira, withdrawal) == Delivered(receipt)
    issue = sandbox.jira.issues["SEC-1"]
    assert issue["status"].name == "Fertig"
    assert comments(sandbox) == ["Sentrytex no longer reports this alert.\n\nsentrytex withdraw r2"]
    assert jira.find(withdrawal) == receipt
    assert send(jira, replace(withdrawal, revision=3)) == Delivered(receipt)
    assert issue["transitions"] == ["31"]


def test_a_workflow_without_a_way_out_keeps_the_ticket_open_and_a_note_says_so(jira: Jira, sandbox: Sandbox) -> None:
    """The comment informs people; closing is theirs."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.workflow = sandbox.jira.project.workflow[:2]
    outcome = send(jira, follow_up(Kind.WITHDRAW, receipt))
    assert isinstance(outcome, Delivered)
    assert "stays open" in outcome.note
    assert len(comments(sandbox)) == 1


def test_a_transition_that_is_refused_keeps_the_ticket_open_and_a_note_says_why(jira: Jira, sandbox: Sandbox) -> None:
    """A screen that asks for a resolution is no reason to inform nobody."""
    receipt = opened(jira, delivery())
    body = json.dumps({"errors": {"resolution": "Resolution is required."}})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=400, body=body, path="POST /rest/api/"))
    outcome = send(jira, follow_up(Kind.WITHDRAW, receipt))
    assert isinstance(outcome, Delivered)
    assert "Resolution is required." in outcome.note
    assert len(comments(sandbox)) == 1


def test_a_withdrawal_that_is_repeated_comments_once(jira: Jira, sandbox: Sandbox) -> None:
    """A rate limit between the transition and the comment costs no second transition and no second comment."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=429, path="/comment"))
    withdrawal = follow_up(Kind.WITHDRAW, receipt)
    assert isinstance(send(jira, withdrawal), RateLimited)
    assert send(jira, withdrawal) == Delivered(receipt)
    assert sandbox.jira.issues["SEC-1"]["transitions"] == ["31"]
    assert len(comments(sandbox)) == 1


def test_a_ticket_that_people_deleted(jira: Jira, sandbox: Sandbox) -> None:
    """An update of it is a dead letter that says so; a withdrawal has nothing to do. Neither breaks the destination."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.delete(sandbox.jira.issues["SEC-1"])
    update, withdrawal = follow_up(Kind.UPDATE, receipt), follow_up(Kind.WITHDRAW, receipt)
    assert send(jira, update) == Rejected("the ticket SEC-1 is gone, or the account may not see it any more")
    assert send(jira, withdrawal) == Delivered(receipt, note="the ticket is gone")
    assert jira.find(update) is None
    assert jira.find(withdrawal) is None


def test_a_withdrawal_of_what_never_arrived_does_nothing(jira: Jira, sandbox: Sandbox) -> None:
    """No ticket is created in order to close it, and what follows looks for the ticket anew."""
    outcome = send(jira, follow_up(Kind.WITHDRAW, None))
    assert outcome == Delivered(Receipt(remote_id=""), note="there is no ticket to close")
    assert sandbox.jira.issues == {}
    assert opened(jira, follow_up(Kind.UPDATE, outcome.receipt, revision=3)).remote_id == "SEC-1"


@pytest.mark.parametrize(("origin", "words"), [(Origin.TEST, "The test is over."), (Origin.ALARM, "is over.")])
def test_tests_and_alarms_are_marked_and_closed(jira: Jira, sandbox: Sandbox, origin: Origin, words: str) -> None:
    """A ticket without an alert says so, and is closed with words of its own."""
    receipt = opened(jira, delivery(origin=origin))
    assert "sentrytex-forwarder" in plain(sandbox.jira.issues["SEC-1"]["fields"]["description"])
    send(jira, follow_up(Kind.WITHDRAW, receipt, origin=origin))
    assert words in comments(sandbox)[0]
    assert sandbox.jira.issues["SEC-1"]["status"].category == "done"


def test_another_project_in_the_config_leaves_the_ticket_where_it_is(
    connect: Callable[..., Jira], sandbox: Sandbox
) -> None:
    """The ticket stays the alert's ticket: what got worse is a comment there, and no second ticket is made."""
    receipt = opened(connect(), delivery())
    moved = connect(project="OTHER")
    assert isinstance(send(moved, follow_up(Kind.UPDATE, receipt)), Delivered)
    assert list(sandbox.jira.issues) == ["SEC-1"]
    assert len(comments(sandbox)) == 1
