"""What sends Slack's requests: one deadline for a whole request, no redirect, and an answer of a size that is worth it.

The SDK's own way follows redirects, with the token, and its time-out is for each wait. Its clients are kept for what
they make of calls and answers; what they would open an address with is replaced.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from forwarder.connector import redirect_host
from forwarder.wire.deadline import MAX_BODY, bounded, deadline, encrypted
from forwarder.wire.kept import HttpConnection, HttpsConnection, Kept
from forwarder.wire.unreachable import proxy_of

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.webhook import WebhookClient

_CHUNK: Final = 64 * 1024


class Redirected(Exception):
    """An answer that leads elsewhere: to the host ``there``, as people may see it."""

    def __init__(self, there: str) -> None:
        super().__init__(there)
        self.there = there


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """One answer, whatever its status."""

    status: int
    headers: Message
    text: str


class Transport:
    """Sends requests to where ``address`` leads. ``seconds`` is for each as a whole; ``secret`` is never shown.

    Connections are kept for the next request, but for those through a proxy.
    """

    def __init__(
        self, address: str, seconds: float, secret: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._secret = seconds, secret
        tls = encrypted(ssl.create_default_context()) if address.lower().startswith("https:") else None
        self._opener = OpenerDirector()
        # No handler for redirects is among them, nor one that makes an exception of a refusal.
        for handler in (ProxyHandler(), _Http(), _Https(tls)):
            self._opener.add_handler(handler)
        parts = urlsplit(address)
        proxied = proxy_of(parts.scheme, parts.hostname or "")
        self._origin = None if proxied else (parts.scheme.lower(), parts.netloc)
        self._kept = Kept(parts.netloc, tls, seconds, clock)

    def send(self, request: Request) -> Got:
        """Sends ``request`` once; raises Redirected, AnswerTooLarge, OSError and HTTPException."""
        with deadline(self._seconds):
            if (request.type, request.host) == self._origin:
                return self._send_directly(request)
            with self._opener.open(request, timeout=self._seconds) as response:
                return self._read(response)

    def _send_directly(self, request: Request) -> Got:
        connection = self._kept.take()
        try:
            try:
                headers = {**request.unredirected_hdrs, **request.headers}
                connection.request(request.get_method(), request.selector, request.data, headers)
            except OSError as error:
                # As urllib has it: where the connection never stood, nothing was sent.
                raise URLError(error) from error
            with connection.getresponse() as response:
                got = self._read(response)
        except BaseException:
            connection.close()
            raise
        self._kept.give(connection)
        return got

    def _read(self, response: HTTPResponse) -> Got:
        if 300 <= response.status < 400:
            raise Redirected(redirect_host(response.headers.get("Location"), self._secret))
        charset = response.headers.get_content_charset() or "utf-8"
        return Got(status=response.status, headers=response.headers, text=_body(response).decode(charset))


def web_client(transport: Transport, **options: Any) -> WebClient:
    """The SDK's client of the Web API, over ``transport``."""
    from slack_sdk import WebClient

    class Client(WebClient):
        def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:  # noqa: ARG002
            got = transport.send(req)
            return {"status": got.status, "headers": got.headers, "body": got.text}

    return Client(**options)


def webhook_client(transport: Transport, url: str, **options: Any) -> WebhookClient:
    """The SDK's client of an incoming webhook, over ``transport``."""
    from slack_sdk.webhook import WebhookClient, WebhookResponse

    class Client(WebhookClient):
        def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
            got = transport.send(req)
            return WebhookResponse(url=url, status_code=got.status, body=got.text, headers=dict(got.headers))

    return Client(url, **options)


def _body(response: HTTPResponse) -> bytes:
    body = bounded(iter(lambda: response.read(_CHUNK), b""), MAX_BODY)
    if response.length:
        # Read in pieces, a body that ends too early is no error of its own.
        raise IncompleteRead(body, response.length)
    return body


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(HttpConnection, req)


class _Https(HTTPSHandler):
    def __init__(self, tls: ssl.SSLContext | None) -> None:
        # One context for all requests: reading the system's certificates takes long.
        self._tls = tls
        super().__init__(context=tls)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(HttpsConnection, req, context=self._tls)
