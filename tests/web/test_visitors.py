"""Which requests are this machine's own: the peer, the host name, and every sign of a proxy between."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount, Route
from starlette.types import Message

from forwarder.config.model import OWN_PATHS
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.web.app import make_app
from forwarder.web.metrics import Metrics
from forwarder.web.middleware import Guard
from forwarder.web.sessions import Sessions
from forwarder.web.visitors import came_by_https, is_from_elsewhere, is_this_machine, origin_of
from forwarder.web.writes import Writes
from tests.kit.core import PATIENCE
from tests.kit.web import HTML, Site, furnish, serving

OWN: Final = ("/", "/alerts", "/alerts/low-1", "/dead-letters", "/gaps", "/set-aside", "/metrics", "/nowhere")
FORWARDING: Final = (
    *(
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
    ),
    *("X-Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Tls-Client-Cert", "Forwarded-For", "X-Original-Forwarded-For"),
    *(
        "X-Real-IP",
        "X_Real_IP",
        "x-forwarded-for",
        "X_FORWARDED_FOR",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Client-IP",
    ),
    *("True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Ray", "CF-Visitor", "CDN-Loop", "Via"),
    *("Fastly-Client-IP", "Fly-Client-IP", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-Appengine-User-IP"),
    *("X-Amzn-Trace-Id", "X-Amz-Cf-Id", "CloudFront-Viewer-Address", "X-Envoy-External-Address", "X-ProxyUser-Ip"),
    *("WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "X-Host"),
    *("X-Scheme", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "Front-End-Https", "X-Url-Scheme", "X-Script-Name"),
    *("X-Remote-User", "Remote-User", "X-Auth-Request-User", "Tailscale-User-Login", "X-Remote-Addr", "Max-Forwards"),
    *("X-SSL-Client-Verify", "X-Request-Start", "X-Varnish", "X-Traefik-Router", "Proxy-Connection", "X-Proto"),
)
BROWSER: Final = {
    "Host": "127.0.0.1:8585",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "Accept": "text/html",
    "Accept-Language": "en",
    "Accept-Encoding": "gzip, br, zstd",
    "Cache-Control": "max-age=0",
    "Connection": "keep-alive",
    "Cookie": "other=1",
    "DNT": "1",
    "If-None-Match": '"1"',
    "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT",
    "Origin": "http://127.0.0.1:8585",
    "Priority": "u=0, i",
    "Range": "bytes=0-",
    "Referer": "http://127.0.0.1:8585/",
    "Sec-CH-UA-Platform": '"Linux"',
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
    "Sec-GPC": "1",
    "Traceparent": "00-0-0-00",
    "Upgrade-Insecure-Requests": "1",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
    "X-Requested-With": "XMLHttpRequest",
}
"""What browsers, scripts and monitors on this machine send by themselves."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A furnished site without a token."""
    with serving(tmp_path_factory.mktemp("open")) as running:
        furnish(running.store)
        yield running


def request_of(peer: str | None = "127.0.0.1", version: str = "1.1", **_: Any) -> dict[str, Any]:
    return {"type": "http", "http_version": version, "client": (peer, 50000) if peer else None}


@pytest.mark.parametrize("value", ["203.0.113.7", "", "for=127.0.0.1", "127.0.0.1"])
@pytest.mark.parametrize("name", FORWARDING)
def test_what_carries_a_forwarding_header_is_not_this_machine(name: str, value: str) -> None:
    """Whatever its case and value, an empty one too: who adds it speaks for somebody else."""
    assert is_this_machine(request_of(), Headers(BROWSER))
    assert not is_this_machine(request_of(), Headers({**BROWSER, name: value}))


def test_what_people_and_monitors_send_is_this_machine() -> None:
    """No header that a browser or a monitor sends by itself is taken for a proxy's."""
    for name, value in BROWSER.items():
        assert is_this_machine(request_of(), Headers({"Host": "localhost", name: value})), name


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("2001:db8::1", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_loopback_peer_is_this_machine(peer: str | None, own: bool) -> None:
    """An address of another machine is not, nor one that is not known."""
    assert is_this_machine(request_of(peer), Headers(BROWSER)) is own


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8585", True),
        ("localhost:8585", True),
        ("LOCALHOST.:8585", True),
        ("[::1]:8585", True),
        ("[::ffff:127.0.0.1]", True),
        ("127.0.0.1.", True),
        ("alerts.example.com", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1].evil.example", False),
        ("[::1]@evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("127.0.0.1:8585:evil", False),
        ("evil.example:127.0.0.1", False),
        ("192.0.2.7", False),
        ("0.0.0.0:8585", False),
        ("[::]:8585", False),
        ("", False),
        (".", False),
        (":8585", False),
        ("[]", False),
    ],
)
def test_only_a_loopback_host_is_this_machine(host: str, own: bool) -> None:
    """A name that was made to point here (DNS rebinding) is not."""
    assert is_this_machine(request_of(), Headers({**BROWSER, "Host": host})) is own


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_what_speaks_as_old_proxies_do_is_not_this_machine(version: str) -> None:
    """nginx without any further line in its config adds no header, but speaks HTTP/1.0."""
    assert not is_this_machine(request_of(version=version), Headers(BROWSER))


