"""An incident and the store: whatever crosses on its way there, the two stand alike in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from connectors.console import Console, ConsoleConfig
from connectors.pagerduty import PagerDuty, PagerDutyConfig
from forwarder.connector import Action, Delivered, Kind, Status
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.enqueue import enqueue as owe
from forwarder.testing import NOW, alert
from tests.kit.store import claim, config, delivered, enqueue, settle

KEY = "sentrytex:a"
MINUTE = 60.0


class House:
    """An alert that stands as an incident and at a console."""

    def __init__(self, store: Store, pager: PagerDuty, sandbox: Sandbox) -> None:
        self.store, self.pager, self.sandbox = store, pager, sandbox
        console = Console("secops", ConsoleConfig(type="console"))
        self.responses = Responses(
            store,
            Mutes(store, config(), now=self.now, wake=lambda _: None),
            now=self.now,
            connectors=lambda: {"oncall": pager, "secops": console},
            wake=lambda _: None,
            listener=Listener(),
        )
        self.look()
        enqueue(store, alert(id="a"), "oncall", "secops", now=self.now())
        settle(store, claim(store, "secops", now=self.now()), delivered("line"), now=self.now())
        self.deliver()

    def now(self) -> float:
        return self.sandbox.clock().timestamp()

    def deliver(self, meanwhile: Callable[[], None] = lambda: None) -> Kind | None:
        """Brings there what is owed to PagerDuty next, ``meanwhile`` before it arrives; None where nothing is."""
        found = self.store.outbox.claim("oncall", 1, now=self.now(), lease=MINUTE)
        if not found:
            return None
        payload = self.pager.render(found[0].delivery)
        self.sandbox.clock.advance(1)
        meanwhile()
        self.sandbox.clock.advance(1)
        assert isinstance(self.pager.deliver(found[0].delivery, payload), Delivered)
        settle(self.store, found[0], delivered(KEY), now=self.now())
        return found[0].delivery.kind

    def look(self) -> None:
        self.sandbox.clock.advance(MINUTE)
        self.responses.look("oncall")
        assert self.store.lifecycle.look_of("oncall").error is None

    def respond(self, action: Action) -> None:
        """What a person decides on the status page."""
        self.sandbox.clock.advance(1)
        self.responses.respond("a", action, person="Cem")

    def owe(self, kind: Kind) -> None:
        """Owes PagerDuty something that nobody decided."""
        self.store.engine.write(
            lambda connection: owe(connection, "a", "oncall", kind, revision=1, why="it waits", now=self.now())
        )

    @property
    def status(self) -> Status:
        history = self.store.queries.history("a")
        assert history is not None
        return history.row.status

    @property
    def incident(self) -> str:
        return str(self.sandbox.pagerduty.incidents[KEY]["status"])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Sandbox(clock=lambda: NOW, limits=False) as sandbox, Store.open_exclusive(tmp_path / "forwarder.db") as store:
        url = sandbox.pagerduty.url
        keys = {"routing_key": sandbox.pagerduty.routing_key, "api_token": sandbox.pagerduty.api_token}
        settings = PagerDutyConfig.model_validate({"type": "pagerduty", **keys, "base_url": url, "api_url": url})
        with closing(PagerDuty("oncall", settings, now=sandbox.clock)) as pager:
            yield House(store, pager, sandbox)


def test_a_reminder_that_crossed_a_resolution_is_resolved(house: House) -> None:
    """It opened a new incident, and paged whoever is on call for what was done already."""
    house.owe(Kind.REMIND)
    assert house.deliver(lambda: house.sandbox.pagerduty.resolve(KEY, "Bob")) is Kind.REMIND
    assert house.incident == "triggered"
    house.look()
    assert house.status is Status.RESOLVED
    assert house.deliver() is Kind.RESOLVE
    assert house.incident == "resolved"
    assert house.deliver() is None


@pytest.mark.parametrize("look_first", [False, True], ids=["sent", "not sent yet"])
def test_what_was_resolved_before_a_reopening_came_is_open(house: House, *, look_first: bool) -> None:
    """Nobody who says that it is not done is overruled by somebody who did not know."""
    house.respond(Action.ACKNOWLEDGE)
    house.deliver()
    house.respond(Action.REOPEN)
    house.sandbox.pagerduty.resolve(KEY, "Bob")
    if look_first:
        house.look()
    while house.deliver():
        pass
    house.look()
    while house.deliver():
        pass
    assert (house.status, house.incident) == (Status.OPEN, "triggered")


def test_what_was_done_before_others_resolved_and_reopened_it_is_over(house: House) -> None:
    """PagerDuty has a new incident since, which nobody has taken."""
    house.respond(Action.RESOLVE)
    assert house.deliver(lambda: house.sandbox.pagerduty.acknowledge(KEY, "Bob")) is Kind.RESOLVE
    house.respond(Action.REOPEN)
    assert house.deliver() is Kind.REOPEN
    house.look()
    while house.deliver():
        pass
    assert (house.status, house.incident) == (Status.OPEN, "triggered")


def test_nothing_comes_back_to_who_was_crossed_by_nothing(house: House) -> None:
    house.sandbox.clock.advance(1)
    house.sandbox.pagerduty.resolve(KEY, "Bob")
    house.look()
    assert house.status is Status.RESOLVED
    assert house.deliver() is None
