"""One exchange of HTTP: a request as it came, an answer before the wire, and what is kept of both."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from email.utils import format_datetime
from http import HTTPStatus
from io import BufferedIOBase
from typing import Any, Final, Self
from urllib.parse import parse_qsl

_WITHOUT_BODY: Final = {HTTPStatus.NO_CONTENT, HTTPStatus.SWITCHING_PROTOCOLS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request as it came. ``path`` is decoded and without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    pairs: Sequence[tuple[str, str]] = ()
    """The query in full: of a name that comes several times, ``query`` holds the last value alone."""

    def every(self, name: str) -> list[str]:
        """All values of one name in the query."""
        return [value for key, value in self.pairs if key == name]

    @property
    def line(self) -> str:
        """``METHOD /path``: what a fault's path is looked for in."""
        return f"{self.method} {self.path}"

    def header(self, name: str) -> str:
        """The header's value; empty where it is missing."""
        return self.headers.get(name) or ""

    def json(self) -> Any:
        """The body's value; raises ValueError where it is no JSON."""
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer, before the wire. ``takeover`` is given the connection after a 101, to speak another protocol."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    takeover: Callable[[socket.socket, BufferedIOBase], None] | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        return cls(status=status, body=json.dumps(value).encode(), headers=headers or {})

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = "text/plain", **headers: str) -> Self:
        return cls(status=status, body=text.encode(), content_type=f"{content_type}; charset=utf-8", headers=headers)

    def wire(self, now: datetime) -> bytes:
        """Head and body as one piece: a client that reads both at once saves a wake-up."""
        head = {
            "Date": format_datetime(now, usegmt=True),
            "Content-Type": self.content_type,
            **self.headers,
            "Content-Length": str(len(self.body)),
        }
        if not self.body and self.status in _WITHOUT_BODY:
            del head["Content-Type"], head["Content-Length"]
        lines = [
            f"HTTP/1.1 {self.status} {_phrase(self.status)}",
            *(f"{name}: {value}" for name, value in head.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request that a service saw. ``status`` is None where it gave no answer."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    status: int | None
    at: datetime


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
