"""Commands by which a person says what becomes of an alert: ack, resolve, reopen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from forwarder import plugins
from forwarder.cli.explain import found
from forwarder.cli.options import by_option, complete_alert, person_of, reason_of
from forwarder.cli.output import print_json, response_json, response_text
from forwarder.cli.queue import SOON, opened
from forwarder.cli.root import EX_CONFIG, Stop, config_option, json_option
from forwarder.cli.view import Located, locate_whole
from forwarder.common.text import clean, cut, one_line
from forwarder.connector import Action, Origin, Resolution, Status
from forwarder.response import COMMAND_LINE
from forwarder.store import Store
from forwarder.store.life_records import Heard, Responded
from forwarder.store.query_records import AlertHistory

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_SAID: Final = 100
"""Characters of what a person asked for that an answer repeats."""


def deciding_options(command: Command) -> Command:
    """The alert, why, and who says so."""
    for option in (
        by_option,
        click.option("--reason", default="", help="Why, for everybody who is told."),
        click.argument("alert", nargs=-1, required=True, shell_complete=complete_alert),
    ):
        command = option(command)
    return config_option(json_option(command))


@click.command()
@deciding_options
def ack(config_path: Path, alert: tuple[str, ...], **told: Any) -> None:
    """Say that somebody has an alert, wherever it stands.

    ALERT is its id, its CVE or a part of it, words of its title, a vendor, or the key of its ticket; where several
    match, name the id. The message, the incident and the ticket follow within seconds while the daemon runs.
    """
    _decide(config_path, alert, Action.ACKNOWLEDGE, **told)


@click.command()
@deciding_options
@click.option("--not-affected", is_flag=True, help="It does not concern you, rather than being done.")
def resolve(config_path: Path, alert: tuple[str, ...], not_affected: bool, **told: Any) -> None:
    """Say that an alert is done, or does not concern you, wherever it stands.

    ALERT is named as for `ack`. It is open again when somebody reopens it, or when it changes for the worse.
    """
    how = Resolution.NOT_AFFECTED if not_affected else Resolution.DONE
    _decide(config_path, alert, Action.RESOLVE, resolution=how, **told)


@click.command()
@deciding_options
def reopen(config_path: Path, alert: tuple[str, ...], **told: Any) -> None:
    """Say that an alert is open again, wherever it stands.

    ALERT is named as for `ack`. PagerDuty pages anew where its incident is resolved.
    """
    _decide(config_path, alert, Action.REOPEN, **told)


def _decide(
    config_path: Path,
    words: Sequence[str],
    action: Action,
    *,
    person: str | None,
    reason: str,
    as_json: bool,
    resolution: Resolution | None = None,
) -> None:
    located = locate_whole(config_path)
    telling = _telling(located)
    with opened(located) as store:
        history = the_one(store, " ".join(words))
        responded = store.lifecycle.respond(
            history.row.alert.id,
            action,
            place=COMMAND_LINE,
            now=time.time(),
            connectors=telling,
            person=person_of(person),
            reason=reason_of(reason),
            resolution=resolution,
        )
    if responded.heard is Heard.UNKNOWN:
        raise Stop(_nothing_to_decide(history))
    if as_json:
        print_json(_json(responded))
        return
    click.echo(f"{history.row.alert.title} ({history.row.alert.id})")
    for sentence in _answer(responded):
        click.echo(sentence)


def _telling(located: Located) -> list[str]:
    """The connectors that are owed what people decide."""
    try:
        return [name for name, kind in located.types.items() if plugins.load_type(kind).tells_responses]
    except plugins.PluginError as error:
        raise Stop(f"{error}.", EX_CONFIG) from None


def the_one(store: Store, wanted: str) -> AlertHistory:
    """The one alert that is meant; stops the command where there is none, or more than one: it never guesses."""
    wanted = wanted.strip()
    if not wanted:
        raise click.UsageError("Name an alert: its id, its CVE or words of its title.")
    histories = found(store, wanted)
    said = cut(one_line(clean(wanted)), MOST_SAID)
    if not histories:
        like = store.queries.nearest(wanted)
        nearest = f" The nearest that were: {', '.join(like)}." if like else ""
        raise Stop(
            f"No alert that matches {said} was seen.{nearest} "
            "`forwarder alerts --search WORDS` finds alerts by part of a CVE or title."
        )
    if len(histories) > 1:
        lines = [f"  {one.row.alert.id}  {one.row.status}  {one.row.alert.title}" for one in histories]
        raise Stop("\n".join([f"{len(histories)} alerts match {said}. Name the one that you mean by its id:", *lines]))
    return histories[0]


def _nothing_to_decide(history: AlertHistory) -> str:
    what = {Origin.ALARM: "an alarm of the forwarder, which ends when its cause does", Origin.TEST: "a test"}
    kind = what.get(history.row.origin, "no alert of the feed")
    return f"{history.row.alert.title} is {kind}: there is nothing to decide about it."


def _answer(responded: Responded) -> list[str]:
    """What was decided and who is told, or by whom it was decided before."""
    said = [] if responded.latest is None else [f"{response_text(responded.latest)}."]
    if responded.heard is Heard.CHANGED:
        if not responded.connectors:
            return [*said, "It stands nowhere that could be told."]
        to = ", ".join(sorted(responded.connectors))
        them = "it" if len(responded.connectors) == 1 else "them"
        return [*said, f"Owed to {to}: {SOON.format(them=them)}"]
    if responded.status is Status.OPEN:
        return ["It is open already: nothing was changed."]
    undo = " `forwarder reopen` opens it again." if responded.status is Status.RESOLVED else ""
    return [*said, f"So it is {responded.status} already, and nothing was changed.{undo}"]


def _json(responded: Responded) -> dict[str, Any]:
    return {
        "alert_id": responded.alert_id,
        "changed": responded.heard is Heard.CHANGED,
        "status": responded.status.value,
        "latest": None if responded.latest is None else response_json(responded.latest),
        "owed_to": sorted(responded.connectors),
    }
