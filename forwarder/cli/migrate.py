"""The command migrate: a store from a file to a server, or back."""

from __future__ import annotations

import re
from typing import Any

import click

from forwarder.cli.progress import bar
from forwarder.cli.root import DATABASE, quiet_logs
from forwarder.common.databases import SCHEME, Database
from forwarder.common.text import counted


class _PlaceType(click.ParamType[Database]):
    """``sqlite:FILE``, a plain path, or the address of a PostgreSQL database."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Database:
        if isinstance(value, str) and not SCHEME.match(value):
            kind, _, rest = value.partition(":")
            if rest and re.fullmatch(r"[a-z]\w+", kind, re.IGNORECASE):
                if kind.lower() != "sqlite":
                    self.fail("It is named neither as sqlite:FILE nor as postgresql://user@host/name.", param, ctx)
                value = rest
        return DATABASE.convert(value, param, ctx)


@click.command()
@click.argument("source", metavar="FROM", type=_PlaceType())
@click.argument("target", metavar="TO", type=_PlaceType())
def migrate(source: Database, target: Database) -> None:
    """Move everything from the database FROM to the database TO, which is new or empty.

    Each is sqlite:FILE or postgresql://user@host/name. Both must be without a daemon, and are kept from one meanwhile.
    Either all of it is moved, each table compared by its number of rows and a digest, or TO stays empty; FROM stays as
    it is. Give a password in PGPASSWORD or a password file: others can see what is on the command line.
    """
    quiet_logs()
    from forwarder.store.moving import move

    with bar("Moving") as shown:
        moved = move(source, target, shown)
    alerts = counted(moved.rows["alerts"], "alert")
    deliveries = counted(moved.rows["deliveries"], "delivery", "deliveries")
    click.echo(
        f"Moved {alerts} with {deliveries} from {source} to {target}: all {sum(moved.rows.values()):,} rows of "
        f"{len(moved.rows)} tables, and each table's count and digest are the same."
    )
    if moved.mended:
        kept = "which PostgreSQL cannot keep: \ufffd stands in its place"
        click.echo(f"{counted(moved.mended, 'row')} had a text with a zero byte, {kept}.")
    click.echo(
        f"Now name {target} as `database` in the config and start the daemon. Start none on {source} any more: "
        "it would send what the new one sends."
    )
