"""The connection that Slack tells by what people do: opened within one deadline, through the proxy as all others.

The SDK's own way speaks without encryption wherever the port is not 443, knows nothing of NO_PROXY, and asks a
connection that ended without a word for more at full speed.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import socket
from http.client import HTTPConnection
from ssl import SSLContext
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from forwarder.wire.deadline import deadline, hang_up
from forwarder.wire.kept import HttpConnection, HttpsConnection

RECEIVE_FOR: Final = 3.0
"""Seconds of one wait for what comes; then the SDK looks whether it should go on."""

_MAX_HEAD: Final = 16 * 1024
_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class NoWebSocket(OSError):
    """The other side answered, and not as a WebSocket does; the text is its HTTP status, if it has one."""


class Wire:
    """A connection as the SDK uses it. Its end is an error, and what is sent is sent whole."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(size)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the other side ended the connection")
        return data

    def send(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)

    def shutdown(self) -> None:
        """Ends the wait of whoever receives right now; raises OSError where it has ended already."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()


def open_websocket(url: str, seconds: float, tls: SSLContext | None) -> Wire:
    """A WebSocket to ``url`` within ``seconds``, encrypted by ``tls`` if that is not None; raises OSError."""
    parts = urlsplit(url)
    with deadline(seconds):
        connection = _connected(parts, seconds, tls)
        try:
            _shake_hands(connection, parts)
        except BaseException:
            hang_up(connection)
            raise
    connection.settimeout(RECEIVE_FOR)
    return Wire(connection)


def _connected(parts: SplitResult, seconds: float, tls: SSLContext | None) -> socket.socket:
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    proxies = getproxies()
    proxy = proxies.get("https" if tls else "http") or proxies.get("all")
    through = urlsplit(proxy if "://" in proxy else f"//{proxy}") if proxy and not proxy_bypass(host) else None
    first = (through.hostname or "", through.port or 80) if through else (host, port)
    connection: HTTPConnection = (
        HttpsConnection(*first, timeout=seconds, context=tls) if tls else HttpConnection(*first, timeout=seconds)
    )
    if through:
        connection.set_tunnel(host, port, headers=_credentials(through))
    connection.connect()
    opened: socket.socket = connection.sock
    return opened


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    said = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(said.encode()).decode()}


def _shake_hands(connection: socket.socket, parts: SplitResult) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    asked = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    asked += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    connection.sendall("\r\n".join([*asked, "", ""]).encode("ascii", "ignore"))
    status, *headers = _head(connection).split("\r\n")
    if status.split(" ")[1:2] != ["101"]:
        raise NoWebSocket(" ".join(status.split(" ")[1:2]))
    accepted = base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()  # noqa: S324 - the RFC's
    named = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    if named.get("sec-websocket-accept") != accepted:
        raise NoWebSocket("101")


def _head(connection: socket.socket) -> str:
    """The answer's head. Byte by byte: what follows it belongs to whoever reads next."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) > _MAX_HEAD:
            raise NoWebSocket("")
        head += byte
    return head.decode("latin-1")
