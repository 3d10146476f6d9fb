"""Commands that keep alerts from going out, and let them out again: mute, unmute, mutes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from forwarder.alert import Alert
from forwarder.cli.explain import found
from forwarder.cli.options import by_option, complete_alert, person_of, reason_of
from forwarder.cli.output import age, moment, print_json
from forwarder.cli.queue import confirm, opened, yes_option
from forwarder.cli.respond import the_one
from forwarder.cli.root import SEVERITIES, Stop, config_option, json_option
from forwarder.cli.tables import Column, print_table
from forwarder.cli.view import Located, locate_whole, view_options, viewing
from forwarder.common.clock import iso
from forwarder.common.databases import Database
from forwarder.common.text import counted, cut
from forwarder.common.units import parse_duration
from forwarder.config import Mute
from forwarder.config.values import bounded, instant
from forwarder.connector import MuteScope, Origin
from forwarder.lifecycle.mutes import MOST_WORDS, TEND_EVERY, hush, mute_of, muted_by, of_config, words
from forwarder.response import COMMAND_LINE
from forwarder.store import Store
from forwarder.store.mute_records import MuteRow
from forwarder.store.query_records import AlertRow

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}", re.IGNORECASE)
_MOST_DIGITS = 40
"""More characters than any mute's id has."""
_a_minute_at_least = bounded(timedelta(minutes=1))


