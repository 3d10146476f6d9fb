"""What people decide about an alert: kept once, owed to every other place where it stands, never back to its source."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from forwarder.alert import Alert
from forwarder.common.clock import instant
from forwarder.connector import Action, Kind, Look, Origin, Reaction, Resolution, Response, Sighting, Status
from forwarder.response import FEED, PAGE, actions_between
from forwarder.store import Store
from forwarder.store.life_records import Heard, Responded
from forwarder.store.lifecycle import CATCH_UP_AT_ONCE
from forwarder.testing import alert
from tests.kit.store import NOW, claim, claim_all, delivered, enqueue, failed, routed, rows, settle

EVERYWHERE = ("secops", "oncall", "tickets")


@pytest.fixture
def standing(store: Store) -> Alert:
    """An alert that stands at three places, as ``R-secops`` and so on."""
    one = alert(id="a", severity="high")
    enqueue(store, one, *EVERYWHERE)
    for connector in EVERYWHERE:
        settle(store, claim(store, connector), delivered(f"R-{connector}"))
    return one


def react(
    store: Store,
    connector: str,
    action: Action,
    *,
    key: str = "k1",
    too: bool = False,
    at: float = NOW,
    person: str = "Ada",
) -> Responded:
    reaction = Reaction(remote_id=f"R-{connector}", action=action, key=key, at=instant(at), person=person)
    return store.lifecycle.react(connector, reaction, now=NOW, connectors=EVERYWHERE, too=too)


def look(store: Store, connector: str, *sightings: Sighting, cursor: str = "1") -> list[Responded]:
    found, since = Look(cursor=cursor, sightings=sightings), store.lifecycle.look_of(connector).cursor
    return store.lifecycle.looked(connector, found, now=NOW, connectors=EVERYWHERE, since=since)


def sighting(connector: str, status: Status, *, ours: bool = False) -> Sighting:
    return Sighting(remote_id=f"R-{connector}", status=status, at=instant(NOW), person="Bob", ours=ours)


def owed(store: Store) -> set[tuple[str, Kind, int]]:
    """What of responses waits: connector, kind, number."""
    found = rows(store, "SELECT connector, kind, revision FROM deliveries WHERE state NOT IN ('delivered', 'dead')")
    return {(connector, Kind(kind), number) for connector, kind, number in found if Kind(kind).responds}


def responses(store: Store) -> list[Response]:
    history = store.queries.history("a")
    assert history is not None
    return list(history.responses)


def status(store: Store) -> Status:
    history = store.queries.history("a")
    assert history is not None
    return history.row.status


@pytest.mark.usefixtures("standing")
def test_a_response_reaches_every_other_place_once(store: Store) -> None:
    responded = react(store, "secops", Action.ACKNOWLEDGE)
    assert responded.heard is Heard.CHANGED
    assert responded.connectors == {"oncall", "tickets"}
    assert owed(store) == {("oncall", Kind.ACKNOWLEDGE, 1), ("tickets", Kind.ACKNOWLEDGE, 1)}
    assert status(store) is Status.ACKNOWLEDGED
    (response,) = responses(store)
    assert (response.person, response.place, response.at) == ("Ada", "secops", instant(NOW))


@pytest.mark.usefixtures("standing")
def test_the_source_is_told_where_it_does_not_show_it(store: Store) -> None:
    assert react(store, "secops", Action.ACKNOWLEDGE, too=True).connectors == {*EVERYWHERE}


@pytest.mark.usefixtures("standing")
def test_what_a_place_tells_twice_counts_once(store: Store) -> None:
    """Also after it was undone: the second telling is of the first time."""
    react(store, "secops", Action.ACKNOWLEDGE, key="e1")
    react(store, "secops", Action.REOPEN, key="e2")
    assert react(store, "secops", Action.ACKNOWLEDGE, key="e1").heard is Heard.REPEATED
    assert status(store) is Status.OPEN
    # Another place may give another event the same name.
    assert react(store, "oncall", Action.ACKNOWLEDGE, key="e1").heard is Heard.CHANGED


@pytest.mark.usefixtures("standing")
def test_of_two_people_at_once_the_first_counts(store: Store) -> None:
    react(store, "secops", Action.RESOLVE, key="e1")
    second = react(store, "tickets", Action.ACKNOWLEDGE, key="e2", person="Bob")
    assert second.heard is Heard.UNCHANGED
    assert second.latest is not None
    assert second.latest.words == "Resolved (done) by Ada"
    assert len(responses(store)) == 1


def test_only_what_stands_here_can_be_decided_on(store: Store, standing: Alert) -> None:
    nowhere = Reaction(remote_id="R-other", action=Action.RESOLVE, key="k", at=instant(NOW))
    told = store.lifecycle.react("secops", nowhere, now=NOW, connectors=EVERYWHERE, too=True)
    assert told.heard is Heard.UNKNOWN
    # The receipt of one connector is nothing to another.
    foreign = Reaction(remote_id="R-oncall", action=Action.RESOLVE, key="k2", at=instant(NOW))
    assert store.lifecycle.react("secops", foreign, now=NOW, connectors=EVERYWHERE, too=True).heard is Heard.UNKNOWN
    assert status(store) is Status.OPEN
    assert standing.id == "a"


def test_what_came_before_its_message_was_settled_counts_when_it_is_told_again(store: Store) -> None:
    """Somebody is quicker than the receipt: nothing is known of the message, and the same event is heard later."""
    one = alert(id="a", severity="high")
    enqueue(store, one, "secops")
    assert react(store, "secops", Action.ACKNOWLEDGE).heard is Heard.UNKNOWN
    settle(store, claim(store, "secops"), delivered("R-secops"))
    assert react(store, "secops", Action.ACKNOWLEDGE).heard is Heard.CHANGED
    assert react(store, "secops", Action.ACKNOWLEDGE).heard is Heard.REPEATED


@pytest.mark.usefixtures("standing")
def test_a_response_carries_what_was_decided(store: Store) -> None:
    told = store.lifecycle.respond(
        "a",
        Action.RESOLVE,
        place=PAGE,
        now=NOW,
        connectors=EVERYWHERE,
        person="Ada",
        reason="not exposed",
        resolution=Resolution.NOT_AFFECTED,
    )
    assert told.connectors == {*EVERYWHERE}
    delivery = claim(store, "tickets").delivery
    assert delivery.kind is Kind.RESOLVE
    assert delivery.receipt is not None
    assert delivery.receipt.remote_id == "R-tickets"
    assert delivery.response == delivery.latest
    assert delivery.response is not None
    assert (delivery.response.resolution, delivery.response.reason) == (Resolution.NOT_AFFECTED, "not exposed")
    assert delivery.status is Status.RESOLVED


@pytest.mark.usefixtures("standing")
def test_a_response_that_others_followed_is_superseded(store: Store) -> None:
    react(store, "secops", Action.ACKNOWLEDGE, key="e1")
    react(store, "secops", Action.RESOLVE, key="e2")
    first = claim(store, "oncall")
    assert (first.delivery.kind, first.delivery.is_superseded) == (Kind.ACKNOWLEDGE, True)
    settle(store, first, delivered("R-oncall"))
    second = claim(store, "oncall")
    assert (second.delivery.kind, second.delivery.is_superseded) == (Kind.RESOLVE, False)


def test_responses_go_out_before_others_of_their_severity(store: Store, standing: Alert) -> None:
    enqueue(store, alert(id="older", severity="high", published_at="2020-01-01T00:00:00Z"), "oncall")
    enqueue(store, alert(id="worse", severity="critical"), "oncall")
    react(store, "secops", Action.ACKNOWLEDGE)
    assert [claimed.delivery.alert.id for claimed in claim_all(store, "oncall")] == ["worse", standing.id, "older"]


def test_a_response_waits_for_the_open_of_its_alert(store: Store) -> None:
    enqueue(store, alert(id="a"), *EVERYWHERE)
    settle(store, claim(store, "secops"), delivered("R-secops"))
    react(store, "secops", Action.ACKNOWLEDGE)
    opening = claim(store, "oncall")
    assert opening.delivery.kind is Kind.OPEN
    assert opening.delivery.status is Status.ACKNOWLEDGED
    assert store.outbox.claim("oncall", 5, now=NOW, lease=60) == []
    settle(store, opening, delivered("R-oncall"))
    assert claim(store, "oncall").delivery.kind is Kind.ACKNOWLEDGE


# Worse news


def test_an_alert_that_gets_worse_is_open_again(store: Store, standing: Alert) -> None:
    """The news itself says so: nothing else is owed of it, and what was owed of responses is over."""
    react(store, "secops", Action.RESOLVE)
    kev = alert(id="a", severity="high", cisa_kev=True)
    store.feed.commit_page([routed(kev, *EVERYWHERE, known=standing)], now=NOW + 1, connectors=EVERYWHERE)
    assert status(store) is Status.OPEN
    assert responses(store)[-1].place == FEED
    assert owed(store) == set()
    (update,) = claim_all(store, "oncall")
    assert update.delivery.kind is Kind.UPDATE
    assert update.delivery.status is Status.OPEN


def test_worse_news_overtakes_a_response_that_fails(store: Store, standing: Alert) -> None:
    react(store, "secops", Action.ACKNOWLEDGE)
    store.outbox.settle(claim(store, "oncall"), failed(NOW + 600), now=NOW, seconds=0.1)
    store.feed.commit_page(
        [routed(alert(id="a", severity="critical"), *EVERYWHERE, known=standing)], now=NOW + 1, connectors=EVERYWHERE
    )
    assert claim(store, "oncall", now=NOW + 2).delivery.kind is Kind.UPDATE
    assert owed(store) == set()


def get_worse(store: Store, known: Alert) -> None:
    kev = alert(id="a", severity="high", cisa_kev=True)
    store.feed.commit_page([routed(kev, *EVERYWHERE, known=known)], now=NOW + 1, connectors=EVERYWHERE)


def test_what_was_decided_before_the_worse_news_came_opens_again(store: Store, standing: Alert) -> None:
    """A look that hears late of a resolution ends nothing that is worse since; all places that know it are told."""
    get_worse(store, standing)
    for connector in EVERYWHERE:
        settle(store, claim(store, connector, now=NOW + 2), delivered(f"R-{connector}"), now=NOW + 2)
    (told,) = look(store, "oncall", sighting("oncall", Status.RESOLVED))
    assert (told.status, told.connectors) == (Status.OPEN, frozenset(EVERYWHERE))
    assert status(store) is Status.OPEN
    assert [(one.action, one.place) for one in responses(store)] == [
        (Action.RESOLVE, "oncall"),
        (Action.REOPEN, FEED),
    ]
    assert owed(store) == {(connector, Kind.REOPEN, 2) for connector in EVERYWHERE}


def test_who_is_still_to_hear_the_worse_news_hears_by_them_that_it_is_open(store: Store, standing: Alert) -> None:
    get_worse(store, standing)
    told = react(store, "secops", Action.ACKNOWLEDGE, too=True)
    assert (told.status, told.connectors) == (Status.OPEN, frozenset())
    assert owed(store) == set()
    assert claim(store, "secops", now=NOW + 2).delivery.kind is Kind.UPDATE


def test_what_was_decided_on_the_worse_news_holds(store: Store, standing: Alert) -> None:
    """As soon as they stand where the person is: what others are still to hear does not count."""
    get_worse(store, standing)
    settle(store, claim(store, "secops", now=NOW + 2), delivered("R-secops"), now=NOW + 2)
    assert react(store, "secops", Action.RESOLVE, at=NOW + 3).status is Status.RESOLVED
    assert status(store) is Status.RESOLVED


def test_better_news_leaves_it_as_it_is(store: Store, standing: Alert) -> None:
    react(store, "secops", Action.RESOLVE)
    store.feed.commit_page(
        [routed(alert(id="a", severity="low"), *EVERYWHERE, known=standing)], now=NOW + 1, connectors=EVERYWHERE
    )
    assert status(store) is Status.RESOLVED


# Looks


@pytest.mark.usefixtures("standing")
def test_a_look_hears_what_is_not_as_it_was(store: Store) -> None:
    (told,) = look(store, "tickets", sighting("tickets", Status.ACKNOWLEDGED))
    assert (told.status, told.connectors) == (Status.ACKNOWLEDGED, frozenset({"secops", "oncall"}))
    assert look(store, "tickets", sighting("tickets", Status.ACKNOWLEDGED), cursor="2") == []
    assert store.lifecycle.look_of("tickets").cursor == "2"


@pytest.mark.usefixtures("standing")
def test_what_stands_still_undoes_nothing(store: Store) -> None:
    """A ticket that nobody moved says nothing, though the alert was acknowledged elsewhere."""
    react(store, "secops", Action.ACKNOWLEDGE)
    assert look(store, "tickets", sighting("tickets", Status.OPEN)) == []
    assert status(store) is Status.ACKNOWLEDGED


@pytest.mark.usefixtures("standing")
def test_what_we_did_there_ourselves_is_no_response(store: Store) -> None:
    """And it is known from then on, so that a person's undoing of it counts."""
    react(store, "secops", Action.RESOLVE, key="e1")
    assert look(store, "tickets", sighting("tickets", Status.RESOLVED, ours=True)) == []
    react(store, "secops", Action.REOPEN, key="e2")
    while owes := claim_all(store, "tickets"):
        settle(store, owes[0], delivered("R-tickets"))
    assert look(store, "tickets", sighting("tickets", Status.RESOLVED)) == []
    assert status(store) is Status.OPEN
    look(store, "tickets", sighting("tickets", Status.OPEN))
    look(store, "tickets", sighting("tickets", Status.RESOLVED))
    assert status(store) is Status.RESOLVED


