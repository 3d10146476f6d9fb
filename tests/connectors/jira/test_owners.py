"""Whose a ticket is: components and assignee of the config's owners, in what is created and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.jira import Jira
from connectors.jira.config import JiraOwner
from forwarder.connector import NOTICE, Broken, Delivered, Kind, ProcessMemory
from forwarder.sandbox import Sandbox
from forwarder.testing import delivery
from tests.connectors.jira.kit import follow_up, opened, send

PLATFORM: dict[str, Any] = {"components": [{"name": "Platform"}]}
WEBSITE: dict[str, Any] = {"components": [{"name": "Website"}]}


def owners(*values: dict[str, Any]) -> tuple[JiraOwner, ...]:
    return tuple(JiraOwner.model_validate(value) for value in values)


def alice(jira: Jira, sandbox: Sandbox) -> str:
    """Alice as the site wants her named."""
    return sandbox.jira.project.accounts.named("alice").id if jira.config.email else "alice"


def stands(sandbox: Sandbox, field: str) -> Any:
    value = sandbox.jira.issues["SEC-1"]["fields"].get(field)
    return [one["name"] for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "wrong", [{}, {"components": []}, {"components": ["Platform"]}, {"assignee": ""}, {"componets": []}, "Platform"]
)
def test_an_owner_says_something(wrong: Any) -> None:
    """An owner has components, an assignee, or both."""
    with pytest.raises(ValidationError):
        JiraOwner.model_validate(wrong)


def test_the_ticket_is_its_owners(sandbox: Sandbox, jira: Jira) -> None:
    """The components of all owners and the first assignee, on Cloud and Data Center."""
    one = owners(PLATFORM, {"assignee": alice(jira, sandbox)}, WEBSITE, {"assignee": "somebody-else"})
    opened(jira, delivery(owners=one))
    assert stands(sandbox, "components") == ["Platform", "Website"]
    assert "alice" in str(sandbox.jira.project.accounts.meant(stands(sandbox, "assignee")))


def test_components_of_every_ticket_stay(sandbox: Sandbox, connect: Callable[..., Jira]) -> None:
    """What the config puts into every ticket is there too, once."""
    jira = connect(fields={"components": [{"name": "Website"}]})
    opened(jira, delivery(owners=owners(PLATFORM, WEBSITE)))
    assert stands(sandbox, "components") == ["Website", "Platform"]


def test_a_ticket_is_made_without_what_jira_refuses(sandbox: Sandbox, jira: Jira) -> None:
    """An unknown component or account costs itself, not the ticket; people are told until it is taken."""
    memory = ProcessMemory()
    jira.remember(memory)
    outcome = send(jira, delivery(owners=owners({"components": [{"name": "Gone"}], "assignee": "nobody"})))
    assert isinstance(outcome, Delivered)
    assert "without its" in outcome.note
    assert stands(sandbox, "components") is None
    assert "without the component Gone of their owner" in memory.get(NOTICE)
    assert "without the assignee nobody of their owner" in memory.get(NOTICE)
    again = ProcessMemory(memory.values)
    jira.remember(again)
    assert again.get(NOTICE) == ""


def test_a_refused_owner_leaves_what_every_ticket_gets(sandbox: Sandbox, connect: Callable[..., Jira]) -> None:
    """Where the owner's component is refused, the config's own are kept; where those are, nothing goes."""
    jira = connect(fields={"components": [{"name": "Website"}]})
    opened(jira, delivery(owners=owners({"components": [{"name": "Gone"}]})))
    assert stands(sandbox, "components") == ["Website"]
    broken = connect(fields={"components": [{"name": "Gone too"}]})
    refused = delivery(alert=delivery().alert.__class__.parse({**delivery().alert.raw, "id": "x"}))
    assert isinstance(send(broken, refused), Broken)


def test_a_ticket_that_is_there_keeps_its_people(sandbox: Sandbox, jira: Jira) -> None:
    """A follow-up changes no component and no assignee."""
    receipt = opened(jira, delivery())
    outcome = send(jira, follow_up(Kind.UPDATE, receipt, owners=owners(PLATFORM)))
    assert isinstance(outcome, Delivered)
    assert stands(sandbox, "components") is None


def test_the_check_asks_for_owners(sandbox: Sandbox, jira: Jira) -> None:
    """Unknown components, unknown people and a missing permission are told."""
    good = owners(PLATFORM, {"assignee": alice(jira, sandbox)})
    assert [finding.ok for finding in jira.check_owners(good)] == [True]
    found = jira.check_owners(owners({"components": [{"name": "Gone"}], "assignee": "nobody"}))
    assert [finding.ok for finding in found] == [False, False]
    assert "no component Gone" in found[0].text
    assert "Platform, Website" in found[0].text
    assert "Jira knows no nobody" in found[1].text
    sandbox.jira.permissions.discard("ASSIGN_ISSUES")
    assert "Assign Issues" in jira.check_owners(good)[0].text
