"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from forwarder.sandbox import Sandbox
from tests.kit import postgres

# A check that CI made must be the check that anyone makes again; `make torture` is where new examples are sought.
# Nor does it depend on how fast the machine makes examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _log_settings() -> Iterator[None]:
    """What a command sets up for its log, its level above all, is gone with its test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Stand-ins for the four services, without rate limits, so that no test has to wait for one."""
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server that lasts for all tests; skipped with the reason where there can be none."""
    with postgres.server() as running:
        yield running
