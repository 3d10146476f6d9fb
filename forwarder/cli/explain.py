"""Commands about one alert: explain, preview."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click

from forwarder.alert import Alert, Severity, Vendors, in_names
from forwarder.cli.options import build, connector_argument
from forwarder.cli.output import (
    alert_json,
    moment,
    muted_json,
    muted_text,
    print_json,
    response_json,
    response_text,
    told_vendors,
)
from forwarder.cli.root import SEVERITIES, Stop, config_option, json_option, load_config, quiet_logs
from forwarder.cli.view import view_options, viewing
from forwarder.common.accounts import label
from forwarder.common.clock import iso
from forwarder.common.databases import Database
from forwarder.common.text import clean
from forwarder.config import Config, ConfigError, load
from forwarder.connector import Delivery, Origin
from forwarder.delivery.waiting import Waiting
from forwarder.lifecycle.digests import compose
from forwarder.lifecycle.owners import owners_of
from forwarder.store import Store, StoreError
from forwarder.store.mute_records import MutedBy
from forwarder.store.query_records import AlertHistory, Filter

_IN_DIGEST: Final = 100
"""Alerts that a digest is shown of."""

MOST: Final = 10
"""Alerts that are explained at once."""

MOST_ASKED: Final = 10
"""Accounts of which each is asked for an alert that was never seen; of more only those that are named."""

MOST_ROUTES: Final = 100
"""Routes that are told one by one; of more it says how many there are."""


@click.command()
@view_options
@json_option
@click.argument("alert", nargs=-1)
@click.option("--severity", type=SEVERITIES, help="Explain an imaginary alert of this severity instead.")
@click.option("--vendor", "vendors", multiple=True, help="A vendor of the imaginary alert; can be given several times.")
@click.option("--kev", is_flag=True, help="The imaginary alert is on CISA KEV.")
@click.option("--cvss", "cvss_score", type=click.FloatRange(0, 10), help="The imaginary alert's CVSS score.")
@click.option("--epss", "epss_score", type=click.FloatRange(0, 1), help="The imaginary alert's EPSS score (0 to 1).")
@click.option("--type", "alert_type", default="cve", show_default=True, help="The imaginary alert's type.")
@click.option("--cve", "cve_id", help="The imaginary alert's CVE id.")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    help="An account that sees the imaginary alert, or with whose key the API is asked for one that was never seen; "
    "can be given several times.",
)
def explain(
    config_path: Path,
    database: Database | None,
    as_json: bool,
    alert: tuple[str, ...],
    accounts: tuple[str, ...],
    **imagined: Any,
) -> None:
    """Show why an alert is sent where it is, and what happened to it.

    ALERT is an alert's id, its CVE or a part of it, words of its title, a vendor, or the key of its ticket. All that
    match are shown. Without it, the options describe an imaginary alert.
    """
    wanted = " ".join(alert)
    if not wanted.strip():
        if imagined["severity"] is None:
            raise click.UsageError("Name an alert (ALERT), or describe one with --severity.")
        config = load_config(config_path)
        _explain_imagined(config, _imagined(**imagined), _accounts_in(config, accounts), as_json)
        return
    if any(value for name, value in imagined.items() if name != "alert_type"):
        raise click.UsageError("Name an alert, or describe one with options such as --severity, and not both.")
    with viewing(config_path, database) as view:
        histories = found(view.store, wanted)
        waits = view.waiting(delivery.id for history in histories for delivery in history.row.deliveries)
        like = [] if histories else view.store.queries.nearest(wanted)
    if not histories:
        raise Stop(_not_seen(config_path, wanted, like, accounts))
    if as_json:
        facts = [_history_json(history, waits) for history in histories]
        print_json(facts[0] if len(facts) == 1 else facts)
        return
    for number, history in enumerate(histories):
        click.echo("\n" + "=" * 72 + "\n" if number else "", nl=False)
        _print_history(history, waits)


def found(store: Store, wanted: str) -> list[AlertHistory]:
    """The alert with this id, else all that the words lead to, the newest seen first; stops at too many."""
    queries = store.queries
    exact = queries.history(wanted.strip()) or queries.history(wanted.strip().lower())
    if exact is not None:
        return [exact]
    rows = queries.alerts(Filter(text=wanted, origin=None, limit=MOST + 1))
    if len(rows) > MOST:
        raise Stop(
            f"More than {MOST} alerts match {wanted.strip()}: name one by its id or CVE. "
            f"`forwarder alerts --search {shlex.quote(wanted.strip())}` lists them."
        )
    return [history for row in rows if (history := queries.history(row.alert.id)) is not None]


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


def _accounts_in(config: Config, accounts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the config that were named; all of them must be there."""
    unknown = [account for account in accounts if account not in config.sentrytex.accounts]
    if unknown:
        raise Stop(f"The config names no account {' or '.join(unknown)}.")
    return tuple(sorted(accounts))


