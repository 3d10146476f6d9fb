"""The dates of alerts to which the feed gives none: when they were first seen, kept for good."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from forwarder.alert import Alert
from forwarder.common.clock import instant
from forwarder.store.connection import Connection

_FIRST_SEEN: Final = "SELECT alert_id, first_seen_at FROM undated WHERE alert_id IN (SELECT value FROM json_each(?))"


def first_seen(connection: Connection, alert_ids: Collection[str]) -> dict[str, float]:
    """When those of the alerts were first seen that never had a date."""
    return dict(connection.execute(_FIRST_SEEN, (json.dumps(list(alert_ids)),)).fetchall()) if alert_ids else {}


def keep(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Writes down when those of ``alerts`` were first seen that have no date.

    For good: once the alert itself is forgotten, nothing else tells that it was sent long ago.
    """
    connection.executemany(
        "INSERT INTO undated VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(alert.id, alert.published_at.timestamp()) for alert in alerts if not alert.dated],
    )


def dated(alert: Alert, known: Alert | None, seen: Mapping[str, float]) -> Alert:
    """The alert with the date that it had before, where it says none: that of its known form, or of ``seen``."""
    if known is not None:
        return alert.with_date_of(known)
    if not alert.dated and alert.id in seen:
        return Alert.parse(alert.raw, seen_at=instant(seen[alert.id]))
    return alert