@pytest.mark.usefixtures("standing")
def test_a_ticket_taken_up_again_is_reopened_and_acknowledged(store: Store) -> None:
    look(store, "tickets", sighting("tickets", Status.RESOLVED))
    look(store, "tickets", sighting("tickets", Status.ACKNOWLEDGED))
    assert [response.action for response in responses(store)] == [Action.RESOLVE, Action.REOPEN, Action.ACKNOWLEDGE]
    assert actions_between(Status.RESOLVED, Status.ACKNOWLEDGED) == (Action.REOPEN, Action.ACKNOWLEDGE)


@pytest.mark.usefixtures("standing")
def test_letting_go_of_an_alert_does_not_undo_that_it_is_resolved(store: Store) -> None:
    """A pager whose acknowledgement times out before it hears of the resolution opens nothing again."""
    look(store, "oncall", sighting("oncall", Status.ACKNOWLEDGED))
    react(store, "secops", Action.RESOLVE)
    assert look(store, "oncall", sighting("oncall", Status.OPEN), cursor="2") == []
    assert status(store) is Status.RESOLVED
    # Who opens what was resolved there does.
    look(store, "oncall", sighting("oncall", Status.RESOLVED, ours=True), cursor="3")
    look(store, "oncall", sighting("oncall", Status.OPEN), cursor="4")
    assert status(store) is Status.OPEN