def _explain_imagined(config: Config, alert: Alert, accounts: tuple[str, ...], as_json: bool) -> None:
    from forwarder import routing
    from forwarder.store.forms import trail_of

    vendors = _stack_of(config)
    decision = routing.targets(alert, config.routes, vendors, accounts)
    mute = _mute_of(config, alert, vendors, accounts)
    trail = json.loads(trail_of(decision))
    if as_json:
        print_json({"targets": decision.targets, "trail": trail, "muted": mute and muted_json(mute)})
        return
    _print_trail(trail)
    where = ", ".join(decision.targets) or "nowhere"
    click.echo(f"It is {muted_text(mute)}; then it goes to: {where}." if mute else f"It would go to: {where}.")


def _mute_of(config: Config, alert: Alert, vendors: Vendors, accounts: tuple[str, ...]) -> MutedBy | None:
    """What would mute an imaginary alert: the config, or a person as far as there is a database."""
    from forwarder.lifecycle.mutes import muted_by, of_config

    now, mutes = time.time(), of_config(config)
    with contextlib.suppress(StoreError), Store.open_shared(config.database) as store:
        mutes += store.mutes.standing(now)
    mute = muted_by(alert, mutes, now, vendors, accounts=accounts)
    return mute.note if mute else None


def _stack_of(config: Config) -> Vendors:
    """What the forwarder knows of the account's vendors; nothing where it never ran."""
    if isinstance(config.database, Path) and not config.database.exists():
        return {}
    store = Store.open_shared(config.database)
    try:
        return store.vendors.known()
    finally:
        store.close()


def _not_seen(config_path: Path, wanted: str, like: Sequence[str], accounts: tuple[str, ...]) -> str:
    wanted = wanted.strip()
    said = f"No alert that matches {wanted} was seen."
    if like:
        said += f" The nearest that were: {', '.join(like)}."
    try:
        # Only an id can be asked for; of a CVE or a title the API's 404 would say nothing.
        return f"{said} {_ask_the_api(load(config_path), str(UUID(wanted)), accounts)}"
    except (ValueError, ConfigError):
        return f"{said} `forwarder alerts --search WORDS` finds alerts by part of a CVE or title."


def _ask_the_api(config: Config, alert_id: str, accounts: tuple[str, ...]) -> str:
    """What the API says of an alert that we never saw: with all keys where they are few, else with those named."""
    from forwarder.feed.client import FeedClient, NotFound, SentrytexError

    keys, named = config.sentrytex.keys, _accounts_in(config, accounts)
    if not named and len(keys) > MOST_ASKED:
        return (
            f"The API was not asked, for the config names {len(keys)} accounts: "
            f"`forwarder explain {alert_id} --account NAME` asks it with the key of one."
        )
    quiet_logs()
    said = ""
    for account, key in keys.items():
        if named and account not in named:
            continue
        source = FeedClient(config.sentrytex.base_url, key, key_at=config.sentrytex.key_at(account))
        try:
            published = source.alert(alert_id).get("published_at", "at an unknown time")
            of = f" ({account})" if label(account) else ""
            return f"The API has it{of}, published {published}: it is outside the period that was read."
        except NotFound:
            said = said or "The API does not know this id either, or it is not in your stack."
        except SentrytexError as error:
            said = f"The API could not be asked for it: {error}"
        finally:
            source.close()
    return said


