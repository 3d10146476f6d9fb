"""What the tests of e-mail share: a server that is not ours, in this process, and connectors that use it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.email import Email, EmailConfig
from forwarder.connector import Delivery, Outcome

PASSWORD: Final = "not-a-real-smtp-password"


@dataclass(kw_only=True)
class Server:
    """What a server is told to say, and what it took: its recipients and the mail, as often as it came."""

    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    at_end: str = "250 2.0.0 OK"
    connections: int = 0
    encrypted: list[bool] = field(default_factory=list)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    # aiosmtpd looks these up by their names.
    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802
        if said := self.refused.get(address):
            return said
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.encrypted.append(session.ssl is not None)
        if self.at_end.startswith("250"):
            message = BytesParser(policy=policy.default).parsebytes(envelope.content)
            assert isinstance(message, EmailMessage)
            self.raw.append(envelope.content)
            self.mails.append((list(envelope.rcpt_tos), message))
        return self.at_end


@contextmanager
def serving(both: Path, security: str = "starttls", **options: Any) -> Iterator[Server]:
    """An aiosmtpd on loopback, with the certificate in ``both``, that asks for a login over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    told = Server()
    options = {"auth_required": True, "authenticator": _authenticated, "data_size_limit": 200_000, **options}
    if security == "starttls":
        options = {"tls_context": context, "require_starttls": True, **options}
    else:
        # Over TLS from the first byte on, aiosmtpd knows of none, and warns of a login that it must have without.
        options |= {"auth_require_tls": False, "auth_required": False}

    def made() -> SMTP:
        told.connections += 1
        return SMTP(told, hostname="mail.example.com", loop=loop, **options)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    tls = context if security == "tls" else None
    listening = asyncio.run_coroutine_threadsafe(loop.create_server(made, "127.0.0.1", 0, ssl=tls), loop).result(10)
    told.port = listening.sockets[0].getsockname()[1]
    try:
        yield told
    finally:
        asyncio.run_coroutine_threadsafe(_ended(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(listening: asyncio.Server) -> None:
    listening.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)


def _authenticated(_: SMTP, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data == LoginPassword(b"forwarder", PASSWORD.encode())
    return AuthResult(success=good, handled=False)


def config(**more: Any) -> dict[str, Any]:
    """The config of a connector to a server on this machine."""
    return {
        "type": "email",
        "host": "127.0.0.1",
        "username": "forwarder",
        "password": PASSWORD,
        "from": "Alerts <alerts@example.com>",
        "to": ["a@example.com", "b@example.com"],
        **more,
    }


def email(*, now: Callable[[], datetime] = lambda: datetime.now(UTC), name: str = "mail", **more: Any) -> Email:
    return Email(name, EmailConfig.model_validate(config(**more)), now=now)


def send(connector: Email, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


@contextmanager
def speaking(offers: bytes, **replies: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server of bytes alone: its port and what it hears. It ``offers`` a line of EHLO, and says yes to all else.

    ``replies`` are by the verbs that they answer.
    """
    heard: list[bytes] = []

    def speak() -> None:
        taken, _ = listening.accept()
        with suppress(OSError), taken, taken.makefile("rb") as lines:
            taken.sendall(b"220 mail.example.com\r\n")
            usual = {"EHLO": b"250-mail.example.com\r\n250 " + offers, "DATA": b"354 go on", "QUIT": b"221 bye"}
            for line in lines:
                heard.append(line)
                verb = line[:8].split(b" ")[0].strip().decode("ascii", "replace").upper()
                taken.sendall({**usual, **replies}.get(verb, b"250 yes") + b"\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(10)
