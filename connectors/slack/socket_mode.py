"""Socket Mode: a connection that Slack tells what people do by, kept up in the background.

It is the SDK's client over connections of our own (``connectors.slack.websocket``); when one is made, and made anew,
is decided here alone. https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import json
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from connectors.slack.client import Api, Refusal, Refused, silent
from connectors.slack.websocket import NoWebSocket, Wire, open_websocket
from forwarder.connector import RateLimited
from forwarder.wire.deadline import encrypted
from forwarder.wire.unreachable import why_unreachable

if TYPE_CHECKING:
    from slack_sdk.socket_mode.builtin.client import SocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

Hear = Callable[["SocketMode", "SocketModeRequest"], None]
"""Is given each envelope, one after the other, in a thread that has nothing else to do."""

PING_EVERY: Final = 5.0
"""Seconds between two pings of ours; after four without an answer the connection counts as dead."""
LONGEST_PAUSE: Final = 60.0
"""Seconds at most between two tries to connect."""

_LOOK_EVERY: Final = 1.0
_GREETED_WITHIN: Final = 10.0
_SETTLED: Final = 30.0  # seconds after which the end of a connection is no reason to wait before the next
_BUFFER: Final = 64 * 1024
_HOW_TO: Final = (
    "make one with the scope connections:write under Basic Information, App-Level Tokens, at "
    "https://api.slack.com/apps and put it into app_token"
)
_WHY: Final = {
    "missing_scope": f"the app token lacks the scope connections:write: {_HOW_TO}",
    "not_allowed_token_type": f"the app_token is no app-level token (xapp-…): {_HOW_TO}",
}
_BAD_TOKEN: Final = {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
_FAREWELLS: Final = {
    "link_disabled": "Socket Mode is switched off for the app: switch it on at https://api.slack.com/apps",
    "too_many_websockets": "the app has ten connections already, which is all that Slack allows: stop the others",
}


def address_for(app: Api) -> str:
    """Where one connection may be opened, once and soon; raises Refused, with a clause on the app token."""
    try:
        return str(app.read("apps.connections.open").data["url"])
    except KeyError:
        raise Refused(Refusal.RETRY, "Slack named no address for the connection") from None
    except Refused as refused:
        raise _about_the_token(refused) from None


class SocketMode:
    """One connection, as far as Slack and the network allow. ``seconds`` is for each step of making it."""

    def __init__(
        self, app: Api, address: str, hear: Hear, *, name: str, seconds: float, ping_every: float = PING_EVERY
    ) -> None:
        self._app, self._address, self._hear = app, address, hear
        self._name, self._seconds, self._ping_every = name, seconds, ping_every
        self._stop, self._wake, self._tried = threading.Event(), threading.Event(), threading.Event()
        self._renew = False
        self._pause = 0.0
        self._since = -math.inf  # when the connection of today was made, in monotonic seconds
        self._trouble = "the connection is being made"
        self._greeted: Mapping[str, Any] | None = None
        self._tls: ssl.SSLContext | None = None
        self._client: SocketModeClient | None = None
        self._thread: threading.Thread | None = None

    @property
    def app_id(self) -> str:
        """The app's id, as Slack told it; empty before the first connection."""
        about = (self._greeted or {}).get("connection_info")
        return str(about.get("app_id") or "") if isinstance(about, Mapping) else ""

    def trouble(self) -> str:
        """Why nothing is heard right now, as a clause; empty where all is well."""
        client = self._client
        up = client is not None and client.is_connected() and self._greeted is not None
        return "" if up else self._trouble

    def start(self, patience: float) -> None:
        """Begins to connect, once; waits up to ``patience`` seconds for what comes of it."""
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name=f"{self._name}-socket", daemon=True)
            self._thread.start()
            self._tried.wait(patience)

    def acknowledge(self, envelope: str, payload: Mapping[str, Any] | None = None) -> None:
        """Tells Slack that an envelope is dealt with. Where that is lost the envelope comes again."""
        from slack_sdk.errors import SlackClientNotConnectedError
        from slack_sdk.socket_mode.response import SocketModeResponse

        response = SocketModeResponse(envelope_id=envelope, payload=dict(payload) if payload else None)
        with suppress(SlackClientNotConnectedError, OSError, AttributeError):  # the SDK's, while it changes over
            if client := self._client:
                client.send_socket_mode_response(response)

    def close(self, patience: float = 2.0) -> None:
        """Ends the connection and its threads."""
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join(patience)

    # In the thread of its own

    def _run(self) -> None:
        client = self._client = _client(self)
        try:
            while not self._stop.is_set():
                if self._renew or not client.is_connected():
                    self._connect(client)
                elif self._greeted is None and time.monotonic() - self._since > _GREETED_WITHIN:
                    client.disconnect()
                self._wake.wait(_LOOK_EVERY)
                self._wake.clear()
        finally:
            client.close()

    def _connect(self, client: SocketModeClient) -> None:
        if time.monotonic() - self._since > _SETTLED and self._greeted:
            self._pause = 0.0
        if self._stop.wait(self._pause):
            return
        self._pause = min(max(self._pause * 2, 1.0), LONGEST_PAUSE)
        try:
            client.connect_to_new_endpoint(force=True)
        except Refused as refused:
            self._failed(refused)
        except Exception as error:  # whatever the SDK lets out
            self._failed(Refused(Refusal.RETRY, f"no connection came about ({type(error).__name__})"))

    def _failed(self, refused: Refused) -> None:
        if isinstance(refused.outcome, RateLimited):
            self._pause = max(self._pause, refused.outcome.after)
        self._trouble, self._renew = refused.reason, False
        self._tried.set()

    # From the SDK's threads

    def _open(self, url: str) -> Wire:
        encrypts = url.lower().startswith("wss:")
        if not encrypts and self._address.lower().startswith("https:"):
            raise Refused(Refusal.RETRY, "Slack named an address for the connection that is not encrypted")
        if encrypts and self._tls is None:
            # Kept, for reading the system's certificates takes long.
            self._tls = encrypted(ssl.create_default_context())
        try:
            wire = open_websocket(url, self._seconds, self._tls if encrypts else None)
        except NoWebSocket as error:
            status = f"HTTP {error}" if str(error) else "nothing"
            why = f"a proxy or firewall lets no WebSocket through (its answer was {status})"
            raise Refused(Refusal.RETRY, why) from None
        except (OSError, ValueError) as error:
            why = why_unreachable(error, url.replace("ws", "http", 1), "the network") or "it was cut, or took too long"
            raise Refused(Refusal.RETRY, f"no connection came about: {why}") from None
        if not self._renew:  # else the one before holds until it is replaced
            self._greeted, self._trouble = None, "Slack has not greeted the new connection yet"
        self._renew, self._since = False, time.monotonic()
        return wire

    def _takes(self, message: str) -> bool:
        """Whether a message is about the connection itself, and dealt with."""
        said = _read(message)
        if said.get("type") == "hello":
            self._greeted, self._trouble = said, "the connection ended, and is being made anew"
            self._tried.set()
            return True
        if said.get("type") != "disconnect":
            return False
        reason = str(said.get("reason"))
        self._renew = reason not in _FAREWELLS
        if not self._renew and (client := self._client):
            self._trouble = _FAREWELLS[reason]
            client.disconnect()
        self._tried.set()
        self._wake.set()
        return True