def test_what_was_done_before_a_rename_is_not_heard_anew(store: Store, standing: Alert) -> None:
    """Neither by a look that reaches far back nor by a click that is told once more."""
    look(store, "tickets", sighting("tickets", Status.RESOLVED), cursor="far")
    react(store, "secops", Action.REOPEN, key="click")
    store.operations.rename("tickets", "board")
    store.operations.rename("secops", "security")
    assert store.lifecycle.look_of("board").cursor == "far"
    assert look(store, "board", replace(sighting("tickets", Status.RESOLVED), remote_id="R-tickets")) == []
    again = Reaction(remote_id="R-secops", action=Action.RESOLVE, key="click", at=instant(NOW))
    heard = store.lifecycle.react("security", again, now=NOW, connectors=EVERYWHERE, too=True).heard
    assert (heard, status(store)) == (Heard.REPEATED, Status.OPEN)


def test_a_name_that_knew_nothing_looks_on_from_where_the_one_before_ended(store: Store, standing: Alert) -> None:
    """What people did between the reload and the rename, and the new name had no alert for, is seen."""
    look(store, "tickets", cursor="old")
    look(store, "board", cursor="new")
    store.operations.rename("tickets", "board")
    assert store.lifecycle.look_of("board").cursor == "old"


def test_a_name_with_alerts_of_its_own_looks_on_from_where_it_ended(store: Store, standing: Alert) -> None:
    look(store, "tickets", cursor="old")
    look(store, "oncall", cursor="new")
    store.operations.rename("tickets", "oncall")
    assert store.lifecycle.look_of("oncall").cursor == "new"


