"""Commands for operating the daemon: health, backup."""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forwarder.cli.root import EX_IOERR, Stop, config_option, load_config
from forwarder.wire.deadline import connect, deadline

if TYPE_CHECKING:
    from forwarder.config import Listen

HEALTH_SECONDS: Final = 5.0
"""How long the daemon may take to report that it is healthy."""

_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up here, not listened on


@click.command()
@config_option
def health(config_path: Path) -> None:
    """Check whether the daemon is healthy and report it by exit status, for containers and monitors.

    The status is 0 if /healthz at `web.listen` says so, and 1 otherwise. With `web.listen: off` it is 0 while a daemon
    holds the database.
    """
    from forwarder.store.owner import is_owned

    config = load_config(config_path)
    if config.web.listen is not None:
        _ask(config.web.listen)
    elif not is_owned(config.database):
        raise Stop(f"No forwarder is running on {config.database}.")
    click.echo("The forwarder is healthy.")


@click.command()
@config_option
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--database",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The database. With it the config is not read, so that a backup needs none of the secrets.",
)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def backup(config_path: Path, target: Path, database: Path | None, force: bool) -> None:
    """Copy the database to the file TARGET, while the daemon runs or not.

    The copy is checked before it takes the name TARGET, so TARGET is always complete. It holds alerts and where they
    went, but no credentials. To restore it: stop the daemon, remove the database with its -wal and -shm, put the copy
    in its place, start the daemon.
    """
    from forwarder.store import Store

    source: Path = database or load_config(config_path).database
    if target.exists():
        if source.exists() and target.samefile(source):
            raise Stop(f"{target} is the database itself: name another file.")
        if not force:
            raise Stop(f"{target} already exists: name another file, or replace it with --force.")
    store = Store.open_shared(source)
    try:
        with _unfinished(target) as copy:
            store.engine.backup(copy)
            copy.replace(target)
    finally:
        store.close()
    click.echo(f"{target} is a checked copy of {source} ({target.stat().st_size:,} bytes).")


def _ask(listen: Listen) -> None:
    """Returns where the daemon answers 200 to GET /healthz; raises Stop otherwise."""
    host = _EVERY_ADDRESS.get(listen.host, listen.host)
    connection = http.client.HTTPConnection(host, listen.port)
    try:
        with deadline(HEALTH_SECONDS):
            connection.sock = connect(host, listen.port, None)
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        raise Stop(f"No forwarder answers at {listen}: {why.lower()}.") from None
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise Stop(f"The server at {listen} is not healthy: /healthz answers {status}.")


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file beside ``target`` that only its owner can read, removed again unless it was given another name."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise Stop(f"The copy cannot be written to the folder {target.parent}: {error.strerror}.", EX_IOERR) from None
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
