"""Connectors that look at a Jira whose clock stands still unless it is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from connectors.jira import Jira
from forwarder.sandbox import Sandbox
from forwarder.testing import delivery
from tests.connectors.jira.kit import MINUTE, Looks, opened


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Its clock stands still unless it is moved."""
    with Sandbox(clock=lambda: datetime(2026, 3, 2, 12, 0, tzinfo=UTC), limits=False) as running:
        yield running


@pytest.fixture
def connect(connect: Callable[..., Jira], sandbox: Sandbox) -> Callable[..., Jira]:
    """Makes connectors whose clock is the sandbox's."""
    return lambda **changes: connect(**{"now": sandbox.clock, **changes})


@pytest.fixture
def ticket(jira: Jira, sandbox: Sandbox) -> str:
    """A ticket, seen as it was created."""
    key = opened(jira, delivery()).remote_id
    sandbox.clock.advance(MINUTE)
    return key


@pytest.fixture
def look(jira: Jira, sandbox: Sandbox) -> Looks:
    return Looks(jira, sandbox)
