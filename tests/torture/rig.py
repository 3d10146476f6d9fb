"""A forwarder in this process, whose time is moved by hand: days of backoff pass in a moment."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import structlog

from forwarder.app import Forwarder
from forwarder.common.clock import Clock
from forwarder.config import Config, load
from forwarder.events import AttemptFinished, Listener
from forwarder.feed.client import FeedClient, RequestBudget
from forwarder.logs import configure
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.records import PollResult
from tests.torture.world import PATIENCE, World

STEP: Final = 2.0
"""Seconds that pass at once while nothing is under way."""
LONGEST: Final = 6 * 3600.0
"""Seconds after which something that is still owed counts as stuck."""

QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    "slack-token": {"max_rate": None},
    "slack-webhook": {"max_rate": None},
    "teams": {"max_rate": None},
    "pagerduty": {"max_rate": None},
    "jira-cloud": {"reconcile_after": ["5s", "20s"]},
    "jira-data-center": {"reconcile_after": ["5s", "20s"]},
    "jira-cloud-text": {"reconcile_after": ["5s", "20s"]},
    "jira-data-center-text": {"reconcile_after": ["5s", "20s"]},
    "github": {"reconcile_after": ["5s", "20s"], "max_rate": None},
    "jsm": {"max_rate": None},
    "webhook": {},
    "email": {},
    "apprise": {"max_rate": None},
}
"""Nothing paces a connector here but what the services answer; Jira's index lags less than the last look."""


class Heard(Listener):
    """Every attempt, in order; at each one the services stop failing, so that a fault lasts for one attempt."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.attempts: list[AttemptFinished] = []
        self._sandbox = sandbox

    def attempt_finished(self, attempt: AttemptFinished) -> None:
        self.attempts.append(attempt)
        for service in self._sandbox.services:
            service.clear_faults()


class Rig:
    """A forwarder with connectors named as the contract's targets, in a world of its own."""

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox,
        names: Iterable[str],
        *,
        settings: Mapping[str, Mapping[str, Any]] = QUICK,
    ) -> None:
        self.sandbox = sandbox
        self.world = World(folder, sandbox, names, settings=settings)
        self.config = load(self.world.config, self.world.env)
        self.store = Store.open_exclusive(self.config.database)
        self.clock = Clock(wall=self.now, uptime=self.now)
        self.forwarder = Forwarder(
            self.config, self.store, clock=self.clock, rng=random.Random(7).random, links_after=0.0
        )
        self.heard = Heard(sandbox)
        self.forwarder.listeners.add(self.heard)
        self.feed = FeedClient(
            sandbox.sentrytex.url,
            sandbox.sentrytex.token,
            budget=RequestBudget(limit=1_000_000),
            timeout=httpx2.Timeout(60.0),
        )
        self.forwarder.feeds["default"].poller.read_from(self.feed)
        self._tick = threading.Event()
        self._log = self.world.log.open("a", encoding="utf-8")
        configure("debug", "json", stream=self._log, redactor=self.forwarder.redactor)

    def __enter__(self) -> Self:
        self.forwarder.start(schedule=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.forwarder.stop()
        self.feed.close()
        self.store.close()
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root = logging.getLogger()
        root.handlers = [handler for handler in root.handlers if getattr(handler, "stream", None) is not self._log]
        self._log.close()

    def now(self) -> float:
        """Seconds since the epoch, by the services' clock."""
        return self.sandbox.clock().timestamp()

    def poll(self) -> PollResult:
        return self.forwarder.poll()

    def settle(self) -> float:
        """Lets time pass until nothing is owed, and returns how many seconds that took."""
        passed = 0.0
        while True:
            if self._quiet():
                if not self.store.queries.outstanding(self.config.connectors):
                    return passed
                assert passed < LONGEST, f"still owed: {self.store.queries.queues(self.config.connectors)}"
                self.advance(STEP)
                passed += STEP
            self._tick.wait(0.001)

    def until(self, what: Callable[[], object]) -> None:
        """Waits until ``what`` holds, without letting time pass for the forwarder."""
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, "in vain"
            self._tick.wait(0.001)

    def advance(self, seconds: float) -> None:
        """Lets time pass, and those look who wait for it."""
        self.sandbox.clock.advance(seconds)
        for dispatcher in self.forwarder.dispatchers.values():
            dispatcher.wake()

    def config_with(self, old: str, new: str) -> Config:
        """The config with one address in place of another."""
        text = self.world.config.read_text("utf-8")
        other = self.world.config.with_name("other.yaml")
        other.write_text(text.replace(old, new), "utf-8")
        return load(other, {name: value.replace(old, new) for name, value in self.world.env.items()})

    def _quiet(self) -> bool:
        # Twice, for one may owe a link to another that was asked before it.
        return all(dispatcher.is_drained(0.0) for dispatcher in list(self.forwarder.dispatchers.values()) * 2)