def test_a_look_that_fails_keeps_its_place(store: Store) -> None:
    look(store, "tickets", cursor="7")
    store.lifecycle.look_failed("tickets", "HTTP 500", now=NOW + 1)
    store.lifecycle.look_failed("tickets", "HTTP 502", now=NOW + 2)
    state = store.lifecycle.look_of("tickets")
    assert (state.cursor, state.looked_at, state.failing_since, state.error) == ("7", NOW, NOW + 1, "HTTP 502")
    look(store, "tickets", cursor="8")
    assert store.lifecycle.look_of("tickets").failing_since is None


# What goes with it


@pytest.mark.usefixtures("standing")
def test_a_discarded_alert_takes_its_responses_along(store: Store) -> None:
    enqueue(store, alert(id="b"), "secops", "oncall")
    settle(store, claim(store, "secops"), delivered("R-b"))
    store.outbox.settle(claim(store, "oncall"), failed(NOW + 600), now=NOW, seconds=0.1)
    reaction = Reaction(remote_id="R-b", action=Action.ACKNOWLEDGE, key="e9", at=instant(NOW))
    store.lifecycle.react("secops", reaction, now=NOW, connectors=EVERYWHERE, too=False)
    ((opening,),) = rows(
        store, "SELECT id FROM deliveries WHERE alert_id = 'b' AND connector = 'oncall' AND kind = 'open'"
    )
    store.operations.discard([opening])
    assert owed(store) == set()


