"""The Jira connector creates one ticket for an alert, whatever the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

import pytest

from connectors.jira import Jira
from forwarder.connector import Broken, Delivered, Failed, Outcome, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import CREATE, LONG, SEARCH, SHORT, config, opened, send
from tests.kit.core import nobody_listens


def test_a_ticket_is_created(jira: Jira, sandbox: Sandbox) -> None:
    """What was rendered stands in Jira, and the receipt leads there; it took a search, its check and a create."""
    outstanding = delivery()
    receipt = opened(jira, outstanding)
    assert receipt == Receipt(remote_id="SEC-1", url=f"{sandbox.jira.url}/browse/SEC-1")
    assert sandbox.jira.issues["SEC-1"]["fields"] == jira.render(outstanding)["fields"]
    assert [request.method for request in sandbox.jira.requests] == ["GET", "GET", "POST"]


def test_a_second_delivery_finds_the_ticket(jira: Jira, sandbox: Sandbox) -> None:
    """A crash between Jira's yes and the commit makes no second ticket."""
    first = opened(jira, delivery())
    second = send(jira, delivery())
    assert second == Delivered(first, note="the ticket was there already")
    assert len(sandbox.jira.issues) == 1


@pytest.mark.each_once
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind=FaultKind.STATUS, status=500, path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=429, path=SEARCH), RateLimited),
        (Fault(kind=FaultKind.STATUS, status=400, path=SEARCH), Broken),
        (Fault(kind=FaultKind.STATUS, status=404, path=SEARCH), Broken),
        (Fault(kind=FaultKind.STATUS, status=410, path=SEARCH), Broken),
        (Fault(kind=FaultKind.HTML, path=SEARCH), Retry),
        (Fault(kind=FaultKind.TRUNCATED, path=SEARCH), Retry),
        (Fault(kind=FaultKind.RESET_AFTER, path=SEARCH), Retry),
        (Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=60, path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body="{}", path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body="[]", path=SEARCH), Retry),
        (
            Fault(
                kind=FaultKind.STATUS,
                status=200,
                body='{"issues": []}',
                headers={"X-AUSERNAME": "anonymous"},
                path=SEARCH,
            ),
            Broken,
        ),
        (
            Fault(
                kind=FaultKind.STATUS,
                status=200,
                body='{"issues": []}',
                headers={"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"},
                path=SEARCH,
            ),
            Broken,
        ),
    ],
)
def test_nothing_is_created_where_the_search_failed(
    connect: Callable[..., Jira], sandbox: Sandbox, fault: Fault, expected: type[Outcome]
) -> None:
    """An answer that does not say "there is none" is no reason to create one; ``find`` says that it could not look."""
    jira = connect(timeout=SHORT if fault.kind is FaultKind.TIMEOUT_BEFORE else LONG)
    sandbox.jira.inject(fault)
    assert isinstance(send(jira, delivery()), expected)
    sandbox.jira.inject(fault)
    with pytest.raises(Failed) as failed:
        jira.find(delivery())
    assert isinstance(failed.value.outcome, expected)
    assert sandbox.jira.issues == {}
    assert all(SEARCH in request.path for request in sandbox.jira.requests)


def test_an_expired_cloud_token_that_finds_nothing_makes_no_ticket(sandbox: Sandbox) -> None:
    """Cloud may answer a bad token with 200 and no results: the destination is broken, the ticket not gone."""
    settings = {"url": sandbox.jira.url, "email": sandbox.jira.email, "token": sandbox.jira.token}
    with closing(Jira("tickets", config(**settings))) as jira:
        opened(jira, delivery())
        sandbox.jira.seraph = True
        sandbox.jira.revoke()
        outcome = send(jira, delivery(alert=alert(id="another")))
    assert isinstance(outcome, Broken)
    assert "AUTHENTICATED_FAILED" in outcome.reason
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_AFTER])
def test_a_ticket_whose_answer_was_lost_is_found_when_the_index_has_it(
    connect: Callable[..., Jira], sandbox: Sandbox, kind: FaultKind
) -> None:
    """After an ambiguous create the ticket is looked for until the index has caught up, and there is one."""
    jira = connect(timeout=SHORT if kind is FaultKind.TIMEOUT_AFTER else LONG)
    sandbox.jira.index_lag = 45
    sandbox.jira.inject(Fault(kind=kind, seconds=60, path=CREATE))
    assert isinstance(send(jira, delivery()), Uncertain)
    sandbox.clock.advance(jira.reconcile_after[0])
    assert jira.find(delivery()) is None
    sandbox.clock.advance(jira.reconcile_after[1] - jira.reconcile_after[0])
    assert jira.find(delivery()) == Receipt(remote_id="SEC-1", url=f"{sandbox.jira.url}/browse/SEC-1")
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.HTML, path=CREATE),
        Fault(kind=FaultKind.STATUS, status=200, body="{}", path=CREATE),
        Fault(kind=FaultKind.STATUS, status=201, body='{"key": "../x"}', path=CREATE),
        Fault(kind=FaultKind.STATUS, status=201, body="[]", path=CREATE),
        Fault(kind=FaultKind.STATUS_AFTER, status=502, path=CREATE),
        Fault(kind=FaultKind.STATUS_AFTER, status=409, path=CREATE),
    ],
)
def test_an_answer_that_names_no_ticket_leaves_it_open_whether_there_is_one(
    jira: Jira, sandbox: Sandbox, fault: Fault
) -> None:
    """A proxy's page or error says nothing about what Jira did behind it."""
    sandbox.jira.inject(fault)
    assert isinstance(send(jira, delivery()), Uncertain)


