"""What the SDK's session would do with an answer is done where it is passed by."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connectors.jira.client import RequestFailed, Site
from forwarder.connector import Retry, Uncertain

SAID = json.dumps({"key": "SEC-1"}).encode()


@contextmanager
def site(headers: dict[str, str], body: bytes) -> Iterator[tuple[Site, list[dict[str, str]]]]:
    """A site that answers everything with ``body``, and the headers of the requests that it got."""
    seen: list[dict[str, str]] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(dict(self.headers.items()))
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/jira"
    try:
        with closing(Site(url, "token", "a@example.com", timeout=30, connections=1)) as asked:
            yield asked, seen
    finally:
        server.shutdown()
        server.server_close()


def test_a_cookie_comes_back_with_the_next_request() -> None:
    """By it a site of several machines leads both to the same one."""
    with site({"Set-Cookie": "JSESSIONID=one; Path=/; HttpOnly"}, SAID) as (asked, seen):
        for _ in range(2):
            assert asked.ask("GET", "myself") == {"key": "SEC-1"}
    assert [headers.get("Cookie") for headers in seen] == [None, "JSESSIONID=one"]


@pytest.mark.parametrize(("form", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_answer_is_unpacked(form: str, pack: Callable[[bytes], bytes]) -> None:
    """It is asked for, as the lists of a large project's fields are long."""
    with site({"Content-Encoding": form}, pack(SAID)) as (asked, seen):
        assert asked.ask("GET", "myself") == {"key": "SEC-1"}
    assert form in seen[0]["Accept-Encoding"]


@pytest.mark.parametrize("body", [gzip.compress(SAID)[:-9], b"not packed at all"], ids=["cut off", "not packed"])
@pytest.mark.parametrize(("writes", "outcome"), [(True, Uncertain), (False, Retry)])
def test_an_answer_that_cannot_be_unpacked_is_none(body: bytes, writes: bool, outcome: type) -> None:
    """What was to be written may be there."""
    with site({"Content-Encoding": "gzip"}, body) as (asked, _), pytest.raises(RequestFailed) as failed:
        asked.ask("POST", "issue", body={}, writes=writes)
    assert isinstance(failed.value.outcome, outcome)
