"""Commands for the config: check, schema."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from forwarder.cli.output import print_json
from forwarder.cli.root import config_option, load_config, quiet_logs
from forwarder.common.text import counted


@click.command()
@config_option
@click.option("--live", is_flag=True, help="Also ask each service whether the credentials and the target work.")
def check(config_path: Path, live: bool) -> None:
    """Validate the config. All mistakes are reported at once, each with its file and line.

    What is valid and yet unwise, such as alarms that all end at one service, is a warning. With `--live` so is a vendor
    or category of a route that nothing in the account's stack is called.

    The exit status is 78 if the config is invalid, and 1 if `--live` found something that does not work.
    """
    from forwarder.config import advice

    config = load_config(config_path)
    for sentence in advice(config):
        click.echo(f"{config_path}: warning: {sentence}", err=True)
    connectors, routes = counted(len(config.connectors), "connector"), counted(len(config.routes), "route")
    click.echo(f"{config_path} is valid: {connectors}, {routes}.")
    if live:
        quiet_logs()
        from forwarder.cli.live import check_live

        sys.exit(0 if check_live(config) else 1)


@click.command()
def schema() -> None:
    """Print a JSON Schema of the config, with which editors complete and check it."""
    from forwarder.config import json_schema

    print_json(json_schema())
