"""Who may see what: names, tokens, sessions, forms, and the headers of every answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from forwarder.config import Listen
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.testing import alert
from forwarder.web.server import WebError, bind
from forwarder.web.sessions import Keys
from forwarder.web.visitors import Hosts
from tests.kit import store as store_kit
from tests.kit.web import HTML, TOKEN, Site, furnish, serving, words

BEARER = {"Authorization": f"Bearer {TOKEN}"}
READABLE = ("/", "/alerts", "/alerts/low-1", "/dead-letters", "/gaps", "/set-aside", "/metrics")


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without a token."""
    with serving(tmp_path_factory.mktemp("open")) as running:
        furnish(running.store)
        yield running


@pytest.fixture(scope="module")
def closed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a token."""
    with serving(tmp_path_factory.mktemp("closed"), token=TOKEN, public_hosts=("alerts.example.com",)) as running:
        furnish(running.store)
        yield running


def dead_letters(site: Site) -> int:
    return len(site.store.queries.deliveries(Filter(state=State.DEAD, origin=None)))


# The name it is asked for by


@pytest.mark.parametrize(
    ("listen", "header", "ours"),
    [
        ("127.0.0.1", "127.0.0.1:8585", True),
        ("127.0.0.1", "localhost:8585", True),
        ("127.0.0.1", "LOCALHOST.", True),
        ("127.0.0.1", "[::1]:8585", True),
        ("127.0.0.1", "127.0.0.1:9999", True),
        ("127.0.0.1", "evil.example:8585", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "192.0.2.7", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "127.0.0.1@evil.example", False),
        ("0.0.0.0", "192.0.2.7:8585", True),
        ("0.0.0.0", "[2001:db8::7]:8585", True),
        ("0.0.0.0", "evil.example", False),
        ("::", "10.1.2.3", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("forwarder.lan", "forwarder.lan:80", True),
        ("127.0.0.1", "alerts.example.com", True),
        ("127.0.0.1", "Alerts.Example.com:443", True),
    ],
)
def test_a_host_name_that_is_not_ours_is_told_apart(listen: str, header: str, ours: bool) -> None:
    """Ours are the listening address, those it stands for, this machine, and the names of the config."""
    assert (header in Hosts(Listen(host=listen, port=8585), ["alerts.example.com"])) is ours


def test_a_foreign_host_name_is_refused_everywhere(open_site: Site) -> None:
    """A name that was made to point here (DNS rebinding) reads nothing and does nothing."""
    before = dead_letters(open_site)
    for path in (*READABLE, "/healthz", "/readyz", "/static/style.css", "/sign-in", "/nowhere"):
        answer = open_site.client.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 421, path
        assert "Log4" not in answer.text
    fields = {"form_key": open_site.form_key(), "action": "retry-all"}
    assert open_site.client.post("/dead-letters", data=fields, headers={"Host": "evil.example"}).status_code == 421
    assert dead_letters(open_site) == before


def test_a_public_host_name_of_the_config_is_ours(closed_site: Site) -> None:
    """A proxy's name works once the config names it."""
    headers = {**BEARER, "Host": "alerts.example.com"}
    assert closed_site.client.get("/", headers=headers).status_code == 200


# The token


def test_without_a_token_a_visitor_of_this_machine_reads_all(open_site: Site) -> None:
    """Reading needs nothing where only this machine can ask, and nobody is asked to sign in."""
    for path in READABLE:
        assert open_site.client.get(path).status_code == 200, path
    assert open_site.client.get("/sign-in").headers["Location"] == "/"