def _client(mode: SocketMode) -> SocketModeClient:
    """The SDK's client, which connects when ``mode`` says so, and as it says."""
    from slack_sdk import WebClient
    from slack_sdk.socket_mode.builtin.client import SocketModeClient
    from slack_sdk.socket_mode.builtin.connection import Connection

    class Line(Connection):
        def connect(self) -> None:
            self.sock = mode._open(self.url)  # type: ignore[assignment] # of it no more is used than a Wire has
            self.ping(f"{self.session_id}:{time.time()}")

        def disconnect(self) -> None:
            wire: Any = self.sock
            if wire is None:
                return
            # First of all: else who sends or receives right now would be waited for, for seconds.
            with suppress(OSError):
                wire.shutdown()
            with self.sock_send_lock:
                self.sock = None
            wire.close()
            mode._wake.set()

    class Client(SocketModeClient):
        def issue_new_wss_url(self) -> str:
            return address_for(mode._app)

        def connect(self) -> None:
            line = Line(
                url=self.wss_uri or self.issue_new_wss_url(),
                logger=self.logger,
                ping_interval=self.ping_interval,
                receive_buffer_size=self.receive_buffer_size,
                on_message_listener=self._on_message,
                on_error_listener=self._on_error,
                on_close_listener=self._on_close,
            )
            line.connect()
            before, state = self.current_session, self.current_session_state
            self.current_session, self.current_session_state = line, type(state)()
            state.terminated = True
            if before is not None:
                before.close()
            if not self.current_app_monitor_started:
                self.current_app_monitor_started = True
                self.current_app_monitor.start()

        def enqueue_message(self, message: str) -> None:
            if not mode._takes(message):
                super().enqueue_message(message)

        def close(self) -> None:
            self.closed = True
            self.message_queue.put(None)  # wakes the one who waits for the next
            super().close()

    client = Client(
        app_token="",  # it is the Api's
        logger=silent(),
        web_client=WebClient(logger=silent()),
        auto_reconnect_enabled=False,
        ping_interval=mode._ping_every,
        receive_buffer_size=_BUFFER,
        concurrency=1,
    )
    client.socket_mode_request_listeners.append(lambda _client, request: mode._hear(mode, request))
    return client


def _about_the_token(refused: Refused) -> Refused:
    code = refused.code or ""
    why = _WHY.get(code, "")
    if code in _BAD_TOKEN:
        why = f"Slack does not accept the app token ({code}): {_HOW_TO}"
    return Refused(refused.refusal, why, code=refused.code) if why else refused


def _read(message: str) -> Mapping[str, Any]:
    try:
        said = json.loads(message)
    except ValueError:
        return {}
    return said if isinstance(said, Mapping) else {}
