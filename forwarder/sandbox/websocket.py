"""One WebSocket connection of a stand-in, on the connection of its HTTP server (RFC 6455)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, Final

from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.faults import Fault, FaultKind

_VERSION: Final = "13"
_PIECE: Final = 65_536


def accept(request: Request, takeover: Callable[[socket.socket, BufferedIOBase], None]) -> Reply:
    """The answer to a handshake, after which ``takeover`` has the connection."""
    key = request.header("Sec-WebSocket-Key")
    if request.method != "GET" or request.header("Upgrade").lower() != "websocket" or not key:
        return Reply.text("Upgrade Required", 426, Upgrade="websocket")
    if request.header("Sec-WebSocket-Version") != _VERSION:
        return Reply.text("Upgrade Required", 426, **{"Sec-WebSocket-Version": _VERSION})
    token = generate_accept_token(key.encode("latin-1", "replace")).decode()
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": token}
    return Reply(status=101, headers=headers, takeover=takeover)


class WebSocket:
    """The service's end of one connection. It counts ``pings`` and ``pongs`` that came, and ``texts`` that went.

    What is sent after the connection ended is lost without a word, as on any network.
    """

    def __init__(self, connection: socket.socket, reader: BufferedIOBase, *, pause: Callable[[float], None]) -> None:
        self.pings = 0
        self.pongs = 0
        self.texts = 0
        self.held = False
        self.open = True
        self._connection = connection
        self._reader: Any = reader
        self._pause = pause
        self._protocol = Protocol(ConnectionType.SERVER)
        self._sending = threading.RLock()

    def run(self, received: Callable[[str], None]) -> None:
        """Give every text that comes to ``received``, until the connection ends."""
        text = ""
        try:
            while data := self._reader.read1(_PIECE):
                if self.held:
                    continue  # nobody is there: nothing is read, nothing is answered
                self._protocol.receive_data(data)
                for event in self._protocol.events():
                    if isinstance(event, Message):
                        text += event.data if isinstance(event, TextMessage) else ""
                        if event.message_finished:
                            received(text)
                            text = ""
                    elif self._control(event):
                        return
        except (OSError, ValueError, RemoteProtocolError, LocalProtocolError):
            pass  # the client went away in the middle, or speaks no WebSocket
        finally:
            self.open = False

    def send(self, text: str, fault: Fault | None = None) -> None:
        """Send ``text``, as ``fault`` has it."""
        self.texts += 1
        if fault is None:
            self._write(self._frame(TextMessage(data=text)))
            return
        kind = fault.kind
        if kind is FaultKind.LATENCY:
            _later(fault.seconds, lambda: self.send(text))
            return
        wire = self._frame(TextMessage(data="<!doctype html>" if kind is FaultKind.HTML else text))
        if kind is FaultKind.TRUNCATED:
            self._write(wire[: len(wire) // 2])
        elif kind is FaultKind.DRIP:
            self._drip(wire, fault.seconds)
        elif kind not in (FaultKind.RESET_BEFORE, FaultKind.TIMEOUT_BEFORE):
            self._write(wire)
        if kind is FaultKind.TWICE:
            self.send(text)
        elif kind in (FaultKind.TRUNCATED, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER):
            self.cut()
        elif kind in (FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER):
            self.hold()
            _later(fault.seconds, self.cut)

    def ping(self, payload: bytes = b"") -> None:
        """Ask whether the client is there."""
        self._write(self._frame(Ping(payload=payload)))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection as it is meant to be ended: the client is told, and closes it."""
        self._write(self._frame(CloseConnection(code=code, reason=reason)))

    def hold(self) -> None:
        """From now on read nothing, answer nothing, send nothing: the line is dead, and nobody says so."""
        self.held = True

    def cut(self, *, reset: bool = True) -> None:
        """End the connection without a word: reset, or merely shut."""
        with contextlib.suppress(OSError):  # the client may have been quicker
            if reset:
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._connection.shutdown(socket.SHUT_RDWR)

    def _control(self, event: Event) -> bool:
        """Answer a control frame; whether it was the last."""
        if isinstance(event, Ping):
            self.pings += 1
            self._write(self._frame(event.response()))
        elif isinstance(event, Pong):
            self.pongs += 1
        elif isinstance(event, CloseConnection):
            if self._protocol.state is not ConnectionState.CLOSED:
                self._write(self._frame(event.response()))
            return True
        return False

    def _frame(self, event: Event) -> bytes:
        with self._sending:
            try:
                return self._protocol.send(event)
            except LocalProtocolError:
                return b""  # it is closing already

    def _write(self, wire: bytes) -> None:
        with self._sending, contextlib.suppress(OSError):
            if not self.held and wire:
                self._connection.sendall(wire)

    def _drip(self, wire: bytes, seconds: float) -> None:
        began = time.monotonic()
        with self._sending:
            for sent, byte in enumerate(wire, start=1):
                self._write(bytes((byte,)))
                # No pause of its own for each byte: on a busy machine a thousand of them take a minute.
                ahead = began + seconds * sent / len(wire) - time.monotonic()
                if ahead > 0:
                    self._pause(ahead)


def _later(seconds: float, run: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, run)
    timer.daemon = True
    timer.start()