def test_nothing_was_sent_where_there_is_no_connection() -> None:
    """A refused connection spends an attempt, and leaves nothing to look for."""
    with nobody_listens() as port, closing(Jira("tickets", config(url=f"http://127.0.0.1:{port}"))) as jira:
        outcome = send(jira, delivery())
    assert isinstance(outcome, Retry)
    assert "refuses the connection" in outcome.reason


def test_a_proxy_of_the_environment_is_used(
    connect: Callable[..., Jira], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing answers under the environment's proxy, nothing goes past it; ``no_proxy`` makes exceptions."""
    monkeypatch.setenv("no_proxy", "")
    with nobody_listens() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        outcome = send(connect(), delivery())
    assert isinstance(outcome, Retry)
    assert "the proxy 127.0.0.1" in outcome.reason
    assert sandbox.jira.requests == []
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert isinstance(send(connect(), delivery()), Delivered)


def test_an_address_that_redirects_is_broken(jira: Jira, sandbox: Sandbox) -> None:
    """A redirect would turn a create into a read: the config must name the place itself."""
    sandbox.jira.inject(
        Fault(kind=FaultKind.STATUS, status=302, headers={"Location": "https://user:pw@login.example.com/x?secret"})
    )
    assert send(jira, delivery()) == Broken(
        "Jira's url answers with a redirect to login.example.com, which is not followed: correct url"
    )


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"summary": "Summary is too long."}, Rejected),
        ({"description": "is too long", "summary": "is too long"}, Rejected),
        ({"description": "Field 'description' cannot be set. It is not on the appropriate screen."}, Broken),
        ({"summary": "too long", "customfield_1": "Team is required."}, Broken),
        ({"labels": "Field 'labels' cannot be set."}, Broken),
        ({}, Rejected),
    ],
)
def test_a_refusal_concerns_this_alert_or_all(
    jira: Jira, sandbox: Sandbox, errors: dict[str, str], expected: type[Outcome]
) -> None:
    """What Jira has against the alert's own text is final for it; what it misses in every ticket waits for a person."""
    body = json.dumps({"errorMessages": [], "errors": errors})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=400, body=body, path=CREATE))
    outcome = send(jira, delivery())
    assert isinstance(outcome, expected)
    assert isinstance(outcome, Broken | Rejected)
    assert all(text in outcome.reason for text in errors.values())


def test_a_required_field_is_named(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """The reason says which field is missing and where to put it; with it, the ticket is created."""
    sandbox.jira.required_fields["customfield_10050"] = "Team"
    outcome = send(connect(), delivery())
    assert isinstance(outcome, Broken)
    assert "customfield_10050: Team is required." in outcome.reason
    assert "add it under fields" in outcome.reason
    assert isinstance(send(connect(fields={"customfield_10050": "Blue"}), delivery()), Delivered)


def test_a_ticket_is_worth_more_than_its_priority(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Where Jira does not accept the priority or the due date, the ticket is created without, and a note says so."""
    sandbox.jira.project.hidden_fields.add("duedate")
    jira = connect(priority={"critical": "Blocker"}, due_in={"critical": "1d"})
    outcome = send(jira, delivery())
    assert isinstance(outcome, Delivered)
    assert "created without its" in outcome.note
    assert "The priority 'Blocker' is not valid." in outcome.note
    assert {"priority", "duedate"}.isdisjoint(sandbox.jira.issues["SEC-1"]["fields"])


def test_a_lost_permission_is_no_fault_of_the_alert(jira: Jira, sandbox: Sandbox) -> None:
    """What a refusal without a field means is found by asking what the account may do."""
    sandbox.jira.permissions.discard("CREATE_ISSUES")
    outcome = send(jira, delivery())
    assert isinstance(outcome, Broken)
    assert "permission to create tickets in SEC" in outcome.reason