def _history_json(history: AlertHistory, waits: Mapping[int, Waiting]) -> dict[str, Any]:
    return {
        **alert_json(history.row, waits),
        "evidence": list(history.evidence),
        "trail": history.trail,
        "responses": [response_json(response) for response in history.responses],
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


def _print_history(history: AlertHistory, waits: Mapping[int, Waiting]) -> None:
    alert = history.row.alert
    click.secho(f"{alert.title}", bold=True)
    click.echo(
        f"{alert.severity_label}, {alert.cve_id or 'no CVE'}, CVSS {_score(alert.cvss_score)}, "
        f"EPSS {_score(alert.epss_score)}, {'on' if alert.cisa_kev else 'not on'} CISA KEV, "
        f"vendors: {told_vendors(alert, history.row.vendors)}"
    )
    note = f" ({alert.date_note})" if alert.date_note else ""
    click.echo(f"Published {moment(alert.published_at)}{note}, seen {moment(history.row.seen_at)}, id {alert.id}")
    for line in history.evidence:
        click.echo(f"Evidence: {line}")
    click.echo(f"Status: {history.row.status}")
    for response in history.responses:
        click.echo(f"  {response_text(response)}")
    click.echo()
    if not history.trail and not history.row.deliveries and not history.row.muted:
        before = "was published before" if alert.dated else "has no date, and was there at"
        click.echo(f"It {before} the first start (start_from), so it was not sent.")
        return
    _print_trail(history.trail)
    for revision in history.revisions:
        changes = ", ".join(
            f"{change.field}: {change.old} -> {change.new}"
            for change in (in_names(change, history.row.vendors) for change in revision.changes)
        )
        click.echo(f"Revision {revision.revision} at {moment(revision.at)}: {changes}")
    for delivery in history.row.deliveries:
        click.echo(f"\n{delivery.connector} ({delivery.kind}): {delivery.state.value}, because {delivery.why}")
        if delivery.id in waits:
            click.secho(f"  {waits[delivery.id].text}", bold=True)
        if delivery.receipt:
            click.echo(f"  receipt {delivery.receipt.remote_id} {delivery.receipt.url or ''}".rstrip())
        for attempt in history.attempts.get(delivery.id, ()):
            line = f"  {moment(attempt.at)}  {attempt.seconds:.2f} s  {attempt.outcome}  {attempt.reason}"
            click.echo(line.rstrip())
    if history.row.muted:
        click.secho(f"It is {muted_text(history.row.muted)}", bold=True)
    elif not history.row.deliveries:
        click.echo("It went nowhere: no route names a connector for it.")


def _score(score: float | None) -> str:
    return "unknown" if score is None else f"{score:g}"


def _print_trail(trail: Sequence[Mapping[str, Any]]) -> None:
    for verdict in trail[:MOST_ROUTES]:
        mark = "matched" if verdict["matched"] else "no match"
        to = f" -> {', '.join(verdict['to'])}" if verdict["matched"] else ""
        others = f" and {verdict['others']} others" if verdict.get("others") else ""
        click.echo(f"Route {verdict['route']}{others}: {mark}, for {verdict['why']}{to}")
    if len(trail) > MOST_ROUTES:
        click.echo(f"And {len(trail) - MOST_ROUTES} more routes: --json tells all.")


@click.command()
@config_option
@connector_argument
@click.argument("alert_id", required=False)
@click.option("--severity", type=SEVERITIES, default="critical", show_default=True, help="The sample's severity.")
@click.option("--digest", "in_digest", is_flag=True, help="Show the newest alerts that were seen as one digest.")
@click.option("--json", "as_json", is_flag=True, help="Print the payload as JSON.")
def preview(
    config_path: Path, connector: str, *, alert_id: str | None, severity: str, in_digest: bool, as_json: bool
) -> None:
    """Print what CONNECTOR would send, as a person would see it there.

    ALERT_ID is an alert that was seen, by id or CVE; without it a sample alert is shown. Nothing is sent.
    """

    from forwarder.cli.samples import SAMPLE_EVIDENCE, SAMPLE_VENDORS, sample_alert

    config = load_config(config_path)
    instance = build(config, connector)
    if in_digest and alert_id is not None:
        raise Stop("A digest is made of the newest alerts: leave ALERT_ID out, or --digest.")
    if in_digest and not instance.takes_digests:
        raise Stop(f"{connector} takes no digests.")
    if in_digest:
        delivery = _digest(config, connector)
    elif alert_id is not None:
        seen = _seen(config, alert_id)
        delivery = _outstanding(connector, seen.row.alert, vendors=seen.row.vendors, evidence=seen.evidence)
    else:
        sample = sample_alert(Severity(severity))
        evidence = SAMPLE_EVIDENCE if config.sentrytex.evidence else ()
        delivery = _outstanding(connector, sample, vendors=SAMPLE_VENDORS, evidence=evidence)
    owners, page = owners_of(config.owners, instance.config.type, delivery), config.web.page_of(delivery.alert.id)
    delivery = replace(delivery, owners=owners, page=page)
    payload = instance.render(delivery)
    if as_json:
        print_json(payload)
    else:
        click.echo(clean(instance.preview(payload)))


def _outstanding(connector: str, alert: Alert, **told: Any) -> Delivery:
    return Delivery(
        id=0, alert=alert, connector=connector, enqueued_at=datetime.now(UTC) - timedelta(seconds=1), **told
    )


def _digest(config: Config, connector: str) -> Delivery:
    """A digest of the newest alerts, as it would be made of them now."""
    with Store.open_shared(config.database) as store:
        rows = store.queries.alerts(Filter(limit=_IN_DIGEST))
    alerts = sorted((row.alert for row in rows), key=lambda alert: (alert.severity.rank, alert.published_at))
    if not alerts:
        raise Stop("No alert was seen yet that a digest could tell: leave --digest out for a sample alert.")
    digest = compose(connector, alerts, datetime.now(UTC))
    return _outstanding(connector, digest, origin=Origin.DIGEST, items=tuple(alerts))


def _seen(config: Config, wanted: str) -> AlertHistory:
    store = Store.open_shared(config.database)
    try:
        histories = found(store, wanted)
    finally:
        store.close()
    if not histories:
        raise Stop(f"No alert {wanted} was seen: `forwarder alerts` lists those that were.")
    return histories[0]