def _duration(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    try:
        return None if value is None else _a_minute_at_least(parse_duration(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _instant(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        if end := instant(value):
            return end
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    raise click.BadParameter("must be an ISO date such as 2027-01-31, or a time such as 2027-01-31T18:00+01:00")


@click.command()
@config_option
@click.argument("alert", nargs=-1, shell_complete=complete_alert)
@click.option("--vendor", "vendors", multiple=True, help="A vendor key; * and ? stand for any characters. Repeatable.")
@click.option(
    "--category", "categories", multiple=True, help="A category of vendors, as your stack has it. Repeatable."
)
@click.option("--cve", "cve_id", multiple=True, help="A CVE id; * and ? stand for any characters. Repeatable.")
@click.option("--severity", multiple=True, type=SEVERITIES, help="A severity. Repeatable.")
@click.option("--account", multiple=True, help="An account; what another one sees too goes out. Repeatable.")
@click.option("--for", "lasts", callback=_duration, help="How long it lasts, such as 7d.")
@click.option("--until", callback=_instant, help="When it ends: an ISO date or time, in UTC where it names no zone.")
@click.option("--reason", default="", help="Why, for whoever asks where an alert has gone.")
@by_option
@click.option("--even-if-worse", is_flag=True, help="Keep quiet also what gets worse; otherwise that goes out.")
def mute(config_path: Path, alert: tuple[str, ...], person: str | None, **told: Any) -> None:
    """Keep alerts from going out for a time. They are kept, and shown as muted.

    Choose them by --vendor, --category, --cve, --severity and --account: each that is given must hold, and of one
    that is repeated any. Or name an ALERT, by its id, its CVE or words of its title: that mutes its CVE, or its
    vendors where it has none. What has gone out already is not taken back. When the mute ends, what it kept quiet
    goes out by the routes of that time.
    """
    wanted = " ".join(alert).strip()
    conditions = {name: told[name] for name in ("vendors", "categories", "cve_id", "severity", "account") if told[name]}
    if not wanted and not conditions:
        raise click.UsageError("This would mute every alert: name one, or add a condition, such as --vendor.")
    if not all(text.strip() for texts in conditions.values() for text in texts):
        raise click.UsageError("An empty text names nothing: leave that option out.")
    if wanted and conditions:
        raise click.UsageError("Name an alert, or choose by conditions such as --vendor, and not both.")
    reason = reason_of(told["reason"])
    if not reason:
        raise click.UsageError("A mute needs a reason, for whoever asks where an alert has gone: add --reason TEXT.")
    rest = {"until": _end(told["lasts"], told["until"]), "reason": reason, "even_if_worse": told["even_if_worse"]}
    located = locate_whole(config_path)
    with opened(located) as store:
        if _CVE.fullmatch(wanted) and not found(store, wanted):
            raise Stop(f"No alert about {wanted} was seen: to mute those that come, name it with --cve {wanted}.")
        rule = _rule_of(_seen(store, wanted).alert, **rest) if wanted else Mute.model_validate({**conditions, **rest})
        made = store.mutes.add(rule, person=person_of(person), place=COMMAND_LINE, now=time.time())
        hushed = hush(store, [made], time.time())
    click.echo(f"Mute {made.id}, until {moment(made.until)}: {cut(words(rule), MOST_WORDS)}.")
    if hushed:
        click.echo(f"{counted(hushed, 'alert')} that had not gone out yet {'stays' if hushed == 1 else 'stay'} quiet.")
    worse = "" if rule.even_if_worse else " What gets worse goes out all the same."
    click.echo(f"What has gone out already is not taken back.{worse} `forwarder unmute {made.id}` ends it.")


def _end(lasts: timedelta | None, until: datetime | None) -> datetime:
    """When a mute ends; stops the command where nobody said it, or where it has passed."""
    if (lasts is None) == (until is None):
        raise click.UsageError("A mute needs an end: add either --for, such as 7d, or --until, such as 2027-01-31.")
    now = datetime.now(UTC)
    end = until or now + (lasts or timedelta())
    if end <= now:
        raise click.UsageError(f"{moment(end)} has passed: name a later time with --until, or how long with --for.")
    return end


def _rule_of(alert: Alert, **rest: Any) -> Mute:
    """The mute of one alert's CVE, or else of its vendors."""
    for scope in MuteScope:
        if (rule := mute_of(alert, scope, **rest)) is not None:
            return rule
    raise Stop(f"{alert.title} has neither a CVE nor a vendor by which it could be muted.")


def _seen(store: Store, wanted: str) -> AlertRow:
    """The alert that is meant, or one of those about the CVE that is; stops the command rather than guess."""
    histories = found(store, wanted)
    about = {history.row.alert.cve_id for history in histories}
    history = histories[0] if len(about) == 1 and None not in about else the_one(store, wanted)
    if history.row.origin is not Origin.FEED:
        raise Stop(f"{history.row.alert.title} is no alert of the feed: there is nothing to mute.")
    return history.row


@click.command()
@config_option
@click.argument("mute", nargs=-1, required=True, metavar="ID|ALERT")
@by_option
@yes_option
def unmute(config_path: Path, mute: tuple[str, ...], person: str | None, yes: bool) -> None:
    """End a mute before its time: what it kept quiet goes out by the routes of now.

    ID is the mute's number, as `forwarder mutes` lists it. With an ALERT all that people have set and that mutes it
    ends. What another mute matches stays quiet. A mute of the config ends where it is taken out of the config.
    """
    wanted, now = " ".join(mute).strip(), time.time()
    located = locate_whole(config_path)
    with opened(located) as store:
        standing = _standing(located, store, now)
        chosen = (
            [_by_id(store, wanted, standing, now)] if _is_id(wanted) else _of_alert(store, wanted, standing, now, yes)
        )
        rest = [one for one in standing if one.id not in {each.id for each in chosen}]
        quiet = [told for one in chosen for told in store.mutes.quiet(one.id)]
        vendors = store.vendors.known()
        still = sum(
            muted_by(alert, rest, now, vendors, accounts=accounts, worse=worse) is not None
            for alert, worse, accounts in quiet
        )
        for one in chosen:
            store.mutes.end(int(one.id), by=person_of(person) or COMMAND_LINE, now=now)
    for one in chosen:
        click.echo(f"Mute {one.id} is over: {_what(one)}.")
    click.echo(_what_follows(len(quiet) - still))
    if still:
        click.echo(f"{counted(still, 'alert')} {'stays' if still == 1 else 'stay'} quiet by another mute.")


def _is_id(wanted: str) -> bool:
    return wanted.isdecimal() or wanted.startswith("config-")


def _by_id(store: Store, wanted: str, standing: Sequence[MuteRow], now: float) -> MuteRow:
    """The person's mute of this id; stops the command where there is none to end."""
    if any(one.id == wanted and one.from_config for one in standing):
        raise Stop(f"{wanted} is in the config: take it out of `mutes` there, then `forwarder reload` ends it.")
    number = str(int(wanted)) if wanted.isdecimal() and len(wanted) <= _MOST_DIGITS else cut(wanted, _MOST_DIGITS)
    found_one = next((one for one in store.mutes.all() if one.id == number), None)
    if found_one is None:
        raise Stop(f"There is no mute {number}: `forwarder mutes` lists those that there are.")
    if found_one.ended_at is not None or found_one.until <= now:
        raise Stop(f"Mute {number} has ended already: nothing was changed.")
    return found_one


def _of_alert(store: Store, wanted: str, standing: Sequence[MuteRow], now: float, yes: bool) -> list[MuteRow]:
    """The mutes that people have set and that mute an alert; asks first where they keep others quiet as well."""
    row, vendors = _seen(store, wanted), store.vendors.known()
    alert = row.alert
    matching = [one for one in standing if muted_by(alert, [one], now, vendors, accounts=row.accounts) is not None]
    if not matching:
        raise Stop(f"{alert.title} is not muted: nothing was changed.")
    chosen = [one for one in matching if not one.from_config]
    if not chosen:
        raise Stop(
            f"{alert.title} is muted by the config ({matching[0].reason}): take that out of `mutes` there, then "
            "`forwarder reload` ends it."
        )
    others = sum(len(store.mutes.quiet(one.id)) for one in chosen)
    if others > 1:
        which = " and ".join(f"mute {one.id} ({_what(one)})" for one in chosen)
        confirm(f"End {which}, by which {counted(others, 'alert')} are quiet?", yes=yes)
    return chosen


def _standing(located: Located, store: Store, now: float) -> list[MuteRow]:
    """All mutes that stand; those of the config as far as it can be read without its secrets."""
    configured = of_config(located.config) if located.config else []
    return [one for one in (*configured, *store.mutes.standing(now)) if one.stands(now)]


def _what_follows(count: int) -> str:
    if not count:
        return "No alert goes out by that."
    go, them = counted(count, "alert goes", "alerts go"), "it" if count == 1 else "them"
    return f"{go} out now: the daemon routes {them} within {TEND_EVERY:g} seconds, or as soon as it runs."


@click.command()
@view_options
@json_option
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
def mutes(config_path: Path, database: Database | None, as_json: bool, every: bool) -> None:
    """List mutes, of the config and of people, the next to end first, with how many alerts each keeps quiet."""
    now = time.time()
    with viewing(config_path, database) as view:
        known = [*(of_config(view.config) if view.config else []), *view.store.mutes.all()]
        counts = view.store.mutes.counts()
        if view.config is None:
            click.echo("The config cannot be used here: its own mutes are not among these.", err=True)
    shown = sorted((one for one in known if every or one.stands(now)), key=lambda one: one.until)
    if as_json:
        print_json([_mute_json(one, counts.get(one.id, 0), now) for one in shown])
        return
    print_table(
        ["id", Column("mutes", prose=True), "until", "ends", "quiet", "by", Column("reason", prose=True)],
        [
            [one.id, _what(one), moment(one.until), _ends(one, now), counts.get(one.id, 0), one.who, one.reason]
            for one in shown
        ],
        empty="Nothing is muted.",
    )


def _what(mute: MuteRow) -> str:
    return words(mute.rule) if mute.rule is not None else mute.unreadable


def _ends(mute: MuteRow, now: float) -> str:
    if mute.ended_at is not None:
        return f"{age(mute.ended_at, now)}, by {mute.ended_by}"
    return age(mute.until, now)


def _mute_json(mute: MuteRow, quiet: int, now: float) -> dict[str, Any]:
    rule = mute.rule
    return {
        "id": mute.id,
        "stands": mute.stands(now),
        "conditions": None
        if rule is None
        else rule.model_dump(mode="json", exclude_defaults=True, exclude={"until", "reason", "even_if_worse"}),
        "until": iso(mute.until),
        "reason": mute.reason,
        "even_if_worse": rule is not None and rule.even_if_worse,
        "by": mute.who,
        "place": mute.place,
        "created_at": None if mute.created_at is None else iso(mute.created_at),
        "ended_at": None if mute.ended_at is None else iso(mute.ended_at),
        "ended_by": mute.ended_by,
        "quiet": quiet,
    }
