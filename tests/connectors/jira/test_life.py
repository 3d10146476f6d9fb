"""What people decide elsewhere reaches the ticket: a comment, and the way to done where the config asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.jira import Jira
from connectors.jira.markup import plain
from forwarder.alert import Severity
from forwarder.connector import (
    FEED,
    Action,
    Broken,
    Change,
    Delivered,
    Kind,
    Origin,
    RateLimited,
    Receipt,
    Resolution,
    Response,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import HOSTILE_TEXTS, alert, delivery
from tests.connectors.jira.kit import comments, follow_up, opened, send, told

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def response(action: Action, **changes: Any) -> Response:
    resolution = Resolution.DONE if action is Action.RESOLVE else None
    return replace(
        Response(number=3, action=action, at=AT, place="secops", person="Ada Lovelace", resolution=resolution),
        **changes,
    )


RESOLVED = response(Action.RESOLVE, reason="not exposed", resolution=Resolution.NOT_AFFECTED)


def status(sandbox: Sandbox, key: str = "SEC-1") -> str:
    return str(sandbox.jira.issues[key]["status"].category)


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        (response(Action.ACKNOWLEDGE), "Acknowledged by Ada Lovelace via secops, 2026-03-02 09:30 UTC."),
        (
            RESOLVED,
            "Resolved (not affected) by Ada Lovelace via secops, 2026-03-02 09:30 UTC.\nReason: not exposed",
        ),
        (response(Action.REOPEN, person=""), "Reopened by somebody in secops, 2026-03-02 09:30 UTC."),
    ],
)
def test_a_comment_says_what_was_decided(jira: Jira, sandbox: Sandbox, decided: Response, words: str) -> None:
    """Who, where, when, how and why; the ticket itself stays where it is, and the comment is found again."""
    receipt = opened(jira, delivery())
    one = told(decided, receipt)
    assert jira.find(one) is None
    assert send(jira, one) == Delivered(receipt)
    assert comments(sandbox) == [f"{words}\n\nsentrytex {decided.action} r3"]
    assert status(sandbox) == "new"
    assert jira.find(one) == receipt


def test_what_people_write_mentions_nobody_and_forges_no_mark(jira: Jira, sandbox: Sandbox) -> None:
    """A reason is text on one line, whatever stands in it."""
    receipt = opened(jira, delivery())
    for number, text in enumerate(["[~admin] @all {code}", "ok\nsentrytex update r2\nso", *HOSTILE_TEXTS]):
        decided = response(Action.RESOLVE, number=number, person=text, reason=text, place=text or "secops")
        assert send(jira, told(decided, receipt)) == Delivered(receipt)
    raw = json.dumps([comment["body"] for comment in sandbox.jira.issues["SEC-1"]["comments"]])
    assert '"mention"' not in raw
    assert jira._site.cloud or "[~admin" not in raw
    assert jira.find(follow_up(Kind.UPDATE, receipt)) is None


@pytest.mark.parametrize(
    ("on_acknowledge", "on_resolve", "kinds"),
    [
        ("none", "comment", ["resolve", "reopen"]),
        ("comment", "none", ["acknowledge", "reopen"]),
        ("none", "none", []),
    ],
)
def test_what_the_config_does_not_want_is_not_sent(
    connect: Callable[..., Jira], sandbox: Sandbox, on_acknowledge: str, on_resolve: str, kinds: list[str]
) -> None:
    """A reopening is told wherever the one or the other was."""
    jira = connect(on_acknowledge=on_acknowledge, on_resolve=on_resolve)
    receipt = opened(jira, delivery())
    asked = len(sandbox.jira.requests)
    for action in Action:
        one = told(response(action), receipt)
        payload = jira.render(one)
        assert jira.preview(payload)
        outcome = send(jira, one)
        assert isinstance(outcome, Delivered)
        assert outcome.receipt == receipt
        assert bool(outcome.note) is (action.value not in kinds)
    assert [comment.rpartition("sentrytex ")[2].split()[0] for comment in comments(sandbox)] == kinds
    assert len(sandbox.jira.requests) - asked == len(kinds)


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE])
def test_a_decision_is_told_once_however_the_answer_is_lost(jira: Jira, sandbox: Sandbox, kind: FaultKind) -> None:
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=kind, path="/comment"))
    one = told(RESOLVED, receipt)
    assert isinstance(send(jira, one), Uncertain)
    if jira.find(one) is None:
        assert send(jira, one) == Delivered(receipt)
    assert len(comments(sandbox)) == 1


def test_where_there_is_no_ticket_nothing_is_said(jira: Jira, sandbox: Sandbox) -> None:
    """None is made for it, and one that people deleted is not missed."""
    nowhere = Receipt(remote_id="")
    one = told(RESOLVED, None)
    assert send(jira, one) == Delivered(nowhere, note="there is no ticket to comment on")
    assert send(jira, replace(one, receipt=nowhere)) == Delivered(nowhere, note="there is no ticket to comment on")
    assert sandbox.jira.issues == {}
    receipt = opened(jira, delivery())
    assert send(jira, one) == Delivered(receipt)
    sandbox.jira.project.delete(sandbox.jira.issues["SEC-1"])
    assert send(jira, told(RESOLVED, receipt)) == Delivered(receipt, note="the ticket is gone")


# Closing


@pytest.fixture
def closing(connect: Callable[..., Jira]) -> Jira:
    return connect(on_resolve="close")


def test_a_resolution_closes_the_ticket_where_the_config_asks_for_it(closing: Jira, sandbox: Sandbox) -> None:
    """Closed first, commented then, once each; an acknowledgement and a reopening move nothing."""
    receipt = opened(closing, delivery())
    assert send(closing, told(response(Action.ACKNOWLEDGE), receipt)) == Delivered(receipt)
    assert status(sandbox) == "new"
    assert send(closing, told(RESOLVED, receipt)) == Delivered(receipt)
    assert status(sandbox) == "done"
    assert send(closing, told(response(Action.REOPEN, number=4), receipt)) == Delivered(receipt)
    assert status(sandbox) == "done"
    assert len(comments(sandbox)) == 3
    assert sandbox.jira.issues["SEC-1"]["transitions"] == ["31"]


def test_a_resolution_that_others_followed_closes_nothing(closing: Jira, sandbox: Sandbox) -> None:
    """It is told, for it happened."""
    receipt = opened(closing, delivery())
    late = replace(told(RESOLVED, receipt), latest=response(Action.REOPEN, number=4))
    outcome = send(closing, late)
    assert outcome == Delivered(receipt, note="the ticket stays as it is: something else was decided since")
    assert status(sandbox) == "new"
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize("wrong_by", [timedelta(minutes=-5), timedelta(), timedelta(minutes=5)])
def test_whether_a_person_moved_it_since_is_told_whatever_the_clocks_say(
    connect: Callable[..., Jira], sandbox: Sandbox, wrong_by: timedelta
) -> None:
    """Jira's clock and ours need not agree."""
    jira = connect(on_resolve="close", now=lambda: datetime.now(UTC) + wrong_by)
    receipt = opened(jira, delivery())
    at = datetime.now(UTC) + wrong_by
    sandbox.clock.advance(60)
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    sandbox.clock.advance(-60)
    outcome = send(jira, told(response(Action.RESOLVE, at=at), receipt))
    assert outcome == Delivered(receipt, note="the ticket stays as it is: it was moved after that")
    sandbox.clock.advance(-60)
    sandbox.jira.issues["SEC-1"]["history"].clear()
    sandbox.jira.move("SEC-1", "new", by="alice")
    sandbox.clock.advance(60)
    assert send(jira, told(response(Action.RESOLVE, at=at, number=4), receipt)) == Delivered(receipt)
    assert status(sandbox) == "done"


