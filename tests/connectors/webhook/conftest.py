from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwarder.sandbox import Sandbox
from tests.kit.certificates import Certificates


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """One for all, with the receiver as it should be."""
    running.webhook.clear_faults()
    running.webhook.restore()
    del running.webhook.signing_keys[1:]
    return running


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made(tmp_path_factory.mktemp("certificates"))
