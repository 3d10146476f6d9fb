"""The live check: each mistake in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from connectors.jira import Jira
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.jira_project import REQUEST_TYPE


def test_a_check_of_a_site_that_works(jira: Jira, sandbox: Sandbox) -> None:
    """Every finding is good, the account and the project are named, and Jira is only read."""
    findings = jira.check()
    assert all(finding.ok for finding in findings)
    assert [finding.text for finding in findings] == [
        "Jira knows the account: Forwarder.",
        "The project SEC exists: Security.",
        "Tickets of type Task can be created as configured.",
        "What people do with tickets can be read.",
    ]
    assert {request.method for request in sandbox.jira.requests} == {"GET"}


def _leave(sandbox: Sandbox) -> None:
    """The site is as it should be: the mistake is the config's."""


def _hide_labels(sandbox: Sandbox) -> None:
    sandbox.jira.project.hidden_fields |= {"labels", "duedate"}


def _hide(sandbox: Sandbox, *fields: str) -> None:
    sandbox.jira.project.hidden_fields |= set(fields)


def _of_a_team(sandbox: Sandbox) -> None:
    sandbox.jira.project.team_managed = True
    _hide(sandbox, "labels", "priority")


def _add_sub_tasks(sandbox: Sandbox) -> None:
    sandbox.jira.project.issue_types["10009"] = "Sub-task"
    sandbox.jira.project.subtask_types.add("10009")
    parent = sandbox.jira.write({"summary": "All of them"})
    sandbox.jira.write({"summary": "One", "issuetype": {"name": "Sub-task"}, "parent": {"key": parent}})


@pytest.mark.parametrize(
    ("prepare", "changes", "sentences"),
    [
        (lambda sandbox: sandbox.jira.revoke(), {}, ["renew the token"]),
        (_leave, {"project": "NOPE"}, ["Jira has no project NOPE that the account may see: correct project"]),
        (_leave, {"issue_type": "Epic"}, ["set issue_type to one of Task, Bug, Story"]),
        (
            lambda sandbox: sandbox.jira.required_fields.update(customfield_7="Team", customfield_8="Site"),
            {"fields": {"customfield_8": "x"}},
            ['Jira requires "Team" in every ticket: add customfield_7 under fields.'],
        ),
        (
            _leave,
            {"priority": {"high": "Blocker", "low": "Low"}},
            ["no priority Blocker: set priority.high to one of Highest, High, Medium, Low, Lowest."],
        ),
        (
            _leave,
            {"fields": {"components": [{"name": "Nowhere"}]}},
            ["Jira has no Nowhere for components: set fields.components to one of Platform, Website."],
        ),
        (_leave, {"fields": {"customfield_9": 1}}, ["or leave fields.customfield_9 out"]),
        (
            _hide_labels,
            {"due_in": {"high": "1d"}},
            [
                "labels cannot be set on a new Task in SEC, and by a label its ticket is found again: "
                "set identity: text, or add it to the create screen.",
                "or leave due_in out",
            ],
        ),
        (
            lambda sandbox: _hide(sandbox, "description"),
            {},
            ["description cannot be set on a new Task in SEC: add it to the create screen."],
        ),
        (
            lambda sandbox: _hide(sandbox, "description"),
            {"identity": "text"},
            ["by a line of it its ticket is found again: set identity: label, or add it to the create screen."],
        ),
        (
            lambda sandbox: _hide(sandbox, "description", "labels"),
            {"identity": "text"},
            ["by a line of it its ticket is found again: add it to the create screen."],
        ),
        (
            lambda sandbox: _hide(sandbox, "description", "labels"),
            {},
            ["by a label its ticket is found again: add it to the create screen.", "description cannot be set"],
        ),
        (
            lambda sandbox: _hide(sandbox, "labels"),
            {"identity": "text", "labels": ["security"]},
            ["labels cannot be set on a new Task in SEC: add it to the create screen, or leave labels out."],
        ),
        (
            lambda sandbox: sandbox.jira.required_fields.update(labels="Labels"),
            {"identity": "text"},
            ['Jira requires "Labels" in every ticket: set labels.'],
        ),
        (
            _of_a_team,
            {"priority": {"high": "High"}},
            [
                "set identity: text, or add it to the fields of that type in the project's settings.",
                "priority cannot be set on a new Task in SEC: add it to the fields of that type in the project's "
                "settings, or leave priority out.",
            ],
        ),
        (
            lambda sandbox: sandbox.jira.project.absent_fields.add("description"),
            {"identity": "text"},
            ["by a line of it", "Field 'description' does not exist"],
        ),
        (_add_sub_tasks, {"issue_type": "Sub-task"}, ["set fields.parent to {key: SEC-1} or the like, or choose"]),
        (
            _add_sub_tasks,
            {"issue_type": "Sub-task", "fields": {"parent": {"key": "SEC-99"}}},
            ["Jira has no ticket SEC-99 that the account may see: correct fields.parent."],
        ),
        (
            _add_sub_tasks,
            {"issue_type": "Sub-task", "fields": {"parent": {"key": "SEC-2"}}},
            ["SEC-2 is a sub-task itself, and no parent for others: correct fields.parent."],
        ),
        (
            lambda sandbox: sandbox.jira.permissions.difference_update({"CREATE_ISSUES", "ADD_COMMENTS"}),
            {},
            ["lacks the permission Create Issues in SEC", "lacks the permission Add Comments in SEC"],
        ),
        (
            lambda sandbox: sandbox.jira.permissions.difference_update({"TRANSITION_ISSUES", "EDIT_ISSUES"}),
            {"priority": {"high": "High"}, "on_resolve": "close"},
            ["lacks the permission Transition Issues in SEC", "lacks the permission Edit Issues in SEC"],
        ),
        (
            lambda sandbox: sandbox.jira.permissions.discard("SCHEDULE_ISSUES"),
            {"due_in": {"high": "7d"}},
            ["Schedule Issues in SEC: grant it in the project, or nothing is raised when a severity rises."],
        ),
        (
            lambda sandbox: sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=400, path="/search")),
            {},
            ["Jira answered 400"],
        ),
    ],
)
def test_a_check_says_what_is_wrong_and_where_to_put_it_right(
    connect: Callable[..., Jira],
    sandbox: Sandbox,
    prepare: Callable[[Sandbox], object],
    changes: dict[str, Any],
    sentences: list[str],
) -> None:
    """Each mistake is a sentence with the key or the place in Jira where it is fixed."""
    prepare(sandbox)
    wrong = [finding.text for finding in connect(**changes).check() if not finding.ok]
    assert len(wrong) == len(sentences)
    assert all(sentence in text for sentence, text in zip(sentences, wrong, strict=True))


