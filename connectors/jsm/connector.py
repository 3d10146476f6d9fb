"""Jira Service Management: one alert per alert, which pages the people on duty; what Opsgenie was.

The alias ``sentrytex:<alert id>`` makes every repeat harmless: while an alert of it is open, a repeat counts it up and
pages nobody. So there is nothing to look for after a lost reply: it is sent again.

An alert that got worse is sent again under the same alias. While it is open there, that only counts it up; where people
have closed it, a new one opens: an escalation deserves that. What people decide elsewhere is sent as well.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from connectors.jsm.client import Events
from connectors.jsm.config import JsmConfig, JsmOwner
from connectors.jsm.event import alias_of, created, noted
from connectors.jsm.setup import SETUP
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Outcome,
    Payload,
    Receipt,
    Texts,
)
from forwarder.paging import nothing_to_send

_ACTIONS: Final = {Kind.WITHDRAW: "close", Kind.ACKNOWLEDGE: "acknowledge", Kind.RESOLVE: "close"}
_CREATE: Final = "create"


class Jsm(Connector[JsmConfig]):
    """One team's API integration."""

    Config = JsmConfig
    noun = ("alert", "alerts")
    replayed = "carry the same alias: people are paged again only where the alert was closed"
    withdrawn = "its alert is closed"
    tells_responses = True
    undoes_responses = True
    setup = SETUP
    Owner = JsmOwner
    takes_digests = False
    wants_evidence = True

    def __init__(
        self,
        name: str,
        config: JsmConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._events = Events(config, now)

    def render(self, delivery: Delivery) -> Payload:
        """``{"action": …, "alias": …, "event": …}``; ``{"nothing_to_send": why}`` where none is due."""
        alias = delivery.receipt.remote_id if delivery.receipt else alias_of(delivery.alert)
        if why := nothing_to_send(delivery):
            return {"nothing_to_send": why}
        if action := _ACTIONS.get(delivery.kind):
            return {"action": action, "alias": alias, "event": noted(delivery)}
        priority = self.config.priority_of(delivery.alert.severity)
        return {"action": _CREATE, "alias": alias, "event": created(delivery, alias, self.texts, priority)}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Sends the event, in one request; what became of a new alert is asked once more."""
        known = delivery.receipt or Receipt(remote_id=alias_of(delivery.alert))
        if "nothing_to_send" in payload:
            return Delivered(known, note=payload["nothing_to_send"])
        try:
            if payload["action"] == _CREATE:
                self._events.create(payload["event"])
            elif not self._events.act(payload["action"], payload["alias"], payload["event"]):
                return Delivered(known, note=f"there is no alert to {payload['action']}")
        except Failed as failed:
            return failed.outcome
        return Delivered(Receipt(remote_id=payload["alias"]))

    def check(self) -> list[Finding]:
        """Asks whether the key counts, by a request that never was."""
        host = self._events.host
        try:
            answer = self._events.look()
        except Failed as failed:
            return [Finding(ok=False, text=f"{failed.outcome.reason}.")]
        if answer.status >= 500:
            return [Finding(ok=False, text=f"{host} answers with status {answer.status}: try again later.")]
        if answer.accepts or answer.status in (404, 422, 429):
            return [
                Finding(
                    ok=True, text=f"{host} accepts the key. `forwarder test {self.name}` opens and closes an alert."
                )
            ]
        return [Finding(ok=False, text=f"{self._events.why_broken(answer)}.")]

    def preview(self, payload: Payload) -> str:
        """What is done to the alert, or its message, its text and its properties, one a line."""
        if "nothing_to_send" in payload:
            return f"Jira Service Management: {payload['nothing_to_send']}"
        event = payload["event"]
        if payload["action"] != _CREATE:
            does = f"Jira Service Management: {payload['action']}s the alert {payload['alias']}"
            return "\n".join(filter(None, (does, event["note"])))
        lines = [
            f"Jira Service Management alert: {event['message']}",
            f"Priority: {event['priority']}   Alias: {event['alias']}",
            *event["description"].splitlines(),
            "Properties:",
            *(f"  {name}: {value}" for name, value in event["details"].items()),
        ]
        return "\n".join(lines)

    def close(self) -> None:
        self._events.close()
