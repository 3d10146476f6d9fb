"""The dispatchers of a config: one for each connector that this process has, made, replaced and laid down."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from forwarder.common.clock import Now
from forwarder.config import Config
from forwarder.connector import Connector, Delivery
from forwarder.delivery.connectors import connectors_of, give_memory
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.delivery.leaving import Leaving
from forwarder.events import Listener
from forwarder.replicas.roles import of_connector
from forwarder.store import Store

Guards = Callable[[str], Callable[[], bool] | None]
"""By a role, what says whether requests may go out for it; None where nobody else could have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What each dispatcher is given; see there."""

    now: Now
    random: Callable[[], float]
    listener: Listener
    redact: Callable[[str], str]
    owners: Callable[[str, Delivery], tuple[BaseModel, ...]]
    """Who must act, by the type of a connector."""
    links_after: float
    page_of: Callable[[str], str | None]
    guards: Guards


class Dispatchers:
    """Those that deliver, and those that end."""

    def __init__(self, store: Store, means: Means) -> None:
        self._store, self._means = store, means
        self.connectors: dict[str, Connector[Any]] = {}
        """All of the config, whoever has them."""
        self.running: dict[str, Dispatcher] = {}
        self.leaving: list[Leaving] = []
        """Those that were replaced or laid down, while they still send."""

    def prepare(self, config: Config) -> list[Connector[Any]]:
        """The connectors of ``config``, with those in use that are the same; raises what their code does."""
        return connectors_of(config, self.in_use(), self._means.listener)

    def in_use(self) -> dict[str, Connector[Any]]:
        """The connectors of the config of now, by name."""
        return self.connectors | {name: dispatcher.connector for name, dispatcher in self.running.items()}

    def use(self, connectors: Iterable[Connector[Any]], names: Collection[str], *, taken: bool = False) -> None:
        """Those of ``connectors`` in ``names`` deliver, and no others: each new one takes over at once from its like.

        ``taken`` says that another process may have been sending there just now.
        """
        named = {connector.name: connector for connector in connectors}
        followers = [name for name, connector in named.items() if connector.follows_links]
        before, after, unused = self.running, {}, self.connectors
        for name, connector in named.items():
            if name in names:
                known = before.get(name)
                goes_on = known is not None and known.connector is connector
                after[name] = known if known and goes_on else self._make(connector, followers)
        leaving = [dispatcher for dispatcher in before.values() if dispatcher is not after.get(dispatcher.name)]
        self.leaving += [Leaving(dispatcher) for dispatcher in leaving]
        for dispatcher in leaving:
            dispatcher.stop()
        self.connectors, self.running = named, after
        for name, dispatcher in after.items():
            if dispatcher is before.get(name):
                dispatcher.followers = followers
                dispatcher.recall()
            else:
                # Not when it is made: a reload that is refused must leave what the connector of today keeps as it is.
                give_memory(dispatcher.connector, self._store.acting_as(of_connector(name)).memory)
                dispatcher.start(before.get(name), taken=taken)
        for name, connector in unused.items():
            if name not in before and connector is not named.get(name):
                connector.close()

    def take(self, names: Collection[str], *, shared: bool) -> None:
        """These deliver as well; where the work is ``shared``, another process may have until now."""
        if names:
            self.use(self.connectors.values(), {*self.running, *names}, taken=shared)

    def lay_down(self, name: str, config: Config, *, lost: bool) -> None:
        """It claims nothing more; where its role was lost, nobody waits for what it sends."""
        dispatcher = self.running.get(name)
        if dispatcher is None:
            return
        self.running = {other: known for other, known in self.running.items() if other != name}
        self.leaving.append(Leaving(dispatcher))
        dispatcher.stop()
        if lost:
            dispatcher.abandon()
        # Its connector is closed once it has ended: it may come back, and others are told of what this one can do.
        self.connectors = {other: known for other, known in self.connectors.items() if other != name}
        self.connectors = {connector.name: connector for connector in self.prepare(config)}

    def has_ended(self, name: str) -> bool:
        """Whether nothing is under way any more of what was laid down under this name."""
        now = time.monotonic()
        ending = [leaving for leaving in self.leaving if leaving.dispatcher.name == name]
        return all(leaving.is_over(now) for leaving in ending)

    def tend(self) -> None:
        """Starts what is missing, and closes what has ended."""
        for dispatcher in self.running.values():
            dispatcher.tend()
        self.leaving = [leaving for leaving in self.leaving if not leaving.is_over(time.monotonic())]

    def wake(self, names: Iterable[str]) -> Collection[str]:
        """Those of ``names`` are told that they are owed something; returns those that are not here."""
        away = []
        for name in names:
            if (dispatcher := self.running.get(name)) is None:
                away.append(name)
            else:
                dispatcher.wake()
        return away

    def stalled(self) -> list[str]:
        """What of them does not turn any more, in sentences."""
        now = time.monotonic()
        return [
            f"The workers of {name} do not turn: the log says why. Restart the forwarder."
            for name, dispatcher in list(self.running.items())
            if not dispatcher.alive(now)
        ]

    def shift_deadlines(self, seconds: float) -> None:
        """Moves what they keep in memory of deadlines along with a clock that was set."""
        for dispatcher in self.running.values():
            dispatcher.shift_deadlines(seconds)

    def stop(self, timeout: float) -> bool:
        """Lets what is being sent end; whether all of it did."""
        dispatchers = [*self.running.values(), *(leaving.dispatcher for leaving in self.leaving)]
        for dispatcher in dispatchers:
            dispatcher.stop()
        end = time.monotonic() + timeout
        # Each is asked, even after one that did not end: all must learn that the time is over.
        ended = [dispatcher.join(max(end - time.monotonic(), 0.0)) for dispatcher in dispatchers]
        return all(ended)

    def _wake_here(self, names: Collection[str]) -> None:
        # A link waits for longer than another replica needs to look by itself.
        self.wake(names)

    def _make(self, connector: Connector[Any], followers: list[str]) -> Dispatcher:
        means, role = self._means, of_connector(connector.name)
        return Dispatcher(
            connector,
            self._store.acting_as(role),
            now=means.now,
            random=means.random,
            listener=means.listener,
            followers=followers,
            wake=self._wake_here,
            redact=means.redact,
            owners=partial(means.owners, connector.config.type),
            links_after=means.links_after,
            page_of=means.page_of,
            guard=means.guards(role),
        )
