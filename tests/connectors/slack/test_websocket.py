"""The wire of Socket Mode: encrypted, through the proxy, within a deadline, and with an end that is noticed."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from connectors.slack.websocket import NoWebSocket, Wire, open_websocket
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.wire.deadline import encrypted
from tests.kit.core import PATIENCE
from tests.kit.people import Office
from tests.kit.wire import NAME, certificate, dripping, encrypting, peer, proxying

QUICK = 0.15
LONG_BEFORE = 15.0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate, in one file."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def asked(sandbox: Sandbox, both: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a proxy is asked for that leads to the sandbox's Slack, encrypted as NAME."""
    asked: list[str] = []
    behind = int(sandbox.slack.origin.rpartition(":")[2])
    monkeypatch.setenv("NO_PROXY", "")
    with ExitStack() as peers:
        front = peers.enter_context(peer(encrypting(both, behind)))
        proxy = peers.enter_context(peer(proxying(front, asked)))
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:p%40ss@127.0.0.1:{proxy}")
        yield asked
        sandbox.slack.socket.cut()


def encrypted_address(sandbox: Sandbox) -> str:
    return sandbox.slack.socket.url().replace(sandbox.slack.origin.replace("http", "ws", 1), f"wss://{NAME}")


def test_it_is_encrypted_and_takes_the_proxy(sandbox: Sandbox, asked: list[str], both: Path) -> None:
    """Through HTTPS_PROXY and TLS, under an authority of one's own, Slack greets."""
    tls = encrypted(ssl.create_default_context(cafile=str(both)))
    with closing(open_websocket(encrypted_address(sandbox), PATIENCE, tls)) as wire:
        assert b'"hello"' in wire.recv(65536)
    assert asked[0].startswith(f"CONNECT {NAME}:443 HTTP/1.")


def test_a_certificate_of_nobody_known_is_refused(sandbox: Sandbox, asked: list[str]) -> None:
    """What cannot be trusted is told nothing."""
    with pytest.raises(ssl.SSLCertVerificationError):
        open_websocket(encrypted_address(sandbox), PATIENCE, encrypted(ssl.create_default_context()))
    assert sandbox.slack.socket.opened == 0


def test_nothing_is_heard_over_an_address_without_encryption(
    sandbox: Sandbox, asked: list[str], both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Slack is reached encrypted, a connection that is not would be somebody else's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    with closing(Office(sandbox, base_url=f"https://{NAME}/api/")) as office:
        assert "an address for the connection that is not encrypted" in office.trouble()
    assert sandbox.slack.socket.opened == 0


def test_no_proxy_is_left_alone(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY holds for this connection as for all others."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with closing(open_websocket(sandbox.slack.socket.url(), PATIENCE, None)) as wire:
        assert b'"hello"' in wire.recv(65536)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 101 Switching Protocols\r\nX: "])
def test_a_handshake_ends_by_the_deadline(head: bytes) -> None:
    """An answer in drips holds nobody."""
    began = time.monotonic()
    with peer(dripping(head)) as port, pytest.raises(TimeoutError):
        open_websocket(f"ws://127.0.0.1:{port}/link", QUICK, None)
    assert time.monotonic() - began < LONG_BEFORE


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: of-another-key\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000,
    ],
)
def test_an_answer_of_another_kind_is_no_websocket(answer: bytes) -> None:
    """A proxy's page, another key's answer, or a head without end."""

    def serve(connection: socket.socket, _stop: Any) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with peer(serve) as port, pytest.raises(NoWebSocket):
        open_websocket(f"ws://127.0.0.1:{port}/link?ticket=1", PATIENCE, None)


def test_an_end_without_a_word_is_an_error() -> None:
    """Who receives learns at once that nothing more will come."""
    near, far = socket.socketpair()
    with closing(Wire(near)) as wire:
        far.sendall(b"x")
        assert wire.recv(10) == b"x"
        far.close()
        with pytest.raises(ConnectionResetError):
            wire.recv(10)


def test_a_ticket_that_is_spent_is_told(sandbox: Sandbox) -> None:
    """Slack's own refusal of a connection ends it, and names the status."""
    url = sandbox.slack.socket.url()
    open_websocket(url, PATIENCE, None).close()
    with pytest.raises(NoWebSocket, match="403"):
        open_websocket(url, PATIENCE, None)


def test_a_service_that_hangs_is_left(sandbox: Sandbox) -> None:
    """No answer to the handshake: the deadline ends it."""
    sandbox.slack.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=30, path="/link/"))
    with pytest.raises(TimeoutError):
        open_websocket(sandbox.slack.socket.url(), QUICK, None)
    sandbox.slack.clear_faults()
