"""The wire of a webhook: one message in one request, and what each answer means."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from connectors.webhook import tls
from connectors.webhook.config import WebhookConfig
from connectors.webhook.signing import PREFIX, signed
from forwarder.connector import (
    Broken,
    Failed,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    clean,
    cut,
    format_duration,
    one_line,
    redirect_host,
    retry_after,
)

if TYPE_CHECKING:
    from httpx2 import Response

    from forwarder.wire.client import Client

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds after a 429 that names no time."""

MAX_ANSWER: Final = 64 * 1024
"""Our own, in bytes: what an answer says beside its status is for people, and a sentence of it is shown."""

MAX_SAID: Final = 300
"""Our own, in characters of what an answer says."""

LATER: Final = frozenset({408, 409, 421, 423, 425})
"""Statuses below 500 after which the same message may well be taken. A 409 is what a receiver answers while the attempt
before is still under way there: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07#section-2.7"""

REFUSED: Final = frozenset({400, 413, 422})
"""Statuses that blame the message."""

GONE: Final = 410
"""By Standard Webhooks the receiver wants no more messages:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""

_LONG: Final = 12
"""Characters from which on a part of an address may be a key; a shorter one is a word."""

_PAGES: Final = ("<!doctype html", "<html")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back. ``body`` is None where none came whole, or one too large; the status holds all the same."""

    status: int
    headers: Mapping[str, str]
    body: str | None

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_page(self) -> bool:
        """Whether it is a page for people, which no receiver answers with."""
        if self.body is None:
            return self.headers.get("Content-Type", "").lower().startswith("text/html")
        return self.body[:200].lstrip("\ufeff \t\r\n").lower().startswith(_PAGES)


class Endpoint:
    """The address that takes the messages, as the holder of the keys sees it."""

    def __init__(self, config: WebhookConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        self._keys = config.keys
        self._headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        self._url = config.url.get_secret_value()
        parts = urlsplit(self._url)
        self.host = parts.hostname or ""
        # What a library notes of a request has the address, so it is given the host alone, and the rest beside it.
        self._origin = f"{parts.scheme}://{parts.netloc}/"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secrets = _secrets(self._url, self._target, self._keys, self._headers.values())
        self._lock = threading.Lock()
        self._made: tuple[tls.Print, Client] | None = None

    def send(self, message: str, body: str) -> None:
        """Posts ``body`` in exactly one request; raises Failed unless the receiver accepted it."""
        stamped = signed(message, self._now(), body, self._keys)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message, **stamped}
        answer = self._ask("POST", headers, body.encode())
        if not answer.accepts or answer.is_page:
            raise Failed(self._refusal(answer))

    def look(self) -> Answer:
        """What the address says to a question without a message; raises Failed where nothing is said."""
        return self._ask("HEAD", {}, b"")

    def redirects_to(self, answer: Answer) -> str:
        """The host that a redirect names."""
        return redirect_host(answer.headers.get("Location"), *self._secrets)

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made[1].close()

    def _ask(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        import httpx2

        heads: list[Response] = []
        request = httpx2.Request(
            method,
            self._origin,
            headers={"User-Agent": "sentrytex-forwarder", **self._headers, **headers},
            content=body,
            extensions={
                "target": self._target.encode(),
                "timeout": httpx2.Timeout(self._config.timeout.total_seconds()).as_dict(),
                "heads": heads,
            },
        )
        client = self._client()
        try:
            response = client.send(request)
        except httpx2.HTTPError as error:
            if not heads:
                raise Failed(self._no_answer(error)) from None
            return Answer(status=heads[0].status_code, headers=heads[0].headers, body=None)
        return Answer(status=response.status_code, headers=response.headers, body=response.text)

    def _client(self) -> Client:
        """The one client of all threads: made when it is first needed, and anew when certificates were replaced."""
        from ssl import SSLError

        config = self._config
        files = (config.ca_file, config.cert_file, config.key_file)
        with self._lock:
            try:
                state = tls.printed(*files)
                if self._made is None or self._made[0] != state:
                    self._made = state, self._connected(*files)
            except OSError as error:
                # Between two files that are replaced one after the other the ones before are as good as ever.
                if self._made is None:
                    why = "they do not fit" if isinstance(error, SSLError) else (error.strerror or "no reason").lower()
                    raise Failed(
                        Broken(f"The files of ca_file, cert_file and key_file cannot be used: {why}")
                    ) from None
            return self._made[1]

    def _connected(self, *files: str | None) -> Client:
        import httpx2

        from forwarder.wire.client import Client
        from forwarder.wire.deadline import encrypted
        from forwarder.wire.direct import Direct
        from forwarder.wire.kept import Kept
        from forwarder.wire.unreachable import proxy_of

        parts, seconds = urlsplit(self._url), self._config.timeout.total_seconds()
        how: dict[str, Any] = {"seconds": seconds, "max_body": MAX_ANSWER, "event_hooks": {"response": [_note_head]}}
        # Plain http is for this machine, and needs no certificates.
        made = None
        if parts.scheme == "https":
            made = tls.context(*files) if any(files) else httpx2.create_ssl_context()
        if proxy_of(parts.scheme, self.host):
            return Client(verify=made or False, **how)
        kept = Kept(parts.netloc, encrypted(made) if made else None, seconds)
        return Client(verify=False, transport=Direct(kept), **how)

    def _no_answer(self, error: BaseException) -> Retry | Uncertain | Broken:
        """Why there is no answer: nothing was sent where no connection came about, else nobody knows what was taken."""
        import httpx2

        from forwarder.wire.unreachable import why_unreachable

        if why := self._why_unwelcome(error):
            return Broken(why)
        if why := why_unreachable(error, self._origin, "url", bundle="ca_file"):
            return Retry(f"{self.host} cannot be reached: {why}")
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            return Retry(f"{self.host} cannot be reached ({type(error).__name__})")
        if isinstance(error, httpx2.TimeoutException):
            return Uncertain(f"{self.host} did not answer within {format_duration(self._config.timeout)}")
        return Uncertain(f"the connection to {self.host} was cut ({type(error).__name__})")

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
        status, said = answer.status, self._said(answer)
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
        status, said = answer.status, self._said(answer)
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

    def _said(self, answer: Answer) -> str:
        """What an answer says beside its status, as the tail of a sentence, without any secret that it repeats."""
        # A page of HTML is a proxy's, and says less than the status.
        text = "" if answer.body is None or answer.is_page else one_line(clean(answer.body))
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return f": {cut(text, MAX_SAID)}" if text else ""


def _note_head(response: Response) -> None:
    """Notes an answer before its body is read: who said yes has said it, whatever becomes of the rest."""
    response.request.extensions["heads"].append(response)


def _secrets(url: str, target: str, keys: tuple[str, ...], headers: Any) -> tuple[str, ...]:
    """All that must not be shown of what is sent, the longest first, so that no half of one stays."""
    known = {url, target, *keys, *(key.removeprefix(PREFIX) for key in keys)}
    for value in headers:
        known |= {value, *value.split()}
    known |= set(re.split("[/?&=]", target))
    return tuple(sorted((one for one in known if len(one) >= _LONG), key=len, reverse=True))
