"""The wire of a webhook: one message in one request, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from connectors.webhook.config import WebhookConfig
from connectors.webhook.signing import PREFIX, signed
from forwarder.connector import Broken, Failed
from forwarder.wire import certificates
from forwarder.wire.endpoint import Answer, Endpoint

if TYPE_CHECKING:
    from forwarder.wire.client import Client

GONE: Final = 410
"""By Standard Webhooks the receiver wants no more messages:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""


class Receiver(Endpoint):
    """The address that takes the messages, as the holder of the keys sees it."""

    def __init__(self, config: WebhookConfig, now: Callable[[], datetime]) -> None:
        self._config = config
        self._keys = config.keys
        super().__init__(
            config.url.get_secret_value(),
            config.timeout,
            now,
            setting="url",
            takes="the message",
            headers={name: value.get_secret_value() for name, value in config.headers.items()},
            secrets=(*self._keys, *(key.removeprefix(PREFIX) for key in self._keys)),
            bundle="ca_file",
        )
        self._state: certificates.Print | None = None

    def send(self, message: str, body: str) -> None:
        """Posts ``body`` in exactly one request; raises Failed unless the receiver accepted it."""
        stamped = signed(message, self._now(), body, self._keys)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message, **stamped}
        answer = self.ask("POST", headers, body.encode())
        if not answer.accepts or answer.is_page:
            raise Failed(self.refusal(answer))

    def look(self) -> Answer:
        """What the address says to a question without a message; raises Failed where nothing is said."""
        return self.ask("HEAD")

    def _client(self) -> Client:
        """The one client of all threads: made anew when certificates were replaced."""
        from ssl import SSLError

        config = self._config
        files = (config.ca_file, config.cert_file, config.key_file)
        with self._lock:
            try:
                state = certificates.printed(*files)
                if self._made is None or self._state != state:
                    made = self._connected(certificates.context(*files) if any(files) else None)
                    self._state, self._made = state, made
            except OSError as error:
                # Between two files that are replaced one after the other the ones before are as good as ever.
                if self._made is None:
                    why = "they do not fit" if isinstance(error, SSLError) else (error.strerror or "no reason").lower()
                    raise Failed(
                        Broken(f"The files of ca_file, cert_file and key_file cannot be used: {why}")
                    ) from None
            return self._made

    def _why_unwelcome(self, error: BaseException) -> str:
        """What the other side has against our certificate, as it says while the connection is made; else empty."""
        from forwarder.wire.unreachable import tls_alert

        alert = tls_alert(error)
        if alert is None:
            return ""
        if not self._config.cert_file:
            return f"{self.host} asks for a certificate of ours ({alert}): set cert_file and key_file"
        return f"{self.host} does not accept the certificate in cert_file ({alert}): renew it, or have it trusted there"

    def why_broken(self, answer: Answer) -> str:
        """What a person must do about an answer after which no other message will be taken either."""
        status, said = answer.status, self.said(answer)
        if status == GONE:
            return f"The endpoint is gone: {self.host} wants no more messages (status {status}{said}): correct url"
        if status in (401, 403):
            return (
                f"{self.host} does not accept who sends (status {status}{said}): check signing_key and headers, and "
                "the clocks of both sides"
            )
        return super().why_broken(answer)
