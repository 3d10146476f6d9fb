"""Socket Mode of the sandbox's Slack: connections over which an app is told what people do.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from io import BufferedIOBase
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.server import Service
from forwarder.sandbox.slack_message import APP_ID
from forwarder.sandbox.websocket import WebSocket, accept

PATH: Final = "/link/"
MAX_CONNECTIONS: Final = 10
_TICKET_SECONDS: Final = 30
_HOST: Final = "applink-sandbox"


class Interaction:
    """One envelope, and what became of it.

    ``deliveries`` counts how often it was sent; none at all says that no connection was there, which people see at
    once and Slack does not make good. ``acknowledgements`` holds the payload (or None) of every acknowledgement.
    """

    def __init__(self, kind: str, payload: dict[str, Any], *, accepts_response: bool) -> None:
        self.envelope_id = str(uuid.uuid4())
        self.kind = kind
        self.payload = payload
        self.accepts_response = accepts_response
        self.deliveries = 0
        self.acknowledgements: list[Any] = []
        self._told = threading.Event()

    @property
    def acknowledged(self) -> bool:
        return bool(self.acknowledgements)

    def wait(self, seconds: float) -> bool:
        """Whether it is acknowledged, after ``seconds`` at the latest."""
        return self._told.wait(seconds)

    def tell(self, payload: Any) -> None:
        """Note an acknowledgement."""
        self.acknowledgements.append(payload)
        self._told.set()

    def message(self) -> dict[str, Any]:
        """The envelope. Of interactions it is the same again when it is sent again."""
        return {
            "envelope_id": self.envelope_id,
            "payload": self.payload,
            "type": self.kind,
            "accepts_response_payload": self.accepts_response,
        }


class SocketMode:
    """All connections of the app.

    An envelope that is not acknowledged within ``ack_within`` seconds is sent again, ``resends`` times at the most, to
    another connection where there is one. ``ping_every`` is the seconds between the service's pings. These are seconds
    of the machine, whatever the sandbox's clock says.
    """

    def __init__(self, service: Service) -> None:
        self.ack_within = 3.0
        self.resends = 3
        self.ping_every = 10.0
        self.opened = 0
        self.nonsense: list[str] = []
        self._service = service
        self._lock = threading.RLock()
        self._tickets: dict[str, datetime] = {}
        self._connections: list[WebSocket] = []
        self._leaving: set[WebSocket] = set()
        self._pending: dict[str, tuple[Interaction, Callable[[Any], None]]] = {}
        self._timers: set[threading.Timer] = set()
        self._closed = False

    @property
    def connections(self) -> list[WebSocket]:
        """Those that stand, oldest first."""
        with self._lock:
            return list(self._connections)

    def url(self) -> str:
        """The address of one connection more: good once, and for half a minute."""
        ticket = str(uuid.uuid4())
        with self._lock:
            self._tickets[ticket] = self._service.clock() + timedelta(seconds=_TICKET_SECONDS)
        return f"{self._service.origin.replace('http', 'ws', 1)}{PATH}?ticket={ticket}&app_id={APP_ID}"

    def upgrade(self, request: Request) -> Reply:
        """The answer to a connection that begins."""
        with self._lock:
            until = self._tickets.pop(request.query.get("ticket", ""), None)
        if until is None or until < self._service.clock():
            return Reply.text("Forbidden", 403)
        return accept(request, self._serve)

    def deliver(
        self,
        payload: dict[str, Any],
        *,
        accepts_response: bool = False,
        duplicates: int = 0,
        then: Callable[[Any], None] = lambda _: None,
    ) -> Interaction:
        """Send an envelope of type ``interactive``, ``duplicates`` times more than once.

        ``then`` is given the payload of the first acknowledgement.
        """
        interaction = Interaction("interactive", payload, accepts_response=accepts_response)
        with self._lock:
            self._pending[interaction.envelope_id] = interaction, then
        self._send(interaction, [], 1 + duplicates)
        return interaction

    def disconnect(self, reason: str = "refresh_requested", *, ends_after: float | None = 10.0) -> None:
        """Tell every connection to make place for a new one; they end after that many seconds (None: they do not).

        Slack's reasons are warning, refresh_requested, link_disabled and too_many_websockets.
        """
        for connection in self.connections:
            with self._lock:
                self._leaving.add(connection)
            self._say(connection, {"type": "disconnect", "reason": reason, "debug_info": {"host": _HOST}})
            if ends_after is not None:
                self._later(ends_after, connection.close)

    def cut(self, *, reset: bool = True) -> None:
        """End every connection without a word."""
        for connection in self.connections:
            connection.cut(reset=reset)

    def hold(self) -> None:
        """Let every connection that stands go dead without an end."""
        for connection in self.connections:
            connection.hold()

    def ping(self) -> None:
        """Ping every connection."""
        for connection in self.connections:
            connection.ping(f"Ping from {_HOST}".encode())

    def close(self) -> None:
        """Send nothing more."""
        with self._lock:
            self._closed = True
            for timer in self._timers:
                timer.cancel()

    def _serve(self, connection: socket.socket, reader: BufferedIOBase) -> None:
        web_socket = WebSocket(connection, reader, pause=self._service.pause)
        with self._lock:
            room = len(self._connections) < MAX_CONNECTIONS
            if room:
                self._connections.append(web_socket)
                self.opened += 1
            count = len(self._connections)
        if room:
            self._greet(web_socket, count)
        else:
            self._say(
                web_socket, {"type": "disconnect", "reason": "too_many_websockets", "debug_info": {"host": _HOST}}
            )
            web_socket.close()
        try:
            web_socket.run(self._received)
        finally:
            with self._lock:
                self._leaving.discard(web_socket)
                if room:
                    self._connections.remove(web_socket)

    def _greet(self, connection: WebSocket, count: int) -> None:
        about = {"host": _HOST, "build_number": 1, "approximate_connection_time": 18_060}
        hello = {"type": "hello", "num_connections": count, "debug_info": about}
        self._say(connection, {**hello, "connection_info": {"app_id": APP_ID}})
        self._ping_again(connection)

    def _ping_again(self, connection: WebSocket) -> None:
        def ping() -> None:
            if connection.open:
                connection.ping(f"Ping from {_HOST}".encode())
                self._ping_again(connection)

        self._later(self.ping_every, ping)

    def _received(self, text: str) -> None:
        try:
            message = json.loads(text)
            known = self._pending[message["envelope_id"]]
        except (ValueError, TypeError, KeyError):
            self.nonsense.append(text)
            return
        interaction, then = known
        first = not interaction.acknowledged
        interaction.tell(message.get("payload"))
        if first:
            then(message.get("payload") if interaction.accepts_response else None)

    def _send(self, interaction: Interaction, tried: list[WebSocket], times: int = 1) -> None:
        connection = self._chosen(tried)
        if connection is None and not tried:
            return  # nobody is there: the person sees a warning, and that is all
        if connection is not None:
            tried.append(connection)
            interaction.deliveries += times
            for _ in range(times):
                self._say(connection, interaction.message())
        self._later(self.ack_within, lambda: self._unacknowledged(interaction, tried))

    def _unacknowledged(self, interaction: Interaction, tried: list[WebSocket]) -> None:
        if not interaction.acknowledged and interaction.deliveries <= self.resends:
            self._send(interaction, tried)

    def _chosen(self, tried: list[WebSocket]) -> WebSocket | None:
        """One that was not tried before one that was, one that stays before one that is leaving, and each in turn."""
        with self._lock:
            return min(
                self._connections,
                key=lambda connection: (tried.count(connection), connection in self._leaving, connection.texts),
                default=None,
            )

    def _say(self, connection: WebSocket, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        connection.send(text, self._service.take_message_fault(f"SOCKET {message['type']}", text.encode()))

    def _later(self, seconds: float, run: Callable[[], None]) -> None:
        def due() -> None:
            with self._lock:
                self._timers.discard(timer)
                if self._closed:
                    return
            run()

        timer = threading.Timer(seconds, due)
        timer.daemon = True
        with self._lock:
            if not self._closed:
                self._timers.add(timer)
                timer.start()
