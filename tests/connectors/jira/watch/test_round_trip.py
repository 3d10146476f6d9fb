"""A ticket and the store: what people do there counts once, and what is done there for others is not theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.jira import Jira
from forwarder.connector import Action, Kind, Resolution, Status
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.house import House


@pytest.fixture
def house(tmp_path: Path, connect: Callable[..., Jira], sandbox: Sandbox) -> Iterator[House]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        yield House(store, connect(on_resolve="close"), sandbox)


def test_what_people_do_with_the_ticket_reaches_the_others(house: House, sandbox: Sandbox) -> None:
    """And never the ticket itself; once, however often it is looked at."""
    assert house.look() is Status.OPEN
    sandbox.jira.assign("SEC-1", "alice")
    assert house.look() is Status.OPEN
    sandbox.jira.move("SEC-1", "indeterminate", by="bob")
    assert house.look() is Status.ACKNOWLEDGED
    sandbox.jira.comment("SEC-1", "on it", by="bob")
    assert house.look() is Status.ACKNOWLEDGED
    sandbox.jira.move("SEC-1", "done", by="bob", resolution="Nicht betroffen")
    assert house.look() is Status.RESOLVED
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    assert house.look() is Status.ACKNOWLEDGED
    assert [(one.action, one.person, one.resolution) for one in house.told] == [
        (Action.ACKNOWLEDGE, "Alice Example", None),
        (Action.RESOLVE, "Bob Example", Resolution.NOT_AFFECTED),
        (Action.REOPEN, "Alice Example", None),
        (Action.ACKNOWLEDGE, "Alice Example", None),
    ]
    assert {connector for connector, _ in house.owed()} == {"secops"}


def test_a_ticket_that_was_closed_for_others_was_closed_by_nobody_here(house: House, sandbox: Sandbox) -> None:
    """A person who reopens it is heard; one who finds it done and reopens the alert elsewhere is not undone."""
    house.look()
    house.respond(Action.RESOLVE)
    assert house.deliver() is Kind.RESOLVE
    assert sandbox.jira.issues["SEC-1"]["status"].category == "done"
    assert house.look() is Status.RESOLVED
    house.respond(Action.REOPEN)
    assert house.deliver() is Kind.REOPEN
    assert house.look() is Status.OPEN
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    assert house.look() is Status.ACKNOWLEDGED
    assert [(one.action, one.person) for one in house.told] == [
        (Action.RESOLVE, "Cem"),
        (Action.REOPEN, "Cem"),
        (Action.ACKNOWLEDGE, "Alice Example"),
    ]


def test_a_person_who_undoes_it_before_anybody_looked_is_heard(house: House, sandbox: Sandbox) -> None:
    house.look()
    house.respond(Action.RESOLVE)
    house.deliver()
    sandbox.clock.advance(5)
    sandbox.jira.move("SEC-1", "new", by="alice")
    assert house.look() is Status.OPEN
    assert (house.told[-1].action, house.told[-1].person) == (Action.REOPEN, "Alice Example")
    house.respond(Action.RESOLVE)
    assert house.deliver() is Kind.RESOLVE
    assert house.look() is Status.RESOLVED


def test_a_ticket_that_a_person_took_up_since_is_not_closed(house: House, sandbox: Sandbox) -> None:
    """What was decided elsewhere came late: whoever works on the ticket knew more."""
    house.look()
    house.respond(Action.RESOLVE)
    sandbox.clock.advance(30)
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    house.deliver()
    assert sandbox.jira.issues["SEC-1"]["status"].category == "indeterminate"
    assert len(sandbox.jira.issues["SEC-1"]["comments"]) == 1


def test_what_was_done_before_the_first_look_counts(house: House, sandbox: Sandbox) -> None:
    sandbox.jira.move("SEC-1", "done", by="alice")
    assert house.look() is Status.RESOLVED


def test_a_look_that_fails_is_written_down_and_made_up_for(house: House, sandbox: Sandbox) -> None:
    house.look()
    sandbox.jira.move("SEC-1", "done", by="alice")
    sandbox.jira.revoke()
    sandbox.clock.advance(60)
    house.responses.look("tickets")
    state = house.store.lifecycle.look_of("tickets")
    assert "renew the token" in (state.error or "")
    sandbox.jira.restore()
    assert house.look() is Status.RESOLVED
