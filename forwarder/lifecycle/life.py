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
from forwarder.logs import get_logger
from forwarder.replicas.roles import SCHEDULER, UPKEEP
from forwarder.store import Store

log = get_logger(__name__)


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
        self._kept, self._now = store.acting_as(UPKEEP).retention, now
        self.mutes = Mutes(store, config, now=now, wake=wake)
        self.responses = Responses(
            store, self.mutes, now=now, connectors=connectors, wake=wake, listener=listener, redact=redact
        )
        waiting = store.acting_as(SCHEDULER)
        self.reminders = Reminders(waiting, config, now=now, connectors=connectors, wake=wake)
        self.reports = Reports(waiting, config, now=now, connectors=connectors, wake=wake)
        self.held = Held(waiting, config, now=now, wake=wake, hush=self.mutes.hush_new)

    def use(self, config: Config) -> None:
        """Goes by another config from now on."""
        for part in (self.mutes, self.held, self.reminders, self.reports):
            part.use(config)

    def forget(self, config: Config) -> None:
        """Forgets what is older than ``keep``."""
        self.responses.forget()
        now = self._now()
        keep = max(config.keep, config.sentrytex.look_back).total_seconds()
        look_back = (config.sentrytex.look_back + config.sentrytex.overlap).total_seconds()
        accounts, removed = tuple(config.sentrytex.keys), 0
        while batch := self._kept.prune(
            seen_before=now - keep, published_before=now - look_back, overlap=look_back, accounts=accounts
        ):
            removed += batch
        if removed:
            log.info("pruned", alerts=removed)
