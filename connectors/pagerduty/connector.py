"""PagerDuty: one incident per alert, through the Events API v2.

The dedup key ``sentrytex:<alert id>`` makes every repeat harmless: a trigger that PagerDuty already has is folded
into the open incident. So there is nothing to look for after a lost reply, and no outcome here is Uncertain.

An alert that got worse (its severity rose, or CISA lists it as exploited now) is triggered again under the same key.
While its incident is open, PagerDuty notes that in the incident and pages nobody anew; where people have resolved it, a
new incident opens: an escalation deserves that. No other change pages anyone.

What people decide elsewhere is sent under that key as well: acknowledge, resolve, and for an alert that is open again
a trigger, which opens a new incident where the old one was resolved. Nothing is sent that holds no more by then.
What people decide in PagerDuty is read with a key of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from connectors.pagerduty.client import EventsApi
from connectors.pagerduty.config import PagerDutyConfig, PagerDutyOwner
from connectors.pagerduty.event import dedup_key, trigger_event
from connectors.pagerduty.setup import SETUP
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Look,
    Outcome,
    Payload,
    Receipt,
    Texts,
)
from forwarder.paging import nothing_to_send

if TYPE_CHECKING:
    from connectors.pagerduty.incident_log import IncidentLog

_ACTIONS: Final = {Kind.WITHDRAW: "resolve", Kind.ACKNOWLEDGE: "acknowledge", Kind.RESOLVE: "resolve"}
_DOES: Final = {"acknowledge": "acknowledges", "resolve": "resolves"}


class PagerDuty(Connector[PagerDutyConfig]):
    """One service of PagerDuty, by the routing key of its integration."""

    Config = PagerDutyConfig
    noun = ("page", "pages")
    replayed = "carry the same dedup key: PagerDuty pages again only where the incident was resolved"
    withdrawn = "its incident is resolved"
    tells_responses = True
    undoes_responses = True
    setup = SETUP
    Owner = PagerDutyOwner
    takes_digests = False
    wants_evidence = True

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
        self._log: IncidentLog | None = None
        if token := config.api_token:
            from connectors.pagerduty.incident_log import IncidentLog

            self._log = IncidentLog(config, token.get_secret_value(), now)
            if isinstance(config.sync_every, timedelta):
                self.look_every = config.sync_every.total_seconds()

    def render(self, delivery: Delivery) -> Payload:
        """The event as the API takes it, without the routing key; ``{"nothing_to_send": why}`` where none is due."""
        key = delivery.receipt.remote_id if delivery.receipt else dedup_key(delivery.alert)
        if why := nothing_to_send(delivery):
            return {"nothing_to_send": why}
        if action := _ACTIONS.get(delivery.kind):
            return {"event_action": action, "dedup_key": key}
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
        """Asks whether the host answers, and with an ``api_token`` whose the routing key is.

        More cannot be asked: any event that PagerDuty accepts leaves a trace.
        """
        unproven = Finding(
            ok=True,
            text="The routing key has the right form. Whether PagerDuty knows it cannot be asked without an event: "
            f"`forwarder test {self.name}` opens an incident and resolves it.",
        )
        return [self._reached(), *(self._log.check(unproven) if self._log else [unproven])]

    def look(self, cursor: str) -> Look:
        """What people did to incidents, by what PagerDuty logs of them; raises Failed."""
        return self._log.look(cursor) if self._log else super().look(cursor)

    def preview(self, payload: Payload) -> str:
        """The incident's title, its facts, its links and its details, one a line."""
        if "nothing_to_send" in payload:
            return f"PagerDuty: {payload['nothing_to_send']}"
        if does := _DOES.get(payload["event_action"]):
            return f"PagerDuty {does} the incident {payload['dedup_key']}"
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
        if self._log:
            self._log.close()

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
