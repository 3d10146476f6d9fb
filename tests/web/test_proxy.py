"""Behind a real nginx with the configs of the documentation: at a host of its own, below a path, prefix kept or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.testing import ALERT_ID
from tests.kit.nginx import Proxy, proxying, shown
from tests.kit.web import TOKEN, Site, furnish, serving, words

HOSTS = ("alerts.example.com",)
ROOT, BELOW = shown("nginx: a host name of its own"), shown("nginx: below a path")
STRIPPED = BELOW.replace("proxy_pass http://127.0.0.1:8585;", "proxy_pass http://127.0.0.1:8585/;")
PAGES = ("/", "/alerts", f"/alerts/{ALERT_ID}", "/dead-letters", "/gaps", "/set-aside", "/nowhere")
ADDRESS = re.compile(r'(?:href|src|action)="(/[^"]*)"')


@pytest.fixture(params=[("", ROOT), ("/forwarder", BELOW), ("/forwarder", STRIPPED)], ids=["root", "below", "stripped"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, Proxy, str]]:
    """A furnished site behind nginx, and the path below which it is shown."""
    base, server = request.param
    with serving(tmp_path, token=TOKEN, public_hosts=HOSTS, base_path=base) as site:
        furnish(site.store)
        with proxying(tmp_path, server, to=site.url) as proxy:
            yield site, proxy, base


def signed_in(proxy: Proxy, base: str) -> Morsel[str]:
    """Signs in, and returns the cookie that the browser got."""
    answer = proxy.post(f"{base}/sign-in", {"token": TOKEN, "next": "/alerts"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{base}/alerts")
    (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    return cookie


def test_the_page_works_behind_nginx(setting: tuple[Site, Proxy, str]) -> None:
    """Signing in, reading, a decision and signing out work, and each redirect stays below the path."""
    site, proxy, base = setting
    sent = proxy.get(f"{base}/alerts?severity=low")
    assert (sent.status_code, sent.headers["Location"]) == (
        303,
        f"{base}/sign-in?next=%2Falerts%3Fseverity%3Dlow",
    )
    assert "Sign in" in words(proxy.get(sent.headers["Location"]).text)
    cookie = signed_in(proxy, base)
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["path"] == (base or "/")
    page = proxy.get(f"{base}/dead-letters")
    assert "Authentication bypass" in words(page.text)
    form = re.search(r'name="form_key" value="(\w+)"', page.text)
    assert form
    done = proxy.post(f"{base}/dead-letters", {"form_key": form[1], "action": "retry-all"})
    assert (done.status_code, done.headers["Location"]) == (303, f"{base}/dead-letters?done=retry-1")
    assert site.store.queries.deliveries(Filter(state=State.DEAD, origin=None)) == []
    out = proxy.post(f"{base}/sign-out", {"form_key": form[1]})
    assert (out.status_code, out.headers["Location"]) == (303, f"{base}/sign-in")
    stolen = proxy.get(f"{base}/alerts", {"Cookie": f"{cookie.key}={cookie.value}"})
    assert stolen.status_code == 303


def test_every_address_stays_below_the_path(setting: tuple[Site, Proxy, str]) -> None:
    """Each link, form, script, style and picture of each page leads to something, below the path."""
    _, proxy, base = setting
    signed_in(proxy, base)
    found = {address for path in PAGES for address in ADDRESS.findall(proxy.get(base + path).text)}
    assert len(found) > 12
    for address in sorted(found):
        assert address.startswith(f"{base}/"), address
        assert not address.startswith(f"{base}{base}/") or not base, address
        if not address.endswith(("/probe", "/respond", "/sign-out")):
            assert proxy.get(address.replace("&amp;", "&")).status_code in (200, 303), address
    style = next(address for address in found if "style.css" in address)
    assert "immutable" in proxy.get(style).headers["Cache-Control"]


def test_a_slash_too_many_leads_to_the_page(setting: tuple[Site, Proxy, str]) -> None:
    """Below the path, and at the address that the browser shows."""
    _, proxy, base = setting
    signed_in(proxy, base)
    for path in ("/alerts", "/gaps", "/dead-letters"):
        assert proxy.get(f"{base}{path}/").headers["Location"] == f"{base}{path}"
    assert proxy.get(f"{base}/nowhere/").status_code == 404


def test_a_form_of_another_site_does_nothing_behind_nginx(setting: tuple[Site, Proxy, str]) -> None:
    """The origin is still told apart from the page's own."""
    site, proxy, base = setting
    signed_in(proxy, base)
    form = re.search(r'name="form_key" value="(\w+)"', proxy.get(f"{base}/dead-letters").text)
    assert form
    fields = {"form_key": form[1], "action": "retry-all"}
    assert proxy.post(f"{base}/dead-letters", fields, origin="https://evil.example").status_code == 403
    assert proxy.post(f"{base}/dead-letters", fields, origin=proxy.url.replace("https", "http")).status_code == 403
    assert len(site.store.queries.deliveries(Filter(state=State.DEAD, origin=None))) == 1


def test_the_page_still_works_on_the_machine_itself(setting: tuple[Site, Proxy, str]) -> None:
    """Past the proxy, with the path and without it."""
    site, _, base = setting
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/", base or "/", f"{base}/", "/alerts", f"{base}/alerts", f"{base}/static/style.css", "/metrics"):
        assert site.client.get(path, headers=headers).status_code == 200, path


@pytest.mark.parametrize("change", [lambda server: server, lambda server: re.sub(r"proxy_set_header.*;", "", server)])
def test_behind_nginx_nothing_is_open_without_a_token(tmp_path: Path, change: Any) -> None:
    """A proxy in front of a page without a token reads nothing and does nothing, however little it says of itself."""
    server = change(ROOT)
    if server != ROOT:
        # As people write it who let nginx do what it does by itself.
        server = server.replace("proxy_http_version 1.1;", "proxy_http_version 1.0;")
    with serving(tmp_path) as site:
        furnish(site.store)
        with proxying(tmp_path, server, to=site.url) as proxy:
            for path in ("/", "/alerts", "/metrics", "/sign-in", "/static/style.css"):
                answer = proxy.get(path)
                assert answer.status_code == 403, path
                assert "set web.token" in answer.text
            assert proxy.post("/dead-letters", {"action": "retry-all"}).status_code == 403
        assert site.client.get("/").status_code == 200
