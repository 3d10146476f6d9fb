"""What tests of reading the feed share: alerts at a time, floods of them, what was asked and what is owed."""

from __future__ import annotations

from typing import Any

from forwarder.sandbox import Sandbox
from forwarder.store import Store
from forwarder.store.records import PollResult
from forwarder.testing import alert_json
from tests.kit.store import at, rows

HOUR, DAY = 3600.0, 86400.0


def publish(sandbox: Sandbox, name: str, seconds: float = 0.0, **fields: Any) -> None:
    """Shows an alert that was published ``seconds`` after NOW."""
    sandbox.sentrytex.publish(alert_json(id=name, published_at=at(seconds), **fields))


def flood(sandbox: Sandbox, count: int, *, severity: str = "high", name: str = "f", since: float = 0.0) -> None:
    """Shows ``count`` alerts, a second apart."""
    for number in range(count):
        publish(sandbox, f"{name}{number}", since + number, severity=severity)


def new(turn: PollResult) -> list[str]:
    """The ids that a turn found new."""
    return sorted(alert.id for alert in turn.new)


def outstanding(store: Store) -> list[str]:
    """The alerts of which an open is owed, to anyone."""
    return [name for (name,) in rows(store, "SELECT DISTINCT alert_id FROM deliveries ORDER BY alert_id")]


def asked(sandbox: Sandbox, since: int = 0) -> list[str]:
    """What was asked for after the first ``since`` requests: the severity, or "all", or the path's last part."""
    return [
        seen.query.get("severity", "all") if seen.path.endswith("/alerts") else seen.path.rsplit("/", 1)[1]
        for seen in sandbox.sentrytex.requests[since:]
    ]
