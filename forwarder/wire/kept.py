"""Connections that are kept for the next request, each of whose waits ends by the deadline of its thread."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any, Final

from forwarder.wire.answer import Answer
from forwarder.wire.deadline import connect, hang_up

KEPT_FOR: Final = 2.0
"""Seconds for which a connection waits for its next request. Servers wait longer, so that they hardly ever close one
just as it is used: whether they took what was sent would be unknown."""


class _Connects:
    """A mix-in by which a connection of the standard library connects within the deadline."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._create_connection = _connect
        self.response_class: type[HTTPResponse] = Answer

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


class Kept:
    """Connections to one host, each used by one request at a time; those that wait for the next one end after a while.

    One on which something came while nobody had asked is not used again: that is its end, and asking there would leave
    it open what became of the request.
    """

    def __init__(
        self, host: str, tls: ssl.SSLContext | None, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host, self._tls, self._seconds, self._clock = host, tls, seconds, clock
        self._lock = threading.Lock()
        self._idle: list[tuple[float, HTTPConnection]] = []
        # Nobody says when a client of the SDK is used for the last time.
        weakref.finalize(self, _close, self._idle).atexit = False

    def take(self) -> HTTPConnection:
        """A connection for one request, new where none waits."""
        while True:
            with self._lock:
                since, connection = self._idle.pop() if self._idle else (0.0, None)
            if connection is None:
                break
            if self._clock() - since <= KEPT_FOR and not _is_readable(connection.sock):
                # What the last request had left of its time is no measure for this one.
                connection.sock.settimeout(self._seconds)
                return connection
            connection.close()
        if self._tls is None:
            return HttpConnection(self._host, timeout=self._seconds)
        return HttpsConnection(self._host, timeout=self._seconds, context=self._tls)

    def give(self, connection: HTTPConnection) -> None:
        """Keeps a connection whose answer was read to its end, unless the host ends it."""
        now = self._clock()
        with self._lock:
            expired = [one for one in self._idle if now - one[0] > KEPT_FOR]
            del self._idle[: len(expired)]
            if connection.sock is not None:
                self._idle.append((now, connection))
        _close(expired)

    def close(self) -> None:
        """Ends those that wait; one that is in use ends with whoever uses it."""
        with self._lock:
            kept = self._idle[:]
            self._idle.clear()
        _close(kept)


def _close(kept: list[tuple[float, HTTPConnection]]) -> None:
    for _, connection in kept:
        connection.close()


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
