"""The standard library's answer, whose head is read without its parser of e-mails, which takes longer than the rest.

What is not of the plain form that servers send is left to that parser, and read as before.
"""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPMessage, HTTPResponse, LineTooLong, UnknownProtocol, parse_headers
from io import BytesIO
from typing import Any, Final

_MOST_BYTES: Final = 65_536
_MOST_LINES: Final = 100
"""What the standard library reads of a line, and how many of them."""
_PLAIN: Final = re.compile(rb"([!-9;-~]+):[ \t]*([^\r\n]*)\r?\n")
_ENDS: Final = (b"\r\n", b"\n", b"")
_CONTINUE: Final = 100


class Answer(HTTPResponse):
    """One answer; all but how its head is read is the standard library's."""

    def begin(self) -> None:
        if self.headers is not None:
            return
        status = _CONTINUE
        while status == _CONTINUE:
            version, status, reason = self._read_status()
            if not version.startswith("HTTP/1."):
                raise UnknownProtocol(version)
            headers = _head(self.fp)
        self.code = self.status = status
        self.reason, self.version = reason.strip(), 10 if version == "HTTP/1.0" else 11
        self.headers = self.msg = headers
        self._measure()

    def _measure(self) -> None:
        """How the end of the body is told: as in the standard library."""
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.will_close = self._check_close()  # type: ignore[attr-defined] # private, and no part of the stubs
        self.length = None
        stated = self.headers.get("content-length", "")
        if not self.chunked and stated.strip().isascii() and stated.strip().isdigit():
            self.length = int(stated)
        if self.status in (204, 304) or 100 <= self.status < 200 or self._method == "HEAD":  # type: ignore[attr-defined] # as above
            self.length = 0
        if not self.chunked and self.length is None:
            self.will_close = True


def _head(file: Any) -> HTTPMessage:
    lines: list[bytes] = []
    while True:
        line: bytes = file.readline(_MOST_BYTES + 1)
        if len(line) > _MOST_BYTES:
            raise LineTooLong("header line")
        if len(lines) >= _MOST_LINES:
            raise HTTPException(f"got more than {_MOST_LINES} headers")
        if line in _ENDS:
            break
        lines.append(line)
    headers = HTTPMessage()
    for line in lines:
        if (plain := _PLAIN.fullmatch(line)) is None:
            return parse_headers(BytesIO(b"".join([*lines, b"\r\n"])))
        name, value = plain.groups()
        headers.set_raw(name.decode("ascii"), value.decode("iso-8859-1"))
    return headers