def test_with_a_token_nothing_is_read_without_it(closed_site: Site) -> None:
    """Every page and the metrics are closed, also to this machine; a program is told how to open them."""
    for path in (*READABLE, "/nowhere"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = closed_site.client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="forwarder"'
            assert "secops" not in answer.text


def test_a_program_shows_the_token_as_bearer(closed_site: Site) -> None:
    """With it everything is open, the metrics included."""
    for path in READABLE:
        assert closed_site.client.get(path, headers=BEARER).status_code == 200, path


def test_a_person_signs_in_once(closed_site: Site) -> None:
    """A browser is sent to the sign-in page, and from there to where it wanted to go; signing out ends it."""
    with httpx2.Client(base_url=closed_site.url, headers=HTML) as browser:
        sent = browser.get("/alerts?severity=low")
        assert (sent.status_code, sent.headers["Location"]) == (303, "/sign-in?next=%2Falerts%3Fseverity%3Dlow")
        assert "Sign in" in words(browser.get(sent.headers["Location"]).text)
        with capture_logs() as logged:
            wrong = browser.post("/sign-in", data={"token": "wrong", "next": "/alerts?severity=low"})
            right = browser.post("/sign-in", data={"token": TOKEN, "next": "/alerts?severity=low"})
        assert (wrong.status_code, right.status_code) == (403, 303)
        assert "That is not the token." in words(wrong.text)
        assert [event["event"] for event in logged] == ["web_sign_in_refused", "web_sign_in"]
        assert TOKEN not in str(logged)
        shown = browser.get(right.headers["Location"])
        assert "A small thing" in words(shown.text)
        key = shown.text.partition('name="form_key" value="')[2].partition('"')[0]
        assert browser.post("/sign-out", data={"form_key": key}).headers["Location"] == "/sign-in"
        assert browser.get("/alerts").status_code == 303


def test_nobody_signs_in_where_there_is_no_token(open_site: Site) -> None:
    """Without a token in the config no text is one, an empty one neither."""
    assert open_site.client.post("/sign-in", data={"token": ""}).status_code == 403


def test_what_forms_carry_opens_nothing(closed_site: Site) -> None:
    """The key of the forms stands in every page: it does not do as a session, nor for the forms of another one."""
    keys = Keys(TOKEN)
    form = keys.form_of("a session")
    assert keys.admits_form(form, "a session")
    assert not keys.admits_form(form, "another")
    assert not keys.admits_form(form, "")
    assert not keys.admits_form(keys.form_of(""), "a session")
    assert not Keys(TOKEN).admits_form(keys.form_of(""), "")
    closed_site.client.post("/sign-in", data={"token": TOKEN})
    form = closed_site.form_key()
    (name,) = closed_site.client.cookies
    closed_site.client.cookies.clear()
    assert closed_site.client.get("/alerts", headers={"Cookie": f"{name}={form}"}).status_code == 401


def test_the_session_cookie_is_of_no_use_elsewhere(closed_site: Site) -> None:
    """It is out of reach for scripts and other sites, and does not hold the token; nothing else does in its place."""
    answer = closed_site.client.post("/sign-in", data={"token": TOKEN})
    (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert TOKEN not in answer.headers["Set-Cookie"]
    closed_site.client.cookies.clear()
    for stolen in (cookie.value[:-1], f"{cookie.value}0", cookie.value.upper(), "", '"', "\u00e9", TOKEN):
        headers = {b"Cookie": f"{cookie.key}={stolen}".encode()}
        assert closed_site.client.get("/alerts", headers=headers).status_code == 401
    headers = {b"Cookie": f"{cookie.key}={cookie.value}".encode()}
    assert closed_site.client.get("/alerts", headers=headers).status_code == 200


def test_the_session_cookie_is_secure_behind_https(closed_site: Site) -> None:
    """Where a proxy says that the visitor speaks https, the cookie travels no other way."""
    answer = closed_site.client.post("/sign-in", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "secure" in answer.headers["Set-Cookie"].lower()
    closed_site.client.cookies.clear()


@pytest.mark.parametrize(
    "way", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nX: y", "alerts", ""]
)
def test_signing_in_leads_nowhere_else(closed_site: Site, way: str) -> None:
    """An address of another site as the way back is not followed."""
    answer = closed_site.client.post("/sign-in", data={"token": TOKEN, "next": way})
    assert answer.headers["Location"] == "/"
    closed_site.client.cookies.clear()


def test_health_is_told_to_anyone_but_without_details(closed_site: Site) -> None:
    """Probes need no token; the reasons are for those who have it."""
    closed_site.time.advance(3570)
    try:
        assert closed_site.client.get("/healthz").json() == {"alive": True}
        answer = closed_site.client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
        (reason,) = closed_site.client.get("/readyz", headers=BEARER).json()["reasons"]
        assert reason == "The last complete poll was 1h ago."
    finally:
        closed_site.time.advance(-3570)


# Forms


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_of_another_site_does_nothing(open_site: Site, headers: dict[str, str]) -> None:
    """A page elsewhere that makes a browser post is refused, even if it knew what our forms carry."""
    before = dead_letters(open_site)
    fields = {"form_key": open_site.form_key(), "action": "retry-all"}
    assert open_site.client.post("/dead-letters", data=fields, headers=headers).status_code == 403
    assert dead_letters(open_site) == before


@pytest.mark.parametrize("key", [None, "", "0" * 64, "\u00e9"])
@pytest.mark.parametrize("path", ["/dead-letters", "/probe", "/sign-out"])
def test_a_form_that_is_not_ours_does_nothing(open_site: Site, path: str, key: str | None) -> None:
    """A post without what our forms carry is refused."""
    before = dead_letters(open_site)
    fields = {"action": "retry-all", "connector": "oncall", **({"form_key": key} if key is not None else {})}
    answer = open_site.client.post(path, data=fields, headers=HTML)
    assert answer.status_code == 403
    assert "This form is from before a restart" in words(answer.text)
    assert dead_letters(open_site) == before


def test_a_decision_is_logged(tmp_path: Path) -> None:
    """Who retried or discarded what stands in the log; a program with the token needs no form."""
    with serving(tmp_path, token=TOKEN) as site:
        store_kit.enqueue(site.store, alert(), "secops")
        claimed = store_kit.claim(site.store)
        store_kit.settle(site.store, claimed, store_kit.dead())
        fields = {"action": "retry", "id": claimed.delivery.id}
        assert site.client.post("/dead-letters", data=fields).status_code == 401
        with capture_logs() as logged:
            assert site.client.post("/dead-letters", data=fields, headers=BEARER).status_code == 303
        (event,) = logged
        assert (event["event"], event["action"], event["deliveries"]) == ("web_decision", "retry", 1)
        assert (event["ids"], event["client"]) == ([claimed.delivery.id], "127.0.0.1")


# Every answer


def test_every_answer_tells_the_browser_to_trust_nothing_else(closed_site: Site) -> None:
    """Pages, files, refusals and errors carry the same strict headers; only files may be kept."""
    static = "/static/style.css"
    for path in ("/", "/nowhere", "/sign-in", "/healthz", "/metrics", static, "/static/nothing", "/static/../app.py"):
        for headers in (BEARER, {}, {"Host": "evil.example"}):
            answer = closed_site.client.get(path, headers=headers)
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            kept = path == static and answer.status_code == 200
            assert ("immutable" in answer.headers["Cache-Control"]) is kept
            assert "server" not in answer.headers


# The address


def test_an_address_in_use_is_told_in_a_sentence() -> None:
    """A port that something listens on already is refused before anything starts, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(WebError, match=rf"cannot listen on 127.0.0.1:{port}: something listens there already"):
            bind(Listen(host="127.0.0.1", port=port))


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.1", "this machine does not have that address"), ("no-such-host.invalid", "its host name is not known")],
)
def test_an_address_of_another_machine_is_told_in_a_sentence(host: str, told: str) -> None:
    """An address that is not this machine's cannot be had."""
    with pytest.raises(WebError, match=told):
        bind(Listen(host=host, port=0))


@pytest.mark.parametrize("visited", [True, False])
def test_a_closed_site_can_be_served_again_at_once(tmp_path: Path, visited: bool) -> None:
    """A restart finds its port free, whether somebody looked or not, even with connections still open."""
    with serving(tmp_path) as site:
        if visited:
            site.client.get("/")
        port = int(site.url.rsplit(":", 1)[1].rstrip("/"))
    bind(Listen(host="127.0.0.1", port=port)).close()
