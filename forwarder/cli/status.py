"""Read-only commands: status, alerts, deliveries."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from forwarder.alarms import is_unread, together
from forwarder.alarms.types import severity_of, type_of
from forwarder.alert import Severity
from forwarder.cli.feeds import feed_json, print_feeds, shown_accounts
from forwarder.cli.options import complete_known
from forwarder.cli.output import (
    SEVERITY_STYLES,
    STATE_STYLES,
    STATUS_STYLES,
    age,
    alert_json,
    delivery_json,
    moment,
    muted_text,
    print_json,
    styled,
)
from forwarder.cli.root import SEVERITIES, json_option
from forwarder.cli.running import Life, life_json, look, sentences
from forwarder.cli.tables import Column, print_table
from forwarder.cli.view import view_options, viewing
from forwarder.common.accounts import DEFAULT
from forwarder.common.clock import iso
from forwarder.common.databases import Database
from forwarder.common.text import counted
from forwarder.connector import Origin, Status
from forwarder.delivery.throughput import WORTH_AN_ESTIMATE, Throughput
from forwarder.delivery.waiting import lasting
from forwarder.store.alarm_records import Alarm
from forwarder.store.query_records import AlertRow, Filter
from forwarder.store.records import Queue, State

Command = TypeVar("Command", bound=Callable[..., Any])

_CONDITION_STYLES: Final = {
    "working": "green",
    "idle": "green",
    "failing": "bold red",
    "paused": "bold red",
    "orphaned": "yellow",
    "stopped": "yellow",
}
_STATES = click.Choice([state.value for state in State])
_STATUSES = click.Choice([status.value for status in Status])


@click.command()
@view_options
@json_option
def status(config_path: Path, database: Database | None, as_json: bool) -> None:
    """Show whether the daemon runs, how far the feed was read, and how each connector does: what is stuck, and why.

    A connector is working, idle, failing, paused, orphaned (no longer in the config) or stopped (no daemon
    runs, or the database takes no writes).
    """
    now = time.time()
    with viewing(config_path, database) as view:
        store, connectors = view.store, view.connectors
        feeds = store.accounts.feeds(shown_accounts(store, view.config))
        feed, totals, muted = together(feeds), store.queries.totals(), store.mutes.count()
        queues = store.queries.queues(connectors, since=now - 86400)
        throughputs = view.throughputs(queues, now)
        alarms, life, config = store.alarms.active(), look(store), view.config
    shown = [Shown(queue, _state(queue, connectors, life), throughputs.get(queue.connector)) for queue in queues]
    if as_json:
        print_json(
            {
                "daemon": life_json(life),
                "cursor": None if feed.cursor is None else iso(feed.cursor),
                "lag_seconds": None if feed.cursor is None else max(now - feed.cursor, 0.0),
                "floor": None if feed.floor is None else iso(feed.floor),
                "last_poll": None if feed.polled_at is None else iso(feed.polled_at),
                "poll_error": feed.poll_error,
                "last_sweep": None if feed.swept_at is None else iso(feed.swept_at),
                "sweep_error": feed.sweep_error,
                "short_reach": {severity.value: iso(since) for severity, since in feed.reach.items()},
                "sweep_reach": None if feed.sweep_reach is None else iso(feed.sweep_reach),
                **({"accounts": [feed_json(*one) for one in feeds.items()]} if DEFAULT not in feeds else {}),
                **totals,
                "muted": muted,
                "connectors": [_queue_json(one) for one in shown],
                "alarms": [_alarm_json(alarm) for alarm in alarms],
            }
        )
        return
    for sentence in sentences(life, now):
        click.secho(sentence, bold=not life.runs or life.stalled or life.refusal is not None)
    if life.runs and config is not None and is_unread(feed, config, started_at=life.state.started_at or now, now=now):
        click.secho("THE FEED IS NOT READ: what is published meanwhile reaches nobody.", bold=True)
    click.echo(f"Last complete poll: {age(feed.polled_at, now)}" + (f" ({feed.poll_error})" if feed.poll_error else ""))
    click.echo(f"Read up to:         {'nothing yet' if feed.cursor is None else moment(feed.cursor)}")
    click.echo(
        f"Last sweep:         {age(feed.swept_at, now)}" + (f" ({feed.sweep_error})" if feed.sweep_error else "")
    )
    for severity, since in feed.reach.items():
        click.echo(f"Sweeps of {severity.value} alerts reach back to {moment(since)} only, not all of look_back.")
    click.echo(
        f"Gaps: {totals['gaps']}   set aside: {totals['set_aside']}   alerts without a route: {totals['unrouted']}"
        + (f"   muted: {muted}" if muted else "")
    )
    print_feeds(feeds, config, now)
    print_table(
        ["connector", "state", "waiting", "oldest", "dead", "last 24h", "last delivery"],
        [_queue_row(one, now) for one in shown],
        empty="No connectors.",
    )
    for one in shown:
        for sentence in _of_queue(one, life, now):
            click.echo(sentence)
    for alarm in alarms:
        kind = type_of(alarm)
        name = f"{alarm.type} {alarm.subject}".rstrip()
        title = f"{kind.title_for(alarm.subject)}. " if kind else ""
        click.echo(f"ALARM {name}: {title}{alarm.text} ({severity_of(alarm)}, began {age(alarm.since, now)})")
        if kind:
            click.echo(f"  {kind.remedy_for(alarm.subject)}")


def _alarm_json(alarm: Alarm) -> dict[str, Any]:
    return {
        "type": alarm.type,
        "subject": alarm.subject,
        "severity": severity_of(alarm),
        "text": alarm.text,
        "since": iso(alarm.since),
    }


def _orphaned(queue: Queue) -> str:
    letters = f"{counted(queue.dead, 'dead letter belongs', 'dead letters belong')} to no connector"
    return (
        f"{queue.connector} is not in the config: {letters if queue.dead else 'what it is owed goes nowhere'}"
        f" (hand it over with `forwarder rename {queue.connector} NEW`, or discard it)"
    )


def _of_queue(one: Shown, life: Life, now: float) -> list[str]:
    """What is to be said of a connector that is not all well."""
    queue, name, said = one.queue, one.queue.connector, []
    if one.state is Condition.ORPHANED:
        said.append(_orphaned(queue))
    elif queue.pause:
        tried = f"next try {age(queue.pause.probe_at, now)}" if life.runs else "tried again once a daemon runs"
        waits = f"; {_criticals(queue)}" if queue.criticals else ""
        lasts = lasting(now - queue.pause.since)
        said.append(f"{name} is paused, for {lasts} now ({tried}{waits}): {queue.pause.reason}")
    elif queue.failing_since is not None:
        verb = "is failing" if life.runs else "was failing"
        lasts = lasting(now - queue.failing_since)
        waits = f", {_criticals(queue)}" if queue.criticals else ""
        tries = counted(queue.failures, "attempt")
        said.append(f"{name} {verb}, for {lasts} now ({tries}{waits}): {queue.last_error}")
    elif queue.last_error:
        said.append(f"{name}, last error: {queue.last_error}")
    if one.throughput and (one.takes or 0.0) >= WORTH_AN_ESTIMATE:
        said.append(f"{name}: {queue.waiting:,} wait, {one.throughput.told(queue.waiting)}")
    if queue.notice:
        said.append(f"{name}: {queue.notice}")
    return said


def _criticals(queue: Queue) -> str:
    return f"{counted(queue.criticals, 'critical waits', 'criticals wait')}"


class Condition(StrEnum):
    """What a connector does."""

    WORKING = "working"
    IDLE = "idle"
    FAILING = "failing"
    PAUSED = "paused"
    ORPHANED = "orphaned"
    STOPPED = "stopped"
    """No daemon runs, or the database refuses writes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A connector's queue, and what the connector does."""

    queue: Queue
    state: Condition
    throughput: Throughput | None = None

    @property
    def takes(self) -> float | None:
        """Seconds until all that waits has gone out, where it does and that is known."""
        return (
            self.throughput.takes(self.queue.waiting) if self.throughput and self.state is Condition.WORKING else None
        )


