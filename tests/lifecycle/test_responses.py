"""Looks at what people did, and what is done about a connector that was not there when they did it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forwarder.common.clock import instant
from forwarder.connector import (
    Action,
    Connector,
    Desk,
    Look,
    MuteRequest,
    MuteScope,
    Reaction,
    Sighting,
    Status,
)
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.lifecycle.responses import MOST_PERSON, MOST_REASON
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.core import Scripted
from tests.kit.store import NOW, claim, config, delivered, enqueue, settle


class Looked(Scripted):
    """A destination at which something happens while it is looked at."""

    look_every: float | None = 60.0
    tells_responses = True

    def __init__(self, name: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(name)
        self.meanwhile = meanwhile
        self.cursors: list[str] = []
        self.seen: tuple[Sighting, ...] = ()
        self.heard_by: Callable[[Desk], object] = lambda _: None

    def look(self, cursor: str) -> Look:
        self.cursors.append(cursor)
        self.meanwhile()
        return Look(cursor="new", sightings=self.seen)

    def listen(self, desk: Desk) -> None:
        self.heard_by(desk)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def responses(store: Store, *connectors: Connector[Any], wake: Callable[[Collection[str]], None]) -> Responses:
    return Responses(
        store,
        Mutes(store, config(), now=lambda: NOW, wake=wake),
        now=lambda: NOW,
        connectors=lambda: {connector.name: connector for connector in connectors},
        wake=wake,
        listener=Listener(),
    )


def test_a_look_that_a_rename_overtook_is_done_again_from_where_the_old_name_was(store: Store) -> None:
    """The new name has looked at nothing yet when it begins, and would pass over what came since the old one's look."""
    store.lifecycle.looked("old", Look(cursor="far"), now=NOW, connectors=(), since="")
    connector = Looked("new", lambda: store.operations.rename("old", "new"))
    looks = responses(store, connector, wake=lambda _: None)
    looks.look("new")
    assert store.lifecycle.look_of("new").cursor == "far"
    looks.look("new")
    assert connector.cursors == ["", "far"]
    assert store.lifecycle.look_of("new").cursor == "new"


def test_who_is_back_is_woken_for_what_it_missed(store: Store) -> None:
    """And nobody else, nor again."""
    woken: list[Collection[str]] = []
    enqueue(store, alert(id="a"), "here", "away")
    for name in ("here", "away"):
        settle(store, claim(store, name), delivered(f"R-{name}"))
    here, away = Looked("here"), Looked("away")
    responses(store, here, wake=woken.append).respond("a", Action.RESOLVE, place=PAGE)
    for _ in range(2):
        responses(store, here, away, wake=woken.append).catch_up()
    assert woken == [{"here"}, {"away"}]


def test_what_the_config_asks_no_more_fails_no_more(store: Store) -> None:
    """Without its token nobody looks or listens there, and no alarm says for ever that this does not work."""
    connector = Looked("here")
    looks = responses(store, connector, wake=lambda _: None)
    store.lifecycle.look_failed("here", "The key was revoked.", now=NOW)
    store.lifecycle.deaf("here", "The token was revoked.", now=NOW)
    connector.listens = True
    looks.catch_up()
    assert store.lifecycle.look_of("here").failing_since == store.lifecycle.look_of("here").deaf_since == NOW
    connector.listens = False
    looks.deaf["here"] = "The token was revoked."
    looks.catch_up()
    assert looks.deaf == {}
    assert store.lifecycle.look_of("here").failing_since == NOW
    assert (store.lifecycle.look_of("here").deaf_since, store.lifecycle.look_of("here").deaf) == (None, None)
    connector.look_every = None
    looks.catch_up()
    assert (store.lifecycle.look_of("here").failing_since, store.lifecycle.look_of("here").error) == (None, None)


HOSTILE = "Eve\x1b[31m\u202e\nResolved by Ada " + 2000 * "x"
TIDY = "Eve\ufffd[31m Resolved by Ada xx"


def test_a_name_and_a_reason_are_kept_as_they_can_be_shown(store: Store) -> None:
    """Whatever a destination tells of a person: on one line, without what steers a terminal, and not without end."""
    enqueue(store, alert(id="a"), "here")
    settle(store, claim(store, "here"), delivered("R"))
    here = Looked("here")
    people = responses(store, here, wake=lambda _: None)
    pressed = Reaction(
        remote_id="R", action=Action.ACKNOWLEDGE, key="k", at=instant(NOW), person=HOSTILE, reason=HOSTILE
    )
    people.react(here, pressed)
    here.seen = (Sighting(remote_id="R", status=Status.RESOLVED, at=instant(NOW), person=HOSTILE, reason=HOSTILE),)
    people.look("here")
    history = store.queries.history("a")
    assert history is not None
    assert len(history.responses) == 2
    for response in history.responses:
        assert response.person.startswith(TIDY)
        assert response.reason.startswith(TIDY)
        assert (len(response.person), len(response.reason)) == (MOST_PERSON, MOST_REASON)


def test_who_mutes_is_kept_as_it_can_be_shown(store: Store) -> None:
    enqueue(store, alert(id="a"), "here")
    settle(store, claim(store, "here"), delivered("R"))
    here, desks = Looked("here"), list[Desk]()
    here.listens, here.heard_by = True, desks.append
    people = responses(store, here, wake=lambda _: None)
    people.listen("here")
    asked = MuteRequest(
        remote_id="R",
        scope=MuteScope.CVE,
        lasts=timedelta(days=1),
        reason=HOSTILE,
        key="k",
        at=instant(NOW),
        person=HOSTILE,
    )
    assert desks[0].mute(asked).startswith("Muted until ")
    (mute,) = store.mutes.all()
    assert mute.reason.startswith(TIDY)
    assert mute.who.startswith(TIDY)