@pytest.mark.parametrize("path", OWN)
def test_through_a_proxy_nothing_is_open_without_a_token(site: Site, path: str) -> None:
    """A page, the metrics and what is not there are answered alike, with what to set."""
    for headers in ({"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": ""}, {"Via": "1.1 x", "Host": "alerts.example"}):
        answer = site.client.get(path, headers={**HTML, **headers})
        assert answer.status_code == 403
        assert "set web.token" in answer.text
        assert "web.public_hosts" in answer.text
        assert "secops" not in answer.text


def test_through_a_proxy_nothing_is_done_without_a_token(site: Site) -> None:
    """Neither a decision, nor a probe, nor a sign-in."""
    fields = {"form_key": site.form_key(), "action": "retry-all", "connector": "oncall", "token": ""}
    for path in ("/dead-letters", "/probe", "/sign-in", "/sign-out"):
        answer = site.client.post(path, data=fields, headers={"X-Real-IP": ""})
        assert answer.status_code == 403
        assert "set web.token" in answer.text
    assert len(site.store.queries.deliveries(Filter(state=State.DEAD, origin=None))) == 1


def test_a_proxys_probe_is_answered_with_yes_or_no(site: Site) -> None:
    """A load balancer needs no token for the health checks, and learns no reasons."""
    site.time.advance(3570)
    try:
        headers = {"X-Forwarded-For": "203.0.113.7"}
        assert site.client.get("/healthz", headers=headers).json() == {"alive": True}
        answer = site.client.get("/readyz", headers=headers)
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert "reasons" not in answer.json()
    finally:
        site.time.advance(-3570)


@pytest.mark.parametrize(
    ("request_line", "hosts", "status"),
    [
        ("GET / HTTP/1.1", ["{own}"], 200),
        ("GET / HTTP/1.0", ["{own}"], 403),
        ("GET / HTTP/1.0", [], 403),
        ("GET / HTTP/1.1", [], 400),
        ("GET / HTTP/1.1", ["{own}", "{own}"], 400),
        ("GET / HTTP/1.1", ["{own}", "evil.example"], 400),
        ("GET / HTTP/1.1", ["evil.example", "{own}"], 400),
        ("GET / HTTP/1.1", ["evil.example"], 421),
        ("GET / HTTP/1.1", ["{own} evil.example"], 421),
        ("GET http://evil.example/ HTTP/1.1", ["{own}"], 400),
        ("GET http://{own}/ HTTP/1.1", ["evil.example"], 400),
        ("GET http://{own}/static/style.css HTTP/1.1", ["{own}"], 400),
        ("OPTIONS * HTTP/1.1", ["{own}"], 400),
        ("CONNECT evil.example:443 HTTP/1.1", ["{own}"], 400),
        ("GET //evil.example/ HTTP/1.1", ["{own}"], 404),
    ],
)
def test_odd_requests_open_nothing(site: Site, request_line: str, hosts: list[str], status: int) -> None:
    """Two hosts, none, a target for a proxy: only a plain request for this machine is answered."""
    own = site.url.removeprefix("http://").rstrip("/")
    lines = [request_line, *(f"Host: {host}" for host in hosts), "Connection: close"]
    assert status_of(own, "\r\n".join(lines).replace("{own}", own)) == status


def test_two_hosts_are_refused_whatever_server_lets_them_through(site: Site) -> None:
    """Which of them counts is a matter of taste, and the next in line may have another."""
    guard = guard_of(site)
    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    for second, status in ((None, 200), (b"evil.example", 421), (b"localhost", 421)):
        hosts = [(b"host", name) for name in (b"localhost", second) if name]
        scope = {**request_of(), "method": "GET", "path": "/gaps", "query_string": b"", "headers": hosts}
        sent.clear()
        anyio.run(guard, scope, receive, send)
        assert sent[0]["status"] == status


