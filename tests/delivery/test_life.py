"""No worker ends unnoticed: it survives what fails, and the dispatcher says whether its workers turn."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.connector import Delivery, Outcome
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.delivery.workers import LOOKS_WITHIN
from forwarder.events import Listener
from forwarder.store import Store
from forwarder.store.outbox import Outbox
from forwarder.store.records import Claimed, State
from forwarder.testing import alert
from tests.kit.core import PATIENCE, Scripted, enqueue, receipt, rows, until

NO_THREADS: Final = """
import resource, sys, time
from pathlib import Path
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.events import Listener
from forwarder.store import Store
from tests.kit.core import Scripted, enqueue, until
from forwarder.testing import alert

store = Store.open_exclusive(Path(sys.argv[1]))
target = Scripted(concurrency=3)
dispatcher = Dispatcher(target, store, now=time.time, random=lambda: 0.5, listener=Listener())
pages = int(Path("/proc/self/statm").read_text().split()[0])
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20, hard))
dispatcher.start()
found = ["alive" if dispatcher.alive(time.monotonic()) else "not alive"]
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
enqueue(store, alert())
dispatcher.wake()
until(lambda: target.sent)
found.append("alive" if dispatcher.alive(time.monotonic()) else "not alive")
dispatcher.stop()
found.append(str(dispatcher.join(10)))
# Only now, when nothing is logged beside it.
print(*found, sep="\\n")
"""
"""A process whose system has no memory for another thread when its workers are to start, and then has."""


class Moody(Outbox):
    """An outbox whose claims fail as often as ``errors`` says, each in its own way."""

    def __init__(self, store: Store, *errors: BaseException) -> None:
        super().__init__(store.engine, store.memory)
        self.errors = list(errors)

    def claim(self, *args: Any, **more: Any) -> list[Claimed]:
        if self.errors:
            raise self.errors.pop(0)
        return super().claim(*args, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def made(target: Scripted, store: Store) -> Dispatcher:
    return Dispatcher(target, store, now=time.time, random=lambda: 0.5, listener=Listener())


def end(dispatcher: Dispatcher) -> None:
    dispatcher.stop()
    assert dispatcher.join(PATIENCE)


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), MemoryError(), SystemExit(), KeyboardInterrupt()])
def test_a_worker_survives_what_the_queue_raises(store: Store, error: BaseException) -> None:
    """Whatever a look at the queue raises, the worker looks again, and what waits goes out."""
    store.outbox = Moody(store, error)
    enqueue(store, alert())
    target = Scripted(concurrency=1)
    dispatcher = made(target, store)
    dispatcher.start()
    until(lambda: len(target.sent) == 1)
    assert dispatcher.alive(time.monotonic())
    end(dispatcher)


class Quits(Scripted):
    """A destination whose connector asks for the end of its thread, once."""

    def deliver(self, delivery: Delivery, payload: Any) -> Outcome:
        if not self.sent:
            self.sent.append(delivery)
            sys.exit()
        return super().deliver(delivery, payload)


def test_a_connector_cannot_end_its_worker(store: Store) -> None:
    """A connector that leaves its thread costs one delivery its lease, and the others go out."""
    enqueue(store, alert(id="first", severity="critical"), alert(id="second", severity="low"))
    target = Quits(concurrency=1)
    dispatcher = made(target, store)
    dispatcher.start()
    until(lambda: len(target.sent) == 2)
    until(lambda: [row.state for row in rows(store)] == [State.SENDING, State.DELIVERED])
    assert dispatcher.alive(time.monotonic())
    end(dispatcher)


def test_workers_that_could_not_be_started_are_started_later(tmp_path: Path) -> None:
    """Where the system has no thread left, that is told, and the next thing to do brings the workers."""
    told = subprocess.run(
        [sys.executable, "-c", NO_THREADS, str(tmp_path / "forwarder.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line for line in told.stdout.splitlines() if "[" not in line] == ["not alive", "alive", "True"]
    assert "worker_not_started" in told.stdout


def test_life_is_workers_that_look(store: Store) -> None:
    """A dispatcher is alive from its start to its end, as long as its workers look at the queue."""
    dispatcher = made(Scripted(), store)
    assert not dispatcher.alive(time.monotonic())
    dispatcher.start()
    assert dispatcher.alive(time.monotonic())
    assert not dispatcher.alive(time.monotonic() + LOOKS_WITHIN + 5)
    end(dispatcher)
    assert not dispatcher.alive(time.monotonic())


def test_a_slow_destination_is_no_sign_of_death(store: Store) -> None:
    """While all workers wait for the destination nobody looks at the queue, for as long as their leases last."""
    under_way, go_on = threading.Event(), threading.Event()

    def slow(delivery: Delivery) -> Outcome:
        under_way.set()
        go_on.wait(PATIENCE)
        return receipt(delivery)

    target = Scripted(concurrency=1, timeout="30s")
    target.answers.append(slow)
    enqueue(store, alert())
    dispatcher = made(target, store)
    dispatcher.start()
    assert under_way.wait(PATIENCE)
    assert dispatcher.alive(time.monotonic() + LOOKS_WITHIN + 5)
    assert not dispatcher.alive(time.monotonic() + 30 * 8 + 60 + 5)
    go_on.set()
    end(dispatcher)


def test_each_delivery_knows_the_alert_s_own_page(store: Store) -> None:
    """Rendering, sending and looking are given its address as it is by then; none where there is none."""
    target, where = Scripted(), list[str | None]()
    dispatcher = Dispatcher(
        target,
        store,
        now=time.time,
        random=lambda: 0.5,
        listener=Listener(),
        page_of=lambda alert_id: f"{where[0]}/{alert_id}" if where[0] else None,
    )
    dispatcher.start()
    try:
        for number, base in enumerate([None, "https://one.example", "https://two.example"]):
            where[:] = [base]
            enqueue(store, alert(id=f"a{number}"))
            dispatcher.wake()
            until(lambda: rows(store)[0].state is State.DELIVERED and len(rows(store)) == len(target.sent))
    finally:
        end(dispatcher)
    assert [delivery.page for delivery in target.sent] == [None, "https://one.example/a1", "https://two.example/a2"]
