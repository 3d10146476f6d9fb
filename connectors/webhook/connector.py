"""A webhook of one's own: each delivery as a message of Standard Webhooks, signed.

A message's id is the same at every attempt, in ``webhook-id`` and in ``Idempotency-Key``, and so is every byte of its
body: a receiver that keeps the ids that it has seen takes each once. So there is nothing to look for after a lost
answer: what may have arrived is sent again as it was.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from connectors.webhook.client import GONE, Receiver
from connectors.webhook.config import WebhookConfig, WebhookOwner
from connectors.webhook.message import body_of, facts, message
from connectors.webhook.setup import SETUP
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
from forwarder.wire.endpoint import Answer


class Webhook(Connector[WebhookConfig]):
    """One address that takes messages."""

    Config = WebhookConfig
    noun = ("message", "messages")
    replayed = "are messages of their own, with ids of their own"
    withdrawn = "the receiver is told that it is withdrawn"
    setup = SETUP
    Owner = WebhookOwner
    tells_responses = True

    def __init__(
        self,
        name: str,
        config: WebhookConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._receiver = Receiver(config, now)

    def render(self, delivery: Delivery) -> Payload:
        """The message, as ``docs/webhook-v1.schema.json`` has it."""
        return message(delivery, self.texts)

    def message_id(self, payload: Payload) -> str:
        """Its id: what was sent under it once is sent in the same words again."""
        return str(payload.get("id", ""))

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Posts the message, in one request."""
        try:
            self._receiver.send(payload["id"], body_of(payload))
        except Failed as failed:
            return failed.outcome
        # An alert stands there under the message that told of it first.
        first = None if delivery.kind is Kind.OPEN else delivery.receipt
        return Delivered(first or Receipt(remote_id=payload["id"]))

    def check(self) -> list[Finding]:
        """Asks whether the address answers, and accepts our certificate. More only a message would show."""
        host = self._receiver.host
        try:
            answer = self._receiver.look()
        except Failed as failed:
            return [Finding(ok=False, text=f"{failed.outcome.reason}.")]
        if answer.status == GONE or 300 <= answer.status < 400:
            return [Finding(ok=False, text=f"{self._receiver.why_broken(answer)}.")]
        if answer.status >= 500:
            return [Finding(ok=False, text=f"{host} answers with status {answer.status}: try again later.")]
        return [Finding(ok=True, text=self._reached(answer))]

    def preview(self, payload: Payload) -> str:
        """What it is and whom it is about, then the message itself."""
        head = f"{payload['type']} {payload['id']}"
        return "\n".join([head, *facts(payload["data"]), "", json.dumps(payload, indent=2, ensure_ascii=False)])

    def close(self) -> None:
        self._receiver.close()

    def _reached(self, answer: Answer) -> str:
        host, test = self._receiver.host, f"`forwarder test {self.name}` sends one, and shows whether it is taken."
        # Many receivers know POST alone, and take nothing that is not signed: what they say to a HEAD proves little.
        aside = "" if answer.accepts else f", and answers {answer.status} to a question without a message"
        return f"{host} can be reached{aside}. {test}"
