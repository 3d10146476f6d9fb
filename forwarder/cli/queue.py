"""Commands that change the queue: retry, discard, rename."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from forwarder.cli.options import check_configured, complete_connector, complete_known, complete_orphan
from forwarder.cli.root import Stop, config_option
from forwarder.cli.view import Located, locate_whole
from forwarder.common.text import counted
from forwarder.config import Config
from forwarder.config.problems import did_you_mean
from forwarder.store import Store
from forwarder.store.query_records import DeliveryRow, Filter
from forwarder.store.records import State

Command = TypeVar("Command", bound=Callable[..., Any])

ALL: Final = -1
"""The limit of a Filter that has none, as SQLite takes it."""
SOON: Final = "the daemon sends {them} within 2 seconds, or as soon as it runs."
"""The dispatchers look for work of other processes that often."""


class DeliveryId(click.ParamType[int]):
    """The id of a delivery, as the lists show it."""

    name = "delivery"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not str(value).isdecimal() or int(value) == 0:
            self.fail(f"{value!r} is no delivery: `forwarder deliveries --state dead` lists them.", param, ctx)
        return int(value)


def choosing_options(command: Command) -> Command:
    """The three ways to name dead letters: by id, by connector, all."""
    command = click.option("--all", "every", is_flag=True, help="Every dead letter.")(command)
    command = click.option("--connector", shell_complete=complete_known, help="Every dead letter of this connector.")(
        command
    )
    return click.argument("ids", nargs=-1, type=DeliveryId(), metavar="[DELIVERY]...")(command)


yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command()
@config_option
@choosing_options
def retry(config_path: Path, ids: tuple[int, ...], connector: str | None, every: bool) -> None:
    """Send dead letters once more.

    DELIVERY is an id as `forwarder deliveries --state dead` lists it; or choose with --connector or --all. A connector
    that is paused and named with --connector is tried again at once. What may have arrived is looked for before it is
    sent, where the destination can be asked. The daemon does the sending.
    """
    _one_way(ids, connector, every)
    config = locate_whole(config_path)
    with opened(config) as store:
        if connector in _orphans(store, config):
            raise Stop(_orphaned(connector))
        if connector is not None:
            check_configured(config.connectors, connector)
        dead = _dead_letters(store, ids, connector)
        lost = sorted({row.connector for row in dead} - set(config.connectors))
        if lost and not every:
            raise Stop(_orphaned(lost[0]))
        now = time.time()
        chosen = {row.id for row in dead if row.connector in config.connectors}
        count = store.operations.retry(chosen, now=now)
        doubtful = sum(row.id in chosen for row in _rows(store, State.UNCERTAIN, connector))
        pause = None if connector is None else store.outbox.pause_of(connector)
        if pause is not None:
            store.operations.probe_now(pause.connector, now=now)
            click.echo(f"{pause.connector} was paused ({pause.reason}): it is tried again at once.")
    if count:
        verb, them = ("is", "it") if count == 1 else ("are", "them")
        click.echo(f"{counted(count, 'dead letter')} {verb} queued again: {SOON.format(them=them)}")
    if doubtful:
        click.echo(f"{doubtful} of them may have arrived: what is found there is not sent again.")
    if count < len(chosen):
        click.echo(_left_alone(len(chosen) - count))
    elif not count and pause is None and not lost:
        click.echo("There is nothing to retry.")
    for name in lost:
        click.echo(_orphaned(name), err=True)


@click.command()
@config_option
@choosing_options
@yes_option
def discard(config_path: Path, ids: tuple[int, ...], connector: str | None, every: bool, yes: bool) -> None:
    """Discard dead letters for good: they are removed, and not sent unless their alert becomes worse.

    DELIVERY is an id as `forwarder deliveries --state dead` lists it; or choose with --connector or --all. Of a
    connector that the config no longer has, --connector also covers what still waits.
    """
    _one_way(ids, connector, every)
    config = locate_whole(config_path)
    with opened(config) as store:
        orphan = connector in _orphans(store, config)
        if connector is not None and not orphan:
            check_configured(config.connectors, connector)
        rows = _dead_letters(store, ids, connector)
        dead = len(rows)
        if connector is not None and orphan:
            rows += [row for state in (State.READY, State.UNCERTAIN) for row in _rows(store, state, connector)]
        if not rows:
            click.echo("There is nothing to discard.")
            return
        parts = [counted(dead, "dead letter")] if dead else []
        if len(rows) > dead:
            waiting = counted(len(rows) - dead, "delivery", "deliveries")
            parts.append(f"{waiting} that still {'waits' if len(rows) - dead == 1 else 'wait'}")
        what = " and ".join(parts) + (f" of {connector}" if connector else "")
        confirm(f"Discard {what}, never to be sent?", yes=yes)
        gone = len(rows) - store.operations.discard([row.id for row in rows])
        if connector is not None and orphan:
            # A later connector of the same name must not start out paused.
            store.operations.resume(connector)
    click.echo(f"Discarded {what}.")
    if gone:
        click.echo(f"{gone} of them did not wait any more: {'it is' if gone == 1 else 'they are'} as before.")


@click.command()
@config_option
@click.argument("old", shell_complete=complete_orphan)
@click.argument("new", shell_complete=complete_connector)
def rename(config_path: Path, old: str, new: str) -> None:
    """Move a connector's deliveries and receipts to its new name, after OLD became NEW in the config.

    Without it the deliveries of OLD wait for ever, since no connector has that name. NEW must lead to the same
    place: the receipts go along, and later changes of an alert reach the message or ticket that it already has.
    """
    config = locate_whole(config_path)
    check_configured(config.connectors, new)
    if old in config.connectors:
        raise Stop(f"The config still has a connector {old}: rename it there first, then here.")
    with opened(config) as store:
        before = _orphans(store, config)
        moved = store.operations.rename(old, new)
        if not moved and old not in before:
            raise Stop(f"Nothing is kept for a connector {old}{did_you_mean(old, before)}.")
        store.operations.resume(old)
        left = [row for row in _rows(store, None, old) if row.state is not State.DELIVERED]
    click.echo(f"{counted(moved, 'delivery', 'deliveries')} of {old} {'is' if moved == 1 else 'are'} now {new}'s.")
    if left:
        click.echo(
            f"{counted(len(left), 'delivery', 'deliveries')} stayed with {old}, since {new} already has the same: "
            f"`forwarder discard --connector {old}` removes what is left."
        )


@contextmanager
def opened(config: Config | Located) -> Iterator[Store]:
    """The config's database, beside the daemon."""
    store = Store.open_shared(config.database)
    try:
        yield store
    finally:
        store.close()


