"""Who may see what: the check before every page, and the headers that make a browser trust nothing else.

A web page elsewhere can make a browser on this machine send requests here. It can neither read the answers nor get its
requests past this: a host name that is not ours is refused (DNS rebinding), and so is a post from another origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forwarder.common.urls import is_loopback
from forwarder.config import Listen
from forwarder.web.sessions import Keys

OPEN: Final = frozenset({"/healthz", "/readyz", "/sign-in"})
"""What answers without the token."""
STATIC: Final = "/static/"
KNOWN: Final = "forwarder.known"
"""The key in the ASGI scope that says whether the visitor may see details."""
BY_HEADER: Final = "forwarder.by_header"
"""The key that says whether a program showed the token: nobody can be tricked into that, so no form is asked for."""

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers hide the origin of our own forms from us, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_PAGES_STAY: Final = "no-store"
_FILES_STAY: Final = "public, max-age=31536000, immutable"


class Hosts:
    """The names under which the page may be asked for.

    An address that the listening one stands for is always fine: only a *name* can be made to point somewhere else.
    """

    def __init__(self, listen: Listen, further: Collection[str] = ()) -> None:
        self._listen = listen
        self._names = {_host(name) for name in (listen.host, *further)}

    def __contains__(self, header: str) -> bool:
        host = _host(header)
        if host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return is_loopback(host)
        return address.is_loopback if self._listen.is_loopback else _is_wildcard(self._listen.host)


def _host(header: str) -> str:
    """The host of a Host header, without port, brackets and trailing dot."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() and ":" not in name else header).rstrip(".")


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


class Guard:
    """Lets through what may pass to ``app``, and answers the rest itself. ``cookie`` is the name of the session's."""

    def __init__(self, app: ASGIApp, *, hosts: Hosts, keys: Keys, cookie: str) -> None:
        self._app, self._hosts, self._keys, self._cookie = app, hosts, keys, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        scope[BY_HEADER] = self._keys.admits_header(headers.get("authorization", ""))
        scope[KNOWN] = self._keys.open or scope[BY_HEADER] or self._keys.admits_session(self._session(headers))
        answer = self._refusal(scope, headers) or self._app
        await answer(scope, receive, _with_headers(send, scope["path"]))

    def _session(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path: str = scope["path"]
        if headers.get("host", "") not in self._hosts:
            return _sentence("This is not the address of this page. Add the host name to web.public_hosts.", 421)
        if scope["method"] == "POST" and _from_elsewhere(headers):
            return _sentence("This came from another site, and nothing was done.", 403)
        if scope[KNOWN] or path in OPEN or path.startswith(STATIC):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            way_back = path + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
            return RedirectResponse(f"/sign-in?next={quote(way_back, safe='')}", 303)
        refused = _sentence("Show web.token as a Bearer token, or sign in at /sign-in.", 401)
        refused.headers["WWW-Authenticate"] = 'Bearer realm="forwarder"'
        return refused


def _sentence(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site made it send this; programs say nothing about it."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")


def _with_headers(send: Send, path: str) -> Send:
    """``send`` that adds what every answer carries."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            kept = path.startswith(STATIC) and message["status"] in (200, 304)
            headers["Cache-Control"] = _FILES_STAY if kept else _PAGES_STAY
        await send(message)

    return wrapped
