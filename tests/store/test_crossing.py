"""What people decide at a place while something of ours is on its way there: it holds there too, in the end."""

from __future__ import annotations

import pytest

from forwarder.common.clock import instant
from forwarder.connector import Action, Kind, Look, Sighting, Status
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.store.enqueue import enqueue as owe
from forwarder.store.life_records import Responded
from forwarder.store.records import Claimed, Settlement
from tests.kit.samples import alert
from tests.kit.store import NOW, claim, dead, delivered, enqueue, failed, settle, uncertain

EVERYWHERE = ("secops", "oncall")
ACTED = NOW + 10
"""When the person acted."""
WOKEN = [Kind.REOPEN, Kind.REMIND]
TOLD = {Status.ACKNOWLEDGED: Kind.ACKNOWLEDGE, Status.RESOLVED: Kind.RESOLVE, Status.OPEN: Kind.REOPEN}


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
    return store.lifecycle.looked("oncall", found, now=at + 60, connectors=EVERYWHERE, undoes=undoes)


def decide(store: Store, action: Action, *, at: float = NOW + 5) -> None:
    store.lifecycle.respond("a", action, place=PAGE, now=at, connectors=EVERYWHERE, person="Ada")


def on_its_way(store: Store, kind: Kind) -> Claimed:
    """Something for the pager, under way when the person acts."""
    if kind is Kind.REOPEN:
        decide(store, Action.REOPEN)
    else:
        store.engine.write(
            lambda connection: owe(connection, "a", "oncall", kind, revision=1, why="it waits", now=NOW + 5)
        )
    return claim(store, "oncall", now=NOW + 6)


def told(responded: list[Responded]) -> frozenset[str]:
    (one,) = responded
    return one.connectors


@pytest.mark.parametrize("kind", WOKEN)
def test_what_arrived_since_is_followed_by_what_the_person_decided(store: Store, kind: Kind) -> None:
    settle(store, on_its_way(store, kind), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == {*EVERYWHERE}
    owed = claim(store, "oncall", now=ACTED + 70).delivery
    assert (owed.kind, owed.is_superseded) == (Kind.RESOLVE, False)
    assert owed.response is not None
    assert (owed.response.person, owed.response.place) == ("Bob", "oncall")


@pytest.mark.parametrize(
    "became", [None, uncertain(), failed(), dead()], ids=["under way", "unclear", "failed", "dead"]
)
@pytest.mark.parametrize("kind", WOKEN)
def test_what_may_have_arrived_counts_as_well(store: Store, kind: Kind, became: Settlement | None) -> None:
    claimed = on_its_way(store, kind)
    if became:
        assert settle(store, claimed, became, now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == {*EVERYWHERE}


@pytest.mark.parametrize("kind", WOKEN)
def test_what_the_person_had_before_them_brings_no_echo(store: Store, kind: Kind) -> None:
    settle(store, on_its_way(store, kind), delivered("R-oncall"), now=ACTED - 1)
    assert told(look(store, Status.RESOLVED)) == {"secops"}


def test_what_was_never_sent_brings_no_echo(store: Store) -> None:
    """By the time that its turn comes, something else was decided."""
    decide(store, Action.REOPEN)
    assert told(look(store, Status.RESOLVED)) == {"secops"}
    assert claim(store, "oncall", now=ACTED + 70).delivery.is_superseded


def test_other_changes_act_on_nothing(store: Store) -> None:
    settle(store, on_its_way(store, Kind.UPDATE), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED)) == {"secops"}


def test_a_place_that_minds_people_itself_is_not_told_of_its_own(store: Store) -> None:
    settle(store, on_its_way(store, Kind.REMIND), delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, Status.RESOLVED, undoes=False)) == {"secops"}


@pytest.mark.parametrize("seen", [Status.OPEN, Status.ACKNOWLEDGED])
def test_a_resolution_that_came_after_the_person_opened_it_again_is_undone(store: Store, seen: Status) -> None:
    """So are those of acknowledgements: whatever a person decided last holds."""
    decide(store, Action.RESOLVE)
    resolution = claim(store, "oncall", now=NOW + 6)
    if seen is Status.ACKNOWLEDGED:
        decide(store, Action.REOPEN, at=NOW + 7)
        look(store, Status.OPEN, at=NOW + 8)
    else:
        look(store, Status.RESOLVED, at=NOW + 8)
    settle(store, resolution, delivered("R-oncall"), now=ACTED + 1)
    assert told(look(store, seen)) == {*EVERYWHERE}
    waiting = []
    while claimed := store.outbox.claim("oncall", 1, now=ACTED + 70, lease=60.0):
        waiting += [one.delivery for one in claimed if not one.delivery.is_superseded]
        settle(store, claimed[0], delivered("R-oncall"), now=ACTED + 71)
    assert [one.kind for one in waiting] == [TOLD[seen]]
