"""Reading the feed: against the stand-in for the API, with a real store and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from forwarder.common.clock import instant
from forwarder.config import Config
from forwarder.feed.client import FeedClient, RequestBudget
from forwarder.feed.poller import Poller
from forwarder.feed.reader import Source
from forwarder.sandbox import Sandbox
from forwarder.store import Store
from tests.kit.store import Time, config


@pytest.fixture
def time() -> Time:
    """The time of the poller, the server and the test."""
    return Time()


@pytest.fixture
def sandbox(time: Time) -> Iterator[Sandbox]:
    """The services, with a clock that stands still unless it is moved."""
    with Sandbox(clock=lambda: instant(time.now), limits=False) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open_exclusive(tmp_path / "forwarder.db")
    yield opened
    opened.close()


class MakePoller(Protocol):
    def __call__(self, settings: Config | None = None, asked: Source | None = None) -> Poller: ...


@pytest.fixture
def source(sandbox: Sandbox) -> Iterator[FeedClient]:
    client = FeedClient(sandbox.sentrytex.url, sandbox.sentrytex.token, budget=RequestBudget(limit=1_000_000))
    yield client
    client.close()


@pytest.fixture
def make(source: FeedClient, store: Store, time: Time) -> MakePoller:
    """Makes pollers of the one store, by default of the one source and with every alert owed to secops."""

    def make(settings: Config | None = None, asked: Source | None = None) -> Poller:
        return Poller(settings or config(start_from="now"), asked or source, store, now=time)

    return make


@pytest.fixture
def poller(make: MakePoller) -> Poller:
    """A poller whose first poll, at NOW, found an empty feed."""
    started = make()
    started.poll()
    return started


@pytest.fixture
def early(make: MakePoller) -> Poller:
    """A poller that owes a month, whose first poll, at NOW, found an empty feed."""
    started = make(config(start_from="30d"))
    started.poll()
    return started
