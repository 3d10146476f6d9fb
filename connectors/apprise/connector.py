"""A service that the library Apprise knows: a message per alert, and one for each thing that becomes of it.

The library knows how each service is spoken to, and what fits into a message there. It says whether a message was sent,
and no more: what came of it is told by the service's own answers (``connectors.apprise.transport``), and judged by
``connectors.apprise.verdict``. No service can be asked for a message, nor change one, by this way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from connectors.apprise.config import AppriseConfig
from connectors.apprise.library import Service, opened
from connectors.apprise.markup import shown
from connectors.apprise.message import level, message
from connectors.apprise.setup import SETUP
from connectors.apprise.transport import Attempt, Transport
from connectors.apprise.verdict import Judge
from forwarder.connector import (
    Broken,
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
    Uncertain,
)
from forwarder.wire.deadline import asking, deadline
from forwarder.wire.endpoint import Endpoint

MESSAGE, NOTHING = "message", "none"
"""What a payload's ``type`` may be."""

ACCEPTED: Final = "accepted"
"""The receipt of every message: the library tells no id."""


class Apprise(Connector[AppriseConfig]):
    """One recipient at one service."""

    Config = AppriseConfig
    noun = ("message", "messages")
    replayed = "will show a second time"
    withdrawn = "a second message says that it is withdrawn"
    tells_responses = True
    setup = SETUP

    def __init__(
        self,
        name: str,
        config: AppriseConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._now = now
        self._transport = Transport(config.timeout.total_seconds())
        self._judge = Judge(config.url.get_secret_value(), config.timeout, now)
        self._kept = threading.local()
        self._limits = self._service.limits

    def render(self, delivery: Delivery) -> Payload:
        """The message in the form that the service reads; ``{"type": "none"}`` where there is nothing to tell."""
        if _tells_nothing(delivery):
            return {"type": NOTHING}
        title, body = message(delivery, self.texts, self._limits)
        form = self._limits.form.value
        return {"type": MESSAGE, "title": title, "body": body, "format": form, "level": level(delivery)}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Has the library send the message, and goes by what the service answered."""
        if payload["type"] == NOTHING:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note="nothing to send")
        try:
            service = self._service
        except ValueError as error:
            return Broken(f"The address in url {error}")
        sent, fault = False, ""
        with Attempt(self._transport) as attempt, deadline(self.config.timeout.total_seconds()):
            try:
                sent = service.send(payload["title"], payload["body"], payload["level"])
            except Exception as error:
                fault = type(error).__name__
        failure = self._judge.failure(attempt, service.name, sent=sent)
        if failure is None:
            # An alert stands there in the message that told of it first.
            first = None if delivery.kind is Kind.OPEN else delivery.receipt
            return Delivered(first or Receipt(remote_id=ACCEPTED))
        if fault and isinstance(failure, Uncertain):
            return Uncertain(f"{failure.reason} (Apprise: {fault})")
        return failure

    def check(self) -> list[Finding]:
        """Asks whether the host of the service answers. Whether it takes the address, only a message shows."""
        try:
            exchanges = self._service.first_request().exchanges
        except ValueError as error:
            return [Finding(ok=False, text=f"The address in url {error}.")]
        place = _origin(exchanges[0].url)
        endpoint = Endpoint(place, self.config.timeout, self._now, setting="url", takes="a message")
        try:
            with asking():
                answer = endpoint.ask("HEAD")
        except Failed as failed:
            return [Finding(ok=False, text=f"{failed.outcome.reason}.")]
        finally:
            endpoint.close()
        if answer.status >= 500:
            return [Finding(ok=False, text=f"{endpoint.host} answers with status {answer.status}: try again later.")]
        aside = ", and answers with a redirect at its front page" if 300 <= answer.status < 400 else ""
        return [
            Finding(
                ok=True,
                text=f"{endpoint.host}, which is {self._service.name}, can be reached{aside}. Nothing but a message "
                f"shows whether it takes what url holds: `forwarder test {self.name}` sends one.",
            )
        ]

    def preview(self, payload: Payload) -> str:
        """The title and the body, as they read there."""
        if payload["type"] == NOTHING:
            return "Nothing is sent: there is no message to follow up on."
        body = shown(payload["body"], self._limits.form)
        lines = [f"To {self._service.name}:", *([payload["title"]] if payload["title"] else []), "", body]
        return "\n".join(lines)

    def close(self) -> None:
        self._transport.close()

    @property
    def _service(self) -> Service:
        """The service as this thread knows it, for a plugin keeps what it has learned of its login in itself."""
        made: Service | None = getattr(self._kept, "service", None)
        if made is None:
            made = self._kept.service = opened(self.config.url.get_secret_value())
        return made


def _origin(url: str) -> str:
    head, found, rest = url.partition("://")
    place = rest.partition("/")[0].partition("?")[0]
    return f"{head}{found}{place.rpartition('@')[2]}/"


def _tells_nothing(delivery: Delivery) -> bool:
    """Whether it is about a message that is not there, or brings links alone, which no message can be given later."""
    if delivery.receipt is None:
        return delivery.kind is Kind.WITHDRAW or delivery.kind.responds
    return delivery.kind is Kind.UPDATE and not delivery.changes
