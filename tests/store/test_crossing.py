"""What people decide at a place while something of ours is on its way there: it holds there too, in the end."""

from __future__ import annotations

import pytest

from forwarder.common.clock import instant
from forwarder.connector import Action, Kind, Look, Reaction, Sighting, Status
from forwarder.response import FORWARDER, PAGE
from forwarder.store import Store
from forwarder.store.enqueue import enqueue as owe
from forwarder.store.life_records import Responded
from forwarder.store.records import Claimed, Settlement
from forwarder.testing import alert
from tests.kit.store import NOW, claim, dead, delivered, enqueue, failed, settle, uncertain

EVERYWHERE = ("secops", "oncall")
ACTED = NOW + 10
"""When the person acted."""


@pytest.fixture(autouse=True)
def _standing(store: Store) -> None:
    """An alert that stands at both places, and was acknowledged at the pager."""
    enqueue(store, alert(id="a", severity="high"), *EVERYWHERE)
    for connector in EVERYWHERE:
        settle(store, claim(store, connector), delivered(f"R-{connector}"))
    look(store, Status.ACKNOWLEDGED, at=NOW + 1)


def look(store: Store, seen: Status, *, at: float = ACTED, undoes: bool = True) -> list[Responded]:
    """Hears what a person did at the pager."""
    sighting = Sighting(remote_id="R-oncall", status=seen, at=instant(at), person="Bob")
    found = Look(cursor=str(at), sightings=(sighting,))
    since = store.lifecycle.look_of("oncall").cursor
    return store.lifecycle.looked("oncall", found, now=at + 60, connectors=EVERYWHERE, since=since, undoes=undoes)


def decide(store: Store, action: Action, *, at: float = NOW + 5) -> None:
    store.lifecycle.respond("a", action, place=PAGE, now=at, connectors=EVERYWHERE, person="Ada")


def on_its_way(store: Store, kind: Kind) -> Claimed:
    """Something for the pager that nobody decided, under way when the person acts."""
    store.engine.write(lambda connection: owe(connection, "a", "oncall", kind, revision=1, why="it waits", now=NOW + 5))
    return claim(store, "oncall", now=NOW + 6)


def told(responded: list[Responded]) -> tuple[Status, set[str]]:
    (one,) = responded
    return one.status, {*one.connectors}


# A reminder, or the repeat of a trigger


def test_what_arrived_since_is_followed_by_what_the_person_decided(store: Store) -> None:
    settle(store, on_its_way(store, Kind.REMIND), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {*EVERYWHERE})
    owed = claim(store, "oncall", now=ACTED + 70).delivery
    assert (owed.kind, owed.is_superseded) == (Kind.RESOLVE, False)
    assert owed.response is not None
    assert (owed.response.person, owed.response.place) == ("Bob", "oncall")


@pytest.mark.parametrize(
    "became", [None, uncertain(), failed(), dead()], ids=["under way", "unclear", "failed", "dead"]
)
def test_what_may_have_arrived_counts_as_well(store: Store, became: Settlement | None) -> None:
    claimed = on_its_way(store, Kind.REMIND)
    if became:
        assert settle(store, claimed, became, now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {*EVERYWHERE})


def test_what_the_person_had_before_them_brings_no_echo(store: Store) -> None:
    settle(store, on_its_way(store, Kind.REMIND), delivered("R-oncall"), now=ACTED - 1)
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {"secops"})


def test_what_was_never_sent_brings_no_echo(store: Store) -> None:
    """By the time that its turn comes, something else was decided."""
    store.outbox.release(on_its_way(store, Kind.REMIND))
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {"secops"})


def test_other_changes_act_on_nothing(store: Store) -> None:
    settle(store, on_its_way(store, Kind.UPDATE), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {"secops"})


def test_a_place_that_minds_people_itself_is_not_told_of_its_own(store: Store) -> None:
    settle(store, on_its_way(store, Kind.REMIND), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED, undoes=False)) == (Status.RESOLVED, {"secops"})


# Another person's decision


def test_a_resolution_that_came_after_the_person_opened_it_again_is_undone(store: Store) -> None:
    decide(store, Action.RESOLVE)
    resolution = claim(store, "oncall", now=NOW + 6)
    look(store, Status.RESOLVED, at=NOW + 8)
    settle(store, resolution, delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.OPEN)) == (Status.OPEN, {*EVERYWHERE})
    owed = claim(store, "oncall", now=ACTED + 70).delivery
    assert (owed.kind, owed.is_superseded) == (Kind.REOPEN, False)


@pytest.mark.parametrize("seen", [Status.ACKNOWLEDGED, Status.RESOLVED])
@pytest.mark.parametrize("arrives", [None, ACTED + 1], ids=["under way", "since"])
@pytest.mark.parametrize("undoes", [True, False])
def test_who_did_not_know_that_somebody_opened_it_again_is_asked_once_more(
    store: Store, seen: Status, arrives: float | None, *, undoes: bool
) -> None:
    """Wherever it is heard late: what the person did is kept, and everybody hears that the alert is open."""
    look(store, Status.OPEN, at=NOW + 2)
    decide(store, Action.RESOLVE, at=NOW + 3)
    decide(store, Action.REOPEN)
    if arrives:
        while claimed := store.outbox.claim("oncall", 1, now=ACTED, lease=60.0):
            settle(store, claimed[0], delivered("R-oncall"), now=arrives)
    assert told(look(store, seen, undoes=undoes)) == (Status.OPEN, {*EVERYWHERE})
    history = store.queries.history("a")
    assert history is not None
    heard, again = history.responses[-2:]
    assert (heard.status, heard.person) == (seen, "Bob")
    assert (again.place, again.words) == (FORWARDER, "Open again: it had been reopened")
    assert again.reason == f"{heard.words} before the reopening was there"
    waiting = store.outbox.claim("oncall", 1, now=ACTED + 70, lease=60.0)
    while waiting[0].delivery.is_superseded:
        settle(store, waiting[0], delivered("R-oncall"), now=ACTED + 71)
        waiting = store.outbox.claim("oncall", 1, now=ACTED + 71, lease=60.0)
    assert waiting[0].delivery.kind is Kind.REOPEN


def test_who_knew_that_somebody_opened_it_again_is_heard(store: Store) -> None:
    """Also of a look that comes late: what counts is when the person acted."""
    decide(store, Action.REOPEN)
    settle(store, claim(store, "oncall", now=NOW + 6), delivered("R-oncall"), now=ACTED - 1)
    assert told(look(store, Status.RESOLVED)) == (Status.RESOLVED, {"secops"})


def test_who_opens_it_again_and_takes_it_knows_that_it_is_open(store: Store) -> None:
    """As with a ticket that goes from done into progress while somebody's reopening is on its way."""
    look(store, Status.RESOLVED, at=NOW + 2)
    decide(store, Action.REOPEN)
    assert told(look(store, Status.ACKNOWLEDGED)) == (Status.ACKNOWLEDGED, {"secops"})


def test_a_click_counts_in_the_order_in_which_clicks_are_heard(store: Store) -> None:
    """The message that shows the reopening may be minutes away, and whoever clicks is told at once what came of it."""
    decide(store, Action.REOPEN)
    click = Reaction(remote_id="R-secops", action=Action.RESOLVE, key="k", at=instant(ACTED), person="Eve")
    heard = store.lifecycle.react("secops", click, now=ACTED, connectors=EVERYWHERE, too=True)
    assert heard.status is Status.RESOLVED
