from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from connectors.github import GitHub
from forwarder.sandbox import Sandbox
from tests.connectors.github.kit import github


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """One for all, with an empty repository, an hour later: no limit is met by what another test sent."""
    service = running.github
    service.clear_faults()
    service.restore()
    service.issues.clear()
    service.labels.clear()
    service.gone.clear()
    service.locked.clear()
    running.clock.advance(3601)
    return running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[..., GitHub]]:
    """Makes connectors to the sandbox's GitHub, by whose clock they go."""
    made: list[GitHub] = []

    def connect(now: Callable[[], datetime] = sandbox.clock, **changes: Any) -> GitHub:
        made.append(github(sandbox, now=now, **changes))
        return made[-1]

    yield connect
    for connector in made:
        connector.close()
