"""Listens, and serves the pages from a thread of its own.

Whether the address can be had is known before anything else starts. What serves it is loaded when somebody looks for
the first time: a start is not held up by it, and a forwarder that nobody looks at does not carry it.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from forwarder.app import Forwarder
    from forwarder.config import Listen
    from forwarder.web.sessions import Sessions

CLOSE_SECONDS: Final = 3.0
"""How long the end of the process waits for pages that are under way."""
BACKLOG: Final = 128


class WebError(Exception):
    """The address for the status page cannot be had; the message is a sentence with the way out."""


def bind(listen: Listen) -> socket.socket:
    """A socket that listens at ``listen``; raises WebError where it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # Connections inherit it; without it every answer waits 40 ms for the kernel to see whether more follows.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise WebError(_sentence(listen, error)) from None


def _sentence(listen: Listen, error: OSError) -> str:
    where = f"The status page cannot listen on {listen}"
    if isinstance(error, socket.gaierror):
        return f"{where}: its host name is not known. Put an address of this machine into web.listen."
    if error.errno == errno.EADDRINUSE:
        return f"{where}: something listens there already. Stop that, or choose another port in web.listen."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have that address. Choose another one in web.listen."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where}: this user may not. Choose a port above 1023 in web.listen."
    return f"{where}: {error.strerror or error}. Choose another address in web.listen."


class Server:
    """The pages of one forwarder at one socket. Counts from the moment it is made, serves from ``start`` on."""

    def __init__(self, forwarder: Forwarder, listening: socket.socket) -> None:
        # Here already and not in the thread: what happens before the first page must be counted, too.
        from forwarder.web.metrics import Metrics
        from forwarder.web.writes import Writes

        self._forwarder, self._socket = forwarder, listening
        self._metrics = Metrics(lambda: forwarder.config.connectors, now=forwarder.clock)
        self._writes = Writes(forwarder.clock)
        forwarder.listeners.add(self._metrics)
        forwarder.listeners.add(self._writes)
        self._server: uvicorn.Server | None = None
        self._closing = threading.Event()
        self._bell, self._ear = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    @property
    def url(self) -> str:
        """Where a person on this machine looks."""
        from forwarder.config import Listen

        host, port = self._socket.getsockname()[:2]
        # An address that means "all of them" is none to go to.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
        return f"http://{Listen(host=host, port=port)}/"

    def start(self) -> None:
        """Begins to serve; requests that came earlier were waiting in the socket."""
        self._thread.start()

    def close(self) -> None:
        """Ends it: what is under way may end, for a short time."""
        self._closing.set()
        self._bell.close()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._ear.close()
        self._socket.close()

    def _serve(self) -> None:
        from forwarder.logs import get_logger

        log = get_logger(__name__)
        log.info("web_started", url=self.url)
        try:
            # Before somebody looks: a token that was changed ends every session, even if nobody came while it counted.
            sessions = self._sessions()
            select.select([self._socket, self._ear], [], [])
            if not self._closing.is_set():
                self._run(sessions)
        except Exception:
            # Alerts go out all the same. Whoever looks is refused from now on, and does not wait in vain.
            self._socket.close()
            log.exception("web_failed")

    def _sessions(self) -> Sessions:
        from forwarder.web.sessions import Sessions

        token, store = self._forwarder.config.web.token, self._forwarder.store.sessions
        return Sessions(store, token.get_secret_value() if token else None, now=self._forwarder.clock)

    def _run(self, sessions: Sessions) -> None:
        import uvicorn

        from forwarder.store import Store, StoreError
        from forwarder.web.app import make_app

        try:
            store = Store.open_shared(self._forwarder.store.engine.place)
        except StoreError:
            # The pages are there to show what is wrong with it.
            store = self._forwarder.store
        try:
            port = self._socket.getsockname()[1]
            app = make_app(self._forwarder, store, self._metrics, sessions, writes=self._writes, port=port)
            self._server = uvicorn.Server(_settings(app))
            if not self._closing.is_set():
                self._server.run([self._socket])
        finally:
            if store is not self._forwarder.store:
                store.close()


def _settings(app: ASGIApp) -> uvicorn.Config:
    import uvicorn

    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whom we are asked by is only logged; a header that anyone can set must not say it.
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
