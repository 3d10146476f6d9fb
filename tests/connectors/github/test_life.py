"""An alert's life and its issue's: closed and opened again as people decide, and what people do on GitHub is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.github import GitHub
from connectors.github.markdown import plain
from forwarder.connector import (
    FEED,
    Action,
    Delivered,
    Failed,
    Kind,
    Receipt,
    Resolution,
    Response,
    Sighting,
    Status,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import HOSTILE_TEXTS, alert, delivery
from tests.connectors.github.kit import LIST, decided, follow_up, opened, send

Connect = Callable[..., GitHub]


class Looks:
    """Looks one after the other, a minute apart."""

    def __init__(self, connector: GitHub, sandbox: Sandbox) -> None:
        self._connector, self._sandbox, self.cursor = connector, sandbox, ""

    def __call__(self) -> list[Sighting]:
        self._sandbox.clock.advance(60)
        look = self._connector.look(self.cursor)
        self.cursor = look.cursor
        return list(look.sightings)


@pytest.fixture
def closing(connect: Connect) -> GitHub:
    return connect(on_resolve="close")


@pytest.fixture
def receipt(closing: GitHub, sandbox: Sandbox) -> Receipt:
    made = opened(closing, delivery())
    sandbox.clock.advance(60)
    return made


@pytest.fixture
def look(closing: GitHub, sandbox: Sandbox) -> Looks:
    return Looks(closing, sandbox)


def test_an_issue_is_closed_and_opened_as_people_decide(closing: GitHub, receipt: Receipt, sandbox: Sandbox) -> None:
    """With GitHub's reasons; each decision is a comment, too, and found again."""
    issue = sandbox.github.issues[1]
    for action, resolution, stands in (
        (Action.RESOLVE, Resolution.DONE, ("closed", "completed")),
        (Action.REOPEN, None, ("open", "reopened")),
        (Action.RESOLVE, Resolution.NOT_AFFECTED, ("closed", "not_planned")),
    ):
        sandbox.clock.advance(60)
        one = decided(action, receipt, at=sandbox.clock(), resolution=resolution)
        assert send(closing, one) == Delivered(receipt)
        assert (issue.state, issue.state_reason) == stands
        assert closing.find(one) == receipt
    said = plain(issue.comments[-1]["body"])
    assert said.startswith("Resolved (not affected) by Ada via secops, ")
    assert said.endswith("Reason: patched")


def test_what_a_person_did_since_stays(closing: GitHub, receipt: Receipt, sandbox: Sandbox) -> None:
    """Nothing is undone that was done after the decision, nor what was decided otherwise since."""
    at = sandbox.clock()
    sandbox.clock.advance(60)
    issue = sandbox.github.issues[1]
    sandbox.github.close_issue(1, "ada")
    outcome = send(closing, decided(Action.REOPEN, receipt, at=at))
    assert isinstance(outcome, Delivered)
    assert (issue.state, outcome.note) == ("closed", "the issue stays as it is: it was moved after that")
    sandbox.github.reopen_issue(1, "ada")
    assert isinstance(send(closing, decided(Action.RESOLVE, receipt, at=at)), Delivered)
    assert issue.state == "open"
    late = decided(Action.RESOLVE, receipt, at=sandbox.clock() + timedelta(seconds=1))
    assert late.response is not None
    superseded = replace(late, latest=replace(late.response, number=4, action=Action.REOPEN))
    assert isinstance(send(closing, superseded), Delivered)
    assert issue.state == "open"
    assert len(issue.comments) == 3


def test_an_alert_that_got_worse_opens_its_issue_again(closing: GitHub, receipt: Receipt, sandbox: Sandbox) -> None:
    assert isinstance(send(closing, decided(Action.RESOLVE, receipt, at=sandbox.clock())), Delivered)
    sandbox.clock.advance(60)
    again = Response(number=4, action=Action.REOPEN, at=sandbox.clock(), place=FEED)
    assert isinstance(send(closing, follow_up(Kind.UPDATE, receipt, latest=again)), Delivered)
    assert sandbox.github.issues[1].state == "open"


def test_without_close_an_issue_stays_where_people_put_it(connect: Connect, sandbox: Sandbox) -> None:
    """But for what is withdrawn; and with none nothing is asked."""
    connector = connect(on_acknowledge="none")
    receipt = opened(connector, delivery())
    issue = sandbox.github.issues[1]
    send(connector, decided(Action.RESOLVE, receipt, at=sandbox.clock()))
    assert (issue.state, len(issue.comments)) == ("open", 1)
    asked = len(sandbox.github.requests)
    silent = decided(Action.ACKNOWLEDGE, receipt, at=sandbox.clock())
    assert isinstance(send(connector, silent), Delivered)
    assert len(sandbox.github.requests) == asked
    send(connector, follow_up(Kind.WITHDRAW, receipt))
    assert (issue.state, issue.state_reason) == ("closed", "not_planned")


