"""All that people do with alerts and all that waits for its time, put together for one forwarder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from forwarder.common.clock import Now
from forwarder.config import Config
from forwarder.connector import Connector
from forwarder.events import Listener
from forwarder.lifecycle.held import Held
from forwarder.lifecycle.mutes import Mutes
from forwarder.lifecycle.reminders import Reminders
from forwarder.lifecycle.reports import Reports
from forwarder.lifecycle.responses import Responses
from forwarder.store import Store


class Life:
    """The parts of an alert's life, over one store and one config.

    ``connectors`` gives those in use, by name, whenever it is called; ``wake`` tells connectors that they are owed
    something.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        now: Now,
        connectors: Callable[[], Mapping[str, Connector[Any]]],
        wake: Callable[[Collection[str]], None],
        listener: Listener,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.mutes = Mutes(store, config, now=now, wake=wake)
        self.responses = Responses(
            store, self.mutes, now=now, connectors=connectors, wake=wake, listener=listener, redact=redact
        )
        self.reminders = Reminders(store, config, now=now, connectors=connectors, wake=wake)
        self.reports = Reports(store, config, now=now, connectors=connectors, wake=wake)
        self.held = Held(store, config, now=now, wake=wake, hush=self.mutes.hush_new)

    def use(self, config: Config) -> None:
        """Goes by another config from now on."""
        for part in (self.mutes, self.held, self.reminders, self.reports):
            part.use(config)
