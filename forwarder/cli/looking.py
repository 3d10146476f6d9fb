"""Commands that only look: status, alerts, deliveries, explain, preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from forwarder.alert import Alert, Severity
from forwarder.cli.root import Stop, config_option, json_option, load_config
from forwarder.cli.showing import (
    SEVERITY_STYLES,
    STATE_STYLES,
    ago,
    alert_json,
    delivery_json,
    print_json,
    print_table,
    styled,
)
from forwarder.clock import iso
from forwarder.config import Config
from forwarder.store import Store
from forwarder.store.records import DeliveryRow, Filter, Queue, State, Story

Command = TypeVar("Command", bound=Callable[..., Any])

_SEVERITIES = click.Choice([severity.value for severity in Severity])
_STATES = click.Choice([state.value for state in State])


@click.command()
@config_option
@json_option
def status(config_path: Path, as_json: bool) -> None:
    """Tell how far the feed was read, what each connector is owed, and what is stuck and why."""
    config = load_config(config_path)
    store = Store.visit(config.database)
    now = time.time()
    feed, totals = store.feed(), store.totals()
    queues = store.queues(config.connectors, since=now - 86400)
    alarms = store.alarms()
    store.close()
    if as_json:
        print_json(
            {
                "cursor": None if feed.cursor is None else iso(feed.cursor),
                "lag_seconds": None if feed.cursor is None else max(now - feed.cursor, 0.0),
                "last_poll": None if feed.polled_at is None else iso(feed.polled_at),
                "poll_error": feed.poll_error,
                "last_sweep": None if feed.swept_at is None else iso(feed.swept_at),
                "sweep_reach": None if feed.sweep_reach is None else iso(feed.sweep_reach),
                **totals,
                "connectors": [_queue_json(queue, config) for queue in queues],
                "alarms": [
                    {"kind": a.kind, "subject": a.subject, "text": a.text, "since": iso(a.since)} for a in alarms
                ],
            }
        )
        return
    click.echo(f"Last complete poll: {ago(feed.polled_at, now)}" + (f" ({feed.poll_error})" if feed.poll_error else ""))
    click.echo(f"Read up to:         {'nothing yet' if feed.cursor is None else iso(feed.cursor)}")
    click.echo(f"Last sweep:         {ago(feed.swept_at, now)}")
    click.echo(
        f"Gaps: {totals['gaps']}   set aside: {totals['set_aside']}   alerts without a route: {totals['unrouted']}"
    )
    print_table(
        ["connector", "state", "waiting", "oldest", "dead", "last 24h", "last delivery", "last error"],
        [_queue_row(queue, config, now) for queue in queues],
        empty="No connectors.",
    )
    for alarm in alarms:
        click.echo(f"ALARM {alarm.kind} {alarm.subject}: {alarm.text} (since {ago(alarm.since, now)})")


def _queue_json(queue: Queue, config: Config) -> dict[str, Any]:
    return {
        "name": queue.connector,
        "configured": queue.connector in config.connectors,
        "waiting": queue.waiting,
        "ready": queue.ready,
        "sending": queue.sending,
        "unsure": queue.unsure,
        "dead": queue.dead,
        "delivered_24h": queue.delivered,
        "oldest_owed_at": None if queue.oldest_owed_at is None else iso(queue.oldest_owed_at),
        "last_delivered_at": None if queue.last_delivered_at is None else iso(queue.last_delivered_at),
        "last_error": queue.last_error,
        "paused": None if queue.pause is None else {"since": iso(queue.pause.since), "reason": queue.pause.reason},
    }


def _queue_row(queue: Queue, config: Config, now: float) -> list[Any]:
    state = "orphaned" if queue.connector not in config.connectors else "paused" if queue.pause else "working"
    return [
        queue.connector,
        styled(state, {"paused": "bold red", "orphaned": "yellow", "working": "green"}),
        queue.waiting,
        ago(queue.oldest_owed_at, now) if queue.oldest_owed_at else "",
        queue.dead,
        queue.delivered,
        ago(queue.last_delivered_at, now),
        queue.pause.reason if queue.pause else queue.last_error or "",
    ]


def _since(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """An ISO date, or a duration back from now."""
    from forwarder.units import parse_duration

    if value is None:
        return None
    try:
        return datetime.now(UTC) - parse_duration(value)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a duration back such as 24h, or an ISO date such as 2026-01-31") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)


def since_option(*, required: bool = False) -> Callable[[Command], Command]:
    """The option ``--since`` of commands that look back."""
    return click.option(
        "--since", callback=_since, required=required, help="From when on: a duration back such as 24h, or an ISO date."
    )


@click.command()
@config_option
@json_option
@click.option("--severity", type=_SEVERITIES, help="Only those of this severity.")
@click.option("--vendor", help="Only those that touch this vendor.")
@click.option("--connector", help="Only those that went, or go, to this connector.")
@click.option("--state", type=_STATES, help="Only those with a delivery in this state.")
@click.option("--cve", "cve_id", help="Only those whose CVE holds this text.")
@click.option("--unrouted", is_flag=True, help="Only those that no route names a connector for.")
@click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="The most to list.")
@since_option()
def alerts(config_path: Path, as_json: bool, limit: int, **wanted: Any) -> None:
    """List alerts, the newest seen first, with where each went."""
    rows = _visit(config_path, lambda store: store.alerts(_filter(limit, wanted)))
    if as_json:
        print_json([alert_json(row) for row in rows])
        return
    print_table(
        ["seen", "severity", "cve", "title", "went to", "id"],
        [
            [
                iso(round(row.seen_at)),
                styled(row.alert.severity.value, SEVERITY_STYLES),
                row.alert.cve_id or "",
                row.alert.title[:60],
                ", ".join(f"{d.connector}: {d.state.value}" for d in row.deliveries if d.kind == "open") or "nowhere",
                row.alert.id,
            ]
            for row in rows
        ],
        empty="No alerts match.",
    )


@click.command()
@config_option
@json_option
@click.option("--severity", type=_SEVERITIES, help="Only those of this severity.")
@click.option("--connector", help="Only those to this connector.")
@click.option("--state", type=_STATES, help="Only those in this state.")
@click.option("--alert", "alert_id", help="Only those of this alert.")
@click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="The most to list.")
@since_option()
def deliveries(config_path: Path, as_json: bool, limit: int, **wanted: Any) -> None:
    """List deliveries, the newest owed first, with what came back last."""
    rows = _visit(config_path, lambda store: store.deliveries(_filter(limit, wanted, origin=None)))
    if as_json:
        print_json([delivery_json(row) for row in rows])
        return
    print_table(
        ["id", "owed", "connector", "kind", "state", "tries", "alert", "receipt or reason"],
        [
            [
                row.id,
                iso(round(row.owed_at)),
                row.connector,
                row.kind,
                styled(row.state.value, STATE_STYLES),
                row.attempts,
                row.title[:50],
                _where_it_stands(row),
            ]
            for row in rows
        ],
        empty="No deliveries match.",
    )


def _where_it_stands(row: DeliveryRow) -> str:
    if row.state is State.DELIVERED and row.receipt:
        return row.receipt.url or row.receipt.remote_id
    return row.last


def _filter(limit: int, wanted: dict[str, Any], origin: str | None = "feed") -> Filter:
    severity, state = wanted.pop("severity", None), wanted.pop("state", None)
    return Filter(
        severity=Severity(severity) if severity else None,
        state=State(state) if state else None,
        limit=limit,
        origin=origin,
        **wanted,
    )


def _visit(config_path: Path, look: Any) -> Any:
    store = Store.visit(load_config(config_path).database)
    try:
        return look(store)
    finally:
        store.close()


@click.command()
@config_option
@json_option
@click.argument("alert_id", required=False)
@click.option("--severity", type=_SEVERITIES, help="Explain an imagined alert of this severity instead.")
@click.option("--vendor", "vendors", multiple=True, help="A vendor of the imagined alert; can be given several times.")
@click.option("--kev", is_flag=True, help="The imagined alert is on CISA KEV.")
@click.option("--cvss", "cvss_score", type=click.FloatRange(0, 10), help="The imagined alert's CVSS score.")
@click.option("--epss", "epss_score", type=click.FloatRange(0, 1), help="The imagined alert's EPSS score, from 0 to 1.")
@click.option("--type", "alert_type", default="cve", show_default=True, help="The imagined alert's type.")
@click.option("--cve", "cve_id", help="The imagined alert's CVE id.")
def explain(config_path: Path, as_json: bool, alert_id: str | None, **imagined: Any) -> None:
    """Tell why an alert goes where it goes, and what became of it.

    ALERT_ID is an alert's id or its CVE. Without it, the options describe an alert that is only imagined.
    """
    config = load_config(config_path)
    if alert_id is None and imagined["severity"] is None:
        raise click.UsageError("Name an alert (ALERT_ID), or describe one with --severity.")
    if alert_id is None:
        _explain_imagined(config, _imagined(**imagined), as_json)
        return
    store = Store.visit(config.database)
    try:
        story = store.story(alert_id)
    finally:
        store.close()
    if story is None:
        raise Stop(f"No alert {alert_id} was seen. {_ask_the_api(config, alert_id)}")
    if as_json:
        print_json(_story_json(story))
        return
    _tell_story(story)


def _imagined(*, severity: str, vendors: tuple[str, ...], kev: bool, **facts: Any) -> Alert:
    return Alert(
        id="imagined",
        title="An imagined alert",
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
    _tell_trail(trail)
    click.echo(f"It would go to: {', '.join(decision.targets) or 'nowhere'}.")


def _ask_the_api(config: Config, alert_id: str) -> str:
    """What the API says of an alert that we never saw."""
    from forwarder.sentrytex import NotFound, Sentrytex, SentrytexError

    source = Sentrytex(config.sentrytex.base_url, config.sentrytex.api_key.get_secret_value())
    try:
        published = source.alert(alert_id).get("published_at", "at an unknown time")
        return f"The API has it, published {published}: it lies outside of what was read."
    except NotFound:
        return "The API does not know it either, or it is not in your stack."
    except SentrytexError as error:
        return f"Whether the API has it could not be asked: {error}"
    finally:
        source.close()


def _story_json(story: Story) -> dict[str, Any]:
    return {
        **alert_json(story.row),
        "trail": story.trail,
        "revisions": [
            {
                "revision": revision.revision,
                "at": iso(revision.at),
                "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in revision.changes],
            }
            for revision in story.revisions
        ],
        "attempts": {
            delivery: [
                {"at": iso(a.at), "seconds": round(a.seconds, 3), "outcome": a.outcome, "reason": a.reason}
                for a in tries
            ]
            for delivery, tries in story.attempts.items()
        },
    }


def _tell_story(story: Story) -> None:
    alert = story.row.alert
    click.secho(f"{alert.title}", bold=True)
    click.echo(
        f"{alert.severity_label}, {alert.cve_id or 'no CVE'}, CVSS {_score(alert.cvss_score)}, "
        f"EPSS {_score(alert.epss_score)}, {'on' if alert.cisa_kev else 'not on'} CISA KEV, "
        f"vendors: {', '.join(alert.affected_vendors) or 'none'}"
    )
    click.echo(f"Published {iso(alert.published_at)}, seen {iso(round(story.row.seen_at))}, id {alert.id}\n")
    if not story.trail and not story.row.deliveries:
        click.echo("It was published before the first start (start_from), so it was not sent.")
        return
    _tell_trail(story.trail)
    for revision in story.revisions:
        changes = ", ".join(f"{change.field}: {change.old} -> {change.new}" for change in revision.changes)
        click.echo(f"Revision {revision.revision} at {iso(round(revision.at))}: {changes}")
    for delivery in story.row.deliveries:
        click.echo(f"\n{delivery.connector} ({delivery.kind}): {delivery.state.value}, because {delivery.why}")
        if delivery.receipt:
            click.echo(f"  receipt {delivery.receipt.remote_id} {delivery.receipt.url or ''}".rstrip())
        for attempt in story.attempts.get(delivery.id, ()):
            told = f"  {iso(round(attempt.at))}  {attempt.seconds:.2f} s  {attempt.outcome}  {attempt.reason}"
            click.echo(told.rstrip())
    if not story.row.deliveries:
        click.echo("It went nowhere: no route names a connector for it.")


def _score(score: float | None) -> str:
    return "unknown" if score is None else f"{score:g}"


def _tell_trail(trail: Any) -> None:
    for verdict in trail:
        mark = "matched" if verdict["matched"] else "no match"
        to = f" -> {', '.join(verdict['to'])}" if verdict["matched"] else ""
        click.echo(f"Route {verdict['route']}: {mark}, for {verdict['why']}{to}")


@click.command()
@config_option
@click.argument("connector")
@click.argument("alert_id", required=False)
@click.option("--severity", type=_SEVERITIES, default="critical", show_default=True, help="Of the sample alert.")
@click.option("--json", "as_json", is_flag=True, help="Print it as the wire would carry it.")
def preview(config_path: Path, connector: str, alert_id: str | None, severity: str, as_json: bool) -> None:
    """Print what CONNECTOR would send, as a person would see it there.

    ALERT_ID is an alert that was seen, by id or CVE; without it a sample alert is shown. Nothing is sent.
    """
    from forwarder import plugins
    from forwarder.alert import clean
    from forwarder.cli.samples import sample_alert
    from forwarder.config.problems import did_you_mean
    from forwarder.connector import Delivery
    from forwarder.wording import TemplateWording

    config = load_config(config_path)
    settings = config.connectors.get(connector)
    if settings is None:
        raise Stop(f"The config has no connector {connector}{did_you_mean(connector, config.connectors)}.")
    alert = sample_alert(Severity(severity)) if alert_id is None else _seen(config, alert_id)
    wording = TemplateWording(settings.templates, lambda reason: click.echo(reason, err=True))
    instance = plugins.load_type(settings.type)(connector, settings, wording)
    payload = instance.render(
        Delivery(id=0, alert=alert, connector=connector, owed_at=datetime.now(UTC) - timedelta(seconds=1))
    )
    if as_json:
        print_json(payload)
    else:
        click.echo(clean(instance.preview(payload)))


def _seen(config: Config, alert_id: str) -> Alert:
    store = Store.visit(config.database)
    try:
        story = store.story(alert_id)
    finally:
        store.close()
    if story is None:
        raise Stop(f"No alert {alert_id} was seen: `forwarder alerts` lists those that were.")
    return story.row.alert
