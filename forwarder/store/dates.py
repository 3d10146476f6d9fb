"""The dates of alerts to which the feed gives none: when they were first seen, kept for good."""

from __future__ import annotations

from collections.abc import Iterable

from forwarder.alert import Alert
from forwarder.common.clock import instant
from forwarder.store.connection import Connection


def keep(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Writes down when those of ``alerts`` were first seen that have no date.

    For good: once the alert itself is forgotten, nothing else tells that it was sent long ago.
    """
    connection.executemany(
        "INSERT INTO undated VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(alert.id, alert.published_at.timestamp()) for alert in alerts if not alert.dated],
    )


def dated(alert: Alert, known: Alert | None, first_seen: float | None) -> Alert:
    """The alert with the date that it had before, where it says none: that of its known form, or ``first_seen``."""
    if known is not None:
        return alert.with_date_of(known)
    if not alert.dated and first_seen is not None:
        return Alert.parse(alert.raw, seen_at=instant(first_seen))
    return alert
