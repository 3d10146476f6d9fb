"""A real PgBouncer in front of the tests' PostgreSQL server, that gives each transaction any of its connections."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from forwarder.common.databases import PostgresAddress
from tests.kit.core import PATIENCE, until
from tests.kit.postgres import PASSWORD, USER, Server, as_another, give_to_another

# Debian has it where only root looks.
PGBOUNCER: Final = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PORT: Final = 6432

# Fewer connections than a daemon has, each in turn: no transaction can count on what one before it has set.
_SETTINGS: Final = """
[databases]
* = host={server} port={beyond}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


@contextmanager
def pooling(server: Server) -> Iterator[Callable[[PostgresAddress], PostgresAddress]]:
    """What says the address of a database of ``server`` by way of a PgBouncer; skipped where there is none."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    config, users = folder / "pgbouncer.ini", folder / "users"
    config.write_text(_SETTINGS.format(server=server.folder, beyond=server.port, port=PORT, folder=folder), "utf-8")
    users.write_text(f'"{USER}" "{PASSWORD}"\n', "utf-8")
    give_to_another(folder, config, users)
    running = subprocess.Popen([*as_another(), PGBOUNCER, "--quiet", str(config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: running.poll() is not None or (folder / f".s.PGSQL.{PORT}").exists())
        assert running.poll() is None, "PgBouncer ended"
        host = str(folder).replace("/", "%2F")
        yield lambda of: PostgresAddress(f"postgresql://{of.user}:{PASSWORD}@{host}:{PORT}/{of.name}")
    finally:
        running.kill()
        running.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)
