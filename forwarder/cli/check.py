"""Commands for the config: check, schema."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from forwarder.cli.output import print_json
from forwarder.cli.root import config_option, load_config


@click.command()
@config_option
@click.option("--live", is_flag=True, help="Also ask each service whether the credentials and the target work.")
def check(config_path: Path, live: bool) -> None:
    """Validate the config: every mistake at once, each with its file and line.

    The exit status is 78 if the config has a mistake, and 1 if `--live` found something that does not work.
    """
    config = load_config(config_path)
    count = len(config.connectors)
    routes = len(config.routes)
    click.echo(
        f"{config_path} is valid: {count} connector{'' if count == 1 else 's'}, "
        f"{routes} route{'' if routes == 1 else 's'}."
    )
    if live:
        from forwarder.cli.live import check_live

        sys.exit(0 if check_live(config) else 1)


@click.command()
def schema() -> None:
    """Print a JSON Schema of the config, with which editors complete and check it."""
    from forwarder.config import json_schema

    print_json(json_schema())
