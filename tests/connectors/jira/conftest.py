"""Jira connectors to the sandbox, for every test of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.jira import Jira
from forwarder.sandbox import Sandbox
from tests.connectors.jira.kit import config


@pytest.fixture(params=["cloud", "data-center"])
def connect(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Callable[..., Jira]]:
    """Makes connectors to the sandbox's Jira, once as Cloud and once as Data Center."""
    made: list[Jira] = []

    def connect(now: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: Any) -> Jira:
        email = sandbox.jira.email if request.param == "cloud" else None
        settings = {"url": sandbox.jira.url, "email": email, "token": sandbox.jira.token}
        made.append(Jira("tickets", config(**{**settings, **changes}), now=now))
        return made[-1]

    yield connect
    for jira in made:
        jira.close()


@pytest.fixture
def jira(connect: Callable[..., Jira]) -> Jira:
    return connect()


@pytest.fixture
def offline() -> Iterator[Jira]:
    """A connector that only renders."""
    with closing(Jira("tickets", config())) as jira:
        yield jira
