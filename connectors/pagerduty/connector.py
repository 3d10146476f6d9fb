"""PagerDuty: one incident per alert, through the Events API v2.

The dedup key ``sentrytex:<alert id>`` makes every repeat harmless: a trigger that PagerDuty already has is folded
into the open incident. So there is nothing to look for after a lost reply, and no outcome here is Uncertain.

An alert that got worse (its severity rose, or CISA lists it as exploited now) is triggered again under the same key.
While its incident is open, PagerDuty notes that in the incident and pages nobody anew; where people have resolved it, a
new incident opens: an escalation deserves that. No other change pages anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from connectors.pagerduty.client import EventsApi
from connectors.pagerduty.config import PagerDutyConfig
from connectors.pagerduty.event import dedup_key, trigger_event
from connectors.pagerduty.setup import SETUP
from forwarder.alert import got_worse
from forwarder.connector import Connector, Delivered, Delivery, Failed, Finding, Kind, Outcome, Payload, Receipt, Texts

_NOTHING: Final = "nothing to page for"


class PagerDuty(Connector[PagerDutyConfig]):
    """One service of PagerDuty, by the routing key of its integration."""

    Config = PagerDutyConfig
    noun = ("page", "pages")
    replayed = "carry the same dedup key: PagerDuty pages again only where the incident was resolved"
    withdrawn = "its incident is resolved"
    setup = SETUP
    takes_digests = False

    def __init__(
        self,
        name: str,
        config: PagerDutyConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._api = EventsApi(config, now)

    def render(self, delivery: Delivery) -> Payload:
        """The event as the API takes it, without the routing key; ``{"nothing_to_send": why}`` where none is due."""
        key = delivery.receipt.remote_id if delivery.receipt else dedup_key(delivery.alert)
        if delivery.kind is Kind.WITHDRAW:
            return {"event_action": "resolve", "dedup_key": key}
        if delivery.kind is Kind.UPDATE and delivery.receipt and not got_worse(delivery.changes):
            return {"nothing_to_send": _NOTHING}
        return trigger_event(delivery, key, self.texts)

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Sends the event, in one request."""
        if "nothing_to_send" in payload:
            return Delivered(delivery.receipt or _receipt(dedup_key(delivery.alert)), note=payload["nothing_to_send"])
        try:
            self._api.send(payload)
        except Failed as failed:
            return failed.outcome
        return Delivered(_receipt(payload["dedup_key"]))

    def check(self) -> list[Finding]:
        """Asks whether the host answers. More cannot be asked: any event that PagerDuty accepts leaves a trace."""
        return [
            self._reached(),
            Finding(
                ok=True,
                text="The routing key has the right form. Whether PagerDuty knows it cannot be asked without an event: "
                f"`forwarder test {self.name}` opens an incident and resolves it.",
            ),
        ]

    def preview(self, payload: Payload) -> str:
        """The incident's title, its facts, its links and its details, one a line."""
        if "nothing_to_send" in payload:
            return f"PagerDuty: {payload['nothing_to_send']}"
        if payload["event_action"] == "resolve":
            return f"PagerDuty resolves the incident {payload['dedup_key']}"
        event = payload["payload"]
        lines = [
            f"PagerDuty incident: {event['summary']}",
            f"Severity: {event['severity']}   Source: {event['source']}   Dedup key: {payload['dedup_key']}",
            *(f"Link: {link['text']} <{link['href']}>" for link in payload["links"]),
            "Details:",
            *(f"  {name}: {_shown(value)}" for name, value in event["custom_details"].items()),
        ]
        return "\n".join(lines)

    def close(self) -> None:
        self._api.close()

    def _reached(self) -> Finding:
        host = self._api.host
        try:
            status = self._api.status()
        except Failed as failed:
            return Finding(ok=False, text=f"{failed.outcome.reason}.")
        if status >= 500:
            return Finding(ok=False, text=f"{host} answers with status {status}: try again later.")
        # What PagerDuty itself says to a bare address is its own affair: only an event's answer shows a wrong one.
        aside = ", and answers with a redirect, which is not followed" if 300 <= status < 400 else ""
        return Finding(ok=True, text=f"{host} can be reached{aside}.")


def _receipt(key: str) -> Receipt:
    # The Events API does not give the incident's address.
    return Receipt(remote_id=key)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
