"""The wire of a webhook: one message in one request, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from connectors.webhook.config import WebhookConfig
from connectors.webhook.signing import PREFIX, signed
from forwarder.connector import Broken, Failed, RateLimited, Rejected, Retry, Uncertain, retry_after
from forwarder.wire import certificates
from forwarder.wire.endpoint import Answer, Endpoint

if TYPE_CHECKING:
    from forwarder.wire.client import Client

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds after a 429 that names no time."""

LATER: Final = frozenset({408, 409, 421, 423, 425})
"""Statuses below 500 after which the same message may well be taken. A 409 is what a receiver answers while the attempt
before is still under way there: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07#section-2.7"""

REFUSED: Final = frozenset({400, 413, 422})
"""Statuses that blame the message."""

GONE: Final = 410
"""By Standard Webhooks the receiver wants no more messages:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""


class Receiver(Endpoint):
    """The address that takes the messages, as the holder of the keys sees it."""

    def __init__(self, config: WebhookConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        self._keys = config.keys
        super().__init__(
            config.url.get_secret_value(),
            config.timeout,
            setting="url",
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
            raise Failed(self._refusal(answer))

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

    def _refusal(self, answer: Answer) -> Retry | RateLimited | Rejected | Broken | Uncertain:
        """What an answer other than yes means."""
        status, said = answer.status, self.said(answer)
        after = retry_after(answer.headers.get("Retry-After"), self._now())
        if answer.accepts:
            return Uncertain(
                f"{self.host} answers with a web page (status {status}), which no receiver does: check url, and what "
                "stands before it"
            )
        if status == 429:
            return RateLimited(RATE_LIMIT_PAUSE if after is None else after, f"the rate limit of {self.host}")
        if status == 503 and after is not None:
            return Retry(f"{self.host} takes nothing for now (status {status}{said})", after)
        if status >= 500:
            return Uncertain(f"{self.host} answered with status {status}{said}")
        if status in LATER:
            return Retry(f"{self.host} answered with status {status}{said}", after)
        if status in REFUSED:
            return Rejected(f"{self.host} refuses the message (status {status}{said})")
        return Broken(self.why_broken(answer))

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
        if 300 <= status < 400:
            there = self.redirects_to(answer)
            return f"{self.host} answers with a redirect to {there}, which is not followed: correct url"
        return f"{self.host} takes no messages there (status {status}{said}): check url, and what stands before it"
