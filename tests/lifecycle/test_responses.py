"""Looks at what people did, and what is done about a connector that was not there when they did it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from forwarder.connector import Action, Connector, Look
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.response import PAGE
from forwarder.store import Store
from tests.kit.core import Scripted
from tests.kit.samples import alert
from tests.kit.store import NOW, claim, config, delivered, enqueue, settle


class Looked(Scripted):
    """A destination at which something happens while it is looked at."""

    look_every = 60.0
    tells_responses = True

    def __init__(self, name: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(name)
        self.meanwhile = meanwhile
        self.cursors: list[str] = []

    def look(self, cursor: str) -> Look:
        self.cursors.append(cursor)
        self.meanwhile()
        return Look(cursor="new")


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
