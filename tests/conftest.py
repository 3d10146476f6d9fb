"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwarder.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Stand-ins for the four services, without rate limits, so that no test has to wait for one."""
    with Sandbox(limits=False) as running:
        yield running
