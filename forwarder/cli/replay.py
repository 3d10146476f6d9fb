"""The command that sends past alerts again on purpose."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from forwarder import routing
from forwarder.alert import Severity
from forwarder.cli.options import complete_connector, configured
from forwarder.cli.progress import bar
from forwarder.cli.queue import ALL, SOON, confirm, opened, yes_option
from forwarder.cli.root import SEVERITIES, config_option, load_config
from forwarder.cli.status import since_option
from forwarder.common.text import counted
from forwarder.config import Config
from forwarder.connector import Connector
from forwarder.plugins import load_type
from forwarder.store import Store
from forwarder.store.query_records import AlertRow, Filter
from forwarder.store.records import State

BATCH: Final = 200
"""Alerts that one transaction takes: the daemon must not wait long for its turn."""
WHY: Final = "replayed by a person"


@dataclass(kw_only=True, slots=True)
class Share:
    """What one connector gets: alerts by id, how many of them it was sent before or a mute keeps quiet, and how many it
    is owed anyway."""

    alerts: list[str] = field(default_factory=list)
    again: int = 0
    muted: int = 0
    waiting: int = 0


@click.command()
@config_option
@since_option(required=True)
@click.option("--to", "only", shell_complete=complete_connector, help="Only what the routes send to this connector.")
@click.option("--severity", type=SEVERITIES, help="Only of this severity.")
@click.option("--dry-run", is_flag=True, help="Only show how much would be sent.")
@yes_option
def replay(
    *, config_path: Path, since: datetime, only: str | None, severity: str | None, dry_run: bool, yes: bool
) -> None:
    """Send the alerts seen since a given time again, to where the routes send them now.

    Use it to give a new connector past alerts: `forwarder replay --since 30d --to NAME`. Alerts from before the first
    start count by the time they were published. What is still waiting to be sent is not sent twice. What did not surely
    arrive is looked for first; what did is repeated on purpose, once. The daemon does the sending.
    """
    config = load_config(config_path)
    if only is not None:
        configured(config, only)
    wanted = Filter(since=since, severity=Severity(severity) if severity else None, limit=ALL)
    with opened(config) as store:
        alerts = [
            row for row in store.queries.alerts(wanted) if not _never_meant(row) or row.alert.published_at >= since
        ]
        shares = _shares(alerts, config, only)
        total = sum(len(share.alerts) for share in shares.values())
        for name, share in shares.items():
            click.echo(f"{name}: {_summary(load_type(config.connectors[name].type), share)}")
        if not total:
            click.echo("There is nothing to replay.")
            return
        everything = counted(total, "delivery", "deliveries")
        if dry_run:
            click.echo(f"{everything} in all. Nothing was sent: this was a dry run.")
            return
        confirm(f"Send {everything} again?", yes=yes)
        count = _enqueue(store, shares)
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    click.echo(f"{counted(count, 'delivery', 'deliveries')} {verb} queued: {SOON.format(them=them)}")


def _never_meant(row: AlertRow) -> bool:
    """Whether an alert was only taken note of, for it is from before the first start."""
    return not row.deliveries and not row.unrouted and not row.muted


def _shares(alerts: Sequence[AlertRow], config: Config, only: str | None) -> dict[str, Share]:
    """What each connector gets, in the order of the config."""
    shares = {name: Share() for name in config.connectors if only in (None, name)}
    for row in alerts:
        if row.unreadable:
            continue
        opened = {delivery.connector: delivery for delivery in row.deliveries if delivery.kind == "open"}
        for name in routing.targets(row.alert, config.routes, row.vendors, row.accounts).targets:
            if name not in shares:
                continue
            before = opened.get(name)
            if before is not None and not before.state.settled:
                shares[name].waiting += 1
                continue
            shares[name].alerts.append(row.alert.id)
            shares[name].muted += row.muted is not None
            shares[name].again += before is not None and before.state is State.DELIVERED
    return {name: share for name, share in shares.items() if share.alerts or share.waiting}


def _summary(kind: type[Connector[Any]], share: Share) -> str:
    """What one connector would be sent, in a sentence."""
    text = counted(len(share.alerts), *kind.noun)
    if share.again:
        text += f"; {share.again} of them went there before and {kind.replayed}"
    if share.muted:
        text += f"; {share.muted} of them {'is' if share.muted == 1 else 'are'} muted"
    if share.waiting:
        text += f"; {share.waiting} more {'waits' if share.waiting == 1 else 'wait'} there already"
    return text


def _enqueue(store: Store, shares: Mapping[str, Share]) -> int:
    """Writes down what is owed, in batches, with a progress bar on a terminal; how many deliveries that is."""
    batches = [
        (name, share.alerts[start : start + BATCH])
        for name, share in shares.items()
        for start in range(0, len(share.alerts), BATCH)
    ]

    total, done, count = sum(len(ids) for _, ids in batches), 0, 0
    with bar("Writing") as shown:
        for name, ids in batches:
            count += store.operations.replay(ids, [name], why=WHY, now=time.time())
            done += len(ids)
            shown(done, total)
    return count
