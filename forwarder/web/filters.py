"""Facts in the form in which the templates show them: times, states, lists that are cut, JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from forwarder import __version__
from forwarder.common.clock import instant, iso
from forwarder.common.text import ago, clean, counted, cut, is_web_url
from forwarder.common.units import roughly
from forwarder.connector import Origin, format_duration
from forwarder.delivery.waiting import Cause, Waiting
from forwarder.store.records import State

if TYPE_CHECKING:
    from jinja2 import Environment

HERE: Final = Path(__file__).parent
MOST_TEXT: Final = 20_000
"""Characters of one text that a page shows: more is nothing that anybody reads there."""

STATES: Final = {
    State.DELIVERED: "delivered",
    State.READY: "waiting",
    State.HELD: "held for its time",
    State.SENDING: "being sent",
    State.UNCERTAIN: "uncertain",
    State.DEAD: "dead letter",
}
KINDS: Final = {
    "open": "new alert",
    "update": "update",
    "withdraw": "withdrawal",
    "acknowledge": "acknowledgement",
    "resolve": "resolution",
    "reopen": "reopening",
    "remind": "reminder",
}
ORIGINS: Final = {
    Origin.FEED: "an alert of the feed",
    Origin.ALARM: "a trouble of the forwarder's own",
    Origin.TEST: "a test",
    Origin.DIGEST: "a digest",
    Origin.REPORT: "a report",
}
OUTCOMES: Final = {
    "delivered": "delivered",
    "retry": "failed, tried again later",
    "rate_limited": "rate limit, tried again later",
    "uncertain": "no clear answer",
    "not_found": "looked, not there yet",
    "rejected": "refused for good",
    "broken": "the destination is not accepting anything",
    "gave_up": "given up",
}
CAUSES: Final[Mapping[Cause, str]] = {
    Cause.NO_CONNECTOR: "not in the config",
    Cause.SCHEDULE: "outside its hours, out",
    Cause.DIGEST: "for the digest",
    Cause.NO_DAEMON: "no daemon runs",
    Cause.NO_WRITES: "the database takes no writes",
    Cause.SENDING: "being sent",
    Cause.PAUSED: "paused, tried",
    Cause.BEHIND: "after another of this alert",
    Cause.FAILING: "failing, tried",
    Cause.UNCERTAIN: "may have arrived, looked for",
    Cause.RATE_LIMIT: "rate limit",
    Cause.BACKOFF: "failed, tried",
    Cause.LINKS: "waits for links",
    Cause.IN_LINE: "in line",
}
"""What a delivery waits for, before its place and a time."""


def templates(redact: Callable[[str], str], *, base: str = "") -> Environment:
    """The templates. Whatever they show is escaped, and goes through ``redact`` before.

    ``base`` is the path below which all pages are shown; every address in a template begins with it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: object) -> object:
        return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "clock": clock,
        "ago": ago,
        "brief": brief,
        "cut": cut_text,
        "duration": duration,
        "fixed": "{:.1f}".format,
        "iso": iso,
        "link": link,
        "counted": counted,
        "pretty": pretty,
        "roughly": roughly,
        "score": score,
        "thousands": "{:,}".format,
        "whole_quote": whole_quote,
    }
    environment.globals |= {
        "base": base,
        "states": STATES,
        "kinds": KINDS,
        "origins": ORIGINS,
        "outcomes": OUTCOMES,
        "version": __version__,
        "files": _digest(HERE / "static"),
    }
    return environment


def clock(when: float | datetime, now: float) -> str:
    """An instant in UTC, to the second; of another day than today to the minute, with the date."""
    moment = when if isinstance(when, datetime) else instant(when)
    return moment.strftime("%H:%M:%S" if moment.date() == instant(now).date() else "%Y-%m-%d %H:%M")


def brief(wait: Waiting) -> str:
    """What a delivery waits for and its place, in a line of a list, before the time: ``paused, tried about``."""
    text = CAUSES[wait.cause]
    if wait.place:
        text += f", place {wait.place:,} of {wait.line:,}" if wait.place > 1 else ", the next"
    if wait.until is None:
        return text.removesuffix(", tried")
    comma = "" if text.endswith(("tried", "looked for", "out")) else ","
    return f"{text}{comma} about"


def duration(seconds: float) -> str:
    """A duration to the second; below ten seconds with what a stopwatch shows."""
    return format_duration(max(seconds, 0.0)) if seconds < 10 else format_duration(round(seconds))


def cut_text(text: str, limit: int = MOST_TEXT) -> str:
    """A text that is not longer than a page can bear, with a mark where something had to go."""
    # Cut before it is cleaned as well: a text of megabytes must not keep a page waiting.
    return cut(clean(text[: limit + 1]), limit)


def link(url: str | None) -> str | None:
    """``url`` where it is a web address, so that no click runs anything else."""
    return url if url and is_web_url(url) else None


def pretty(value: Any) -> str:
    """A JSON value for people, cut where it is very long."""
    return cut(clean(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str)), MOST_TEXT)


def score(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def whole_quote(text: str) -> str:
    """``text`` as one piece of a path, whatever is in it."""
    return quote(text, safe="")


def _digest(folder: Path) -> str:
    """What the files are called by, so that a browser keeps them for ever and still gets those of a new version."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
