"""What the log says of deliveries."""

from __future__ import annotations

from forwarder.logs import get_logger
from forwarder.store.records import AttemptResult, Claimed, Settlement

log = get_logger(__name__)

_QUIET = (AttemptResult.DELIVERED, AttemptResult.NOT_FOUND, AttemptResult.RATE_LIMITED)
"""Results that are nobody's trouble."""


def note_claim(connector: str, claimed: Claimed, *, probe: bool) -> None:
    """It goes out now."""
    delivery = claimed.delivery
    log.debug(
        "claimed",
        connector=connector,
        alert=delivery.alert.id,
        kind=delivery.kind.value,
        delivery=delivery.id,
        attempt=delivery.attempt,
        uncertain=claimed.uncertain,
        probe=probe,
    )


def note_result(connector: str, claimed: Claimed, settlement: Settlement, seconds: float, *, ours: bool) -> None:
    """What came of it; not ``ours`` is what another worker took over meanwhile."""
    delivery = claimed.delivery
    write = log.info if settlement.outcome in _QUIET else log.warning
    write(
        settlement.outcome.value if ours else "settled_late",
        connector=connector,
        alert=delivery.alert.id,
        kind=delivery.kind.value,
        attempt=delivery.attempt,
        seconds=round(seconds, 3),
        **({"reason": settlement.reason} if settlement.reason else {}),
        **({"receipt": settlement.receipt.remote_id} if settlement.receipt else {}),
    )
