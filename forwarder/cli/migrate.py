"""The command migrate: a store from a file to a server, or back."""

from __future__ import annotations

import click

from forwarder.cli.progress import bar
from forwarder.cli.root import DATABASE, quiet_logs
from forwarder.common.databases import Database
from forwarder.common.text import counted


@click.command()
@click.argument("source", metavar="FROM", type=DATABASE)
@click.argument("target", metavar="TO", type=DATABASE)
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