@pytest.mark.usefixtures("standing")
def test_names_of_events_are_forgotten_in_time(store: Store) -> None:
    react(store, "secops", Action.ACKNOWLEDGE, key="e1")
    store.lifecycle.forget_heard(before=NOW)
    assert react(store, "secops", Action.ACKNOWLEDGE, key="e1").heard is Heard.REPEATED
    store.lifecycle.forget_heard(before=NOW + timedelta(days=1).total_seconds())
    assert react(store, "secops", Action.ACKNOWLEDGE, key="e1").heard is Heard.UNCHANGED


@pytest.mark.usefixtures("standing")
def test_only_alerts_of_the_feed_have_a_life(store: Store) -> None:
    told = store.lifecycle.respond("none", Action.RESOLVE, place=PAGE, now=NOW, connectors=EVERYWHERE)
    assert told.heard is Heard.UNKNOWN
    store.feed.commit_page([routed(alert(id="own"), "secops")], now=NOW, origin=Origin.ALARM)
    told = store.lifecycle.respond("own", Action.RESOLVE, place=PAGE, now=NOW, connectors=EVERYWHERE)
    assert told.heard is Heard.UNKNOWN


# While a connector is out of use

HERE = ("secops", "oncall")


def decide(store: Store, action: Action, *, place: str = PAGE) -> None:
    """Decided while ``tickets`` is out of the config."""
    store.lifecycle.respond("a", action, place=place, now=NOW + 60, connectors=HERE, person="Ada")


@pytest.mark.usefixtures("standing")
def test_what_a_connector_missed_is_owed_once_when_it_is_back(store: Store) -> None:
    """Only what was decided last, whatever came before it."""
    decide(store, Action.ACKNOWLEDGE)
    decide(store, Action.RESOLVE)
    assert store.lifecycle.catch_up(HERE, now=NOW + 90) == frozenset()
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == {"tickets"}
    assert {one for one in owed(store) if one[0] == "tickets"} == {("tickets", Kind.RESOLVE, 2)}
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == frozenset()


@pytest.mark.usefixtures("standing")
def test_what_was_taken_back_meanwhile_is_not_told(store: Store) -> None:
    decide(store, Action.ACKNOWLEDGE)
    decide(store, Action.REOPEN)
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == frozenset()


@pytest.mark.usefixtures("standing")
def test_what_was_decided_there_is_not_told_there(store: Store) -> None:
    """Its own later response makes what it missed old."""
    decide(store, Action.ACKNOWLEDGE)
    react(store, "tickets", Action.RESOLVE)
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == frozenset()


