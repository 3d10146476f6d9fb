"""Priority and due date follow a severity that rises, as long as they stand as the forwarder set them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.jira import Jira
from forwarder.connector import (
    Broken,
    Change,
    Delivered,
    Delivery,
    Kind,
    Outcome,
    RateLimited,
    Receipt,
    Retry,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import comments, follow_up, opened, send

NOW = datetime(2026, 3, 3, 22, 0, tzinfo=UTC)
PRIORITY = {"critical": "Highest", "high": "High", "medium": "Medium"}
DUE_IN = {"critical": "2d", "high": "7d"}


@pytest.fixture
def jira(connect: Callable[..., Jira]) -> Jira:
    return connect(priority=PRIORITY, due_in=DUE_IN, now=lambda: NOW)


def opening(severity: str = "high") -> Delivery:
    return delivery(alert=alert(severity=severity))


def rose(receipt: Receipt, old: str = "high", new: str = "critical", **changes: Any) -> Delivery:
    seen = (Change(field="severity", old=old, new=new),)
    return follow_up(Kind.UPDATE, receipt, alert=alert(severity=new), changes=seen, **changes)


def stands(sandbox: Sandbox) -> tuple[Any, Any]:
    fields = sandbox.jira.issues["SEC-1"]["fields"]
    return (fields.get("priority") or {}).get("name"), fields.get("duedate")


def note(outcome: Outcome) -> str:
    assert isinstance(outcome, Delivered), outcome
    return outcome.note


def puts(sandbox: Sandbox) -> int:
    return sum(request.method == "PUT" for request in sandbox.jira.requests)


def test_what_stands_as_it_was_set_is_raised(jira: Jira, sandbox: Sandbox) -> None:
    """The due date counts from now; a second rise goes on from the first."""
    receipt = opened(jira, opening("medium"))
    assert stands(sandbox) == ("Medium", None)
    assert note(send(jira, rose(receipt, "medium", "high"))) == "priority raised to High, due 2026-03-10"
    assert stands(sandbox) == ("High", "2026-03-10")
    assert note(send(jira, rose(receipt, revision=3))) == "priority raised to Highest, due 2026-03-05"
    assert stands(sandbox) == ("Highest", "2026-03-05")
    assert len(comments(sandbox)) == 2


def test_what_people_chose_is_theirs(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.edit("SEC-1", {"priority": {"name": "Low"}, "duedate": "2026-06-01"})
    assert note(send(jira, rose(receipt))) == ""
    assert stands(sandbox) == ("Low", "2026-06-01")
    assert puts(sandbox) == 0


def test_a_due_date_that_people_took_away_stays_away(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.edit("SEC-1", {"duedate": None})
    assert note(send(jira, rose(receipt))) == "priority raised to Highest"
    assert stands(sandbox) == ("Highest", None)


def test_a_due_date_is_never_put_off(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Of a ticket that has been there for long it is nearer than what the new severity gives."""
    jira = connect(due_in=DUE_IN, now=lambda: NOW + timedelta(days=30))
    receipt = opened(jira, opening())
    before = stands(sandbox)
    assert note(send(jira, rose(receipt))) == ""
    assert stands(sandbox) == before


