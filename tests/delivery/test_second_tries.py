"""What people ask for makes no second message: what may be there is looked for, whatever the command was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from forwarder.connector import Receipt
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.events import Listener
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow
from forwarder.store.records import State
from forwarder.testing import Target, alert
from tests.kit import core
from tests.kit.contract import TARGETS
from tests.kit.store import routed

HOUR: Final = 3600.0
LOST: Final = Fault(kind=FaultKind.RESET_AFTER)
"""The service did what it was asked to do, and nobody knows."""
GONE: Final = Fault(kind=FaultKind.RESET_BEFORE)
"""It did not, and nobody knows that either."""
LOOKING: Final = [target for target in TARGETS if target.find_path]
"""The destinations that can be asked."""


class Desk:
    """One delivery, a destination, and a person who is asked to decide. ``turn`` is one life of a process."""

    def __init__(self, store: Store, sandbox: Sandbox, target: Target[Sandbox]) -> None:
        self.store, self.sandbox, self.target = store, sandbox, target
        self.time = core.Time()
        self.now = self.time.clock()
        self.alert = alert(id=f"{target.name}-1", title=f"Trouble at {target.name}")
        self.name = "target"
        store.feed.commit_page([routed(self.alert, self.name)], now=time.time())

    @property
    def row(self) -> DeliveryRow:
        (row,) = core.rows(self.store)
        return row

    @property
    def there(self) -> int:
        """How often the alert stands at the destination."""
        return self.target.count(self.sandbox, self.alert)

    def turn(self, *faults: Fault, after: float = 0.0, path: str | None = None) -> None:
        """Delivers what is due ``after`` seconds from now, while ``faults`` strike."""
        self.time.pass_(after)
        for fault in faults:
            path = self.target.send if path is None else path
            self.target.service(self.sandbox).inject(
                Fault(kind=fault.kind, status=fault.status, path=path, times=fault.times)
            )
        made = self.target.connect(self.sandbox, give_up_after="2h")
        connector = type(made)(self.name, made.config)
        made.close()
        dispatcher = Dispatcher(connector, self.store, now=self.now, random=lambda: 0.5, listener=Listener())
        dispatcher.start()
        core.until(lambda: dispatcher.is_drained(0.0))
        dispatcher.stop()
        assert dispatcher.join(core.PATIENCE)
        self.target.service(self.sandbox).clear_faults()

    def turns(self) -> None:
        """Goes on until it is settled."""
        for _ in range(6):
            self.turn(after=HOUR / 6)
        assert self.row.state.settled

    def crash(self) -> None:
        """A process claims what is due, and dies; the next one finds it."""
        assert self.store.outbox.claim(self.name, 1, now=self.now(), lease=60)
        self.store.outbox.reclaim_expired(now=self.now(), due_at={}, all_claims=True)

    def send_unseen(self) -> None:
        """The alert arrives, nobody learns of it, and it becomes a dead letter."""
        self.turn(LOST)
        assert (self.there, self.row.state) == (1, State.UNCERTAIN)
        refused = Fault(kind=FaultKind.STATUS, status=500, times=None)
        for _ in range(8):
            self.turn(refused, after=HOUR, path=self.target.find_path)
        assert self.row.state is State.DEAD

    def retry(self) -> int:
        return self.store.operations.retry([self.row.id], now=self.now())

    def replay(self) -> int:
        return self.store.operations.replay([self.alert.id], [self.name], why="replayed", now=self.now())


@pytest.fixture(params=LOOKING, ids=[target.name for target in LOOKING])
def desk(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[Desk]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        yield Desk(store, sandbox, request.param)


def given_up_in_doubt(desk: Desk) -> None:
    """It was given up while it could not be looked for."""
    desk.send_unseen()


def given_up_by_the_doubt(desk: Desk) -> None:
    """The attempt by which it was given up is the one of which nobody knows what it did."""
    desk.turn(Fault(kind=FaultKind.STATUS, status=429))
    desk.store.engine.write(
        lambda connection: connection.execute("UPDATE deliveries SET failing_since = ?", (desk.now() - 3 * HOUR,))
    )
    desk.turn(LOST, after=HOUR)


def died_with_its_process(desk: Desk) -> None:
    """The process died after it had sent it, and the next one could not look for it until it was given up."""
    (claimed,) = desk.store.outbox.claim(desk.name, 1, now=desk.now(), lease=60)
    connector = desk.target.connect(desk.sandbox)
    connector.deliver(claimed.delivery, connector.render(claimed.delivery))
    connector.close()
    desk.store.outbox.reclaim_expired(now=desk.now(), due_at={}, all_claims=True)
    for _ in range(8):
        desk.turn(Fault(kind=FaultKind.STATUS, status=500, times=None), after=HOUR, path=desk.target.find_path)


ENDS: Final = (given_up_in_doubt, given_up_by_the_doubt, died_with_its_process)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("verb", [Desk.retry, Desk.replay])
def test_what_may_be_there_is_looked_for(desk: Desk, end: Callable[[Desk], None], verb: Callable[[Desk], int]) -> None:
    """A dead letter that may have arrived is found, days later too, and not sent a second time."""
    end(desk)
    assert (desk.there, desk.row.state) == (1, State.DEAD)
    desk.time.pass_(72 * HOUR)
    assert verb(desk) == 1
    assert desk.row.state is State.UNCERTAIN
    desk.turns()
    assert (desk.there, desk.row.state) == (1, State.DELIVERED)
    assert desk.row.last == "It was there already."


@pytest.mark.parametrize("verb", [Desk.retry, Desk.replay])
def test_what_is_not_there_is_sent_once_it_was_looked_for(desk: Desk, verb: Callable[[Desk], int]) -> None:
    """A dead letter of which nobody knew, and which did not arrive, is sent after the last look."""
    desk.turn(GONE)
    for _ in range(8):
        desk.turn(Fault(kind=FaultKind.STATUS, status=500, times=None), after=HOUR, path=desk.target.find_path)
    assert (desk.there, desk.row.state) == (0, State.DEAD)
    assert verb(desk) == 1
    desk.turns()
    assert (desk.there, desk.row.state) == (1, State.DELIVERED)


def test_what_was_refused_is_sent_at_once(desk: Desk) -> None:
    """A dead letter that the destination refused cannot be there: a retry does not wait for any look."""
    desk.turn(Fault(kind=FaultKind.STATUS, status=413, times=None))
    assert desk.row.state == "dead"
    assert desk.retry() == 1
    assert desk.row.state == "ready"
    desk.turn()
    assert (desk.there, desk.row.state) == (1, State.DELIVERED)


def repeats(desk: Desk) -> int:
    """How often it stands there after it was sent twice on purpose: a ticket is found by its label."""
    return 2 if desk.target.kind == "slack" else 1


@pytest.mark.parametrize("fault", [LOST, GONE])
def test_a_repetition_in_doubt_comes_exactly_once(desk: Desk, fault: Fault) -> None:
    """What is sent again on purpose is not taken for the message that it repeats, nor sent a third time."""
    desk.turn()
    before = desk.row.receipt
    assert desk.replay() == 1
    desk.turn(fault)
    desk.turns()
    assert (desk.there, desk.row.state) == (repeats(desk), State.DELIVERED)
    assert isinstance(desk.row.receipt, Receipt)
    assert (desk.row.receipt == before) == (repeats(desk) == 1)


def test_a_crash_in_the_middle_of_a_repetition(desk: Desk) -> None:
    """A process that dies over a repetition leaves it to the next one, which sends it once."""
    desk.turn()
    for number in range(2, 4):
        assert desk.replay() == 1
        desk.crash()
        desk.turns()
        assert desk.there == (number if repeats(desk) == 2 else 1)


def test_a_repetition_that_died_in_doubt_is_looked_for(desk: Desk) -> None:
    """A retry of a repetition finds that, and not the message from before."""
    desk.turn()
    assert desk.replay() == 1
    desk.turn(LOST)
    for _ in range(8):
        desk.turn(Fault(kind=FaultKind.STATUS, status=500, times=None), after=HOUR, path=desk.target.find_path)
    if desk.row.state is State.DEAD:  # Jira finds the ticket before it creates one
        assert desk.retry() == 1
    desk.turns()
    assert (desk.there, desk.row.state) == (repeats(desk), State.DELIVERED)


def test_a_renamed_connector_finds_what_was_sent_under_its_old_name(desk: Desk) -> None:
    """A message that may have gone out before a connector was renamed is looked for by the mark that it then got."""
    desk.turn(LOST)
    assert desk.store.operations.rename("target", "renamed") == 1
    desk.name = "renamed"
    desk.turns()
    assert (desk.there, desk.row.state, desk.row.last) == (1, State.DELIVERED, "It was there already.")


def test_what_was_discarded_in_doubt_is_looked_for(desk: Desk) -> None:
    """A replay of what was discarded without knowing whether it had arrived makes no second one."""
    desk.turn(LOST)
    assert desk.store.operations.discard([desk.row.id]) == 1
    assert desk.replay() == 1
    desk.turns()
    assert (desk.there, desk.row.state) == (1, State.DELIVERED)


def test_what_was_discarded_in_doubt_is_found_under_another_name(desk: Desk) -> None:
    """Discarded, renamed, replayed: it is looked for by the mark that it got at first."""
    desk.turn(LOST)
    desk.store.operations.discard([desk.row.id])
    desk.store.operations.rename("target", "renamed")
    desk.name = "renamed"
    assert desk.replay() == 1
    desk.turns()
    assert (desk.there, desk.row.state) == (1, State.DELIVERED)
