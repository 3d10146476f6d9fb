"""What a digest looks like in Teams: a table of its alerts by severity, and those that do not fit counted. Pure.

Its lines are sets of columns: the element for tables is newer than what a workflow posts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.teams.elements import Element, cve, linked, own, plain, row, weight
from forwarder.alert import Alert, Severity
from forwarder.connector import clean, cut, one_line
from forwarder.words import EMOJI

MAX_TITLE: Final = 90
MAX_CVE: Final = 40
"""What people can absorb in a line: characters of a title and of a CVE's id."""

_COLUMNS: Final = ("CVE", "Alert", "CVSS")
_WIDTHS: Final = ("140px", "stretch", "50px")


def rows(items: Sequence[Alert], room: int, page: str | None = None) -> list[Element]:
    """The table, the most severe first, in at most ``room`` bytes of a card.

    Each severity has its heading with how many there are. Lines fill what is left, so what does not fit is of the
    least severe, and a line at the end counts it; ``page`` is where all of them are.
    """
    by_severity = [(severity, [one for one in items if one.severity is severity]) for severity in Severity]
    groups = [(_heading(severity, len(alerts)), alerts) for severity, alerts in by_severity if alerts]
    top = row(*((width, own(name, isSubtle=True)) for width, name in zip(_WIDTHS, _COLUMNS, strict=True)))
    room -= weight([top, *(heading for heading, _ in groups), _more(len(items), page)])
    found, left = [top], len(items)
    for heading, alerts in groups:
        found.append(heading)
        for alert in alerts:
            made = line(alert)
            room -= weight(made) + 1
            if room < 0:
                break
            found.append(made)
            left -= 1
    return [*found, _more(left, page)] if left else found


def line(alert: Alert) -> Element:
    """One alert: its CVE, linked; whether it is exploited, and its title; its score."""
    flag = "" if alert.severity_known else "⚠️ "
    kev = "🔥 KEV · " if alert.cisa_kev else ""
    title = plain(f"{flag}{kev}{cut(one_line(clean(alert.title)), MAX_TITLE)}")
    score = "–" if alert.cvss_score is None else f"{alert.cvss_score:.1f}"
    parts = (cve(alert, MAX_CVE), title, own(score))
    return row(*zip(_WIDTHS, parts, strict=True), spacing="Small")


def _heading(severity: Severity, count: int) -> Element:
    return own(f"{EMOJI[severity]} **{severity.value.capitalize()} · {count:,}**", separator=True)


def _more(count: int, page: str | None) -> Element:
    where = linked("all of them", page) if page else "`forwarder alerts` lists them"
    return own(f"… and {count:,} more, the least severe: {where}.", isSubtle=True)