def test_a_due_date_that_the_project_gave_is_not_the_forwarders(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Nobody changed it, but by the config there was none to raise."""
    receipt = opened(connect(fields={"duedate": "2026-06-01"}), opening())
    jira = connect(due_in={"critical": "2d"}, now=lambda: NOW)
    assert note(send(jira, rose(receipt))) == ""
    assert stands(sandbox)[1] == "2026-06-01"


@pytest.mark.parametrize(
    "change",
    [
        Change(field="severity", old="critical", new="high"),
        Change(field="cisa_kev", old=False, new=True),
        Change(field="severity", old="unheard of", new="critical"),
    ],
)
def test_only_a_severity_that_rose_raises_anything(jira: Jira, sandbox: Sandbox, change: Change) -> None:
    receipt = opened(jira, opening())
    asked = len(sandbox.jira.requests)
    assert note(send(jira, follow_up(Kind.UPDATE, receipt, changes=(change,)))) == ""
    assert len(sandbox.jira.requests) - asked == 1


def test_what_the_config_does_not_set_is_not_asked_for(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    jira = connect()
    receipt = opened(jira, opening())
    asked = len(sandbox.jira.requests)
    send(jira, rose(receipt))
    assert len(sandbox.jira.requests) - asked == 1


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE, FaultKind.TRUNCATED])
def test_a_rise_whose_answer_was_lost_is_made_once(jira: Jira, sandbox: Sandbox, kind: FaultKind) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.inject(Fault(kind=kind, path="PUT"))
    outcome = send(jira, rose(receipt))
    assert isinstance(outcome, Retry | Delivered)
    if isinstance(outcome, Retry):
        send(jira, rose(receipt, attempt=2))
    assert stands(sandbox) == ("Highest", "2026-03-05")
    assert len(comments(sandbox)) == 1


def test_a_rise_that_was_cut_off_is_gone_on_with(jira: Jira, sandbox: Sandbox) -> None:
    """The comment was not taken, and a further rise took its news in: it tells of both as one."""
    receipt = opened(jira, opening("low"))
    sandbox.jira.edit("SEC-1", {"priority": {"name": "Low"}}, by="forwarder")
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=429, path="/comment"))
    assert isinstance(send(jira, rose(receipt, "low", "high")), RateLimited)
    assert stands(sandbox) == ("High", "2026-03-10")
    assert (
        note(send(jira, rose(receipt, "low", "critical", revision=3))) == "priority raised to Highest, due 2026-03-05"
    )


def test_a_field_that_jira_does_not_take_keeps_the_other_from_nothing(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, opening())
    del sandbox.jira.project.priorities["1"]
    told = note(send(jira, rose(receipt)))
    assert told.startswith("due 2026-03-05; not raised with the severity: Jira answered 400: priority: ")
    assert stands(sandbox) == ("High", "2026-03-05")
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize("status", [400, 403, 405, 413, 422])
def test_a_refusal_is_a_note(jira: Jira, sandbox: Sandbox, status: int) -> None:
    """The comment arrives, and the connector works."""
    receipt = opened(jira, opening())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=status, path="PUT", body=json.dumps({"errors": {}})))
    assert "not raised with the severity" in note(send(jira, rose(receipt)))
    assert stands(sandbox)[0] == "High"
    assert len(comments(sandbox)) == 1


def test_an_account_that_may_not_edit_comments_all_the_same(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.permissions.discard("EDIT_ISSUES")
    assert "permission" in note(send(jira, rose(receipt)))
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize("path", ["PUT", "GET"])
@pytest.mark.parametrize(("status", "expected"), [(401, Broken), (429, RateLimited), (500, Retry)])
def test_what_concerns_all_requests_is_tried_again(
    jira: Jira, sandbox: Sandbox, path: str, status: int, expected: type[Outcome]
) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=status, path=path))
    assert isinstance(send(jira, rose(receipt)), expected)
    assert comments(sandbox) == []
    send(jira, rose(receipt, attempt=2))
    assert stands(sandbox) == ("Highest", "2026-03-05")
    assert len(comments(sandbox)) == 1


def test_a_jira_that_never_takes_it_is_told_all_the_same(jira: Jira, sandbox: Sandbox) -> None:
    """After some attempts the comment goes without."""
    receipt = opened(jira, opening())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=500, path="PUT", times=None))
    one = rose(receipt)
    outcomes = [send(jira, replace(one, attempt=attempt)) for attempt in (1, 2, 3)]
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry, Delivered]
    assert len(comments(sandbox)) == 1


def test_a_ticket_that_is_gone_is_a_dead_letter_as_ever(jira: Jira, sandbox: Sandbox) -> None:
    receipt = opened(jira, opening())
    sandbox.jira.project.delete(sandbox.jira.issues["SEC-1"])
    assert "is gone" in getattr(send(jira, rose(receipt)), "reason", "")
