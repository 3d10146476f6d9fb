"""One deadline for all that a thread does on its sockets, and a limit to what it reads there.

The time-outs of HTTP clients hold for a single wait: a peer that sends one byte now and then never runs into them. Here
each wait is given what is left of the whole::

    with deadline(10.0):
        session.post(…)  # connecting, the handshake, sending, head and body: after ten seconds TimeoutError

It holds for sockets that were made here, so clients are told to make theirs here: ``connect`` for the connection, and
``encrypted`` for what wraps it in TLS. Nothing watches from outside, so nothing is left behind, however many requests
end this way. One wait cannot be cut short: the system's own for the address of a name.

A deadline may come with a guard, which is asked right before anything is sent: where it says no, that is a time-out,
too. It is for what a process may do only for a while, and that while may have passed as it stood still.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of an answer that has no reason to be large."""

_current = threading.local()


class AnswerTooLarge(Exception):
    """An answer of more bytes than are worth reading."""


@contextmanager
def deadline(seconds: float, *, guard: Callable[[], bool] | None = None) -> Iterator[None]:
    """Gives what this thread does within ``seconds`` as a whole; within another deadline, the earlier one holds.

    ``guard`` says whether something may still be sent; within another one, the inner one is asked.
    """
    outer: float | None = getattr(_current, "end", None)
    outer_guard: Callable[[], bool] | None = getattr(_current, "guard", None)
    end = time.monotonic() + seconds
    _current.end = end if outer is None else min(end, outer)
    _current.guard = guard or outer_guard
    try:
        yield
    finally:
        _current.end, _current.guard = outer, outer_guard


def sending(at_most: float | None = None) -> float | None:
    """The seconds that the next wait to send may take; raises TimeoutError, also where nothing may be sent any more."""
    guard: Callable[[], bool] | None = getattr(_current, "guard", None)
    if guard is not None and not guard():
        raise TimeoutError("timed out: this process stood still, or was cut off, for too long to send it")
    return remaining(at_most)


@contextmanager
def asking() -> Iterator[None]:
    """What is sent within it only asks for something: it brings nothing there, and is not what a rate counts."""
    outer = is_asking()
    _current.asks = True
    try:
        yield
    finally:
        _current.asks = outer


def is_asking() -> bool:
    """Whether this thread is within ``asking``."""
    return bool(getattr(_current, "asks", False))


def remaining(at_most: float | None = None) -> float | None:
    """The seconds that the next wait may take, ``at_most`` at the most; None without any limit.

    Raises TimeoutError once the deadline has passed.
    """
    end: float | None = getattr(_current, "end", None)
    if end is None:
        return at_most
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out: the deadline of the whole request has passed")
    return left if at_most is None else min(left, at_most)


def bounded(chunks: Iterable[bytes], limit: int = MAX_BODY) -> bytes:
    """``chunks`` as one; raises AnswerTooLarge once they are more than ``limit`` bytes."""
    size, kept = 0, []
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise AnswerTooLarge
        kept.append(chunk)
    return b"".join(kept)


def dial(host: str, port: int, timeout: float | None, attempt: Callable[[Any, float | None], T]) -> T:
    """What ``attempt`` makes of the first address of ``host`` with which it succeeds, else the error of the last.

    It is given one tuple of ``getaddrinfo`` and its share of ``timeout``: an address where nobody answers, which is
    what IPv6 often is, leaves time for the next.
    """
    with deadline(timeout if timeout is not None else threading.TIMEOUT_MAX):
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left in range(len(addresses), 1, -1):
            try:
                return attempt(addresses[-left], (remaining() or 0.0) / left)
            except TimeoutError:
                remaining()
            except Exception:  # noqa: S110 - a client's own kinds; the last address has the word
                pass
        return attempt(addresses[-1], remaining())


def connect(host: str, port: int, timeout: float | None) -> Socket:
    """A connection to ``host``, within ``timeout`` seconds for all its addresses together; raises OSError."""
    return dial(host, port, timeout, _connected)


def _connected(address: Any, seconds: float | None) -> Socket:
    family, kind, protocol, _, where = address
    connection = Socket(family, kind, protocol)
    try:
        connection.settimeout(seconds)
        connection.connect(where)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def hang_up(connection: socket.socket) -> None:
    """Closes a connection at once, also where somebody still holds a file of it that is read no more."""
    descriptor = connection.detach()
    if descriptor != -1:
        socket.close(descriptor)


def encrypted(context: ssl.SSLContext) -> ssl.SSLContext:
    """``context``, whose connections keep to the deadline."""
    context.sslsocket_class = TlsSocket
    return context


class Socket(socket.socket):
    """A socket each of whose waits ends by the thread's deadline."""

    def recv(self, *args: Any) -> bytes:
        _limit(self)
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        _limit(self)
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        _limit(self, sending)
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        _limit(self, sending)
        super().sendall(*args)


class TlsSocket(ssl.SSLSocket):
    """The same, encrypted: all its ways to receive lead to ``read``, all its ways to send to ``send``."""

    def do_handshake(self, block: bool = False) -> None:
        _limit(self)
        super().do_handshake(block)

    def read(self, *args: Any) -> Any:
        _limit(self)
        return super().read(*args)

    def send(self, *args: Any) -> int:
        _limit(self, sending)
        return super().send(*args)


def _limit(connection: socket.socket, left_for: Callable[[float | None], float | None] = remaining) -> None:
    left = left_for(connection.gettimeout())
    if left is not None:
        connection.settimeout(left)
