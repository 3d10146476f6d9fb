"""Jira: a search that did not see everything never says that there is no ticket, wherever people have moved it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.jira import Jira
from forwarder.connector import (
    Broken,
    Delivered,
    Delivery,
    Failed,
    Kind,
    Outcome,
    ProcessMemory,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox, adf
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import LABEL, SEARCH, comments, follow_up, opened, send


def blind(jira: Jira, one: Delivery) -> Outcome:
    """What a look that could not see comes to."""
    with pytest.raises(Failed) as failed:
        jira.find(one)
    return failed.value.outcome


def answers(path: str, body: Any) -> Fault:
    return Fault(kind=FaultKind.STATUS, status=200, body=json.dumps(body), path=path)


@pytest.mark.parametrize("attempt", [1, 2])
def test_where_the_account_may_not_browse_no_ticket_is_made(jira: Jira, sandbox: Sandbox, attempt: int) -> None:
    """Jira answers such an account as if there were nothing: the connector is broken, and one ticket stays one."""
    opened(jira, delivery())
    sandbox.jira.permissions -= {"BROWSE_PROJECTS"}
    for outcome in (send(jira, delivery(attempt=attempt)), blind(jira, delivery())):
        assert isinstance(outcome, Broken)
    sandbox.jira.permissions |= {"BROWSE_PROJECTS"}
    assert jira.find(delivery()) is not None
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_where_sight_cannot_be_shown_no_ticket_is_made(jira: Jira, sandbox: Sandbox, status: int) -> None:
    """Whether the search saw anything is asked of Jira, and no answer is no yes."""
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=status, path="mypermissions", times=2))
    assert not isinstance(send(jira, delivery()), Delivered)
    blind(jira, delivery())
    assert sandbox.jira.issues == {}


def test_an_answer_for_strangers_without_their_mark_makes_no_ticket(jira: Jira, sandbox: Sandbox) -> None:
    """A proxy may take away the header that says that nobody was signed in."""
    opened(jira, delivery())
    nobody = {"permissions": {"BROWSE_PROJECTS": {"havePermission": False}}}
    for ask in (send, blind):
        sandbox.jira.inject(
            answers(SEARCH, {"issues": [], "isLast": True, "total": 0}), answers("mypermissions", nobody)
        )
        assert isinstance(ask(jira, delivery()), Broken)
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize(
    ("cloud", "other"),
    [
        ({"issues": [], "isLast": False}, {"issues": [], "total": 3}),
        ({"issues": None}, {"issues": []}),
        ({"issues": [{"id": "1"}]}, {"issues": [{"key": "SEC-1", "fields": {"labels": None}}], "total": 1}),
        ({"issues": ["?"]}, {"issues": [], "total": None}),
    ],
)
def test_a_search_that_is_cut_short_makes_no_ticket(
    connect: Callable[..., Jira], sandbox: Sandbox, cloud: Any, other: Any
) -> None:
    """What is on the pages that did not come may be the ticket."""
    jira = connect()
    body = cloud if jira._site.cloud else other
    for ask in (send, blind):
        sandbox.jira.inject(answers(SEARCH, body))
        assert isinstance(ask(jira, delivery()), Retry)
    assert sandbox.jira.issues == {}


def test_a_list_that_never_ends_makes_no_ticket(jira: Jira, sandbox: Sandbox) -> None:
    """A site that always has another page is out of order: a look ends all the same, and has not seen all."""
    others = {"issues": [{"key": "SEC-9", "fields": {"labels": ["another"]}}], "total": 10**9, "nextPageToken": "again"}
    body = json.dumps(others)
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, path=SEARCH, times=None))
    assert isinstance(blind(jira, delivery()), Retry)
    assert isinstance(send(jira, delivery()), Retry)
    assert sandbox.jira.issues == {}


def test_a_ticket_that_was_moved_to_another_project_is_found(jira: Jira, sandbox: Sandbox) -> None:
    """People sort tickets into other projects: it is this alert's all the same, and is followed up there."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.send_away("SEC-1", "OPS-7")
    found = jira.find(delivery())
    assert found is not None
    assert found.remote_id == "OPS-7"
    outcome = send(jira, delivery())
    assert isinstance(outcome, Delivered)
    assert outcome.receipt == found
    for told in (receipt, found):
        assert send(jira, follow_up(Kind.UPDATE, told)) == Delivered(told)
    assert len(comments(sandbox, "OPS-7")) == 2
    assert len(sandbox.jira.issues) == 1


def test_a_ticket_that_another_connector_made_elsewhere_is_another_s(jira: Jira, sandbox: Sandbox) -> None:
    """Two connectors may bring the same alert to two projects of one site."""
    opened(jira, delivery())
    sandbox.jira.project.send_away("SEC-1", "OPS-7", told=False)
    assert jira.find(delivery()) is None
    assert opened(jira, delivery()).remote_id == "SEC-2"


