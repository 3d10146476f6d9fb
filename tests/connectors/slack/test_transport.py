"""Connections that are kept: used again while they stand, and never where it would be unknown what was sent."""

from __future__ import annotations

import socket
import threading
from http.client import RemoteDisconnected
from urllib.request import Request

import pytest

from connectors.slack.transport import Transport
from forwarder.wire.kept import KEPT_FOR
from tests.kit.wire import HOLDS, peer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Counting:
    """A server that counts connections and requests; each connection is answered ``answers`` times, then it ends."""

    def __init__(self, answers: int, *, answer: bytes = OK, reads_on: bool = False) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        self._answers, self._answer, self._reads_on = answers, answer, reads_on

    def __call__(self, connection: socket.socket, _stop: threading.Event) -> None:
        connection.settimeout(HOLDS)
        self.connections += 1
        for _ in range(self._answers):
            if not (request := whole(connection)):
                return
            self.requests.append(request)
            connection.sendall(self._answer)
        if self._reads_on:
            self.requests.append(connection.recv(65536))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        self.ended.set()


def whole(connection: socket.socket) -> bytes:
    """A request to the end of its body, which may come later than its head; nothing where none comes any more."""
    request = b""
    while not request.endswith(b"\r\n\r\n{}"):
        if not (more := connection.recv(65536)):
            return b""
        request += more
    return request


def request(port: int) -> Request:
    return Request(f"http://127.0.0.1:{port}/x", data=b"{}", method="POST")


def transport(port: int, now: list[float]) -> Transport:
    return Transport(f"http://127.0.0.1:{port}/", 5.0, "xoxb-not-a-real-token", clock=lambda: now[0])


def test_a_connection_is_used_again() -> None:
    """What follows goes over the connection that is there, with the whole of its own time."""
    server, now = Counting(3), [0.0]
    with peer(server) as port:
        sends = transport(port, now)
        assert [sends.send(request(port)).text for _ in range(3)] == ["ok"] * 3
        server.ended.wait(HOLDS)
    assert server.connections == 1


def test_one_that_the_server_has_ended_is_not_used() -> None:
    """The next request goes over a new one, and arrives: nobody has to wonder what became of it."""
    server, now = Counting(1), [0.0]
    with peer(server) as port:
        sends = transport(port, now)
        for sent in range(1, 4):
            assert sends.send(request(port)).text == "ok"
            assert server.ended.wait(HOLDS)
            server.ended.clear()
            assert (server.connections, len(server.requests)) == (sent, sent)


def test_one_that_waited_for_long_is_not_used() -> None:
    """A server may be about to end it."""
    server, now = Counting(9), [0.0]
    with peer(server) as port:
        sends = transport(port, now)
        for at, connections in ((0.0, 1), (KEPT_FOR, 1), (3 * KEPT_FOR, 2)):
            now[0] = at
            assert sends.send(request(port)).text == "ok"
            assert server.connections == connections
        del sends


def test_what_may_have_arrived_is_not_sent_again() -> None:
    """A server that took a request on a kept connection and says nothing may have done it."""
    server, now = Counting(1, reads_on=True), [0.0]
    with peer(server) as port:
        sends = transport(port, now)
        assert sends.send(request(port)).text == "ok"
        with pytest.raises(RemoteDisconnected):
            sends.send(request(port))
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
])  # fmt: skip
def test_one_that_the_server_means_to_end_is_not_kept(answer: bytes) -> None:
    """It says so in its answer, and need not have done it yet."""
    server, now = Counting(9, answer=answer), [0.0]
    with peer(server) as port:
        sends = transport(port, now)
        assert [sends.send(request(port)).text for _ in range(2)] == ["ok"] * 2
    assert server.connections == 2
