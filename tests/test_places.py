"""The places that a connector's config named before: kept from the first send on, looked into as long as need be."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forwarder.connector import Broken, Failed, Memory, ProcessMemory, Uncertain
from forwarder.delivery.memory import StoredMemory
from forwarder.places import MOST, Places
from forwarder.store import Store

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory() -> ProcessMemory:
    return ProcessMemory()


def named(place: str, memory: Memory, clock: Clock) -> Places:
    places = Places(place, clock, key="where")
    places.remember(memory)
    return places


def sent(places: Places, outcome: Uncertain | Broken | None = None, **details: str) -> None:
    with suppress(Failed), places.sending(**details):
        _come_to(outcome)


def _come_to(outcome: Uncertain | Broken | None) -> None:
    if outcome:
        raise Failed(outcome)


def former(places: Places, enqueued_at: datetime = START) -> list[str]:
    return [place["place"] for place in places.left_since(enqueued_at)]


def test_every_place_that_something_was_sent_to_is_known(memory: ProcessMemory, clock: Clock) -> None:
    """In whatever way the answer came, and over however many changes; the latest first."""
    sent(named("a", memory, clock))
    sent(named("b", memory, clock), Uncertain("lost"))
    with pytest.raises(KeyboardInterrupt), named("c", memory, clock).sending():
        raise KeyboardInterrupt
    assert former(named("d", memory, clock)) == ["c", "b", "a"]


def test_a_place_that_took_nothing_is_none_to_look_into(memory: ProcessMemory, clock: Clock) -> None:
    """A name that was put right before anything was sent, and one that all was refused for."""
    named("never", memory, clock)
    typo = named("typo", memory, clock)
    for _ in range(2):
        sent(typo, Broken("no such place"))
    assert former(named("right", memory, clock)) == []


@pytest.mark.parametrize("order", [[Uncertain("lost"), Broken("gone")], [Broken("not yet"), None, Broken("gone")]])
def test_a_refusal_says_nothing_of_what_was_sent_before(
    memory: ProcessMemory, clock: Clock, order: list[Uncertain | Broken | None]
) -> None:
    """Also beyond a process."""
    for outcome in order:
        sent(named("a", memory, clock), outcome)
    assert former(named("b", memory, clock)) == ["a"]


def test_a_refusal_says_nothing_of_what_is_under_way(memory: ProcessMemory, clock: Clock) -> None:
    """Two threads send; the process is killed when one has its answer."""
    places = named("a", memory, clock)
    with places.sending():
        sent(places, Broken("refused"))
        assert former(named("b", memory, clock)) == ["a"]


def test_what_is_owed_since_cannot_be_there(memory: ProcessMemory, clock: Clock) -> None:
    """A place that was named again counts until it was left last."""
    for place in ("a", "b"):
        sent(named(place, memory, clock))
    changed = clock()
    assert former(named("c", memory, clock), changed) == ["b"]
    sent(named("a", memory, clock))
    places = named("c", memory, clock)
    assert former(places, changed) == ["a", "b"]
    assert former(places, clock()) == []


def test_a_send_that_a_reload_overtook_is_known_to_its_successor(memory: ProcessMemory, clock: Clock) -> None:
    """It began after the successor took over: both share one memory."""
    before = named("a", memory, clock)
    after = named("b", memory, clock)
    assert former(after) == []
    sent(after, Uncertain("lost"), team="1")
    sent(before, Uncertain("lost"))
    before.mark(team="2")
    assert former(after) == ["a"]
    assert [dict(place, until=0) for place in named("c", memory, clock).left()] == [
        {"place": "b", "team": "1", "until": 0},
        {"place": "a", "until": 0},
    ]


def test_the_places_of_a_connector_that_was_renamed_are_former_ones(tmp_path: Path, clock: Clock) -> None:
    """Its deliveries were handed over, and the new name leads elsewhere."""
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        for place in ("a", "b"):
            sent(named(place, StoredMemory(store.memory, "old"), clock), Uncertain("lost"))
        sent(named("c", StoredMemory(store.memory, "new"), clock))
        store.operations.rename("old", "new")
        assert former(named("c", StoredMemory(store.memory, "new"), clock)) == ["b", "a"]
        assert former(named("d", StoredMemory(store.memory, "new"), clock)) == ["c", "b", "a"]


def test_what_went_to_a_place_that_is_forgotten_cannot_be_looked_for(memory: ProcessMemory, clock: Clock) -> None:
    """Their number has a limit; what is younger than that can still be looked for."""
    for number in range(MOST + 1):
        sent(named(f"place-{number}", memory, clock))
    changed, last = clock(), named("last", memory, clock)
    assert former(last, changed) == [f"place-{MOST}"]
    with pytest.raises(Failed):
        former(last)


@pytest.mark.parametrize("kept", ["C0SECOPS", '{"id": "C0SECOPS", "until": 1}', '[1, {"place": 2}, {"place": "a"}]'])
def test_what_was_kept_in_another_form_is_no_knowledge(clock: Clock, kept: str) -> None:
    """It is passed over."""
    memory = ProcessMemory({"where.left": kept, "where.sent_to": kept, "where": "b"})
    assert former(named("c", memory, clock)) == ["b"]
