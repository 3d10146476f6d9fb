"""Who may see what: the check before every page, and the headers that make a browser trust nothing else.

A web page elsewhere can make a browser on this machine send requests here. It can neither read the answers nor get its
requests past this: a host name that is not ours is refused (DNS rebinding), and so is a post from another origin.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forwarder.logs import get_logger
from forwarder.web.sessions import Keys, Sessions, bearer
from forwarder.web.throttle import Door, TokenCheck, TooManyTries
from forwarder.web.visitors import Hosts, is_from_elsewhere, is_this_machine, origin_of, passed_on_by, peer

log = get_logger(__name__)

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""What answers anybody: monitors and load balancers ask it, and it says no more than yes or no."""
OPEN: Final = PROBES | {"/sign-in"}
"""What answers without the token."""
STATIC: Final = "/static/"
KNOWN: Final = "forwarder.known"
"""The key in the ASGI scope that says whether the visitor may see details."""
BY_HEADER: Final = "forwarder.by_header"
"""The key that says whether a program showed the token: nobody can be tricked into that, so no form is asked for."""
SESSIONS: Final = "forwarder.sessions"
"""The key of the cookies by which the visitor is signed in; usually one."""

MOST_COOKIES: Final = 8
"""Cookies of our name that are looked at: other paths of the same host may have set some, too."""

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


class Guard:
    """Lets through what may pass to ``app``, and answers the rest itself.

    ``cookie`` is the name of the session's. ``base`` is the path below which a proxy shows the page; ``app`` gets paths
    without it, whether the proxy takes it off or not.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Hosts, keys: Keys, sessions: Sessions, check: TokenCheck, cookie: str, base: str
    ) -> None:
        self.app, self._hosts, self._keys, self._sessions, self._check = app, hosts, keys, sessions, check
        self._cookie, self._base = cookie, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope = {**scope, "path": self._inside(scope["path"])}
        headers = Headers(scope=scope)
        send = _with_headers(send, scope["path"])
        answer = self._stranger(scope, headers) or await self._unknown(scope, headers) or self.app
        await answer(scope, receive, send)

    def _inside(self, path: str) -> str:
        if self._base and (path == self._base or path.startswith(f"{self._base}/")):
            return path[len(self._base) :] or "/"
        return path

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to what is not meant for this page, whoever sends it."""
        path: str = scope["path"]
        if not path.startswith("/"):
            return _sentence("Ask for a path of this page: it is no proxy.", 400)
        if self._keys.open and path not in PROBES and (sign := passed_on_by(scope, headers)):
            return _token_needed(f"This request came through a proxy ({sign})")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            further = ", and set web.token" if self._keys.open else ""
            return _sentence(
                f"This is not the address of this page. Add the host name to web.public_hosts{further}.", 421
            )
        if scope["method"] == "POST" and is_from_elsewhere(headers):
            return _sentence(
                "This came from another site, and nothing was done. A proxy must pass the Host header on.", 403
            )
        return None

    async def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to who may not have what he asks for."""
        try:
            await self._recognize(scope, headers)
        except TooManyTries as refused:
            answer = _sentence(str(refused), 429)
            answer.headers["Retry-After"] = str(refused.after)
            return answer
        return self._refusal(scope, headers)

    async def _recognize(self, scope: Scope, headers: Headers) -> None:
        """Notes in ``scope`` who asks; raises TooManyTries."""
        cookies = [cookie for cookie in self._cookies(headers) if self._sessions.admits(cookie)]
        scope[SESSIONS], scope[BY_HEADER] = cookies, await self._shows_token(scope, headers)
        if self._keys.open:
            scope[KNOWN] = is_this_machine(scope, headers)
            return
        scope[KNOWN] = bool(cookies) or scope[BY_HEADER]
        for cookie in cookies:
            if self._sessions.is_unsaved(cookie):
                await anyio.to_thread.run_sync(self._sessions.save, cookie)

    async def _shows_token(self, scope: Scope, headers: Headers) -> bool:
        token = bearer(headers.get("authorization", ""))
        # Where a token makes no difference it is not looked at, so that nothing can be learnt there either.
        if not token or self._keys.open or scope["path"] == "/healthz" or scope["path"].startswith(STATIC):
            return False
        right = await self._check.admits(token, door(scope, headers, by_header=True))
        if not right:
            log.warning("web_token_refused", path=scope["path"][:200], **who(scope, headers))
        return right

    def _cookies(self, headers: Headers) -> list[str]:
        """The values of our cookie, the one of the most exact path first."""
        pairs = (pair.partition("=") for header in headers.getlist("cookie") for pair in header.split(";"))
        return [value.strip() for name, _, value in pairs if name.strip() == self._cookie][:MOST_COOKIES]

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path: str = scope["path"]
        if scope[KNOWN] or path in PROBES:
            return None
        if self._keys.open:
            return _token_needed("This request came from another machine")
        if path in OPEN or path.startswith(STATIC):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            way_back = quote(path) + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
            return RedirectResponse(f"{self._base}/sign-in?next={quote(way_back, safe='')}", 303)
        refused = _sentence(f"Show web.token as a Bearer token, or sign in at {self._base}/sign-in.", 401)
        refused.headers["WWW-Authenticate"] = 'Bearer realm="forwarder"'
        return refused


def door(scope: Scope, headers: Headers, *, by_header: bool) -> Door:
    """Where a visitor shows a token."""
    return Door(origin_of(scope, headers), direct=is_this_machine(scope, headers), by_header=by_header)


def who(scope: Scope, headers: Headers) -> dict[str, str]:
    """By whom a request came, for the log: who is connected, and what a proxy says of whom it speaks for."""
    said = headers.get("x-forwarded-for") or headers.get("forwarded") or ""
    return {"client": peer(scope), **({"forwarded_for": said[:200]} if said else {})}


def _token_needed(why: str) -> Response:
    return _sentence(f"{why}, so a token is needed: set web.token, and a proxy's host name in web.public_hosts.", 403)


def _sentence(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status)


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