def _state(queue: Queue, connectors: Collection[str], life: Life) -> Condition:
    if queue.connector not in connectors:
        return Condition.ORPHANED
    if queue.pause:
        return Condition.PAUSED
    if queue.failing_since is not None:
        return Condition.FAILING
    if not life.runs or life.stalled or life.refusal is not None:
        return Condition.STOPPED
    return Condition.WORKING if queue.waiting else Condition.IDLE


def _queue_json(one: Shown) -> dict[str, Any]:
    queue = one.queue
    return {
        "name": queue.connector,
        "state": one.state.value,
        "configured": one.state is not Condition.ORPHANED,
        "waiting": queue.waiting,
        "ready": queue.ready,
        "sending": queue.sending,
        "uncertain": queue.uncertain,
        "dead": queue.dead,
        "criticals": queue.criticals,
        "drains_in_seconds": None if one.takes is None else round(one.takes),
        "delivered_24h": queue.delivered,
        "oldest_enqueued_at": None if queue.oldest_enqueued_at is None else iso(queue.oldest_enqueued_at),
        "last_delivered_at": None if queue.last_delivered_at is None else iso(queue.last_delivered_at),
        "last_error": queue.last_error,
        "notice": queue.notice,
        "paused": None
        if queue.pause is None
        else {
            "since": iso(queue.pause.since),
            "reason": queue.pause.reason,
            "next_try": iso(queue.pause.probe_at),
        },
        "failing": None
        if queue.failing_since is None
        else {"since": iso(queue.failing_since), "attempts": queue.failures, "reason": queue.last_error},
    }