def test_a_history_that_is_not_told_whole_makes_no_ticket(jira: Jira, sandbox: Sandbox) -> None:
    """It may be on the part that is missing that the ticket was moved."""
    opened(jira, delivery())
    sandbox.jira.project.send_away("SEC-1", "OPS-7")
    for changelog in ({"histories": [], "total": 200}, {}, None):
        sandbox.jira.inject(answers("GET /rest/api/3/issue/OPS-7", {"key": "OPS-7", "changelog": changelog}))
        sandbox.jira.inject(answers("GET /rest/api/2/issue/OPS-7", {"key": "OPS-7", "changelog": changelog}))
        assert isinstance(blind(jira, delivery()), Retry)
        sandbox.jira.clear_faults()


def test_a_project_whose_key_was_changed_still_has_its_tickets(jira: Jira, sandbox: Sandbox) -> None:
    """Jira goes on taking the old key, and so does the search."""
    opened(jira, delivery())
    sandbox.jira.project.rename("SECURITY")
    found = jira.find(delivery())
    assert found is not None
    assert found.remote_id == "SECURITY-1"
    assert opened(jira, delivery(alert=alert(id="another"))).remote_id == "SECURITY-2"
    assert len(sandbox.jira.issues) == 2


def test_a_project_that_is_gone_makes_the_connector_broken(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Nothing is found in it, and nothing is made of that."""
    jira = connect(project="GONE")
    assert isinstance(send(jira, delivery()), Broken)
    assert isinstance(blind(jira, delivery()), Broken)
    assert sandbox.jira.issues == {}


def test_what_went_to_the_project_before_is_looked_for_there(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """A ticket that may stand in the project that the config named then is not made in the new one as well."""
    memory, lost, never_sent = ProcessMemory(), delivery(), delivery(alert=alert(id="never sent"))
    first = connect()
    first.remember(memory)
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="POST"))
    assert isinstance(send(first, lost), Uncertain)
    sandbox.jira.project.send_away("SEC-1", "OLD-1", told=False)
    memory.values["project"] = "OLD"  # as if the sandbox had two projects, and that one was configured
    second = connect()
    second.remember(memory)
    sandbox.jira.project.former_keys.append("OLD")
    receipt = second.find(lost)
    assert receipt is not None
    assert receipt.remote_id == "OLD-1"
    assert second.find(never_sent) is None
    assert second.find(replace(lost, enqueued_at=datetime.now(UTC))) is None
    sandbox.jira.project.former_keys.clear()
    assert isinstance(blind(second, never_sent), Retry)
    assert isinstance(send(second, never_sent), Delivered)


@pytest.mark.parametrize("between", [["OPS"], ["OPS", "WEB"]])
def test_every_project_that_the_config_named_is_searched(
    connect: Callable[..., Jira], sandbox: Sandbox, between: list[str]
) -> None:
    """However often it changed; one in which nothing was ever created, for it was misspelled, is none to search."""
    memory, lost = ProcessMemory(), delivery()
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="POST"))
    first = connect()
    first.remember(memory)
    assert isinstance(send(first, lost), Uncertain)
    sandbox.jira.project.former_keys.append("SEC")
    for project in between:
        sandbox.jira.project.former_keys.append(project)
        moved = connect(project=project)
        moved.remember(memory)
        send(moved, delivery(alert=alert(id=f"of {project}")))
    connect(project="TYPO").remember(memory)
    last = connect(project="LAST")
    last.remember(memory)
    sandbox.jira.project.former_keys.append("LAST")
    receipt = last.find(lost)
    assert receipt is not None
    assert receipt.remote_id == "SEC-1"
    assert last.find(delivery(alert=alert(id="never sent"))) is None


def test_what_may_stand_at_another_site_is_created_at_this_one(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Its account cannot look there, and who works here has not got it."""
    memory, lost = ProcessMemory(), delivery()
    first = connect()
    first.remember(memory)
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="POST"))
    assert isinstance(send(first, lost), Uncertain)
    with Sandbox() as other:
        other.jira.project.key = "OPS"
        email = first.config.email and other.jira.email
        second = connect(url=other.jira.url, email=email, token=other.jira.token, project="OPS")
        second.remember(memory)
        assert second.find(lost) is None
        assert isinstance(send(second, lost), Delivered)


def test_a_comment_behind_many_others_is_found(jira: Jira, sandbox: Sandbox) -> None:
    """All of a ticket's comments are looked through before it is written again, and a list cut short is no list."""
    receipt = opened(jira, delivery())
    update = follow_up(Kind.UPDATE, receipt)
    send(jira, update)
    (issue,) = sandbox.jira.issues.values()
    mine = issue["comments"][0]
    others = [{**mine, "id": str(number), "body": sandbox_text(jira, "Other")} for number in range(150)]
    for order in ([*others, mine], [mine, *others]):
        issue["comments"][:] = order
        assert jira.find(update) == receipt
    issue["comments"][:] = others
    assert jira.find(update) is None
    sandbox.jira.inject(answers("/comment", {"comments": [], "total": 1}))
    assert isinstance(blind(jira, update), Retry)
    assert LABEL in issue["fields"]["labels"]


def sandbox_text(jira: Jira, text: str) -> Any:
    """``text`` as the sandbox keeps it for that kind of site."""
    if not jira._site.cloud:
        return text
    return adf.from_text(text)
