"""A ticket and the store: what people do there counts once, and what is done there for others is not theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.console import Console, ConsoleConfig
from connectors.jira import Jira
from forwarder.connector import Action, Delivered, Kind, Resolution, Response, Status
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.store import claim, config, delivered, enqueue, rows, settle


class House:
    """An alert that stands as a ticket and at a console."""

    def __init__(self, store: Store, jira: Jira, sandbox: Sandbox) -> None:
        self.store, self.jira, self.sandbox = store, jira, sandbox
        console = Console("secops", ConsoleConfig(type="console"))
        self.responses = Responses(
            store,
            Mutes(store, config(), now=self.now, wake=lambda _: None),
            now=self.now,
            connectors=lambda: {"tickets": jira, "secops": console},
            wake=lambda _: None,
            listener=Listener(),
        )
        enqueue(store, alert(id="a"), "tickets", "secops", now=self.now())
        settle(store, claim(store, "secops", now=self.now()), delivered("line"), now=self.now())
        self.deliver()

    def now(self) -> float:
        return self.sandbox.clock().timestamp()

    def deliver(self) -> Kind:
        """Brings the one thing that is owed to the ticket there."""
        claimed = claim(self.store, "tickets", now=self.now())
        outcome = self.jira.deliver(claimed.delivery, self.jira.render(claimed.delivery))
        assert isinstance(outcome, Delivered), outcome
        settle(self.store, claimed, delivered(outcome.receipt.remote_id), now=self.now())
        return claimed.delivery.kind

    def look(self) -> Status:
        """Looks at the tickets, and tells how the alert stands then."""
        self.sandbox.clock.advance(60)
        self.responses.look("tickets")
        assert self.store.lifecycle.look_of("tickets").error is None
        return self.status

    def respond(self, action: Action) -> None:
        """What a person decides on the status page."""
        self.sandbox.clock.advance(1)
        self.responses.respond("a", action, person="Cem")

    @property
    def status(self) -> Status:
        history = self.store.queries.history("a")
        assert history is not None
        return history.row.status

    @property
    def told(self) -> list[Response]:
        history = self.store.queries.history("a")
        assert history is not None
        return list(history.responses)

    def owed(self) -> list[tuple[str, str]]:
        return [
            (str(connector), str(kind))
            for connector, kind in rows(self.store, "SELECT connector, kind FROM deliveries WHERE state = 'ready'")
        ]


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
