"""Where the state may be: a file, or the address of a database whose password shows nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from forwarder.common import databases
from forwarder.common.databases import PostgresAddress, in_folder, parse_database
from forwarder.config import ConfigError, dump, load, secrets_of
from forwarder.config.outline import outline

SECRET: Final = "p%40ss-not-real"
MEANT: Final = "p@ss-not-real"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            f"postgresql://forwarder:{SECRET}@db.example.com:5433/state",
            "postgresql://forwarder:***@db.example.com:5433/state",
        ),
        (f"postgres://forwarder:{SECRET}@[::1]:5432/state", "postgresql://forwarder:***@[::1]:5432/state"),
        (f"postgresql://f:{SECRET}@one:1,two:2/state?sslmode=require", "postgresql://f:***@one:1,two:2/state"),
        (f"postgresql://one/state?user=f&password={SECRET}", "postgresql://:***@one/state"),
        ("postgresql://forwarder@%2Frun%2Fpostgresql/state", "postgresql://forwarder@%2Frun%2Fpostgresql/state"),
        ("postgresql:///state", "postgresql:///state"),
        ("PostgreSQL://one/state", "postgresql://one/state"),
    ],
)
def test_an_address_is_shown_without_its_password(told: str, shown: str) -> None:
    """As text, within an error, and as Python shows it; the driver gets all of it."""
    address = parse_database(told)
    assert isinstance(address, PostgresAddress)
    assert (str(address), f"{address}", address.url) == (shown, shown, told.replace("PostgreSQL", "postgresql"))
    assert repr(address) == f"PostgresAddress({shown})"
    assert (address.secrets == {SECRET, MEANT}) == (SECRET in told)


@pytest.mark.parametrize(
    "told",
    [
        "postgresql://f:hid@den@host/state",
        "postgresql://f:hid/den@host/state",
        "postgresql://f:hid#den@host/state",
        "postgresql://f:hid?den@host/state",
        "postgresql://f:hidden@host:port/state",
        "postgresql://f:hidden@host/one/two",
    ],
)
def test_what_is_no_address_is_told_without_its_password(told: str) -> None:
    """The error has the way out, and nothing of what was there."""
    with pytest.raises(ValueError, match=r"written as %40") as raised:
        parse_database(told)
    assert "hid" not in str(raised.value)
    assert "den" not in str(raised.value)


@pytest.mark.parametrize(
    "told",
    [
        "mysql://f:hidden@host/state",
        "postgresql+psycopg://f:hidden@host/state",
        "jdbc:postgresql://host/state?password=hidden",
        "postgresql:/f:hidden@host/state",
        "postgresql//f:hidden@host/state",
        "sqlite:///hidden.db",
        "sqlite:",
    ],
)
def test_an_address_of_another_kind_is_no_file(told: str) -> None:
    """Taken for a path, its password would be the name of a folder that is missing, and shown."""
    with pytest.raises(ValueError, match=r"^must be a SQLite file .* or postgresql://user@host/name$"):
        parse_database(told)


def test_anything_else_is_a_file(tmp_path: Path) -> None:
    """It counts from the config's folder, where an address counts from nowhere."""
    assert parse_database("sqlite:forwarder.db") == parse_database("forwarder.db")
    assert parse_database("./of:two//parts") == Path("./of:two/parts")
    assert in_folder(parse_database("forwarder.db"), tmp_path) == tmp_path / "forwarder.db"
    assert parse_database(tmp_path) == tmp_path
    address = parse_database("postgresql://one/state")
    assert in_folder(address, tmp_path) is address


def written(folder: Path, database: str) -> Path:
    path = folder / "config.yaml"
    told = {"database": database, "sentrytex": {"api_key": "vk_not-real"}, "connectors": {"c": {"type": "console"}}}
    path.write_text(json.dumps({**told, "routes": [{"to": "c"}]}), "utf-8")
    return path


def test_a_config_keeps_it_secret(tmp_path: Path) -> None:
    """The log masks both forms of the password, and the dump shows the address without it."""
    path = written(tmp_path, "postgresql://f:${SECRET}@one/state")
    config = load(path, {"SECRET": SECRET})
    assert dump(config)["database"] == "postgresql://f:***@one/state"
    assert {SECRET, MEANT} <= secrets_of(config)
    assert MEANT not in repr(config)
    assert SECRET not in repr(config)
    assert outline(path, {"SECRET": SECRET}).database == config.database


def test_a_config_with_a_mistake_there_shows_none_of_it(tmp_path: Path) -> None:
    """The line is named, and the password is not."""
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, f"postgresql://f:{MEANT}@one/state"), {})
    (problem,) = raised.value.problems
    assert "written as %40" in str(problem)
    assert "not-real" not in str(raised.value)


def test_a_missing_driver_is_told_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`forwarder check` says so before anything runs; a file needs none."""
    monkeypatch.setattr(databases, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, "postgresql://one/state"), {})
    assert "pip install 'sentrytex-forwarder[postgres]'" in str(raised.value.problems[0])
    assert load(written(tmp_path, "forwarder.db"), {}).database == tmp_path / "forwarder.db"


WITHOUT_DRIVER: Final = """
import pkgutil, sys
from importlib import import_module
from pathlib import Path

import forwarder
from forwarder.common.databases import PostgresAddress

for name in ("psycopg", "psycopg_pool"):
    sys.modules[name] = None
for module in pkgutil.walk_packages(forwarder.__path__, "forwarder."):
    if not module.name.startswith("forwarder.store.postgres.") and not module.name.endswith("__main__"):
        import_module(module.name)
from forwarder.store import Store, StoreError

Store.open_exclusive(Path(sys.argv[1])).close()
try:
    Store.open_exclusive(PostgresAddress("postgresql://one/state"))
except StoreError as error:
    print(error)
print([name for name, module in sys.modules.items() if "psycopg" in name and module])
"""


def test_a_file_needs_no_driver(tmp_path: Path) -> None:
    """Every module works without it but those for PostgreSQL, which say what brings it."""
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, str(tmp_path / "forwarder.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.stdout, told.stderr) == (
        "The database postgresql://one/state needs the extra `postgres`: pip install 'sentrytex-forwarder[postgres]'.\n"
        "[]\n",
        "",
    )


def test_a_daemon_on_a_file_does_not_load_the_driver() -> None:
    """It takes time and memory that only those pay who use it."""
    code = "import sys, forwarder.app, forwarder.daemon; print([one for one in sys.modules if 'psycopg' in one])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
