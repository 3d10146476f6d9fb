from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwarder.sandbox import Sandbox
from tests.connectors.email.kit import Server, serving
from tests.kit.certificates import Certificates


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="package")
def running(certificates: Certificates) -> Iterator[Server]:
    with serving(certificates.server) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """One for all, with nothing taken yet."""
    running.refused.clear()
    running.mails.clear()
    running.raw.clear()
    running.at_end = "250 2.0.0 OK"
    return running


@pytest.fixture(scope="package")
def standing_in() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(standing_in: Sandbox) -> Sandbox:
    """The stand-in, which fails on order."""
    standing_in.email.clear_faults()
    standing_in.email.restore()
    return standing_in
