"""Heads of answers are read as the standard library reads them."""

from __future__ import annotations

import socket
from http.client import HTTPException, HTTPResponse

import pytest

from forwarder.wire.answer import Answer

HEADS = {
    "plain": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name:  a: b \r\n\r\nok",
    "bare ends of lines": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "after a continue": b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\nContent-Length: 2\r\n\r\nok",
    "of other letters": b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nContent-Length: 2\r\n\r\nok",
    "twice": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    "no name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok",
    "a blank in the name": b"HTTP/1.1 200 OK\r\nX Name: 1\r\nContent-Length: 2\r\n\r\nok",
    "a length below nothing": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "a length with blanks": b"HTTP/1.1 200 OK\r\nContent-Length:  2 \r\n\r\nok",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nok",
    "of an old version": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "kept by an old version": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
    "that ends the connection": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Le",
}


def read(kind: type[HTTPResponse], wire: bytes) -> tuple[object, ...]:
    """All that the rest of the program may ask of an answer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire)
        theirs.shutdown(socket.SHUT_WR)
        answer = kind(ours, method="POST")
        answer.begin()
        told = answer.status, answer.reason, answer.version, answer.will_close, answer.length, answer.chunked
        return *told, answer.getheaders(), answer.headers.get_content_charset(), answer.read()


@pytest.mark.parametrize("wire", HEADS.values(), ids=HEADS.keys())
def test_a_head_is_read_as_the_standard_library_reads_it(wire: bytes) -> None:
    """Whatever form it has: nothing else tells where an answer ends, and what it means."""
    assert read(Answer, wire) == read(HTTPResponse, wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["a long line", "many lines", "another version", "no answer", "nothing"],
)
def test_a_head_that_the_standard_library_refuses_is_refused(wire: bytes) -> None:
    """No answer can make this process read without end."""
    for kind in (Answer, HTTPResponse):
        with pytest.raises((HTTPException, ConnectionError)):
            read(kind, wire)
