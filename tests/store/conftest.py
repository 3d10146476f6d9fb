"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "forwarder.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new store, this process' own."""
    with Store.open_exclusive(path) as opened:
        yield opened
