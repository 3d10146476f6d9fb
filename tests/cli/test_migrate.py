"""The command migrate: a store from a file to a server, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.root import EX_IOERR, EX_TEMPFAIL, group
from forwarder.common.databases import PostgresAddress
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.core import command
from tests.kit.postgres import PASSWORD, Server
from tests.kit.store import enqueue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one alert that is owed to two connectors."""
    path = tmp_path / "forwarder.db"
    with Store.open_exclusive(path) as store:
        enqueue(store, alert(), "secops", "tickets")
    return path


@pytest.fixture
def address(server: Server) -> PostgresAddress:
    return server.new()


def migrate(source: str, target: str) -> Result:
    return CliRunner().invoke(group, ["migrate", source, target], prog_name="forwarder", catch_exceptions=False)


def test_what_was_moved_is_told(path: Path, address: PostgresAddress) -> None:
    """In both directions, with what to do next, and neither with the password nor, where nobody looks, with a bar."""
    there = migrate(f"sqlite:{path}", address.url)
    assert there.exit_code == 0, there.output
    assert there.stdout.startswith(f"Moved 1 alert with 2 deliveries from {path} to {address}: all ")
    assert f"Now name {address} as `database` in the config and start the daemon. Start none on {path}" in there.stdout
    back = path.with_name("back.db")
    returned = migrate(address.url, str(back))
    assert returned.stdout.startswith(f"Moved 1 alert with 2 deliveries from {address} to {back}: all ")
    assert PASSWORD not in there.output + returned.output
    assert there.stderr + returned.stderr == ""


def test_a_zero_byte_that_was_replaced_is_told(path: Path, address: PostgresAddress) -> None:
    """The one thing that is not moved as it is."""
    with Store.open_exclusive(path) as store:
        sql = "INSERT INTO set_aside (digest, raw, reason, seen_at) VALUES ('a', ?, '', 0)"
        store.engine.write(lambda connection: connection.execute(sql, ("x\0y",)))
    assert (
        "1 row had a text with a zero byte, which PostgreSQL cannot keep: \ufffd"
        in migrate(str(path), address.url).stdout
    )


def test_what_cannot_be_moved_ends_with_a_status(path: Path, server: Server, address: PostgresAddress) -> None:
    """75 where a daemon runs, as for a second daemon; 74 where a database cannot be used; each in a sentence."""
    env = {"PGPASSWORD": PASSWORD}
    with Store.open_exclusive(path):
        running = command(path.parent, "migrate", f"sqlite:{path}", address.url, env=env)
    assert (running.returncode, running.stdout) == (EX_TEMPFAIL, "")
    assert f"already runs on {path}: stop it first" in running.stderr
    used = server.new_store()
    with Store.open_exclusive(used) as store:
        enqueue(store, alert(), "secops")
    refused = command(path.parent, "migrate", f"sqlite:{path}", used.url, env=env)
    assert (refused.returncode, refused.stdout) == (EX_IOERR, "")
    told = f"The database {used} is in use already (it has rows of its own in `alerts`): name a new one."
    assert refused.stderr == f"{told} Nothing was moved.\n"


@pytest.mark.parametrize("told", ["mysql:forwarder", "postgresql:forwarder", "postgresql://a:b@c:d/e"])
def test_a_name_that_is_none_is_refused(path: Path, told: str) -> None:
    """Before anything is opened, and without what may be a password."""
    result = migrate(str(path), told)
    assert result.exit_code == 2
    assert "postgresql://user" in result.stderr
    assert told not in result.stderr