def test_a_decision_whose_answer_is_lost_is_told_once(closing: GitHub, receipt: Receipt, sandbox: Sandbox) -> None:
    """Its comment is found by a mark that no text of people's can forge."""
    issue = sandbox.github.issues[1]
    for text in HOSTILE_TEXTS:
        sandbox.github.comment(1, text, "ada")
    forged = decided(Action.ACKNOWLEDGE, receipt, at=sandbox.clock())
    assert forged.response is not None
    said = replace(forged.response, reason="x\n<!-- sentrytex resolve r3 -->\n@grace")
    assert isinstance(send(closing, replace(forged, response=said, latest=said)), Delivered)
    issue.mentions.clear()
    one = decided(Action.RESOLVE, receipt, at=sandbox.clock())
    assert closing.find(one) is None
    sandbox.github.inject(Fault(kind=FaultKind.RESET_AFTER, path="/comments"))
    assert isinstance(send(closing, one), Uncertain)
    assert closing.find(one) == receipt
    assert issue.mentions == []


def test_what_people_do_is_seen_with_who_did_it(receipt: Receipt, look: Looks, sandbox: Sandbox) -> None:
    """Assigned is acknowledged, closed is resolved, each at its time; what was seen is not told again."""
    github, remote = sandbox.github, receipt.remote_id
    (first,) = look()
    assert (first.remote_id, first.status, first.ours) == (remote, Status.OPEN, True)
    assert look() == []
    github.assign(1, "grace", "ada")
    at = sandbox.clock().replace(microsecond=0)
    assert look() == [Sighting(remote_id=remote, status=Status.ACKNOWLEDGED, at=at, person="grace")]
    github.close_issue(1, "ada", "not_planned")
    (closed,) = look()
    assert (closed.status, closed.person, closed.resolution) == (Status.RESOLVED, "ada", Resolution.NOT_AFFECTED)
    github.reopen_issue(1, "grace")
    (again,) = look()
    assert (again.status, again.person, again.ours) == (Status.OPEN, "grace", False)
    github.close_issue(1, "ada", "duplicate")
    (closed,) = look()
    assert (closed.resolution, closed.reason) == (Resolution.DONE, "duplicate")


def test_who_gives_an_issue_back_opens_it(receipt: Receipt, look: Looks, sandbox: Sandbox) -> None:
    sandbox.github.assign(1, "grace", "grace")
    (taken,) = look()
    sandbox.github.unassign(1, "grace", "grace")
    (left,) = look()
    assert (taken.status, left.status, left.person, left.ours) == (Status.ACKNOWLEDGED, Status.OPEN, "grace", False)


def test_what_the_forwarder_does_is_its_own(connect: Connect, sandbox: Sandbox) -> None:
    """Whom the config has it assigned to has not taken it on; and a person who undoes it at once is heard."""
    connector = connect(on_resolve="close", assignees=["ada"])
    look = Looks(connector, sandbox)
    receipt = opened(connector, delivery())
    (first,) = look()
    assert (first.status, first.ours) == (Status.OPEN, True)
    send(connector, decided(Action.RESOLVE, receipt, at=sandbox.clock()))
    (closed,) = look()
    assert (closed.status, closed.ours) == (Status.RESOLVED, True)
    sandbox.clock.advance(5)
    send(connector, decided(Action.REOPEN, receipt, at=sandbox.clock()))
    sandbox.clock.advance(5)
    sandbox.github.close_issue(1, "grace")
    mine, theirs = look()
    assert (mine.status, mine.ours) == (Status.OPEN, True)
    assert (theirs.status, theirs.ours, theirs.person) == (Status.RESOLVED, False, "grace")


def test_what_is_done_in_the_second_of_a_look_is_seen_by_the_next(
    closing: GitHub, receipt: Receipt, sandbox: Sandbox
) -> None:
    """Of a change GitHub tells the second alone."""
    github, cursor = sandbox.github, ""
    steps: list[tuple[Callable[[], None], Status]] = [
        (lambda: github.assign(1, "grace", "ada"), Status.ACKNOWLEDGED),
        (lambda: github.unassign(1, "grace", "ada"), Status.OPEN),
        (lambda: github.close_issue(1, "ada"), Status.RESOLVED),
        (lambda: github.reopen_issue(1, "ada"), Status.OPEN),
    ]
    for step, status in steps:
        step()
        seen = closing.look(cursor)
        assert [(one.remote_id, one.status) for one in seen.sightings] == [(receipt.remote_id, status)]
        again = closing.look(seen.cursor)
        assert again.sightings == ()
        cursor = again.cursor


def test_a_look_sees_all_pages_or_nothing(closing: GitHub, look: Looks, sandbox: Sandbox) -> None:
    """A page that is missing brings nothing, and the next look asks for all of it."""
    for number in range(31):
        opened(closing, delivery(alert=alert(id=f"p-{number}")))
    sandbox.github.inject(Fault(kind=FaultKind.LATENCY, path=LIST), Fault(kind=FaultKind.STATUS, status=500, path=LIST))
    with pytest.raises(Failed):
        look()
    assert look.cursor == ""
    assert len(look()) == 31
    assert look() == []


def test_a_cursor_of_another_repository_begins_anew(connect: Connect, receipt: Receipt, look: Looks) -> None:
    look()
    for cursor in (look.cursor.replace("example/security", "example/other"), "{}", "[]", "nonsense", '{"issues": 1}'):
        again = look._connector.look(cursor)
        assert [seen.remote_id for seen in again.sightings] == [receipt.remote_id]
