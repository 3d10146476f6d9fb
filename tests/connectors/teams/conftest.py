from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from connectors.teams import Teams
from forwarder.sandbox import Sandbox
from tests.connectors.teams.kit import connect


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """One for all, with the workflow as it should be."""
    running.teams.clear_faults()
    running.teams.restore()
    running.teams.cards.clear()
    running.teams.failed.clear()
    return running


@pytest.fixture
def teams(sandbox: Sandbox) -> Iterator[Teams]:
    with closing(connect(sandbox)) as made:
        yield made
