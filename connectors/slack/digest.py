"""What a digest looks like in Slack: its alerts by severity, a line each, and those that do not fit counted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connectors.slack.markup import escape_within, linked_cve, mrkdwn, size
from forwarder.alert import Alert, Severity
from forwarder.connector import clean, one_line
from forwarder.words import EMOJI

MAX_SECTION: Final = 3000
"""Characters of a section's text. https://docs.slack.dev/reference/block-kit/blocks/section-block"""

MAX_BLOCKS: Final = 40
"""Sections of a digest; a message has at most 50 blocks. https://docs.slack.dev/reference/block-kit/blocks"""

MAX_TITLE: Final = 90
MAX_CVE: Final = 40
"""What people can absorb in a line: characters of a title and of a CVE's id."""

_SEEN_AT_ONCE: Final = frozenset({Severity.CRITICAL, Severity.HIGH})
"""What Slack must not fold."""


def blocks(items: Sequence[Alert], room: int, page: str | None = None) -> list[dict[str, Any]]:
    """A section or more for each severity, the most severe first, in at most ``room`` characters on the wire.

    Each severity has its heading with how many there are. Lines fill what is left, so what does not fit is of the
    least severe, and a line at the end counts it; ``page`` is where all of them are.
    """
    by_severity = [(severity, [one for one in items if one.severity is severity]) for severity in Severity]
    groups = [_Group(severity, alerts) for severity, alerts in by_severity if alerts]
    end = _more(len(items), page)
    room -= sum(size(group.blocks()) for group in groups) + size(end)
    for group in groups:
        spare = MAX_BLOCKS - sum(len(group.texts) for group in groups)
        room = group.fill(room, spare) if room > 0 else 0
    left = len(items) - sum(group.shown for group in groups)
    found = [block for group in groups for block in group.blocks()]
    return [*found, _more(left, page)] if left else found


class _Group:
    """The alerts of one severity."""

    def __init__(self, severity: Severity, alerts: Sequence[Alert]) -> None:
        self._severity, self._alerts = severity, alerts
        self.texts = [f"*{severity.value.capitalize()} · {len(alerts):,}*"]
        self.shown = 0

    def fill(self, room: int, sections: int) -> int:
        """Takes in lines, with as many more ``sections``; the ``room`` that is left, none where a line had none."""
        for alert in self._alerts:
            text = line(alert)
            anew = len(self.texts[-1]) + 1 + len(text) > MAX_SECTION
            cost = size(self._block(text)) if anew else size(text)
            if cost > room or (anew and not sections):
                return 0
            if anew:
                self.texts.append(text)
                sections -= 1
            else:
                self.texts[-1] += f"\n{text}"
            room -= cost
            self.shown += 1
        return room

    def blocks(self) -> list[dict[str, Any]]:
        return [self._block(text) for text in self.texts]

    def _block(self, text: str) -> dict[str, Any]:
        block = {"type": "section", "text": mrkdwn(text)}
        return {**block, "expand": True} if self._severity in _SEEN_AT_ONCE else block


def line(alert: Alert) -> str:
    """One alert as mrkdwn: ``🟠 CVE-2026-1234 · 🔥 KEV · its title``, the CVE linked."""
    parts = [linked_cve(alert, MAX_CVE)] if alert.cve_id else []
    parts += ["🔥 KEV"] if alert.cisa_kev else []
    parts += [escape_within(one_line(clean(alert.title)), MAX_TITLE)]
    flag = "" if alert.severity_known else "⚠️ "
    return f"{EMOJI[alert.severity]} {flag}{' · '.join(filter(None, parts))}"


def _more(count: int, page: str | None) -> dict[str, Any]:
    where = f"<{page}|all of them>" if page else "`forwarder alerts` lists them"
    text = f"… and {count:,} more, the least severe: {where}."
    return {"type": "context", "elements": [mrkdwn(text)]}