def confirm(question: str, *, yes: bool) -> None:
    """Asks, and stops the command at a no. Where nobody can be asked, only ``--yes`` goes on."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Stop(f"{question} There is no terminal to ask on: use --yes.")
    if not click.confirm(question):
        raise Stop("Nothing was changed.")


def _one_way(ids: Sequence[int], connector: str | None, every: bool) -> None:
    if sum((bool(ids), connector is not None, every)) != 1:
        raise click.UsageError("Choose dead letters in exactly one way: by their ids, with --connector, or with --all.")


def _dead_letters(store: Store, ids: Sequence[int], connector: str | None) -> list[DeliveryRow]:
    dead = _rows(store, State.DEAD, connector)
    if not ids:
        return dead
    unknown = sorted(set(ids) - {row.id for row in dead})
    if unknown:
        raise Stop(
            f"No dead letter has the id {' or '.join(map(str, unknown))}: "
            "`forwarder deliveries --state dead` lists the existing ones. Nothing was changed."
        )
    return [row for row in dead if row.id in ids]


def _rows(store: Store, state: State | None, connector: str | None) -> list[DeliveryRow]:
    return store.queries.deliveries(Filter(state=state, connector=connector, origin=None, limit=ALL))


def _orphans(store: Store, config: Located) -> list[str]:
    """Connectors that are owed something but not in the config."""
    names = (queue.connector for queue in store.queries.queues(config.connectors, since=time.time()))
    return [name for name in names if name not in config.connectors]


def _left_alone(count: int) -> str:
    """What is said of dead letters for which there is nothing left to send."""
    it, was = ("it", "was") if count == 1 else ("they", "were")
    return (
        f"{counted(count, 'dead letter')} {was} left alone, since what {it} told of is over: "
        "`forwarder discard` removes what need not be sent."
    )


def _orphaned(name: str | None) -> str:
    return (
        f"The config has no connector {name}, so its deliveries cannot be sent: move them to another one with "
        f"`forwarder rename {name} NEW`, or discard them with `forwarder discard --connector {name}`."
    )
