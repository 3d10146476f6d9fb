"""An alert that stands at a destination and at a console, with the store between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.console import Console, ConsoleConfig
from forwarder.connector import Action, Connector, Delivered, Kind, Response, Status
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.enqueue import enqueue as owe
from forwarder.store.query_records import AlertHistory
from forwarder.testing import alert
from tests.kit.store import claim, config, delivered, enqueue, rows, settle

MINUTE = 60.0


class House:
    """The alert ``a`` at ``connector``, in the time of the sandbox. ``looks_first``: before it is brought there."""

    def __init__(self, store: Store, connector: Connector[Any], sandbox: Sandbox, *, looks_first: bool = False) -> None:
        self.store, self.sandbox = store, sandbox
        self._connector = connector
        console = Console("secops", ConsoleConfig(type="console"))
        self.responses = Responses(
            store,
            Mutes(store, config(), now=self.now, wake=lambda _: None),
            now=self.now,
            connectors=lambda: {connector.name: connector, "secops": console},
            wake=lambda _: None,
            listener=Listener(),
        )
        if looks_first:
            self._look()
        enqueue(store, alert(id="a"), connector.name, "secops", now=self.now())
        settle(store, claim(store, "secops", now=self.now()), delivered("line"), now=self.now())
        self.deliver()

    def now(self) -> float:
        return self.sandbox.clock().timestamp()

    def deliver(self, meanwhile: Callable[[], object] = lambda: None) -> Kind | None:
        """Brings there what is owed next, ``meanwhile`` before it arrives; None where nothing is."""
        found = self.store.outbox.claim(self._connector.name, 1, now=self.now(), lease=MINUTE)
        if not found:
            return None
        payload = self._connector.render(found[0].delivery)
        self.sandbox.clock.advance(1)
        meanwhile()
        self.sandbox.clock.advance(1)
        outcome = self._connector.deliver(found[0].delivery, payload)
        assert isinstance(outcome, Delivered), outcome
        settle(self.store, found[0], delivered(outcome.receipt.remote_id), now=self.now())
        return found[0].delivery.kind

    def look(self) -> Status:
        """Looks there a minute later, and tells how the alert stands then."""
        self._look()
        return self.status

    def _look(self) -> None:
        self.sandbox.clock.advance(MINUTE)
        self.responses.look(self._connector.name)
        assert self.store.lifecycle.look_of(self._connector.name).error is None

    def respond(self, action: Action) -> None:
        """What a person decides on the status page."""
        self.sandbox.clock.advance(1)
        self.responses.respond("a", action, person="Cem")

    def owe(self, kind: Kind) -> None:
        """Owes the destination something that nobody decided."""
        to = self._connector.name
        self.store.engine.write(
            lambda connection: owe(connection, "a", to, kind, revision=1, why="it waits", now=self.now())
        )

    def owed(self) -> list[tuple[str, str]]:
        """Who is owed what."""
        found = rows(self.store, "SELECT connector, kind FROM deliveries WHERE state = 'ready'")
        return [(str(connector), str(kind)) for connector, kind in found]

    @property
    def status(self) -> Status:
        return self._history().row.status

    @property
    def told(self) -> list[Response]:
        return list(self._history().responses)

    def _history(self) -> AlertHistory:
        history = self.store.queries.history("a")
        assert history is not None
        return history