@pytest.mark.usefixtures("standing")
def test_worse_news_tells_what_was_missed(store: Store) -> None:
    """It waits for the connector by itself, and says that the alert is open again."""
    react(store, "secops", Action.ACKNOWLEDGE)
    decide(store, Action.RESOLVE)
    known, worse = alert(id="a", severity="high"), alert(id="a", severity="high", cisa_kev=True)
    store.feed.commit_page([routed(worse, "secops", known=known)], now=NOW + 70, connectors=HERE)
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == frozenset()


@pytest.mark.usefixtures("standing")
def test_what_was_missed_goes_along_with_a_rename(store: Store) -> None:
    """Also what was decided between the reload and the rename."""
    decide(store, Action.RESOLVE)
    store.operations.rename("tickets", "jira")
    assert store.lifecycle.catch_up([*HERE, "jira"], now=NOW + 90) == {"jira"}
    assert ("jira", Kind.RESOLVE, 1) in owed(store)


@pytest.mark.usefixtures("standing")
def test_a_look_that_a_rename_overtook_is_dropped(store: Store) -> None:
    """It began without the cursor that came with the old name, and would end the new one's look at a later time."""
    look(store, "tickets", cursor="old")
    store.operations.rename("tickets", "jira")
    found = Look(cursor="new", sightings=())
    assert store.lifecycle.looked("jira", found, now=NOW, connectors=EVERYWHERE, since="") == []
    assert store.lifecycle.look_of("jira").cursor == "old"
    store.lifecycle.looked("jira", found, now=NOW, connectors=EVERYWHERE, since="old")
    assert store.lifecycle.look_of("jira").cursor == "new"


@pytest.mark.usefixtures("standing")
def test_what_the_new_name_has_of_an_alert_is_not_told_by_the_old_one(store: Store) -> None:
    """Where it stands under both names, the new one was told by itself."""
    store.operations.replay(["a"], ["jira"], why="asked for", now=NOW)
    settle(store, claim(store, "jira"), delivered("R-jira"))
    store.lifecycle.respond("a", Action.RESOLVE, place=PAGE, now=NOW + 60, connectors=[*HERE, "jira"])
    for claimed in claim_all(store, "jira"):
        settle(store, claimed, delivered("R-jira"))
    store.operations.rename("tickets", "jira")
    assert store.lifecycle.catch_up([*HERE, "jira"], now=NOW + 90) == frozenset()
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == {"tickets"}


def test_all_that_was_missed_is_caught_up_with(store: Store) -> None:
    """However much it is, each once, a batch after the other."""
    many = [alert(id=f"a{number}") for number in range(CATCH_UP_AT_ONCE + 1)]
    store.feed.commit_page([routed(one, "tickets") for one in many], now=NOW, connectors=EVERYWHERE)
    for claimed in claim_all(store, "tickets"):
        settle(store, claimed, delivered(f"R-{claimed.delivery.alert.id}"))
    for one in many:
        store.lifecycle.respond(one.id, Action.RESOLVE, place=PAGE, now=NOW, connectors=HERE)
    assert store.lifecycle.catch_up(EVERYWHERE, now=NOW + 90) == {"tickets"}
    assert len(rows(store, "SELECT * FROM deliveries WHERE kind = 'resolve' AND connector = 'tickets'")) == len(many)


@pytest.mark.usefixtures("standing")
def test_a_look_at_what_was_missed_costs_nothing_where_that_is_nothing(store: Store, path: Path) -> None:
    """It reads an index, and writes nothing, however much others have missed."""
    decide(store, Action.RESOLVE)
    statements: list[str] = []
    with store.engine.read() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(statements.append)
    with closing(sqlite3.connect(path)) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        store.lifecycle.catch_up(HERE, now=NOW + 90)
        assert other.execute("PRAGMA data_version").fetchone() == before
        (statement,) = (one for one in statements if "missed" in one)
        plan = [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert any("missed_connector (connector=?)" in step for step in plan), plan


@pytest.mark.usefixtures("standing")
def test_what_was_missed_goes_with_its_alert(store: Store) -> None:
    """Nobody is told of what is forgotten."""
    decide(store, Action.RESOLVE)
    for connector in HERE:
        for claimed in claim_all(store, connector):
            settle(store, claimed, delivered("R"))
    assert store.retention.prune(seen_before=NOW + 1e9, published_before=NOW + 1e9) == 1
    assert rows(store, "SELECT * FROM missed") == []