def _queue_row(one: Shown, now: float) -> list[Any]:
    queue = one.queue
    return [
        queue.connector,
        styled(one.state.value, _CONDITION_STYLES),
        queue.waiting,
        age(queue.oldest_enqueued_at, now) if queue.oldest_enqueued_at else "",
        queue.dead,
        queue.delivered,
        age(queue.last_delivered_at, now),
    ]


def _since(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """An ISO date, or a duration back from now."""
    from forwarder.common.units import parse_duration

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
        "--since", callback=_since, required=required, help="Start: a duration back such as 24h, or an ISO date."
    )


@click.command()
@view_options
@json_option
@click.option("--severity", type=SEVERITIES, help="Only those of this severity.")
@click.option("--vendor", help="Only those that affect this vendor.")
@click.option("--account", help="Only those that this account sees.")
@click.option("--connector", shell_complete=complete_known, help="Only those sent, or to be sent, to this connector.")
@click.option("--state", type=_STATES, help="Only those with a delivery in this state.")
@click.option("--status", type=_STATUSES, help="Only those that are open, acknowledged or resolved.")
@click.option("--cve", "cve_id", help="Only those whose CVE contains this text.")
@click.option("--search", "text", help="Only those with these words: a CVE, a title, a vendor, an id, a ticket's key.")
@click.option("--unrouted", is_flag=True, help="Only those that match no route.")
@click.option("--muted", is_flag=True, help="Only those that a mute keeps from going out.")
@click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="Maximum rows.")
@since_option()
def alerts(config_path: Path, database: Database | None, as_json: bool, limit: int, **wanted: Any) -> None:
    """List alerts, most recently seen first, and where each was sent."""
    with viewing(config_path, database) as view:
        view.check_connector(wanted["connector"])
        rows = view.store.queries.alerts(_filter(limit, wanted))
    if as_json:
        print_json([alert_json(row) for row in rows])
        return
    print_table(
        ["seen", "severity", "status", "cve", Column("title", prose=True), Column("went to", prose=True), "id"],
        [
            [
                moment(row.seen_at),
                styled(row.alert.severity.value, SEVERITY_STYLES),
                styled(row.status.value, STATUS_STYLES),
                row.alert.cve_id or "",
                row.alert.title,
                _went_to(row),
                row.alert.id,
            ]
            for row in rows
        ],
        empty="No alerts match.",
    )


def _went_to(row: AlertRow) -> str:
    went = [f"{d.connector}: {d.state.value}" for d in row.deliveries if d.kind == "open"]
    return ", ".join([*went, muted_text(row.muted)] if row.muted else went) or "nowhere"


@click.command()
@view_options
@json_option
@click.option("--severity", type=SEVERITIES, help="Only those of this severity.")
@click.option("--account", help="Only those of alerts that this account sees.")
@click.option("--connector", shell_complete=complete_known, help="Only those to this connector.")
@click.option("--state", type=_STATES, help="Only those in this state.")
@click.option("--alert", "text", help="Only those of alerts with these words: an id, a CVE, a title, a ticket's key.")
@click.option("--limit", type=click.IntRange(1, 10000), default=50, show_default=True, help="Maximum rows.")
@since_option()
def deliveries(config_path: Path, database: Database | None, as_json: bool, limit: int, **wanted: Any) -> None:
    """List deliveries, newest first, with the last result of each, or what it waits for and until when about."""
    with viewing(config_path, database) as view:
        view.check_connector(wanted["connector"])
        rows = view.store.queries.deliveries(_filter(limit, wanted, origin=None))
        waits = view.waiting(row.id for row in rows)
    if as_json:
        print_json([delivery_json(row, waits) for row in rows])
        return
    print_table(
        [
            "id",
            "enqueued",
            "connector",
            "kind",
            "state",
            "tries",
            Column("alert", prose=True),
            "receipt",
            Column("last result / waits for", prose=True),
        ],
        [
            [
                row.id,
                moment(row.enqueued_at),
                row.connector,
                row.kind,
                styled(row.state.value, STATE_STYLES),
                row.attempts,
                row.title,
                (row.receipt.url or row.receipt.remote_id) if row.receipt else "",
                waits[row.id].text if row.id in waits else row.last,
            ]
            for row in rows
        ],
        empty="No deliveries match.",
    )


def _filter(limit: int, wanted: dict[str, Any], origin: Origin | None = Origin.FEED) -> Filter:
    severity, state, status = (wanted.pop(name, None) for name in ("severity", "state", "status"))
    return Filter(
        severity=Severity(severity) if severity else None,
        state=State(state) if state else None,
        status=Status(status) if status else None,
        limit=limit,
        origin=origin,
        **wanted,
    )