def test_a_check_reads_lists_to_their_end(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Jira hands out issue types and fields in pages."""
    sandbox.jira.project.issue_types.update({str(number): f"Type {number}" for number in range(250)})
    assert all(finding.ok for finding in connect(issue_type="Type 249").check())


def test_a_list_that_never_ends_is_given_up(jira: Jira, sandbox: Sandbox) -> None:
    """A site that always has another page of issue types ends in a sentence."""
    page = json.dumps({"issueTypes": [{"id": "1", "name": "Other"}], "total": 10**9})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=page, path="/issuetypes", times=None))
    assert not all(finding.ok for finding in jira.check())


def test_a_check_asks_for_no_right_that_the_config_does_not_need(jira: Jira, sandbox: Sandbox) -> None:
    """Where nothing is raised, nothing need be edited."""
    sandbox.jira.permissions -= {"EDIT_ISSUES", "SCHEDULE_ISSUES"}
    assert all(finding.ok for finding in jira.check())


def test_a_check_of_a_site_without_labels(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """With tickets found by their text nothing is missing."""
    _hide(sandbox, "labels")
    assert all(finding.ok for finding in connect(identity="text").check())


def test_a_check_of_sub_tasks_with_a_parent(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """A parent that is there is all that they need."""
    _add_sub_tasks(sandbox)
    for parent in ({"key": "SEC-1"}, {"id": sandbox.jira.issues["SEC-1"]["id"]}):
        assert all(finding.ok for finding in connect(issue_type="Sub-task", fields={"parent": parent}).check())


def test_a_check_of_a_service_project(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """What a ticket without a request type means is said, and is no fault."""
    sandbox.jira.project.kind = "service_desk"
    findings = connect().check()
    assert all(finding.ok for finding in findings)
    assert (
        "SEC is a service project: tickets without a request type show to its agents alone. To give them one, set "
        f"fields.{REQUEST_TYPE}."
    ) in [finding.text for finding in findings]
    asked = connect(fields={REQUEST_TYPE: "sec/incident"}).check()
    assert not any("service project" in finding.text for finding in asked)