def test_a_ticket_that_is_done_is_not_closed_again(closing: Jira, sandbox: Sandbox) -> None:
    receipt = opened(closing, delivery())
    sandbox.jira.project.move(sandbox.jira.issues["SEC-1"], "31")
    assert send(closing, told(RESOLVED, receipt)) == Delivered(receipt)
    assert sandbox.jira.issues["SEC-1"]["transitions"] == ["31"]


def test_a_close_whose_answer_was_lost_is_made_once(closing: Jira, sandbox: Sandbox) -> None:
    receipt = opened(closing, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="POST /rest/api/"))
    one = told(RESOLVED, receipt)
    assert isinstance(send(closing, one), Uncertain)
    assert closing.find(one) is None
    assert send(closing, one) == Delivered(receipt)
    assert sandbox.jira.issues["SEC-1"]["transitions"] == ["31"]
    assert len(comments(sandbox)) == 1


def test_a_workflow_without_a_way_to_done_is_a_note(closing: Jira, sandbox: Sandbox) -> None:
    receipt = opened(closing, delivery())
    sandbox.jira.permissions.discard("TRANSITION_ISSUES")
    outcome = send(closing, told(RESOLVED, receipt))
    assert isinstance(outcome, Delivered)
    assert "stays open" in outcome.note
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize(("status_code", "expected"), [(401, Broken), (429, RateLimited), (503, Retry)])
def test_what_keeps_the_ticket_from_being_read_keeps_the_comment_back(
    closing: Jira, sandbox: Sandbox, status_code: int, expected: type
) -> None:
    """So that the whole is repeated, in order."""
    receipt = opened(closing, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=status_code, path="GET"))
    assert isinstance(send(closing, told(RESOLVED, receipt)), expected)
    assert comments(sandbox) == []


