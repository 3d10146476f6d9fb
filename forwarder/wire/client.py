"""httpx2 with one deadline for a whole request, a limit to the answer, and no redirects."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpcore2
import httpx2

from forwarder.wire import deadline as whole

_PIECE: Final = 16 * 1024
"""Bytes that one wait may be for: a peer that takes a large body slowly is noticed between two of them."""


def _without_address(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("HTTP Request:")


# What httpx2 says of each request holds the whole address, which may be a secret.
logging.getLogger("httpx2").addFilter(_without_address)


class TooLarge(httpx2.HTTPError):
    """An answer of more bytes than are worth reading."""


class Client(httpx2.Client):
    """A client whose requests end after ``seconds`` as a whole, with an answer of at most ``max_body`` bytes, read.

    ``options`` are those of httpx2.Client; its ``timeout`` is for each wait within the whole. A request raises
    httpx2.HTTPError. A class of an SDK that is an httpx2.Client itself takes this one as a further base.
    """

    def __init__(self, *, seconds: float = 10.0, max_body: int = whole.MAX_BODY, **options: Any) -> None:
        super().__init__(**{"timeout": seconds, **options})
        self._seconds, self._max_body = seconds, max_body
        for transport in (self._transport, *self._mounts.values()):
            if (pool := getattr(transport, "_pool", None)) is not None:
                pool._network_backend = _Backend()

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Sends ``request``, and reads its answer."""
        # A redirect would carry the credentials to wherever it points.
        options |= {"stream": True, "follow_redirects": False}
        with whole.deadline(self._seconds):
            response = super().send(request, **options)
            try:
                response._content = whole.bounded(response.iter_bytes(), self._max_body)
            except whole.AnswerTooLarge:
                raise TooLarge(f"more than {self._max_body} bytes") from None
            finally:
                response.close()
        return response


def _left(
    timeout: float | None,
    kind: type[Exception],
    left_for: Callable[[float | None], float | None] = whole.remaining,
) -> float | None:
    """What a wait may take; a deadline that has passed is the client's own kind of time-out."""
    try:
        return left_for(timeout)
    except TimeoutError as error:
        raise kind(str(error)) from None


class _Stream(httpcore2.NetworkStream):
    """A connection each of whose waits ends by the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], _left(timeout, httpcore2.WriteTimeout, whole.sending))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore2.SyncBackend):
    """Connects within the deadline, whatever the number of a name's addresses."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        def attempt(address: Any, seconds: float | None) -> httpcore2.NetworkStream:
            return super(_Backend, self).connect_tcp(address[4][0], port, seconds, local_address, socket_options)

        try:
            return _Stream(whole.dial(host, port, timeout, attempt))
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
