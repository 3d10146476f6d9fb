"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

from forwarder.sandbox import Sandbox
from tests.kit import postgres

# A check that CI made must be the check that anyone makes again; `make torture` is where new examples are sought.
# Nor does it depend on how fast the machine makes examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

pytest_plugins = ("tests.kit.thorough",)

LONGEST: Final = (
    "tests/test_torture.py",
    "tests/test_postgres.py",
    "tests/web/test_browser.py",
    "tests/cli/test_commands.py",
    "tests/test_replicas.py",
    "tests/test_account_replicas.py",
    "tests/connectors/test_contract.py",
    "tests/test_daemon.py",
    "tests/test_docs.py",
    "tests/test_replicas_unlike.py",
    "tests/cli/test_reload.py",
    "tests/test_app.py",
    "tests/test_end_to_end.py",
    "tests/test_replicas_server.py",
    "tests/delivery/test_fairness.py",
    "tests/test_troubles.py",
    "tests/connectors/test_wire.py",
    "tests/store/test_unreadable.py",
)
"""The files that take longest: they begin first, for a file that begins last keeps one worker alone at the end."""

AUTHORITY: Final = Path(__file__).parent / "kit" / "authority.pem"
"""One authority, not the hundred and fifty of a system, which each client reads anew: that takes 60 ms each time."""
AUTHORITIES: Final = ("SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What else the machine's own environment may say of authorities. No test trusts anybody beyond this machine."""

MEMORY: Final = Path("/dev/shm")
ENOUGH: Final = 2 * 1024**3
"""Bytes: several times what a run leaves there, and the forwarder still finds enough free."""


def pytest_configure() -> None:
    """Puts the tests' folders into memory, where there is enough of it, unless TMPDIR names another place.

    Every commit waits for the disk, which is most of what a test of the store does. No test cuts the power, so none
    sees the difference. Nor does any see which authorities are trusted, but for those that name their own.
    """
    os.environ["SSL_CERT_FILE"] = str(AUTHORITY)
    for name in AUTHORITIES:
        os.environ.pop(name, None)
    if "TMPDIR" not in os.environ and _serves(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; everything else in its order."""
    rank = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))


def _serves(folder: Path) -> bool:
    """Whether tests can write there, run what they wrote, and find as much room as they need."""
    if not os.access(folder, os.W_OK):
        return False
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize >= ENOUGH and not there.f_flag & getattr(os, "ST_NOEXEC", 0)


@pytest.fixture(autouse=True, scope="module")
def _log_settings_of_a_file() -> Iterator[None]:
    """What a file's own fixtures set up for the log, which they do before any of its tests, is gone with the file."""
    with _kept_log_settings():
        yield


@pytest.fixture(autouse=True)
def _log_settings() -> Iterator[None]:
    """What a command sets up for its log, its level above all, is gone with its test."""
    with _kept_log_settings():
        yield


@contextmanager
def _kept_log_settings() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Stand-ins for all services, without rate limits, so that no test has to wait for one."""
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server that lasts for all tests; skipped with the reason where there can be none."""
    with postgres.server() as running:
        yield running
