"""What the tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.core import EVERYTHING, recent
from tests.kit.desk import Desk


@pytest.fixture
def desk(tmp_path: Path, sandbox: Sandbox) -> Desk:
    return Desk(tmp_path, sandbox)


@pytest.fixture(scope="module")
def forwarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk after three alerts were forwarded, one of which no route takes; only to be looked at."""
    with Sandbox(limits=False) as sandbox:
        desk = Desk(tmp_path_factory.mktemp("forwarded"), sandbox)
        desk.config["routes"] = [{"severity": "critical", **EVERYTHING}, {"severity": "high", "to": ["tickets"]}]
        desk.write()
        sandbox.sentrytex.publish(
            recent(1, severity="critical", title="Log4Shell again"),
            recent(2, severity="high"),
            recent(3, severity="low", affected_vendors=["okta"]),
        )
        assert desk.run("once").exit_code == 0
        yield desk
