"""An incident and the store: whatever crosses on its way there, the two stand alike in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from connectors.pagerduty import PagerDuty, PagerDutyConfig
from forwarder.connector import Action, Kind, Status
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.testing import NOW
from tests.kit.house import House

KEY = "sentrytex:a"


def incident(house: House) -> str:
    """How the incident stands."""
    return str(house.sandbox.pagerduty.incidents[KEY]["status"])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Sandbox(clock=lambda: NOW, limits=False) as sandbox, Store.open_exclusive(tmp_path / "forwarder.db") as store:
        url = sandbox.pagerduty.url
        keys = {"routing_key": sandbox.pagerduty.routing_key, "api_token": sandbox.pagerduty.api_token}
        settings = PagerDutyConfig.model_validate({"type": "pagerduty", **keys, "base_url": url, "api_url": url})
        with closing(PagerDuty("oncall", settings, now=sandbox.clock)) as pager:
            yield House(store, pager, sandbox, looks_first=True)


def test_a_reminder_that_crossed_a_resolution_is_resolved(house: House) -> None:
    """It opened a new incident, and paged whoever is on call for what was done already."""
    house.owe(Kind.REMIND)
    assert house.deliver(lambda: house.sandbox.pagerduty.resolve(KEY, "Bob")) is Kind.REMIND
    assert incident(house) == "triggered"
    house.look()
    assert house.status is Status.RESOLVED
    assert house.deliver() is Kind.RESOLVE
    assert incident(house) == "resolved"
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
    assert (house.status, incident(house)) == (Status.OPEN, "triggered")


def test_what_was_done_before_others_resolved_and_reopened_it_is_over(house: House) -> None:
    """PagerDuty has a new incident since, which nobody has taken."""
    house.respond(Action.RESOLVE)
    assert house.deliver(lambda: house.sandbox.pagerduty.acknowledge(KEY, "Bob")) is Kind.RESOLVE
    house.respond(Action.REOPEN)
    assert house.deliver() is Kind.REOPEN
    house.look()
    while house.deliver():
        pass
    assert (house.status, incident(house)) == (Status.OPEN, "triggered")


def test_nothing_comes_back_to_who_was_crossed_by_nothing(house: House) -> None:
    house.sandbox.clock.advance(1)
    house.sandbox.pagerduty.resolve(KEY, "Bob")
    house.look()
    assert house.status is Status.RESOLVED
    assert house.deliver() is None
