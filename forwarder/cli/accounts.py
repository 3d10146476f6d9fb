"""The command that hands what one account read to another name."""

from __future__ import annotations

from pathlib import Path

import click

from forwarder.cli.root import Stop, config_option, load_config
from forwarder.common.accounts import DEFAULT
from forwarder.config.problems import did_you_mean
from forwarder.store import Store


@click.command("rename-account")
@config_option
@click.argument("old")
@click.argument("new")
def rename_account(config_path: Path, old: str, new: str) -> None:
    """Hand over what was read as the account OLD to NEW, after OLD became NEW in the config.

    A config with a single api_key reads as the account "default": to name accounts from now on, say here which of them
    that key belongs to. NEW goes on where OLD ended, so nothing is lost, and what OLD saw is known to NEW.
    """
    config = load_config(config_path)
    names = config.sentrytex.keys
    if new not in names:
        shown = "has a single api_key, whose account is called default" if DEFAULT in names else "has no such account"
        raise Stop(f"{new}: the config {shown}{did_you_mean(new, list(names))}.")
    if old in names:
        raise Stop(f"The config still has the account {old}: rename it there first, then here.")
    with Store.open_shared(config.database) as store:
        if old not in (begun := store.accounts.begun()):
            raise Stop(f"Nothing was ever read as the account {old}{did_you_mean(old, begun)}.")
        store.accounts.rename(old, new)
    click.echo(f"What was read as {old} is {new}'s now: its feed goes on where that ended.")
