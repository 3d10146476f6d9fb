"""httpx2 over kept connections of the standard library, which take a quarter less time than its own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from forwarder.wire.client import Client
from forwarder.wire.deadline import encrypted
from forwarder.wire.kept import Kept
from forwarder.wire.unreachable import proxy_of

_CHUNK: Final = 64 * 1024


def connected(address: str, *, seconds: float, tls: ssl.SSLContext | None = None, **options: Any) -> Client:
    """A client for the one host of ``address``: over kept connections, or through the proxy that leads there.

    ``tls`` says whom it trusts, by default whom the system trusts. ``options`` are those of Client.
    """
    parts = urlsplit(address)
    # Plain http is for this machine, and needs no certificates.
    made = (tls or httpx2.create_ssl_context()) if parts.scheme == "https" else None
    if proxy_of(parts.scheme, parts.hostname or ""):
        return Client(seconds=seconds, verify=made or False, **options)
    kept = Kept(parts.netloc, encrypted(made) if made else None, seconds)
    return Client(seconds=seconds, verify=False, transport=Direct(kept), **options)


class Direct(httpx2.BaseTransport):
    """Brings the requests of a client's threads to the one host of ``kept``, without a proxy.

    Raises httpx2.TransportError. Each request is sent once.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        connection = self._kept.take()
        try:
            if connection.sock is None:
                with _told_as(httpx2.ConnectTimeout, httpx2.ConnectError):
                    connection.connect()
            # Who keeps the path out of what the library notes has it in this extension, as with the library's own.
            target = bytes(request.extensions.get("target", request.url.raw_path)).decode("ascii")
            with _told_as(httpx2.WriteTimeout, httpx2.WriteError):
                connection.request(request.method, target, request.read(), dict(request.headers))
            with _told_as(httpx2.ReadTimeout, httpx2.ReadError):
                answer = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(answer.status, headers=answer.getheaders(), stream=_Body(answer, connection, self._kept))

    def close(self) -> None:
        self._kept.close()


class _Body(httpx2.SyncByteStream):
    """An answer's body, after which the connection is free for the next request."""

    def __init__(self, answer: HTTPResponse, connection: HTTPConnection, kept: Kept) -> None:
        self._answer, self._connection, self._kept = answer, connection, kept

    def __iter__(self) -> Iterator[bytes]:
        with _told_as(httpx2.ReadTimeout, httpx2.ReadError):
            while piece := self._answer.read(_CHUNK):
                yield piece
        if self._answer.length:
            # Read in pieces, a body that ends too early is no error of its own.
            raise httpx2.RemoteProtocolError("the answer ended too early")

    def close(self) -> None:
        whole = self._answer.isclosed() and not self._answer.length
        self._answer.close()
        if whole:
            self._kept.give(self._connection)
        else:
            self._connection.close()


@contextmanager
def _told_as(late: type[httpx2.TransportError], broken: type[httpx2.TransportError]) -> Iterator[None]:
    """Raises what goes wrong as httpx2 would."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
    except HTTPException as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
