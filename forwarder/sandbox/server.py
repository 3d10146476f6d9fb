"""What the stand-ins share: HTTP over loopback, faults, a log of the requests, a control path, a clean end.

Faults need the raw socket (a reset, half a body, one byte at a time), which is why this is a plain threaded server and
no web framework.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from forwarder.sandbox.exchange import Reply, Request, Seen
from forwarder.sandbox.faults import CHUNKED, MESSAGE_KINDS, Fault, FaultKind, Faults, pieces
from forwarder.sandbox.limits import Clock

_CONTROL: Final = "/_sandbox/"
_PAGE: Final = "<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>"


class Service(ABC):
    """A stand-in for one service, listening on 127.0.0.1 at a port of its own from ``start`` to ``close``.

    ``latency`` is the seconds that every answer takes. ``arrived`` has ``METHOD /path`` of every request from its
    arrival on, whatever then delays its effect and its answer; ``requests`` has it only once it is answered.
    """

    name: ClassVar[str]
    verbs: ClassVar[tuple[str, ...]] = ()
    """What people can do there: methods whose arguments are plain values."""

    def __init__(self, *, clock: Clock | None = None, latency: float = 0.0) -> None:
        self.clock = clock or Clock()
        self.latency = latency
        self.arrived: list[str] = []
        self.lock = threading.RLock()
        self.revoked = False
        self.faults = Faults()
        self._seen: list[Seen] = []
        self._released = threading.Event()
        self._server = Server(self, _Handler)
        self._thread = threading.Thread(target=self._server.serve, name=f"sandbox-{self.name}", daemon=True)

    @abstractmethod
    def respond(self, request: Request) -> Reply:
        """What the real service would do and say. Called under the lock."""

    def refuse(self, status: int) -> Reply:
        """What the real service says at an error ``status``."""
        return Reply.text("no", status)

    def refuse_to(self, request: Request, status: int) -> Reply:  # noqa: ARG002 - for those with more than one API
        """What the real service says at an error ``status`` to this request."""
        return self.refuse(status)

    def credentials(self) -> dict[str, str]:
        """What a client needs to know, the address included."""
        return {"url": self.origin}

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """The state as JSON, small enough to be asked for often. Called under the lock."""

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``"""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def connections(self) -> int:
        """How many connections clients have made."""
        return self._server.accepted

    @property
    def requests(self) -> list[Seen]:
        """Every request seen, oldest first, control paths excepted."""
        with self.lock:
            return list(self._seen)

    def inject(self, *faults: Fault) -> None:
        """Let ``faults`` strike, after those injected before."""
        for fault in faults:
            self.faults.add(fault)

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self.faults.clear()

    def revoke(self) -> None:
        """Make the credentials bad, as a person does who revokes them."""
        self.revoked = True

    def restore(self) -> None:
        """Make the credentials good again."""
        self.revoked = False

    def hang_up(self) -> None:
        """End every connection, as a server does that restarts."""
        self._server.hang_up()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End at once: sleeping faults wake up, connections are cut."""
        self._released.set()
        self._server.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._server.server_close()

    def take_fault(self, request: Request) -> Fault | None:
        """The fault that strikes ``request``, one time of it used up."""
        return self.faults.take(request.line, request.body)

    def take_message_fault(self, line: str, body: bytes) -> Fault | None:
        """The fault that strikes a message over a WebSocket, which is called ``line``, one time of it used up."""
        return self.faults.take(line, body, MESSAGE_KINDS)

    def answer(self, request: Request) -> Reply:
        """Do what is asked. The lock is held for as long as the state changes, never while something waits."""
        with self.lock:
            try:
                return self.respond(request)
            except Exception:  # a dropped connection would pass for one of the faults
                traceback.print_exc()
                return Reply.text("The sandbox itself failed: its standard error says how.", 500)

    def note(self, request: Request, status: int | None) -> None:
        """Put ``request`` into the log; before its answer goes out, so that a client never sees less than its own."""
        seen = Seen(
            method=request.method,
            path=request.path,
            query=request.query,
            body=request.body,
            status=status,
            at=self.clock(),
        )
        with self.lock:
            self._seen.append(seen)

    def arrive(self, request: Request) -> threading.Event:
        """Put ``request`` into ``arrived``; what is returned is set once nothing may hold it any longer."""
        released = self._released
        self.arrived.append(request.line)
        return released

    def let_go(self) -> None:
        """Hold nothing that has arrived any longer, as if the seconds of its latency or fault had passed."""
        released, self._released = self._released, threading.Event()
        released.set()

    def pause(self, seconds: float) -> None:
        """Wait, unless the sandbox closes or lets go of what it holds."""
        self._released.wait(seconds)

    def control(self, request: Request) -> Reply:
        """The control path, by which another process sees the state and makes trouble."""
        match request.line.replace(_CONTROL, ""):
            case "GET state":
                with self.lock:
                    return Reply.json({"requests": len(self._seen), **self.snapshot()})
            case "POST faults":
                raw = request.json()
                self.inject(*(Fault.parse(one) for one in (raw if isinstance(raw, list) else [raw])))
            case "DELETE faults":
                self.clear_faults()
            case "POST revoke":
                self.revoke()
            case "POST restore":
                self.restore()
            case line if line.removeprefix("POST people/") in self.verbs:
                getattr(self, line.removeprefix("POST people/"))(**request.json())
            case _:
                return Reply.json({"error": "no such control path"}, 404)
        return Reply.json({"ok": True})


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection. Knows its open connections, to cut them at the end."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, service: Service, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.service = service
        self.accepted = 0
        self._open: set[Any] = set()
        self._changed = threading.Condition()
        self._stopping = False
        super().__init__(("127.0.0.1", 0), handler)
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        # Not serve_forever(): it looks twice a second whether to stop, which idles badly and stops slowly.
        while not self._stopping:
            self.handle_request()

    def stop(self) -> None:
        self._stopping = True
        with self._changed:
            self.hang_up()
            self._changed.wait_for(lambda: not self._open, timeout=5)
        with socket.create_connection(("127.0.0.1", self.port)):
            pass  # wakes serve()

    def hang_up(self) -> None:
        with self._changed:
            for connection in self._open:
                _shutdown(connection)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        return not self._stopping

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self.accepted += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads its requests, lets a fault act where one is due, and answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        service, request = self.server.service, self._read()
        if request.path.startswith(_CONTROL):
            self._send(_controlled(service, request))
            return
        self._released = service.arrive(request)
        self._released.wait(service.latency)
        if (fault := service.take_fault(request)) is None:
            reply = service.answer(request)
            service.note(request, reply.status)
            self._send(reply)
        else:
            self._strike(fault, request)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server looks them up by these names

    def _read(self) -> Request:
        target = urlsplit(self.path)
        pairs = parse_qsl(target.query, keep_blank_values=True)
        return Request(
            method=self.command,
            path=unquote(target.path),
            query=dict(pairs),
            pairs=pairs,
            headers=self.headers,
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )

    def _strike(self, fault: Fault, request: Request) -> None:
        service, kind = self.server.service, fault.kind
        if kind is FaultKind.LATENCY:
            self._released.wait(fault.seconds)
        reply = service.answer(request) if kind.has_effect else Reply.text(_PAGE, content_type="text/html")
        if kind in (FaultKind.STATUS, FaultKind.STATUS_AFTER):
            reply = _reply_of(fault, service.refuse_to(request, fault.status))
        silent = kind in SILENT
        service.note(request, None if silent else reply.status)
        if silent:
            self._break_off(fault)
        elif kind is FaultKind.TRUNCATED:
            wire = reply.wire(service.clock())
            self.wfile.write(wire[: len(wire) - max(len(reply.body) // 2, 1)])
            self.close_connection = True
        elif kind is FaultKind.DRIP:
            self._drip(reply.wire(service.clock()), fault.seconds)
            self._hand_over(reply)
        elif kind in CHUNKED and reply.takeover is None:
            self._chunked(fault, reply)
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        if self.command == "HEAD":
            reply = replace(reply, body=b"")
        self.wfile.write(reply.wire(self.server.service.clock()))
        self._hand_over(reply)

    def _hand_over(self, reply: Reply) -> None:
        if reply.takeover is not None:
            self.close_connection = True
            reply.takeover(self.connection, self.rfile)

    def _drip(self, wire: bytes, seconds: float) -> None:
        for byte in wire:
            self.wfile.write(bytes((byte,)))
            self._released.wait(seconds / len(wire))

    def _chunked(self, fault: Fault, reply: Reply) -> None:
        encoded = {"Content-Encoding": "gzip"} if fault.kind is FaultKind.BOMB else {}
        headers = {**reply.headers, **encoded, "Transfer-Encoding": "chunked"}
        head = replace(reply, body=b"", headers=headers).wire(self.server.service.clock())
        self.wfile.write(head.replace(b"Content-Length: 0\r\n", b""))
        for piece, pause in pieces(fault, reply.body):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self._released.wait(pause)
        self.wfile.write(b"0\r\n\r\n")

    def _break_off(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind in (FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER):
            self._released.wait(fault.seconds)
            return
        # Lingering for no time turns the close into a reset; the reader must let go of the socket first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: a service keeps its own log of requests."""


SILENT: Final = {FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER}
"""Faults by which nothing at all is answered: the log of requests has no status then."""


def _controlled(service: Service, request: Request) -> Reply:
    try:
        return service.control(request)
    except (ValueError, TypeError, LookupError) as error:
        return Reply.json({"error": str(error)}, 400)


def _reply_of(fault: Fault, built_in: Reply) -> Reply:
    return Reply(
        status=fault.status,
        body=built_in.body if fault.body is None else fault.body.encode(),
        content_type=built_in.content_type,
        headers={**built_in.headers, **fault.headers},
    )


def _shutdown(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client may have been quicker
        connection.shutdown(socket.SHUT_RDWR)
