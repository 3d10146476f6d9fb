"""Tests for connectors: the contract as a suite, a stand-in to build on, and alerts to send. Needs pytest.

A subclass of ``Contract`` in your own tests is the suite, over real HTTP on loopback against a ``Service`` that you
write: it answers as your destination does, and every ``Fault`` that the suite injects strikes there.
"""

from __future__ import annotations

import pytest

# Before they are imported, or a failing assertion would not say what it compared.
pytest.register_assert_rewrite(
    *(f"forwarder.testing.{name}" for name in ("arrival", "decisions", "troubles", "target", "samples"))
)

from forwarder.sandbox import Clock, Fault, FaultKind, Service  # noqa: E402
from forwarder.sandbox.exchange import Reply, Request  # noqa: E402
from forwarder.testing.contract import Contract  # noqa: E402
from forwarder.testing.samples import (  # noqa: E402
    ALERT_ID,
    HOSTILE_TEXTS,
    NOW,
    ROSE,
    TICKET,
    alert,
    alert_json,
    bare_alert,
    delivery,
    follow_ups,
    hostile_alerts,
    new_delivery,
    odd_alerts,
    responses_to,
)
from forwarder.testing.target import (  # noqa: E402
    LOST,
    UNSEEN,
    Kinds,
    Target,
    connector_class,
    look,
    registered,
    send,
    settle,
)

__all__ = [
    "ALERT_ID",
    "HOSTILE_TEXTS",
    "LOST",
    "NOW",
    "ROSE",
    "TICKET",
    "UNSEEN",
    "Clock",
    "Contract",
    "Fault",
    "FaultKind",
    "Kinds",
    "Reply",
    "Request",
    "Service",
    "Target",
    "alert",
    "alert_json",
    "bare_alert",
    "connector_class",
    "delivery",
    "follow_ups",
    "hostile_alerts",
    "look",
    "new_delivery",
    "odd_alerts",
    "registered",
    "responses_to",
    "send",
    "settle",
]
