"""A server that misbehaves for its replicas: full, locked, out of connections, silent, at odds with itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import PATIENCE, Process, until
from tests.kit.postgres import Proxy, Server, server
from tests.kit.replicas import LEASE, Replicas
from tests.kit.thorough import beyond
from tests.test_end_to_end import expected, there
from tests.test_postgres import delivered
from tests.test_replicas import alerts_of

_FAILS: Final = """
CREATE SEQUENCE forwarder.failures_made;
CREATE FUNCTION forwarder.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('forwarder.failures_made') % {every} = 0 THEN
    RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER fail AFTER INSERT OR UPDATE ON forwarder.{table} FOR EACH STATEMENT EXECUTE FUNCTION forwarder.fail()
"""
_WELL: Final = "DROP FUNCTION forwarder.fail() CASCADE; DROP SEQUENCE forwarder.failures_made"
_LEAVE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sentrytex-forwarder'
"""


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of its own, with no room for many connections: what befalls it befalls no other test."""
    with server(["max_connections=30"]) as running:
        yield running


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Sandbox, own: Server) -> Iterator[Replicas]:
    with Replicas(tmp_path, sandbox, own, own.new_store()) as started:
        yield started


@contextmanager
def failing(replicas: Replicas, code: str, *, every: int = 1, table: str = "deliveries") -> Iterator[None]:
    replicas.query(_FAILS.format(code=code, every=every, table=table))
    yield
    replicas.query(_WELL)


@contextmanager
def locked(replicas: Replicas, *tables: str) -> Iterator[None]:
    """Somebody else has a transaction open that lets nobody at these, locked in the order in which all lock them."""
    with psycopg.connect(replicas.address.url) as connection:
        for table in tables:
            connection.execute(f"LOCK TABLE forwarder.{table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


@contextmanager
def crowded(replicas: Replicas) -> Iterator[None]:
    """Others have all connections that there are."""
    with ExitStack() as stack:

        def fill() -> None:
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(replicas.address.url))

        fill()
        replicas.query(_LEAVE)
        fill()
        yield


Made = Callable[[Replicas], AbstractContextManager[None]]
TROUBLES: Final[dict[str, tuple[Made, str]]] = {
    "the disk is full": (lambda replicas: failing(replicas, "53100"), "disk of the server is full"),
    "it takes no writes": (lambda replicas: failing(replicas, "25006"), "takes no writes"),
    "deliveries are locked": (lambda replicas: locked(replicas, "deliveries"), "holds it for too long"),
    "roles are locked": (lambda replicas: locked(replicas, "replicas", "leases"), "took too long"),
    "there is no connection left": (crowded, "takes no more connections"),
}


def ends_well(replicas: Replicas, processes: list[Process], outstanding: object) -> None:
    """All arrives, once; nobody crashed, and nothing was logged as unforeseen."""
    until(lambda: delivered(replicas.server, replicas.address) == outstanding, PATIENCE * 3)
    assert there(replicas.sandbox) == outstanding + delivered(replicas.server, replicas.address, "alarm")  # type: ignore[operator]
    replicas.until_spread(*processes)
    assert ["Traceback" in process.log for process in processes] == [False] * len(processes)


@pytest.mark.parametrize("name", beyond(["it takes no writes"], TROUBLES))
def test_a_server_in_trouble_is_told_of_and_outlived(replicas: Replicas, sandbox: Sandbox, name: str) -> None:
    """However long it lasts: one sentence says what is wrong, and once that is over everything arrives once."""
    make, sentence = TROUBLES[name]
    alerts = alerts_of(60)
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    sandbox.sentrytex.publish(*alerts[:30])
    until(lambda: delivered(replicas.server, replicas.address).total() > 5)
    with make(replicas):
        sandbox.sentrytex.publish(*alerts[30:])
        until(lambda: any(sentence in process.log for process in started), PATIENCE * 2)
        threading.Event().wait(LEASE)  # what happens in a trouble that lasts longer than leases do
    ends_well(replicas, started, expected(alerts))


@pytest.mark.parametrize("code", beyond(["40001"], ["40P01", "40001"]))
def test_conflicts_are_tried_again(replicas: Replicas, sandbox: Sandbox, code: str) -> None:
    """A deadlock or a serialization failure is over with the next try, and nobody is told."""
    alerts = alerts_of(40)
    started = [replicas.start(), replicas.start()]
    replicas.until_spread(*started)
    with failing(replicas, code, every=3, table="marks"):
        sandbox.sentrytex.publish(*alerts)
        ends_well(replicas, started, expected(alerts))
    assert [process.logged("store_failed") for process in started] == [[], []]


@pytest.mark.thorough
def test_connections_that_die_in_silence_are_given_up(replicas: Replicas, sandbox: Sandbox, own: Server) -> None:
    """What answers nothing and ends nothing, as a pooler that stands still, holds nobody up for long."""
    alerts = alerts_of(40)
    proxy = Proxy(own)
    started = [replicas.start(), replicas.start(via=proxy.address(replicas.address))]
    replicas.until_spread(*started)
    sandbox.sentrytex.publish(*alerts[:20])
    until(lambda: delivered(own, replicas.address).total() > 5)
    proxy.swallow()
    sandbox.sentrytex.publish(*alerts[20:])
    until(
        lambda: any("gave no answer" in line["reason"] for line in started[1].logged("lease_not_renewed")), PATIENCE * 2
    )
    ends_well(replicas, started, expected(alerts))
    proxy.close()