def guard_of(site: Site) -> Guard:
    """The site's application, without a server."""
    metrics, sessions = Metrics(list, now=site.time), Sessions(site.store.sessions, None, now=site.time)
    return make_app(site.forwarder, site.store, metrics, sessions, writes=Writes(site.time), port=1)


def status_of(own: str, head: str) -> int:
    host, _, port = own.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    ("headers", "https"),
    [
        ({}, False),
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "HTTPS, http"}, True),
        ({"X-Forwarded-Proto": "http, https"}, False),
        ({"X-Forwarded-Proto": "http"}, False),
        ({"X-Forwarded-Proto": ""}, False),
        ({"X-Forwarded-Ssl": "on"}, True),
        ({"Forwarded": "for=203.0.113.7;proto=https;host=alerts.example.com"}, True),
        ({"Forwarded": 'proto="https"'}, True),
        ({"Forwarded": "For=a; Proto=HTTPS"}, True),
        ({"Forwarded": "for=a;proto=http, for=b;proto=https"}, False),
        ({"Forwarded": "for=httpsproto=https"}, False),
        ({"Origin": "https://alerts.example.com"}, True),
        ({"Origin": "http://127.0.0.1:8585"}, False),
    ],
)
def test_a_visitor_by_https_is_known(headers: dict[str, str], https: bool) -> None:
    """The proxy nearest to the browser says it, in one of the usual ways, or the browser itself."""
    assert came_by_https(Headers(headers)) is https


@pytest.mark.parametrize(
    ("origin", "host", "elsewhere"),
    [
        ("https://alerts.example.com", "alerts.example.com", False),
        ("https://alerts.example.com", "alerts.example.com:443", False),
        ("https://Alerts.example.com:443", "alerts.example.com", False),
        ("https://alerts.example.com:8443", "alerts.example.com:8443", False),
        ("http://[::1]:8585", "[::1]:8585", False),
        ("https://alerts.example.com:8443", "alerts.example.com", True),
        ("http://alerts.example.com", "alerts.example.com:443", True),
        ("https://evil.example", "alerts.example.com", True),
        ("https://alerts.example.com.evil.example", "alerts.example.com", True),
        ("null", "alerts.example.com", True),
        ("", "", True),
        ("alerts.example.com", "alerts.example.com", True),
        ("file://", "", True),
        ("https://alerts.example.com:port", "alerts.example.com:port", True),
    ],
)
def test_the_origin_of_a_form_is_compared_whole(origin: str, host: str, elsewhere: bool) -> None:
    """Host and port must be those that the browser asked for; the usual port may be written or left out."""
    assert is_from_elsewhere(Headers({"Origin": origin, "Host": host})) is elsewhere


def test_addresses_of_one_visitor_are_one() -> None:
    """Of IPv6 a visitor has half of all there are."""

    def told(peer: str, *forwarded_for: str) -> str:
        return origin_of(request_of(peer), Headers(raw=[(b"x-forwarded-for", one.encode()) for one in forwarded_for]))

    assert told("2001:db8::1") == told("2001:db8::ffff:1") == "2001:db8::/64"
    assert told("2001:db8:0:1::1") != told("2001:db8::1")
    assert told("192.0.2.7") == "192.0.2.7"
    # What the proxy itself saw comes last; what a visitor made up comes before.
    assert told("127.0.0.1", "203.0.113.7") == told("127.0.0.1", "made up, 203.0.113.7")
    assert told("127.0.0.1", "203.0.113.7") == told("127.0.0.1", "made up", "203.0.113.7")
    assert told("127.0.0.1", "203.0.113.7") != told("127.0.0.1", "203.0.113.8")
    assert told("127.0.0.1", "2001:db8::1") == told("127.0.0.1", "2001:db8::2")
    assert len(told("127.0.0.1", "x" * 10_000)) < 100


def test_no_address_of_the_page_may_be_a_base_path(site: Site) -> None:
    """The config knows how each address of ours begins: a path of that name could mean either."""
    guard = guard_of(site)
    assert isinstance(guard.app, Starlette)
    paths = {route.path for route in guard.app.routes if isinstance(route, Route | Mount)}
    assert {path.split("/")[1] for path in paths} - {""} == OWN_PATHS


def test_with_a_token_a_proxy_makes_nobody_trusted(tmp_path: Path) -> None:
    """No header lets in who shows nothing, on this machine or elsewhere."""
    with serving(tmp_path, token="not-a-real-web-token") as closed:
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Remote-User": "admin"}, {"Forwarded": "for=[::1]"}):
            assert closed.client.get("/metrics", headers=headers).status_code == 401
