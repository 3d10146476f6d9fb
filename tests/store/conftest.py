"""What the tests of the store share: each runs over every kind of database, but those of what one kind has alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from forwarder.store import Store
from tests.kit import postgres

DATABASES: Final = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both kinds, where a test is not about a file; a module that says ``DATABASES`` knows better."""
    if "kind" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "DATABASES", DATABASES)
        about_a_file = "path" in metafunc.function.__code__.co_varnames[: metafunc.function.__code__.co_argcount]
        metafunc.parametrize("kind", ("sqlite",) if about_a_file else kinds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database is that is a file."""
    return tmp_path / "forwarder.db"


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of the kind that is tested, this process' own."""
    if kind == "sqlite":
        with Store.open_exclusive(request.getfixturevalue("path")) as opened:
            yield opened
        return
    server: postgres.Server = request.getfixturevalue("server")
    yield server.open_store()
