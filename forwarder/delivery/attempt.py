"""One attempt at a delivery: look for it where it may be there already, else render and send it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel

from forwarder.common.clock import Now, still
from forwarder.connector import Connector, Delivered, Delivery, Failed, Outcome, Payload, Receipt, Retry, Uncertain
from forwarder.delivery.breaker import Breaker
from forwarder.delivery.rate_limiter import Departure, RateLimiter
from forwarder.delivery.transitions import Context, not_found, settle, unrendered
from forwarder.logs import get_logger
from forwarder.store import StoreError
from forwarder.store.records import Claimed, Pause, Settlement
from forwarder.wire.deadline import deadline, is_asking

log = get_logger(__name__)

REQUESTS: Final = 8
"""Requests that an attempt has time for: those of a search, then those of a send in several steps."""

_Probe = tuple[int, Pause | None]
"""The number of a probe, 0 where an attempt is none, and the pause whose next probe it comes before."""


class Attempts:
    """What one connector makes of a delivery, whatever its code does: always a settlement, never an exception."""

    def __init__(
        self,
        connector: Connector[Any],
        breaker: Breaker,
        rate_limiter: RateLimiter,
        *,
        now: Now,
        random: Callable[[], float],
        page_of: Callable[[str], str | None] = lambda _: None,
        owners: Callable[[Delivery], tuple[BaseModel, ...]] = lambda _: (),
        guard: Callable[[], bool] | None = None,
        keep: Callable[[Claimed, Payload], bool] = lambda _, __: True,
        stepped: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.connector, self.name = connector, connector.name
        self.seconds = connector.config.timeout.total_seconds() * REQUESTS
        """The most that an attempt takes, however many requests it needs."""
        self._breaker, self._rate_limiter = breaker, rate_limiter
        self._now, self._random, self._page_of = now, random, page_of
        self._owners, self._guard, self._keep, self._stepped = owners, guard, keep, stepped

    def carry_out(self, claimed: Claimed) -> Settlement:
        """What becomes of a claimed delivery, by the clock as it was when that was claimed."""
        with self._rate_limiter.departure() as departure, deadline(self.seconds, guard=self._leaving(departure)):
            probe = self._breaker.probe, self._breaker.probes_early(self._now())
            told = self._told_by_config(claimed.delivery)
            if told:
                claimed = replace(claimed, delivery=replace(claimed.delivery, **told))
            return self._reconcile(claimed, probe, departure) or self._send(claimed, probe, departure)

    def _leaving(self, departure: Departure) -> Callable[[], bool]:
        """What is asked right before anything is sent, which is when it counts: whether it still may."""

        def may_leave() -> bool:
            if not is_asking():
                departure.leave()
            return self._guard is None or self._guard()

        return may_leave

    def _told_by_config(self, delivery: Delivery) -> dict[str, Any]:
        """What the config of now adds to a delivery."""
        told: dict[str, Any] = {}
        try:
            if owners := self._owners(delivery):
                told["owners"] = owners
        except Exception:  # another package's model of an owner may raise when it is compared
            log.exception("owners_failed", connector=self.name, alert=delivery.alert.id)
        if page := self._page_of(delivery.alert.id):
            told["page"] = page
        return told

    def _context(self, claimed: Claimed, probe: _Probe) -> Context:
        with still(self._now):
            now, step = self._now(), self._stepped() - claimed.stepped
        claimed = claimed.moved(step)
        return Context(
            now=now - step,
            random=self._random,
            reconcile_after=self.connector.reconcile_after,
            give_up_after=self.connector.config.give_up_after.total_seconds(),
            probe=probe[0],
            early=probe[1],
            limited=self._breaker.tries(now),
            keeps_failing=self._breaker.keeps_failing(claimed.failing_since),
            alone=self._breaker.keeps_failing(claimed.refused_at),
            down=self._breaker.health.fails,
        )

    def _reconcile(self, claimed: Claimed, probe: _Probe, departure: Departure) -> Settlement | None:
        """Looks for what may be there already; None where it is to be sent, for the first time or once more."""
        if not claimed.uncertain or not self.connector.reconcile_after:
            return None
        outcome: Outcome
        departure.begin()
        started = time.monotonic()
        try:
            receipt = self.connector.find(claimed.delivery)
        except Failed as failed:
            outcome = failed.outcome
        except Exception as error:
            log.exception("look_failed", connector=self.name, alert=claimed.delivery.alert.id)
            outcome = Retry(f"Looking for it failed unexpectedly ({type(error).__name__}).")
        else:
            self._told("looked", claimed.delivery, started, found=receipt is not None)
            if receipt is None or _is_repeated(receipt, claimed):
                return not_found(claimed, self._context(claimed, probe))
            outcome = Delivered(receipt, "It was there already.")
        if not isinstance(outcome, Delivered):
            self._told("looked", claimed.delivery, started, outcome=type(outcome).__name__, reason=outcome.reason)
        # A look that failed sent nothing: the times of the lookups still count from the uncertain send.
        return replace(
            settle(claimed, outcome, None, self._context(claimed, probe)), uncertain_since=claimed.uncertain_since
        )

    def _send(self, claimed: Claimed, probe: _Probe, departure: Departure) -> Settlement:
        try:
            payload, is_kept = self._made(claimed)
        except Exception as error:
            log.exception("render_failed", connector=self.name, alert=claimed.delivery.alert.id)
            reason = f"The message could not be made ({type(error).__name__})."
            return unrendered(claimed, reason, self._context(claimed, probe))
        if not is_kept and (why := self._not_kept(claimed, payload)):
            return settle(claimed, Retry(why), None, self._context(claimed, probe))
        departure.begin()
        started = time.monotonic()
        outcome = self._ask(claimed.delivery, payload)
        reason = outcome.note if isinstance(outcome, Delivered) else outcome.reason
        self._told("sent", claimed.delivery, started, outcome=type(outcome).__name__, reason=reason)
        return settle(claimed, outcome, payload, self._context(claimed, probe))

    def _made(self, claimed: Claimed) -> tuple[Payload, bool]:
        """What is to be sent, and whether nothing of it need be kept: what may be there already goes out as it did."""
        payload = self.connector.render(claimed.delivery)
        if not (message := self.connector.message_id(payload)):
            return payload, True
        kept = claimed.kept if claimed.uncertain or claimed.attempts else None
        if kept is not None and self.connector.message_id(kept) == message:
            return kept, True
        return payload, False

    def _not_kept(self, claimed: Claimed, payload: Payload) -> str:
        """Why ``payload`` could not be kept, and so may not be sent; empty where it is kept."""
        try:
            return "" if self._keep(claimed, payload) else "another worker has taken it over"
        except (StoreError, TypeError, ValueError) as error:
            return f"what is to be sent could not be kept: {error}"

    def _told(self, event: str, delivery: Delivery, started: float, **told: Any) -> None:
        seconds = round(time.monotonic() - started, 3)
        log.debug(
            event, connector=self.name, alert=delivery.alert.id, kind=delivery.kind.value, seconds=seconds, **told
        )

    def _ask(self, delivery: Delivery, payload: Payload) -> Outcome:
        """What the destination makes of it."""
        try:
            outcome: object = self.connector.deliver(delivery, payload)
        except Failed as failed:
            outcome = failed.outcome
        except Exception as error:
            # It may have happened after the remote took it: look before it is sent again.
            log.exception("deliver_failed", connector=self.name, alert=delivery.alert.id)
            return Uncertain(f"Sending failed unexpectedly ({type(error).__name__}).")
        if not isinstance(outcome, Outcome):
            return Uncertain("The connector returned no valid outcome: its package needs a fix.")
        return outcome


def _is_repeated(receipt: Receipt, claimed: Claimed) -> bool:
    """Whether what was found is only what the delivery repeats on purpose."""
    repeats = claimed.delivery.repeats
    return repeats is not None and repeats.remote_id == receipt.remote_id