# Updates and reminders


def test_worse_news_says_that_the_alert_is_open_again(jira: Jira, sandbox: Sandbox) -> None:
    """Only what made it so says it, and the ticket stays where a person put it."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.move(sandbox.jira.issues["SEC-1"], "31")
    again = response(Action.REOPEN, place=FEED, person="", reason="changed: severity")
    send(jira, follow_up(Kind.UPDATE, receipt, latest=again))
    better = Change(field="cvss_score", old=1, new=2)
    send(jira, follow_up(Kind.UPDATE, receipt, revision=3, changes=(better,), latest=again))
    assert "open again, for it got worse" in comments(sandbox)[0]
    assert "open again" not in comments(sandbox)[1]
    assert status(sandbox) == "done"


def test_a_reminder_is_a_comment_once(jira: Jira, sandbox: Sandbox) -> None:
    """It says whether anybody has the alert."""
    receipt = opened(jira, delivery())
    one = follow_up(Kind.REMIND, receipt, revision=1, reminder="Nobody has acknowledged it for 15m")
    assert send(jira, one) == Delivered(receipt)
    assert jira.find(one) == receipt
    assert jira.find(replace(one, revision=2)) is None
    overdue = "It is overdue for 1d, and nobody has resolved it"
    late = replace(one, revision=2, latest=response(Action.ACKNOWLEDGE), reminder=overdue)
    assert send(jira, late) == Delivered(receipt)
    first, second = comments(sandbox)
    assert first == "Still open. Nobody has acknowledged it for 15m.\n\nsentrytex remind r1"
    assert second.startswith("Still open. It is overdue for 1d, and nobody has resolved it. Acknowledged by Ada")


def test_a_reminder_of_what_was_resolved_meanwhile_is_none(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, delivery())
    outcome = send(jira, follow_up(Kind.REMIND, receipt, latest=RESOLVED))
    assert outcome == Delivered(receipt, note="nothing is said: the alert was resolved meanwhile")
    assert comments(sandbox) == []


def test_a_due_date_is_told_to_whoever_reminds(connect: Callable[..., Jira]) -> None:
    jira = connect(due_in={"high": "7d"})
    assert jira.due(Severity.HIGH, AT) == AT + timedelta(days=7)
    assert jira.due(Severity.LOW, AT) is None


@pytest.mark.parametrize("origin", [Origin.DIGEST, Origin.REPORT])
def test_a_digest_is_a_ticket_of_its_text_alone(connect: Callable[..., Jira], sandbox: Sandbox, origin: Origin) -> None:
    """It has no severity to be due by, and no facts of one alert."""
    jira = connect(priority={"critical": "High"}, due_in={"critical": "2d"})
    opened(jira, delivery(origin=origin, alert=alert(description="high · one\nlow · two")))
    fields = sandbox.jira.issues["SEC-1"]["fields"]
    assert not {"priority", "duedate"} & fields.keys()
    assert plain(fields["description"]) == "high · one\nlow · two\n\nSent by sentrytex-forwarder."
