"""The long run: ``python -m tests.torture``. Prints what each proof showed; exit status 1 where a promise broke."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final, Protocol, TypeVar

import click
import pytest
from rich.console import Console
from rich.table import Table

from tests.kit.contract import BY_TEXT, TARGETS
from tests.torture import (
    feed,
    first_start,
    ground,
    hostile,
    kills,
    life,
    matrix,
    parrot,
    poison,
    replica_campaigns,
    replicas,
    signals,
    soak,
    threads,
)
from tests.torture.points import Point
from tests.torture.world import Tally

PROOFS: Final = (
    "kills",
    "life",
    "matrix",
    "ground",
    "first-start",
    "signals",
    "threads",
    "hostile",
    "secrets",
    "poison",
    "replicas",
    "failover",
    "soak",
)
_C = TypeVar("_C")


class _Result(Protocol):
    complaints: list[str]


_R = TypeVar("_R", bound=_Result)

EXAMPLES: Final = 1000
"""Pages of chance for each kind of Jira."""

console = Console(width=100, highlight=False)


@click.command()
@click.option("--kills", "number", default=1000, show_default=True, help="How often the daemon is killed.")
@click.option("--life-kills", "responses", default=200, show_default=True, help="How often while people respond.")
@click.option(
    "--troubles",
    default=sum(replica_campaigns.MIX.values()),
    show_default=True,
    help="How often one befalls a replica, or the server.",
)
@click.option(
    "--part", nargs=2, type=int, default=(1, 1), help="Of the troubles only this share: 3 8 is the third of eight."
)
@click.option("--seed", type=int, help="Makes a run again: the same points, in the same order. Default: by the clock.")
@click.option("--days", default=90, show_default=True, help="How long the soak lasts, in simulated days.")
@click.option("--only", multiple=True, type=click.Choice(PROOFS), help="Run this proof alone; may be repeated.")
def main(
    *,
    number: int,
    responses: int,
    troubles: int,
    part: tuple[int, int],
    seed: int | None,
    days: int,
    only: tuple[str, ...],
) -> None:
    """Prove that nothing is lost and nothing is sent twice. Takes some twenty minutes on two cores."""
    seed = int(time.time()) if seed is None else seed
    started = time.monotonic()
    console.print(f"seed {seed}")
    proofs: dict[str, Callable[[], list[str]]] = {
        "kills": lambda: prove_kills(number, seed),
        "life": lambda: prove_life(responses, seed),
        "matrix": prove_matrix,
        "ground": lambda: _prove("The ground under it", ground.SCENARIOS),
        "first-start": lambda: _prove("First start without a feed", first_start.SCENARIOS),
        "signals": lambda: _prove("Signals", signals.SCENARIOS),
        "threads": lambda: _prove("No more threads", threads.SCENARIOS),
        "hostile": prove_hostile,
        "secrets": prove_secrets,
        "poison": prove_poison,
        "replicas": lambda: prove_replicas(troubles, seed, part),
        "failover": lambda: prove_failover(seed, part),
        "soak": lambda: prove_soak(days, seed),
    }
    complaints: list[str] = []
    for name in only or PROOFS:
        complaints += proofs[name]()
    console.print(f"\n{(time.monotonic() - started) / 60:.0f} minutes, seed {seed}")
    for complaint in complaints:
        console.print(f"BROKEN: {complaint}", style="red", markup=False)
    if not complaints:
        console.print("Every promise held.", style="green")
    sys.exit(1 if complaints else 0)


def prove_kills(number: int, seed: int) -> list[str]:
    results, complaints = _campaigns(kills.run_apart, kills.campaigns(number, seed), lambda one: one.kills.total())
    _show_kills(results)
    return complaints


def prove_life(number: int, seed: int) -> list[str]:
    results, complaints = _campaigns(life.run_apart, life.campaigns(number, seed), lambda one: one.kills)
    _show_life(results)
    return complaints


def _campaigns(
    run: Callable[[_C], _R], campaigns: Sequence[_C], killed: Callable[[_R], int]
) -> tuple[list[_R], list[str]]:
    """What came of each campaign, and what is wrong, its own name with it."""
    results, complaints = [], []
    with _processes() as processes:
        waiting = {processes.submit(run, campaign): campaign for campaign in campaigns}
        for done in as_completed(waiting):
            try:
                results.append(done.result())
                complaints += [f"{waiting[done]}: {complaint}" for complaint in results[-1].complaints]
            except AssertionError as error:
                complaints.append(f"{waiting[done]}: {error}")
            if console.is_terminal:
                console.print(f"{sum(map(killed, results))} kills", end="\r")
    return results, complaints


def prove_matrix() -> list[str]:
    rows = []
    with _folder() as folder:
        rows += [matrix.run(target, _within(folder, target.name)) for target in (*TARGETS, *BY_TEXT)]
        rows.append(feed.run(_within(folder, "feed")))
    _show_rows("Fault matrix", "cells", rows)
    return [wrong for row in rows for wrong in row.wrong]


def _prove(title: str, scenarios: Mapping[str, ground.Scenario]) -> list[str]:
    table, complaints = Table(title, "", title_justify="left"), []
    for name, scenario in scenarios.items():
        with _folder() as folder:
            try:
                scenario(folder)
                verdict = "held"
            except pytest.skip.Exception as skipped:
                verdict = f"not run: {skipped}"
            except AssertionError as error:
                verdict = "BROKEN"
                complaints.append(f"{name}: {error}")
        table.add_row(name, verdict)
    console.print(table)
    return complaints


def prove_hostile() -> list[str]:
    rows, complaints = [], []
    for flavour in hostile.FLAVOURS:
        with _folder() as folder:
            try:
                rows.append(hostile.run(folder, examples=EXAMPLES, flavour=flavour, seeded=False))
            except AssertionError as error:
                complaints.append(f"hostile, {flavour}: {error} {getattr(error, '__notes__', '')}")
    _show_rows("Hostile input", "pages", rows)
    return [*complaints, *(wrong for row in rows for wrong in row.wrong)]


def prove_secrets() -> list[str]:
    with _folder() as folder:
        shown = parrot.run(folder)
    console.print(f"Secrets that services repeat: {len(shown)} shown")
    return [f"a secret is in {where}" for where in shown]


def prove_poison() -> list[str]:
    with _folder() as folder:
        results = poison.run(folder)
    table = Table(
        "Poison", "poisoned", "healthy", "seconds", "sends to poison", "sends to healthy", title_justify="left"
    )
    for one in results:
        seconds = f"{one.seconds:.0f}"
        table.add_row(one.name, str(one.poisoned), str(one.healthy), seconds, str(one.wasted), str(one.sends))
    console.print(table)
    return [complaint for one in results for complaint in one.complaints]


def prove_replicas(troubles: int, seed: int, part: tuple[int, int]) -> list[str]:
    which, parts = part
    return _show_replicas("Replicas", replica_campaigns.campaigns(troubles, seed)[which - 1 :: parts])


def prove_failover(seed: int, part: tuple[int, int]) -> list[str]:
    return _show_replicas("Failover, leases of 15 s", [replica_campaigns.failover(seed, part)])


def _show_replicas(title: str, campaigns: Sequence[replica_campaigns.Campaign]) -> list[str]:
    results, complaints = _campaigns(replicas.run_apart, campaigns, lambda one: one.troubles.total())
    without = ("roles without a holder", "no poll", "nothing sent of what is owed")
    table = Table(f"{title}: what befell one", "times", *(f"{what}, s" for what in without), title_justify="left")
    for trouble in replica_campaigns.Trouble:
        times = sum(result.troubles[trouble] for result in results)
        table.add_row(
            trouble.value,
            str(times),
            _span(seconds for result in results for seconds in result.moved.get(trouble, ())),
            _span(seconds for result in results for seconds in result.unpolled.get(trouble, ())),
            _span(seconds for result in results for seconds in result.unsent.get(trouble, ())),
        )
    console.print(table)
    counts = Table("connector", "alerts", "arrived", "lost", "sent twice", "dead letters", "most sends beyond its rate")
    for name in replica_campaigns.NAMES:
        total = sum((result.tallies.get(name, Tally()) for result in results), Tally())
        fastest = max((result.fastest.get(name, 0.0) for result in results), default=0.0)
        numbers = (total.alerts, total.arrived, total.lost, total.twice, total.dead)
        counts.add_row(name, *(f"{value:,}" for value in numbers), f"{fastest:.1f}")
    console.print(counts)
    return complaints


def _span(seconds: Iterable[float]) -> str:
    """The median and the most."""
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f}, at most {ordered[-1]:.1f}" if ordered else ""


def prove_soak(days: int, seed: int) -> list[str]:
    # In a process of its own, whose memory holds nothing else.
    with _processes() as processes, _folder() as folder:
        lived = processes.submit(soak.run, folder, days=days, seed=seed).result()
    table = Table("Soak: day", "alerts kept", "file, MiB", "memory, MiB")
    for sample in soak.evenings(lived, days):
        table.add_row(
            str(sample.day), f"{sample.alerts:,}", f"{sample.file / 2**20:.1f}", f"{sample.memory / 2**20:.1f}"
        )
    console.print(table)
    console.print(f"{lived.published:,} alerts, {lived.deliveries:,} deliveries")
    return lived.complaints


def _show_kills(results: list[kills.Result]) -> None:
    points: Counter[Point] = sum((result.kills for result in results), Counter())
    by_point = Table("SIGKILL", "times")
    for point, times in sorted(points.items(), key=lambda item: -item[1]):
        by_point.add_row(point.value, str(times))
    console.print(by_point)
    names = sorted({name for result in results for name in result.tallies})
    table = Table("connector", "runs", "kills", "alerts", "arrived", "lost", "sent twice", "dead letters")
    for name in names:
        there = [result for result in results if name in result.tallies]
        total = sum((result.tallies[name] for result in there), Tally())
        counts = (sum(result.runs for result in there), sum(result.kills.total() for result in there))
        numbers = (*counts, total.alerts, total.arrived, total.lost, total.twice, total.dead)
        table.add_row(name, *(f"{value:,}" for value in numbers))
    console.print(table)


def _show_life(results: list[life.Result]) -> None:
    table = Table("An alert's life: effects at", "due", "there", "lost", "twice", title_justify="left")
    for place in sorted({place for result in results for place in result.tallies}):
        tally = sum((result.tallies.get(place, Tally()) for result in results), Tally())
        table.add_row(place, *(f"{value:,}" for value in (tally.alerts, tally.arrived, tally.lost, tally.twice)))
    acts: Counter[str] = sum((result.acts for result in results), Counter())
    console.print(table)

    def total(name: str) -> str:
        return f"{sum(getattr(result, name) for result in results):,}"

    console.print(
        f"{total('kills')} kills between a response and its effects, {total('late')} after them; "
        f"{total('at_commits')} of these the moment a response was committed. People responded: "
        f"{', '.join(f'{name} {count:,}' for name, count in acts.most_common())}; {total('responses')} responses were "
        f"kept. {total('refused')} clicks met nobody; {total('overtaken')} came second, and {total('answered')} of "
        f"these people were told. {total('harmless')} events were sent to PagerDuty once more, "
        f"and {total('returned')} times what was decided there was told there again, because something had crossed it."
    )


def _show_rows(title: str, what: str, rows: list[matrix.Row]) -> None:
    table = Table(title, what, "sent twice", "wrong")
    for row in rows:
        table.add_row(row.target, f"{row.cells:,}", str(row.repeats), str(len(row.wrong)))
    console.print(table)


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn"))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        yield Path(folder)


def _within(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place


if __name__ == "__main__":
    main()
