"""The library's requests, each sent once, within a deadline, and with what came of it written down.

A plugin of the library says whether it sent a message, and no more. So what it finds under the name ``requests`` is a
stand-in, which sends for it, and keeps each answer and each failure.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from forwarder.connector import is_loopback
from forwarder.wire.deadline import MAX_BODY, AnswerTooLarge, bounded
from forwarder.wire.endpoint import MAX_ANSWER, Answer
from forwarder.wire.prepared import Direct
from forwarder.wire.unreachable import proxy_of

if TYPE_CHECKING:
    from requests import Response, Session

_VERBS: Final = frozenset({"delete", "get", "head", "options", "patch", "post", "put"})
_CHUNK: Final = 64 * 1024
_current = threading.local()


@dataclass(kw_only=True)
class Exchange:
    """One request, and the answer to it or the error in place of one; neither where it was not sent on purpose."""

    method: str
    url: str
    answer: Answer | None = None
    error: BaseException | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "the service"

    @property
    def is_open(self) -> bool:
        """Whether anybody on the way could read it."""
        parts = urlsplit(self.url)
        return parts.scheme != "https" and not is_loopback(parts.hostname or "")

    @property
    def was_accepted(self) -> bool:
        return self.answer is not None and self.answer.accepts

    @property
    def is_question(self) -> bool:
        return self.method in ("GET", "HEAD")

    @property
    def may_have_told(self) -> bool:
        """Whether it was accepted, and was more than a question."""
        return self.was_accepted and not self.is_question


@dataclass
class Attempt:
    """What the library does on this thread within the ``with``; without a ``transport`` nothing leaves."""

    transport: Transport | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    is_over: bool = False

    def __enter__(self) -> Self:
        _current.attempt = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.attempt = None

    def ask(self, method: str, url: str, options: Mapping[str, Any]) -> Response:
        """The answer to one request; raises requests.RequestException."""
        from requests import ConnectionError as NotSent
        from requests import RequestException

        if self.is_over:
            # Trying again is the outbox's business: after a lost answer a plugin of its own accord would send twice.
            raise NotSent("the attempt is over")
        exchange = Exchange(method=method, url=url)
        self.exchanges.append(exchange)
        if self.transport is None or exchange.is_open:
            self.is_over = True
            raise NotSent("it is not sent")
        try:
            response = self.transport.send(method, url, options)
        except AnswerTooLarge as error:
            exchange.error, self.is_over = error, True
            raise NotSent("the answer is too large") from None
        except (RequestException, OSError, ValueError) as error:
            exchange.error, self.is_over = error, True
            raise
        body = response.content[:MAX_ANSWER].decode("utf-8", "replace")
        exchange.answer = Answer(status=response.status_code, headers=response.headers, body=body)
        self.is_over = response.status_code == 429 or response.status_code >= 500
        return response


class Requests:
    """What the library finds in place of the module ``requests``: the module itself, but for what sends."""

    def __getattr__(self, name: str) -> Any:
        import requests

        if name in _VERBS:
            return lambda url, *args, **options: _ask(name, url, *args, **options)
        if name in ("Session", "session"):
            raise AttributeError(name)
        return getattr(requests, name)

    @staticmethod
    def request(method: str, url: str, **options: Any) -> Response:
        return _ask(method, url, **options)


def _ask(verb: str, url: str, body: Any = None, /, **options: Any) -> Response:
    from requests import ConnectionError as NotSent

    attempt: Attempt | None = getattr(_current, "attempt", None)
    if attempt is None:
        raise NotSent("nothing is under way")  # some plugins would sign out when they are collected
    if body is not None:
        options["params" if verb == "get" else "data"] = body
    return attempt.ask(verb.upper(), url, options)


def complain(text: str) -> bool:
    """Takes down what the library logs of the attempt on this thread; whether there is one."""
    attempt: Attempt | None = getattr(_current, "attempt", None)
    if attempt is not None:
        attempt.complaints.append(text)
    return attempt is not None


class Transport:
    """Sends requests, each once and without following redirects. ``seconds`` is for each wait. For several threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Session, Direct | None]] = {}

    def send(self, method: str, url: str, options: Mapping[str, Any]) -> Response:
        """The answer, read; raises requests.RequestException and AnswerTooLarge."""
        from requests import Request

        parts = ("headers", "files", "data", "params", "auth", "cookies", "json")
        request = Request(method, url, **{name: options[name] for name in parts if name in options})
        session, direct = self._place(url)
        prepared = session.prepare_request(request)
        if direct is not None:
            return direct.send(prepared)
        response = session.send(prepared, timeout=self._seconds, allow_redirects=False, stream=True)
        try:
            response._content = bounded(response.iter_content(_CHUNK))
            response._content_consumed = True  # type: ignore[attr-defined]
        finally:
            response.close()
        return response

    def close(self) -> None:
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for session, direct in places:
            if direct is not None:
                direct.close()
            session.close()

    def _place(self, url: str) -> tuple[Session, Direct | None]:
        """What leads to the host of ``url``: over kept connections, or through the proxy."""
        parts = urlsplit(url)
        origin = f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2]}"
        with self._lock:
            if origin not in self._places:
                session = _session(origin)
                proxied = proxy_of(parts.scheme.lower(), parts.hostname or "")
                direct = None if proxied else Direct(session, origin, self._seconds, most=MAX_BODY)
                self._places[origin] = session, direct
            return self._places[origin]


def _session(origin: str) -> Session:
    from requests import Session

    from forwarder.wire.adapter import DeadlineAdapter, read_environment

    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter())
    # What can be unpacked on every way.
    session.headers["Accept-Encoding"] = "gzip, deflate"
    # Without a session of requests, as the plugins are written, no request knows of the one before.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    read_environment(session, origin)
    return session
