"""Commands for operating the daemon: health, backup."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forwarder.cli.root import DATABASE, EX_IOERR, Stop, config_option, load_config
from forwarder.common.databases import Database
from forwarder.common.text import clean
from forwarder.common.units import format_duration
from forwarder.wire.deadline import connect, deadline

if TYPE_CHECKING:
    from forwarder.config import WebConfig

HEALTH_SECONDS: Final = 5.0
"""How long the daemon may take to report that it is healthy."""
MAX_ANSWER: Final = 64 * 1024
"""Bytes of that report."""

_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up here, not listened on


@click.command()
@config_option
@click.option("--ready", is_flag=True, help="Fail where it is not ready, too: where it has not read the feed yet.")
def health(config_path: Path, ready: bool) -> None:
    """Check whether the daemon is healthy and report it by exit status, for containers and monitors.

    The status is 0 if /healthz at `web.listen` says that all its threads turn, and 1 otherwise; a restart helps then.
    What keeps it from being ready is printed, too, and with --ready makes the status 1. With `web.listen: off` the
    status is 0 while a daemon holds the database and has shown within a minute that its threads turn.
    """
    config = load_config(config_path)
    if config.web.listen is not None:
        _ask(config.web, ready)
    else:
        _look(config.database)


@click.command()
@config_option
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--database",
    type=DATABASE,
    help="The database. With it the config is not read, so that a backup needs none of the secrets.",
)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def backup(config_path: Path, target: Path, database: Database | None, force: bool) -> None:
    """Copy the database to the file TARGET, while the daemon runs or not.

    The copy is checked before it takes the name TARGET, so TARGET is always complete. It holds alerts and where they
    went, but no credentials. To restore it: stop the daemon, remove the database with its -wal and -shm, put the copy
    in its place, start the daemon.
    """
    from forwarder.store import Store

    source: Database = database or load_config(config_path).database
    if target.exists():
        if isinstance(source, Path) and source.exists() and target.samefile(source):
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


def _ask(web: WebConfig, ready: bool) -> None:
    """Prints what the daemon says of itself; raises Stop where it is not healthy, or not ready if that is asked."""
    alive, _ = _get(web, "/healthz")
    if alive not in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE):
        raise Stop(f"The server at {web.listen} is not healthy: /healthz answers {alive}.")
    # The reasons are for who has the token, and both are told there.
    status, reasons = _get(web, "/readyz", with_token=True)
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        status, reasons = _get(web, "/readyz")
    if alive != http.HTTPStatus.OK:
        raise Stop("\n".join(["The forwarder is not healthy.", *reasons]))
    if ready and status != http.HTTPStatus.OK:
        raise Stop("\n".join(["The forwarder is not ready.", *reasons]))
    click.echo("The forwarder is healthy.")
    if status != http.HTTPStatus.OK:
        click.echo("\n".join(["It is not ready.", *reasons]))


def _get(web: WebConfig, path: str, *, with_token: bool = False) -> tuple[int, list[str]]:
    """The status and the reasons that the daemon answers with; raises Stop where none answers."""
    assert web.listen is not None  # noqa: S101 - the caller's condition
    host = _EVERY_ADDRESS.get(web.listen.host, web.listen.host)
    connection = http.client.HTTPConnection(host, web.listen.port)
    headers = {"Authorization": f"Bearer {web.token.get_secret_value()}"} if web.token and with_token else {}
    try:
        with deadline(HEALTH_SECONDS):
            connection.sock = connect(host, web.listen.port, None)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, _reasons(answer.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        raise Stop(f"No forwarder answers at {web.listen}: {why.lower()}.") from None
    finally:
        connection.close()


def _reasons(body: bytes) -> list[str]:
    try:
        answer = json.loads(body)
    except ValueError:
        return []
    reasons = answer.get("reasons", []) if isinstance(answer, dict) else []
    return [clean(str(reason)) for reason in reasons] if isinstance(reasons, list) else []


def _look(database: Database) -> None:
    """Raises Stop where no daemon holds the database, or the one that does shows no sign of life."""
    from forwarder.store import presence_of, pulse

    presence = presence_of(database)
    if not presence.owned():
        raise Stop(f"No forwarder is running on {database}.")
    silence = presence.silence()
    if silence > pulse.STILL:
        still = format_duration(round(silence))
        raise Stop(f"The forwarder on {database} has shown no sign of life for {still}: its log says why.")
    click.echo("The forwarder is healthy.")


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
