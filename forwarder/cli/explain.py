"""Commands about one alert: explain, preview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from forwarder.alert import Alert, Severity
from forwarder.cli.options import build, connector_argument
from forwarder.cli.output import alert_json, moment, print_json
from forwarder.cli.root import SEVERITIES, Stop, config_option, json_option, load_config
from forwarder.cli.view import view_options, viewing
from forwarder.common.clock import iso
from forwarder.common.text import clean
from forwarder.config import Config
from forwarder.store import Store
from forwarder.store.records import AlertHistory


@click.command()
@view_options
@json_option
@click.argument("alert_id", required=False)
@click.option("--severity", type=SEVERITIES, help="Explain an imaginary alert of this severity instead.")
@click.option("--vendor", "vendors", multiple=True, help="A vendor of the imaginary alert; can be given several times.")
@click.option("--kev", is_flag=True, help="The imaginary alert is on CISA KEV.")
@click.option("--cvss", "cvss_score", type=click.FloatRange(0, 10), help="The imaginary alert's CVSS score.")
@click.option("--epss", "epss_score", type=click.FloatRange(0, 1), help="The imaginary alert's EPSS score (0 to 1).")
@click.option("--type", "alert_type", default="cve", show_default=True, help="The imaginary alert's type.")
@click.option("--cve", "cve_id", help="The imaginary alert's CVE id.")
def explain(config_path: Path, database: Path | None, as_json: bool, alert_id: str | None, **imagined: Any) -> None:
    """Show why an alert is sent where it is, and what happened to it.

    ALERT_ID is an alert's id or its CVE. Without it, the options describe an imaginary alert.
    """
    if alert_id is None and imagined["severity"] is None:
        raise click.UsageError("Name an alert (ALERT_ID), or describe one with --severity.")
    if alert_id is None:
        _explain_imagined(load_config(config_path), _imagined(**imagined), as_json)
        return
    with viewing(config_path, database) as view:
        history = view.store.queries.history(alert_id)
    if history is None:
        raise Stop(f"No alert {alert_id} was seen. {_ask_the_api(load_config(config_path), alert_id)}")
    if as_json:
        print_json(_history_json(history))
        return
    _print_history(history)


def _imagined(*, severity: str, vendors: tuple[str, ...], kev: bool, **facts: Any) -> Alert:
    return Alert(
        id="imagined",
        title="An imaginary alert",
        severity=Severity(severity),
        published_at=datetime.now(UTC),
        affected_vendors=vendors,
        cisa_kev=kev,
        **facts,
    )


def _explain_imagined(config: Config, alert: Alert, as_json: bool) -> None:
    from forwarder import routing

    decision = routing.targets(alert, config.routes)
    trail = [
        {"route": verdict.route, "matched": verdict.matched, "why": verdict.why, "to": list(verdict.to)}
        for verdict in decision.trail
    ]
    if as_json:
        print_json({"targets": decision.targets, "trail": trail})
        return
    _print_trail(trail)
    click.echo(f"It would go to: {', '.join(decision.targets) or 'nowhere'}.")


def _ask_the_api(config: Config, alert_id: str) -> str:
    """What the API says of an alert that we never saw."""
    from forwarder.feed.client import FeedClient, NotFound, SentrytexError

    source = FeedClient(config.sentrytex.base_url, config.sentrytex.api_key.get_secret_value())
    try:
        published = source.alert(alert_id).get("published_at", "at an unknown time")
        return f"The API has it, published {published}: it is outside the period that was read."
    except NotFound:
        return "The API does not know it either, or it is not in your stack."
    except SentrytexError as error:
        return f"The API could not be asked for it: {error}"
    finally:
        source.close()


def _history_json(history: AlertHistory) -> dict[str, Any]:
    return {
        **alert_json(history.row),
        "trail": history.trail,
        "revisions": [
            {
                "revision": revision.revision,
                "at": iso(revision.at),
                "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in revision.changes],
            }
            for revision in history.revisions
        ],
        "attempts": {
            delivery: [
                {"at": iso(a.at), "seconds": round(a.seconds, 3), "outcome": a.outcome, "reason": a.reason}
                for a in tries
            ]
            for delivery, tries in history.attempts.items()
        },
    }


def _print_history(history: AlertHistory) -> None:
    alert = history.row.alert
    click.secho(f"{alert.title}", bold=True)
    click.echo(
        f"{alert.severity_label}, {alert.cve_id or 'no CVE'}, CVSS {_score(alert.cvss_score)}, "
        f"EPSS {_score(alert.epss_score)}, {'on' if alert.cisa_kev else 'not on'} CISA KEV, "
        f"vendors: {', '.join(alert.affected_vendors) or 'none'}"
    )
    click.echo(f"Published {moment(alert.published_at)}, seen {moment(history.row.seen_at)}, id {alert.id}\n")
    if not history.trail and not history.row.deliveries:
        click.echo("It was published before the first start (start_from), so it was not sent.")
        return
    _print_trail(history.trail)
    for revision in history.revisions:
        changes = ", ".join(f"{change.field}: {change.old} -> {change.new}" for change in revision.changes)
        click.echo(f"Revision {revision.revision} at {moment(revision.at)}: {changes}")
    for delivery in history.row.deliveries:
        click.echo(f"\n{delivery.connector} ({delivery.kind}): {delivery.state.value}, because {delivery.why}")
        if delivery.receipt:
            click.echo(f"  receipt {delivery.receipt.remote_id} {delivery.receipt.url or ''}".rstrip())
        for attempt in history.attempts.get(delivery.id, ()):
            line = f"  {moment(attempt.at)}  {attempt.seconds:.2f} s  {attempt.outcome}  {attempt.reason}"
            click.echo(line.rstrip())
    if not history.row.deliveries:
        click.echo("It went nowhere: no route names a connector for it.")


def _score(score: float | None) -> str:
    return "unknown" if score is None else f"{score:g}"


def _print_trail(trail: Iterable[Mapping[str, Any]]) -> None:
    for verdict in trail:
        mark = "matched" if verdict["matched"] else "no match"
        to = f" -> {', '.join(verdict['to'])}" if verdict["matched"] else ""
        click.echo(f"Route {verdict['route']}: {mark}, for {verdict['why']}{to}")


@click.command()
@config_option
@connector_argument
@click.argument("alert_id", required=False)
@click.option("--severity", type=SEVERITIES, default="critical", show_default=True, help="The sample's severity.")
@click.option("--json", "as_json", is_flag=True, help="Print the payload as JSON.")
def preview(config_path: Path, connector: str, alert_id: str | None, severity: str, as_json: bool) -> None:
    """Print what CONNECTOR would send, as a person would see it there.

    ALERT_ID is an alert that was seen, by id or CVE; without it a sample alert is shown. Nothing is sent.
    """

    from forwarder.cli.samples import sample_alert
    from forwarder.connector import Delivery

    config = load_config(config_path)
    instance = build(config, connector)
    alert = sample_alert(Severity(severity)) if alert_id is None else _seen(config, alert_id)
    payload = instance.render(
        Delivery(id=0, alert=alert, connector=connector, enqueued_at=datetime.now(UTC) - timedelta(seconds=1))
    )
    if as_json:
        print_json(payload)
    else:
        click.echo(clean(instance.preview(payload)))


def _seen(config: Config, alert_id: str) -> Alert:
    history = _history(config, alert_id)
    if history is None:
        raise Stop(f"No alert {alert_id} was seen: `forwarder alerts` lists those that were.")
    return history.row.alert


def _history(config: Config, alert_id: str) -> AlertHistory | None:
    store = Store.open_shared(config.database)
    try:
        return store.queries.history(alert_id)
    finally:
        store.close()
