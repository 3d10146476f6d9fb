"""Peers that test the wire itself: one that drips, one that writes down who comes, TLS, and a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NAME: Final = "service.example.com"
"""Whom the certificate of ``certificate`` is for."""

HOLDS: Final = 120.0
"""Seconds for which the slow ones hold who comes."""
_BYTE_EVERY: Final = 0.03


@contextmanager
def peer(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """The port of a server on loopback that gives each connection to ``serve``, in a thread of its own."""
    stop, threads = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    thread = threading.Thread(target=_serve, args=(serve, connection, stop), daemon=True)
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield server.getsockname()[1]
        stop.set()
        server.shutdown(socket.SHUT_RDWR)
    accepting.join()
    for thread in threads:
        thread.join()


def _serve(
    serve: Callable[[socket.socket, threading.Event], None], connection: socket.socket, stop: threading.Event
) -> None:
    with connection, contextlib.suppress(OSError):
        serve(connection, stop)


def dripping(head: bytes, seconds: float = HOLDS) -> Callable[[socket.socket, threading.Event], None]:
    """Sends ``head`` at once, and then one byte after the other for ``seconds``."""

    def serve(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(head)
        for _ in range(int(seconds / _BYTE_EVERY)):
            if stop.wait(_BYTE_EVERY):
                return
            connection.sendall(b"x")

    return serve


def swallowing(connection: socket.socket, stop: threading.Event) -> None:
    """Takes the connection, and nothing from it."""
    stop.wait(HOLDS)


def certificate(folder: Path) -> Path:
    """A key and a certificate for NAME that vouches for itself, in one file."""
    both = folder / "both.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "1", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", str(both), "-out", str(folder / "certificate.pem")),
        ],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    with both.open("a") as file:
        file.write((folder / "certificate.pem").read_text())
    return both


def encrypting(both: Path, port: int, clients: Path | None = None) -> Callable[[socket.socket, threading.Event], None]:
    """Speaks TLS, and passes on what it hears to ``port``; with ``clients`` only from those of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)

    def serve(connection: socket.socket, stop: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as plain:
            _pass_on(plain, port)

    return serve


def proxying(to: int | Mapping[int, int], asked: list[str]) -> Callable[[socket.socket, threading.Event], None]:
    """A proxy that leads every CONNECT to one port, or by the port that it names to another; ``asked`` is what came."""

    def serve(connection: socket.socket, stop: threading.Event) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        asked.append(line := head.split(b"\r\n")[0].decode())
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _pass_on(connection, to if isinstance(to, int) else to[int(line.split()[1].rpartition(":")[2])])

    return serve


def _pass_on(near: socket.socket, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
