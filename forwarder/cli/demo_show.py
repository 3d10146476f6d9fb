"""How the demo is shown: a line for each arrival, a line that lives on a terminal, and a table at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

import click

from forwarder.alert import Alert, Severity
from forwarder.cli.demo_sight import DEDUP, Sighting, Tally
from forwarder.cli.demo_story import Chapter, Story
from forwarder.cli.output import SEVERITY_STYLES
from forwarder.cli.tables import GAP, Column, console, print_table
from forwarder.common.text import cut

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_PLACE_STYLES: Final = {"Slack": "magenta", "PagerDuty": "green", "Jira": "blue", "Sentrytex": "cyan"}
_FACTS: Final = 28
"""Columns that the severity, the CVE and the space behind the title take."""
_INDENT: Final = 10
"""Columns that the time takes, and the space behind it."""
_PLACE: Final = 13
"""Columns that the longest name of a place takes."""
_TS: Final = re.compile(r"message \d+\.\d+")
_UUID: Final = 36
_SHORT: Final = 8
"""Characters of an alert's id that a terminal shows of it."""


class Show:
    """Where the demo's lines go. On a terminal they are coloured and fit its width; elsewhere they are whole."""

    def __init__(self, *, live: bool) -> None:
        self._live = live and sys.stdout.isatty()
        self._console: Console | None = console() if sys.stdout.isatty() else None
        self._status: Status | None = None
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        if self._live and self._console is not None:
            self._status = self._ending.enter_context(self._console.status("starting", spinner="dots"))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def say(self, text: str) -> None:
        """A sentence."""
        if self._console is None:
            click.echo(text)
        else:
            self._console.print(text, markup=False, soft_wrap=True)

    def tell(self, sighting: Sighting) -> None:
        """What was seen, as one line."""
        self._line(sighting.at, sighting.place, sighting.alert, sighting.what, "yellow" if sighting.trouble else "")

    def published(self, at: datetime, what: str, alert: Alert | None = None) -> None:
        """What the source did, as one line."""
        self._line(at, "Sentrytex", alert, what, "dim")

    def narrate(self, at: datetime, sentence: str) -> None:
        """A sentence of the story: it stands out, and breaks between words where a terminal is narrow."""
        time = at.astimezone().strftime("%H:%M:%S")
        if self._console is None:
            click.echo(f"{time}  {'Story':{_PLACE}}  {sentence}")
            return
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, GAP, 0, 0))
        line.add_column(style="dim", no_wrap=True)
        line.add_column(style="bold cyan", no_wrap=True, min_width=_PLACE)
        line.add_column(style="bold")
        line.add_row(time, "Story", Text(sentence))
        self._console.print(line)

    def progress(self, elapsed: float, until: float | None, told: str) -> None:
        """The living line: how long it runs, and how things stand."""
        if self._status is not None:
            of = "Ctrl-C ends it" if until is None else f"of {until:.0f} s"
            if until is not None and elapsed > until:
                of = "so far, waiting"
            self._status.update(f"[bold]{elapsed:.0f} s[/bold] {of} · {told}")

    def _line(self, at: datetime, place: str, alert: Alert | None, what: str, style: str) -> None:
        time = at.astimezone().strftime("%H:%M:%S")
        severity, cve, title = (alert.severity.value, alert.cve_id or "", alert.title) if alert else ("", "", "")
        if self._console is None:
            facts = f"{severity:8}  {cve:14}  {title}  [{what}]" if alert else what
            click.echo(f"{time}  {place:{_PLACE}}  {facts}")
            return
        from rich.text import Text

        text = Text.assemble((f"{time}  ", "dim"), (f"{place:{_PLACE}}  ", _PLACE_STYLES.get(service_of(place), "")))
        if alert is not None:
            short = _shortened(what, alert.id)
            room = self._console.width - len(text) - _FACTS - len(short)
            text.append(f"{severity:8}  ", SEVERITY_STYLES[severity])
            text.append(f"{cve:14}  ", "bold")
            text.append(f"{cut(title, room)}  " if room >= 12 else "")
            what = short
        if len(text) + len(what) > self._console.width:
            # What happened explains the rest: it gets a line of its own sooner than being cut.
            self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
            text = Text(" " * _INDENT)
        text.append(what, style or "dim")
        self._console.print(text, soft_wrap=True)


def service_of(place: str) -> str:
    """The service that a place belongs to: ``Slack`` of ``Slack #secops``."""
    return place.split(maxsplit=1)[0]


def print_summary(tallies: Sequence[Tally]) -> None:
    """The table of what arrived, by place and severity."""
    rows = [
        [
            tally.place,
            *(tally.arrived.get(severity, 0) for severity in Severity),
            sum(tally.arrived.values()),
            tally.again,
            tally.twice,
            tally.missing,
        ]
        for tally in tallies
    ]
    columns = ["arrived in", *(severity.value for severity in Severity), "in all", "again", "twice", "still owed"]
    print_table(columns, rows, title="Seen in the stand-ins")


def verdict(tallies: Sequence[Tally], *, twice: int, failed: bool) -> str:
    """What came of it all, in a sentence; ``failed`` says whether any request was answered badly."""
    missing, again = sum(tally.missing for tally in tallies), any(tally.again for tally in tallies)
    if twice:
        return f"{twice} arrived twice, which must not be: please report it."
    paged_again = "Only the one that got worse after it was resolved paged twice, as it should."
    if missing:
        late = f"{missing} had no time to arrive: the daemon would go on with the rest."
        return f"{late}\n{paged_again if again else 'Nothing came twice.'}"
    despite = ", in spite of what failed" if failed else ""
    if again:
        return f"Every alert arrived wherever its route sends it{despite}.\n{paged_again}"
    return f"Every alert arrived wherever its route sends it, once{despite}."


def print_life(story: Story) -> None:
    """The table of the story: what happened, and what each place shows of it; nothing where it did not begin."""
    begun = [chapter for chapter in story.chapters if chapter.begun is not None]
    if story.alert is None or not begun[0].seen:
        return
    places = list(begun[0].told)
    rows = [
        [f"{chapter.begun:.0f} s", chapter.deed, *(_shown(story, chapter, place) for place in places)]
        for chapter in begun
    ]
    click.echo()
    columns: list[str | Column] = ["at", Column("what happens", prose=True), *places]
    print_table(columns, rows, title=f"The life of {story.alert.cve_id or story.alert.title}")
    click.echo(life_of(story))


def life_of(story: Story) -> str:
    """How far the story came, and whether the places agree, in a sentence."""
    if story.twice():
        return "A step of its life was told twice."
    if story.is_over():
        return "Slack, PagerDuty and Jira agree at each step, and each step was told once."
    if story.pending():
        return "The last step had no time to show everywhere: the daemon would go on with it."
    return "The rest of its life had no time to happen: a longer demo shows it."


def _shown(story: Story, chapter: Chapter, place: str) -> str:
    if place not in chapter.seen:
        return "not yet"
    told = chapter.told[place]
    count = told.count(story.scene)
    return told.words if count <= 1 else f"{told.words}, {count} times"


def _shortened(what: str, alert_id: str) -> str:
    """What happened without what only a program needs: the rest of long ids, a message's ts."""
    if len(alert_id) == _UUID:
        what = what.replace(f"{DEDUP}{alert_id}", f"{alert_id[:_SHORT]}…")
    return _TS.sub("message", what)
