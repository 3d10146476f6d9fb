"""A daemon with tickets, as users run it: the alert follows its ticket, and the ticket the alert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.app import Forwarder
from forwarder.connector import Action, Resolution, Status
from forwarder.sandbox import Sandbox
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
