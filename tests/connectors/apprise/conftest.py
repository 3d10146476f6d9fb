from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwarder.sandbox import Sandbox


@pytest.fixture(autouse=True, scope="package")
def _library() -> None:
    pytest.importorskip("apprise", reason="apprise is not installed: pip install 'sentrytex-forwarder[apprise]'")


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """One for all, with the services as they should be."""
    running.apprise.clear_faults()
    running.apprise.restore()
    running.apprise.messages.clear()
    return running
