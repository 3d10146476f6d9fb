"""What sends Slack's requests: one deadline for a whole request, no redirect, and an answer of a size that is worth it.

The SDK's own way follows redirects, with the token, and its time-out is for each wait. Its clients are kept for what
they make of calls and answers; what they would open an address with is replaced.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import TYPE_CHECKING, Any, Final
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from forwarder.connector import redirect_host
from forwarder.wire.deadline import MAX_BODY, bounded, connect, deadline, encrypted, hang_up

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
    """Sends requests to where ``address`` leads. ``seconds`` is for each as a whole; ``secret`` is never shown."""

    def __init__(self, address: str, seconds: float, secret: str) -> None:
        self._seconds, self._secret = seconds, secret
        self._opener = OpenerDirector()
        # No handler for redirects is among them, nor one that makes an exception of a refusal.
        for handler in (ProxyHandler(), _Http(), _Https(address)):
            self._opener.add_handler(handler)

    def send(self, request: Request) -> Got:
        """Sends ``request`` once; raises Redirected, AnswerTooLarge, OSError and HTTPException."""
        with deadline(self._seconds), self._opener.open(request, timeout=self._seconds) as response:
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


class _Connects:
    """A mix-in by which a connection of the standard library connects within the deadline."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._create_connection = _connect

    def _tunnel(self) -> None:
        proxy: Any = self.sock  # type: ignore[attr-defined] # of the connection, whose class this is mixed into
        try:
            super()._tunnel()  # type: ignore[misc] # private in the standard library, and no part of its stubs
        except BaseException:
            # Before Python 3.11.4 the proxy's answer stays open, and with it the connection, until it is collected.
            hang_up(proxy)
            raise


def _connect(address: tuple[str, int], timeout: float, _source: None = None) -> Any:
    return connect(*address, timeout)


class HttpConnection(_Connects, HTTPConnection):
    """A connection that is made within the deadline."""


class HttpsConnection(_Connects, HTTPSConnection):
    """The same, encrypted."""


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(HttpConnection, req)


class _Https(HTTPSHandler):
    def __init__(self, address: str) -> None:
        # One context for all requests: reading the system's certificates takes long.
        self._tls = encrypted(ssl.create_default_context()) if address.lower().startswith("https:") else None
        super().__init__(context=self._tls)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(HttpsConnection, req, context=self._tls)
