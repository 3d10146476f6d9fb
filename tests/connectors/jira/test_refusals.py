"""What Jira does not take: named as what it is, with the key or the place where it is put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.jira import Jira
from forwarder.connector import NOTICE, Broken, Delivered, ProcessMemory
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.jira_project import REQUEST_TYPE
from forwarder.testing import alert, delivery
from tests.connectors.jira.kit import SEARCH, send


def add_sub_tasks(sandbox: Sandbox) -> None:
    sandbox.jira.project.issue_types["10009"] = "Sub-task"
    sandbox.jira.project.subtask_types.add("10009")


def another(number: int, **fields: Any) -> Any:
    return delivery(id=number, alert=alert(id=f"alert-{number}", **fields))


def test_a_project_that_is_gone_is_named(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Wherever it is noticed, the project is what is to be put right."""
    jira = connect()
    assert isinstance(send(jira, another(1)), Delivered)
    sandbox.jira.project.key = "OTHER"
    for one in (jira, connect(project="NOPE")):
        outcome = send(one, another(2))
        assert isinstance(outcome, Broken), outcome
        assert f"no project {one.config.project} that the account may see: correct project" in outcome.reason
        assert "under fields" not in outcome.reason


@pytest.mark.parametrize(
    ("hide", "changes", "words"),
    [
        ((), {"issue_type": "Epic"}, "SEC has no issue type Epic: correct issue_type"),
        ((), {"fields": {"components": [{"name": "Nowhere"}]}}, "correct fields.components"),
        (("labels",), {}, "set identity: text, or put labels on the create screen of a Task in SEC: by a label"),
        (("description",), {}, "put description on the create screen of a Task in SEC"),
        (("description",), {"identity": "text"}, "put description on the create screen of a Task in SEC: by a line"),
        (
            ("labels",),
            {"identity": "text", "labels": ["security"]},
            "put labels on the create screen of a Task in SEC, or leave labels out",
        ),
        (("labels", "priority"), {"priority": {"critical": "High"}}, "put priority on the create screen of a Task"),
        ((), {"issue_type": "Sub-task"}, "Sub-task is a type of sub-tasks: set fields.parent, or choose another"),
        ((), {"issue_type": "Sub-task", "fields": {"parent": {"key": "SEC-99"}}}, "correct fields.parent)"),
        ((), {"issue_type": "Sub-task", "fields": {"parent": "SEC-99"}}, "correct fields.parent)"),
        (("components",), {"fields": {"components": [{"name": "Platform"}]}}, "or put components on the create screen"),
    ],
)
def test_what_is_refused_in_every_ticket_has_its_remedy(
    connect: Callable[..., Jira], sandbox: Sandbox, hide: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    """Each field leads to its own key of the config, or to the create screen."""
    add_sub_tasks(sandbox)
    sandbox.jira.project.hidden_fields |= set(hide)
    outcome = send(connect(**changes), delivery())
    assert isinstance(outcome, Broken), outcome
    assert words in outcome.reason
    assert sandbox.jira.issues == {}


def test_a_team_s_project_that_has_no_such_type(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Jira says it in other words there, and it means the same."""
    sandbox.jira.project.team_managed = True
    outcome = send(connect(issue_type="Bugfix"), delivery())
    assert isinstance(outcome, Broken), outcome
    assert "The issue type selected is invalid." in outcome.reason
    assert "SEC has no issue type Bugfix: correct issue_type" in outcome.reason


def test_a_required_field_that_has_a_key_of_its_own(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Where every ticket needs a label, and none is its identity, some are set."""
    sandbox.jira.required_fields["labels"] = "Labels"
    outcome = send(connect(identity="text"), delivery())
    assert isinstance(outcome, Broken), outcome
    assert "a Task in SEC requires labels: set labels" in outcome.reason
    assert isinstance(send(connect(identity="text", labels=["security"]), delivery()), Delivered)


def test_a_sub_task_is_created_below_its_parent(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """With a parent among the fields, a type of sub-tasks is one like others; without it later, none is lost."""
    add_sub_tasks(sandbox)
    parent = sandbox.jira.write({"summary": "All of them"})
    jira = connect(issue_type="Sub-task", fields={"parent": {"key": parent}})
    assert isinstance(send(jira, another(1)), Delivered)
    assert sandbox.jira.issues["SEC-2"]["fields"]["parent"] == {"key": parent}
    sandbox.jira.project.delete(sandbox.jira.project.issues[parent])
    outcome = send(jira, another(2))
    assert isinstance(outcome, Broken), outcome
    assert "parent: Could not find issue by id or key. (this concerns every ticket: correct fields.parent)" in (
        outcome.reason
    )


def test_a_service_project_takes_tickets_with_and_without_a_request_type(
    connect: Callable[..., Jira], sandbox: Sandbox
) -> None:
    """One that its workflow requires is named, and goes under fields as any other field."""
    sandbox.jira.project.kind = "service_desk"
    assert isinstance(send(connect(), another(1)), Delivered)
    sandbox.jira.required_fields[REQUEST_TYPE] = "Request Type"
    outcome = send(connect(), another(2))
    assert isinstance(outcome, Broken), outcome
    assert "Request Type is required." in outcome.reason
    assert f"a Task in SEC requires {REQUEST_TYPE}: add it under fields" in outcome.reason
    assert isinstance(send(connect(fields={REQUEST_TYPE: "sec/incident"}), another(2)), Delivered)


def test_a_priority_that_is_not_on_the_screen(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """As in many a team's project: the ticket is created without it, and people are told where to put it right."""
    sandbox.jira.project.hidden_fields.add("priority")
    memory = ProcessMemory()
    jira = connect(priority={"critical": "Highest"})
    jira.remember(memory)
    outcome = send(jira, delivery())
    assert isinstance(outcome, Delivered)
    assert "created without its priority" in outcome.note
    assert "correct priority, or put it on the create screen" in memory.get(NOTICE)


def test_a_required_field_is_named(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """What the project asks for in every ticket is added under fields."""
    sandbox.jira.required_fields["customfield_7"] = "Team"
    outcome = send(connect(), delivery())
    assert isinstance(outcome, Broken), outcome
    assert "a Task in SEC requires customfield_7: add it under fields" in outcome.reason


def test_a_priority_that_jira_does_not_know_is_told_once(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """The ticket is created without it, the delivery says so, and so does the notice until Jira takes it."""
    memory = ProcessMemory()
    jira = connect(priority={"critical": "Sky-high", "high": "High"})
    jira.remember(memory)
    outcome = send(jira, another(1))
    assert isinstance(outcome, Delivered)
    assert "created without its priority" in outcome.note
    assert "takes no Sky-high in SEC: correct priority" in memory.get(NOTICE)
    assert isinstance(send(jira, another(2, severity="high")), Delivered)
    assert "Sky-high" in memory.get(NOTICE)
    sandbox.jira.project.priorities["9"] = "Sky-high"
    assert isinstance(send(jira, another(3)), Delivered)
    assert memory.get(NOTICE) == ""


def test_a_corrected_config_ends_the_notice(connect: Callable[..., Jira]) -> None:
    """What the config asks for no longer is no trouble any more."""
    memory = ProcessMemory()
    wrong = connect(priority={"critical": "Sky-high"})
    wrong.remember(memory)
    send(wrong, delivery())
    assert memory.get(NOTICE)
    connect(priority={"critical": "Highest"}).remember(memory)
    assert memory.get(NOTICE) == ""


def test_a_due_date_that_is_not_on_the_screen(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """The ticket is created without it, and people are told where to put it right."""
    sandbox.jira.project.hidden_fields.add("duedate")
    memory = ProcessMemory()
    jira = connect(due_in={"critical": "1d"})
    jira.remember(memory)
    assert isinstance(send(jira, delivery()), Delivered)
    assert "without a due date" in memory.get(NOTICE)
    assert "leave due_in out" in memory.get(NOTICE)


@pytest.mark.parametrize("body", ["<html>Not found</html>", '{"message": "Not found"}', '{"error": "no route"}', ""])
def test_an_address_that_is_no_jira(connect: Callable[..., Jira], sandbox: Sandbox, body: str) -> None:
    """A web server or another API that knows no such page is a matter of the url, not of rights."""
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=404, body=body, path=SEARCH))
    outcome = send(connect(), delivery())
    assert isinstance(outcome, Broken), outcome
    assert "Jira's REST API is not at this url" in outcome.reason
    assert "may not see it" not in outcome.reason
