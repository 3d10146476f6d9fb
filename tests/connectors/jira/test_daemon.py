"""A daemon with tickets, as users run it: the alert follows its ticket, and the ticket the alert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forwarder.app import Forwarder
from forwarder.connector import Action, Resolution, Status
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.store.records import State
from tests.connectors.jira.kit import comments
from tests.kit.core import loaded, recent, rows, settings, until


@pytest.fixture
def running(tmp_path: Path, sandbox: Sandbox) -> Iterator[Forwarder]:
    config = settings(sandbox)
    config["connectors"]["tickets"] |= {"on_resolve": "close", "sync_every": "1s"}
    sandbox.sentrytex.publish(recent(1))
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        forwarder = Forwarder(loaded(tmp_path, sandbox, config), store)
        forwarder.start()
        try:
            yield forwarder
        finally:
            forwarder.stop(5)


def status(forwarder: Forwarder, alert_id: str) -> Status:
    history = forwarder.store.queries.history(alert_id)
    return Status.OPEN if history is None else history.row.status


def test_an_alert_and_its_ticket_go_through_life_together(running: Forwarder, sandbox: Sandbox) -> None:
    alert_id = str(recent(1)["id"])
    until(lambda: [row.state for row in rows(running.store, "tickets")] == [State.DELIVERED])
    sandbox.jira.assign("SEC-1", "alice")
    sandbox.jira.move("SEC-1", "indeterminate", by="alice")
    until(lambda: status(running, alert_id) is Status.ACKNOWLEDGED)
    # Jira tells its time in whole seconds: within the same one, Alice's move would count as the later decision.
    sandbox.clock.advance(1)
    running.life.responses.respond(alert_id, Action.RESOLVE, person="Cem", resolution=Resolution.NOT_AFFECTED)
    until(lambda: comments(sandbox))
    assert sandbox.jira.issues["SEC-1"]["status"].category == "done"
    assert "Resolved (not affected) by Cem via the status page" in comments(sandbox)[0]
    sandbox.jira.move("SEC-1", "new", by="bob")
    until(lambda: status(running, alert_id) is Status.OPEN)
    history = running.store.queries.history(alert_id)
    assert history is not None
    assert [(one.action, one.person) for one in history.responses] == [
        (Action.ACKNOWLEDGE, "Alice Example"),
        (Action.RESOLVE, "Cem"),
        (Action.REOPEN, "Bob Example"),
    ]
    assert len(comments(sandbox)) == 1


@contextmanager
def assembled(folder: Path, sandbox: Sandbox, identity: str, database: str) -> Iterator[Forwarder]:
    """A daemon with tickets alone, on a site that has the field Labels only where they are the identity."""
    sandbox.jira.project.hidden_fields = set() if identity == "label" else {"labels"}
    config = settings(sandbox)
    config["connectors"] = {"tickets": {**config["connectors"]["tickets"], "identity": identity, "labels": []}}
    config["routes"] = [{"to": ["tickets"]}]
    config["alarms"] = {"to": []}
    with Store.open_exclusive(folder / database) as store:
        forwarder = Forwarder(loaded(folder, sandbox, config), store)
        forwarder.start(schedule=False)
        try:
            yield forwarder
        finally:
            forwarder.stop(0.1)
    sandbox.jira.let_go()


def bring(forwarder: Forwarder, sandbox: Sandbox, *numbers: int) -> None:
    """New alerts, until each has its ticket, and the daemon knows."""
    sandbox.sentrytex.publish(*map(recent, numbers))
    forwarder.poll()
    until(lambda: {row.state for row in rows(forwarder.store, "tickets")} == {State.DELIVERED})


def lose(forwarder: Forwarder, sandbox: Sandbox, number: int) -> None:
    """A new alert whose ticket is created, and the daemon ends before it knows."""
    sandbox.jira.inject(Fault(kind=FaultKind.TIMEOUT_AFTER, seconds=3600, path="POST /rest/api/3/issue"))
    before = len(sandbox.jira.issues)
    sandbox.sentrytex.publish(recent(number))
    forwarder.poll()
    until(lambda: len(sandbox.jira.issues) == before + 1)


def test_the_identity_can_be_changed_with_tickets_under_way(tmp_path: Path, sandbox: Sandbox) -> None:
    """From labels to text, back, and to text with an empty database: each alert has one ticket, that of its first."""
    with assembled(tmp_path, sandbox, "label", "forwarder.db") as forwarder:
        bring(forwarder, sandbox, 1)
        lose(forwarder, sandbox, 2)
    with assembled(tmp_path, sandbox, "text", "forwarder.db") as forwarder:
        bring(forwarder, sandbox, 3)
        lose(forwarder, sandbox, 4)
    with assembled(tmp_path, sandbox, "label", "forwarder.db") as forwarder:
        bring(forwarder, sandbox, 5)
        receipts = {row.alert_id: row.receipt for row in rows(forwarder.store, "tickets")}
    with assembled(tmp_path, sandbox, "text", "another.db") as forwarder:
        bring(forwarder, sandbox)
        assert {row.alert_id: row.receipt for row in rows(forwarder.store, "tickets")} == receipts
    assert len(receipts) == len(sandbox.jira.issues) == 5
