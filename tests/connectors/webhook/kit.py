"""What the tests of the webhook share: keys, a connector, and the receiver over TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from connectors.webhook import Webhook, WebhookConfig
from forwarder.connector import Delivery, Outcome
from forwarder.sandbox import Sandbox
from tests.kit.wire import encrypting, peer

NEW_KEY: Final = "whsec_bm90LWEtcmVhbC1zaWduaW5nLWtleS0wMDAwMDI="


def config(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return {
        "type": "webhook",
        "url": sandbox.webhook.url,
        "signing_key": sandbox.webhook.signing_keys[0],
        "headers": {"Authorization": f"Bearer {sandbox.webhook.token}"},
        **more,
    }


def webhook(
    sandbox: Sandbox, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), name: str = "hook", **more: Any
) -> Webhook:
    return Webhook(name, WebhookConfig.model_validate(config(sandbox, **more)), now=now)


def send(connector: Webhook, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


@contextmanager
def encrypted(sandbox: Sandbox, server: Path, clients: Path | None = None) -> Iterator[str]:
    """The address of the stand-in over TLS; with ``clients``, for those alone who have a certificate of it."""
    port = int(sandbox.webhook.origin.rpartition(":")[2])
    with peer(patient(encrypting(server, port, clients))) as open_port:
        yield sandbox.webhook.url.replace(sandbox.webhook.origin, f"https://127.0.0.1:{open_port}")


def patient(
    serve: Callable[[socket.socket, threading.Event], None],
) -> Callable[[socket.socket, threading.Event], None]:
    """Reads to the end where the handshake failed: else the reset could come before what was said about it."""

    def served(connection: socket.socket, stop: threading.Event) -> None:
        again = connection.dup()
        with again:
            try:
                serve(connection, stop)
            except ssl.SSLError:
                again.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    while again.recv(65536):
                        pass

    return served
