"""The command that reports: what was new, what is open or overdue, and how long it took."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from forwarder.cli.options import build
from forwarder.cli.output import moment, print_json
from forwarder.cli.root import json_option
from forwarder.cli.status import since_option
from forwarder.cli.view import View, view_options, viewing
from forwarder.common.clock import instant, iso
from forwarder.common.databases import Database
from forwarder.lifecycle.mutes import standing
from forwarder.lifecycle.reports import Summary, headline, lines, summarize

USUAL: Final = timedelta(days=7)


@click.command()
@view_options
@json_option
@since_option()
@click.option("--account", help="Only of the alerts that this account sees.")
def report(
    config_path: Path, database: Database | None, as_json: bool, since: datetime | None, account: str | None
) -> None:
    """Report what was new, what is open or overdue, and how long it took people, of the last 7 days.

    This is what `reports` in the config sends. Without the config nothing counts as overdue, for that says by when.
    """
    now = time.time()
    begin = since.timestamp() if since else now - USUAL.total_seconds()
    if begin >= now:
        raise click.UsageError(f"{moment(begin)} has not passed: name an earlier time with --since, such as 7d.")
    with viewing(config_path, database) as view:
        summary = _summary(view, begin, now, account)
    if as_json:
        print_json(_as_json(summary))
        return
    click.secho(headline(summary), bold=True)
    click.echo("\n".join(lines(summary)))


def _summary(view: View, since: float, until: float, account: str | None) -> Summary:
    names = view.connectors if view.config else ()
    connectors = {name: build(view.config, name) for name in names if view.config}
    mutes = standing(view.config, view.store, until) if view.config else view.store.mutes.standing(until)
    try:
        return summarize(view.store, connectors, since=since, until=until, mutes=mutes, account=account)
    finally:
        for connector in connectors.values():
            connector.close()


def _as_json(summary: Summary) -> dict[str, Any]:
    figures = summary.figures
    return {
        "since": iso(instant(summary.since)),
        "until": iso(instant(summary.until)),
        "new": dict(figures.new),
        "open": dict(figures.open),
        "acknowledged": dict(figures.acknowledged),
        "overdue": dict(summary.overdue),
        "seconds_to_acknowledge": {severity: list(seconds) for severity, seconds in figures.to_acknowledge.items()},
        "seconds_to_resolve": {severity: list(seconds) for severity, seconds in figures.to_resolve.items()},
        "longest_unresolved": [
            {"id": one.alert.id, "cve_id": one.alert.cve_id, "title": one.alert.title, "seen_at": iso(one.seen_at)}
            for one in summary.oldest
        ],
        "mutes_ending": [
            {"id": mute.id, "until": iso(mute.until), "reason": mute.reason, "quiet": quiet}
            for mute, quiet in summary.ending
        ],
    }
