"""A digest in words: one message for all that came since the last one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from forwarder.alert import Alert, Severity
from forwarder.common import text
from forwarder.common.clock import iso
from forwarder.common.text import cut

MAX_LINE: Final = 200
"""Characters of one alert's line."""
MAX_LINES: Final = 100
"""Lines of a digest's text; the rest is counted. Connectors that show the alerts have limits of their own."""


def compose(connector: str, alerts: Sequence[Alert], now: datetime) -> Alert:
    """The digest of ``alerts``, the most severe first, for one connector, as an alert."""
    raw: dict[str, Any] = {
        "id": f"digest-{connector}-{now.timestamp():.3f}"[:255],
        "title": f"Digest: {counted(alerts)}",
        "severity": min((alert.severity for alert in alerts), key=lambda severity: severity.rank).value,
        "published_at": iso(now),
        "description": "\n".join(lines(alerts, MAX_LINES)),
        "alert_type": "digest",
    }
    return Alert.parse(raw)


def counted(alerts: Sequence[Alert]) -> str:
    """``12 alerts (3 high, 9 low)``."""
    counts = Counter(alert.severity for alert in alerts)
    parts = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts[severity])
    return f"{text.counted(len(alerts), 'alert')} ({parts})"


def lines(alerts: Sequence[Alert], most: int) -> list[str]:
    """A line of plain text for each alert, and one that counts those beyond ``most``."""
    shown = [line(alert) for alert in alerts[:most]]
    left = len(alerts) - len(shown)
    return [*shown, f"… and {left} more"] if left else shown


def line(alert: Alert) -> str:
    """One alert in a line: ``high · CVE-2026-1234 · GitHub Enterprise: …``."""
    facts = [alert.severity_label, alert.cve_id, "on CISA KEV" if alert.cisa_kev else None, alert.title]
    return cut(" · ".join(fact for fact in facts if fact), MAX_LINE)
