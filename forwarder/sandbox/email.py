"""A stand-in for a server of mail: SMTP over loopback, with a login and without encryption.

What it took is listed under ``GET /mails`` of its address, and each page of HTML is at ``GET /mails/NUMBER``. Faults
strike its commands, which are called by their verb (``MAIL /``, ``RCPT /``, ``DATA /``), and the end of a mail's text,
``MESSAGE /``. https://www.rfc-editor.org/rfc/rfc5321
"""

from __future__ import annotations

import base64
import binascii
import re
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from functools import cached_property
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.faults import FLOOD_BYTES, Fault, FaultKind
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.server import SILENT, Server, Service

MAX_MAIL: Final = 10 * 1024 * 1024
_PATH: Final = re.compile(r"(?:FROM|TO):<([^<>\s]*)>(.*)", re.IGNORECASE)
_MAILS: Final = re.compile(r"/mails/(\d+)")
_NOT_SMTP: Final = b"<!doctype html><title>Sign in</title>\r\n"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail as it came, for whom."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """Its headers and parts, decoded."""
        return BytesParser(policy=policy.default).parsebytes(self.raw)

    @cached_property
    def text(self) -> str:
        """Its plain text."""
        return self._part("plain")

    @cached_property
    def page(self) -> str:
        """Its HTML."""
        return self._part("html")

    def _part(self, kind: str) -> str:
        found = self.message.get_body((kind,))
        return str(found.get_content()).replace("\r\n", "\n") if found else ""


class Email(Service):
    """One server. ``mails`` is all that it took, as often as it came; ``refused`` what it says to some recipients."""

    name = "email"

    def __init__(self, *, clock: Clock, latency: float = 0.0) -> None:
        super().__init__(clock=clock, latency=latency)
        self.username = "forwarder"
        self.password = "not-a-real-smtp-password"  # noqa: S105
        self.mails: list[Mail] = []
        self.refused: dict[str, str] = {}
        self._smtp = Server(self, _Conversation)
        self._listener = threading.Thread(target=self._smtp.serve, name="sandbox-smtp", daemon=True)

    @property
    def port(self) -> int:
        """Where SMTP is spoken."""
        return self._smtp.port

    @property
    def connections(self) -> int:
        return self._smtp.accepted

    def by_id(self) -> dict[str, list[Mail]]:
        """The mails by their Message-ID, in the order in which they first came."""
        with self.lock:
            found: dict[str, list[Mail]] = {}
            for mail in self.mails:
                found.setdefault(str(mail.message["Message-ID"]), []).append(mail)
        return found

    @property
    def conflicts(self) -> list[str]:
        """The ids under which a mail came again in other words."""
        return [name for name, copies in self.by_id().items() if len({mail.raw for mail in copies}) > 1]

    def hang_up(self) -> None:
        super().hang_up()
        self._smtp.hang_up()

    def start(self) -> None:
        super().start()
        self._listener.start()

    def close(self) -> None:
        super().close()
        self._smtp.stop()
        if self._listener.ident is not None:
            self._listener.join()
        self._smtp.server_close()

    def restore(self) -> None:
        super().restore()
        self.refused = {}

    def credentials(self) -> dict[str, str]:
        return {"host": "127.0.0.1", "port": str(self.port), "username": self.username, "password": self.password}

    def snapshot(self) -> dict[str, Any]:
        return {"mails": len(self.mails)}

    def refuse(self, status: int) -> Reply:
        return Reply.json({"error": f"status {status}"}, status)

    def respond(self, request: Request) -> Reply:
        if request.line == "GET /mails":
            return Reply.json([_told(mail) for mail in self.mails])
        found = _MAILS.fullmatch(request.path)
        if request.method == "GET" and found and 0 < int(found[1]) <= len(self.mails):
            return Reply.text(self.mails[int(found[1]) - 1].page, content_type="text/html")
        return self.refuse(404)


def _told(mail: Mail) -> dict[str, Any]:
    headers = {name: str(value) for name, value in mail.message.items()}
    return {"recipients": list(mail.recipients), "headers": headers, "text": mail.text}


class _Conversation(socketserver.StreamRequestHandler):
    """One connection, from the greeting on."""

    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        service = self.server.service
        assert isinstance(service, Email)  # noqa: S101 - for the type checker
        self._service, self._over, self._known = service, False, False
        self._forget()
        self._say("220 sandbox ESMTP")
        while not self._over and (line := self.rfile.readline(2048)):
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "DATA":
                self._take_data()
            else:
                self._answer(verb.upper(), rest.strip())

    def _answer(self, verb: str, rest: str, body: bytes = b"") -> None:
        """What a command does and what is said to it, unless a fault strikes it."""
        service = self._service
        request = Request(method=verb, path="/", query={}, headers=Message(), body=body)
        self._released = service.arrive(request)
        self._released.wait(service.latency)
        fault = service.take_fault(request)
        if fault and fault.kind is FaultKind.LATENCY:
            self._released.wait(fault.seconds)
        said = ""
        if fault is None or fault.kind.has_effect:
            with service.lock:
                said = self._do(verb, rest, body)
        if fault and fault.kind in (FaultKind.STATUS, FaultKind.STATUS_AFTER):
            said = f"{fault.status} {fault.body or 'as it was ordered'}"
        silent = fault is not None and fault.kind in SILENT
        service.note(request, int(said[:3]) if said[:3].isdigit() and not silent else None)
        if fault is None or fault.kind in (FaultKind.STATUS, FaultKind.STATUS_AFTER, FaultKind.LATENCY):
            self._say(said)
        else:
            self._strike(fault, said)

    def _do(self, verb: str, rest: str, body: bytes) -> str:
        match verb:
            case "EHLO" | "HELO":
                return f"250-sandbox\r\n250-SIZE {MAX_MAIL}\r\n250-AUTH PLAIN\r\n250 ENHANCEDSTATUSCODES"
            case "AUTH":
                return self._log_in(rest)
            case "MAIL" if not self._known or self._service.revoked:
                return "530 5.7.0 Authentication required"
            case "MAIL" | "RCPT":
                return self._address(verb, rest)
            case "DATA":
                return "354 Go on" if self._recipients else "503 5.5.1 Nobody to send it to"
            case "MESSAGE":
                return self._keep(body)
            case "RSET" | "NOOP":
                self._forget()
                return "250 2.0.0 OK"
            case "QUIT":
                self._over = True
                return "221 2.0.0 Bye"
        return "502 5.5.1 No such command"

    def _log_in(self, rest: str) -> str:
        try:
            _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        except (ValueError, binascii.Error):
            return "501 5.5.2 That cannot be read"
        service = self._service
        self._known = not service.revoked and (user, password) == (service.username, service.password)
        return "235 2.7.0 Welcome" if self._known else "535 5.7.8 Username and password not accepted"

    def _address(self, verb: str, rest: str) -> str:
        found = _PATH.match(rest)
        if not found:
            return "501 5.1.3 That is no address"
        if verb == "MAIL":
            self._forget()
            self._sender = found[1]
        elif said := self._service.refused.get(found[1]):
            return said
        else:
            self._recipients.append(found[1])
        return "250 2.1.0 OK"

    def _take_data(self) -> None:
        self._answer("DATA", "")
        if self._over or not self._recipients or not self._asked:
            return
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                self._over = True
                return
            lines.append(line[1:] if line.startswith(b".") else line)
        self._answer("MESSAGE", "", b"".join(lines))

    def _keep(self, body: bytes) -> str:
        if len(body) > MAX_MAIL:
            return "552 5.3.4 Too large"
        self._service.mails.append(Mail(sender=self._sender, recipients=tuple(self._recipients), raw=body))
        self._forget()
        return "250 2.0.0 Taken"

    def _forget(self) -> None:
        self._sender, self._recipients, self._asked = "", list[str](), False

    def _say(self, said: str) -> None:
        self._asked = said.startswith("354")
        self.wfile.write(f"{said}\r\n".encode())

    def _strike(self, fault: Fault, said: str) -> None:
        wire = f"{said}\r\n".encode()
        match fault.kind:
            case FaultKind.HTML:
                self.wfile.write(_NOT_SMTP)
            case FaultKind.TRUNCATED:
                self.wfile.write(wire[:2])
            case FaultKind.DRIP | FaultKind.DRIP_BODY:
                for byte in wire:
                    self.wfile.write(bytes((byte,)))
                    self._released.wait(fault.seconds / len(wire))
                return
            case FaultKind.FLOOD | FaultKind.BOMB:
                line = b"250-and more\r\n" if fault.kind is FaultKind.FLOOD else b"250 " + b" " * 4092
                for _ in range(FLOOD_BYTES // len(line)):
                    self.wfile.write(line)
            case FaultKind.TIMEOUT_BEFORE | FaultKind.TIMEOUT_AFTER:
                self._released.wait(fault.seconds)
            case _:
                # Lingering for no time turns the close into a reset; the reader must let go of the socket first.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()
        self._over = True
