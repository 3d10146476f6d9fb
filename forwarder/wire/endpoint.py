"""One address that takes messages: a request at a time, and what came back of it, without its secret parts.

Such an address is often a key itself. So no library is given more of it than the host, no sentence holds more, and what
an answer repeats of it is blotted out.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from forwarder.connector import (
    Broken,
    Failed,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    clean,
    cut,
    format_duration,
    one_line,
    redirect_host,
    retry_after,
)

if TYPE_CHECKING:
    from ssl import SSLContext

    from httpx2 import Response

    from forwarder.wire.client import Client

MAX_ANSWER: Final = 64 * 1024
"""Our own, in bytes: what an answer says beside its status is for people, and a sentence of it is shown."""

MAX_SAID: Final = 300
"""Our own, in characters of what an answer says."""

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds after a 429 that names no time."""

LATER: Final = frozenset({408, 409, 421, 423, 425})
"""Statuses below 500 after which the same message may well be taken. A 409 is what a receiver answers while the attempt
before is still under way there: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07#section-2.7"""

REFUSED: Final = frozenset({400, 413, 422})
"""Statuses that blame the message."""

_LONG: Final = 12
"""Characters from which on a part of an address may be a key; a shorter one is a word."""

_PAGES: Final = ("<!doctype html", "<html")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back. ``body`` is None where none came whole, or one too large; the status holds all the same."""

    status: int
    headers: Mapping[str, str]
    body: str | None

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_page(self) -> bool:
        """Whether it is a page for people, which no receiver answers with."""
        if self.body is None:
            return self.headers.get("Content-Type", "").lower().startswith("text/html")
        return self.body[:200].lstrip("\ufeff \t\r\n").lower().startswith(_PAGES)


class Endpoint:
    """The address ``url``, which the config has under ``setting``. For several threads at once.

    ``takes`` is what it takes, for people, such as ``the message``; ``now`` tells the time.

    ``timeout`` is for each request as a whole. ``headers`` go along with each; their values, and ``secrets``, are shown
    as little as the address. ``bundle`` is why_unreachable's.
    """

    def __init__(
        self,
        url: str,
        timeout: timedelta,
        now: Callable[[], datetime],
        *,
        setting: str,
        takes: str,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        bundle: str = "SSL_CERT_FILE",
    ) -> None:
        self._timeout, self._setting, self._bundle = timeout, setting, bundle
        self._now, self._takes = now, takes
        self._headers = {"User-Agent": "sentrytex-forwarder", **(headers or {})}
        parts = urlsplit(url)
        self._scheme, self._netloc = parts.scheme, parts.netloc
        self.host = parts.hostname or ""
        # What a library notes of a request has the address, so it is given the host alone, and the rest beside it.
        self._origin = f"{parts.scheme}://{parts.netloc}/"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secrets = _secrets(url, self._target, (headers or {}).values(), secrets)
        self._shown = re.compile("|".join(map(_in_any_form, self._secrets)))
        self._lock = threading.Lock()
        self._made: Client | None = None

    def ask(
        self, method: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, path: str = ""
    ) -> Answer:
        """What the address, or ``path`` below it, says to exactly one request; raises Failed where it says nothing."""
        import httpx2

        heads: list[Response] = []
        request = httpx2.Request(
            method,
            self._origin,
            headers={**self._headers, **(headers or {})},
            content=body,
            extensions={
                "target": (self._target + path).encode(),
                "timeout": httpx2.Timeout(self._timeout.total_seconds()).as_dict(),
                "heads": heads,
            },
        )
        client = self._client()
        try:
            response = client.send(request)
        except httpx2.HTTPError as error:
            if not heads:
                raise Failed(self._no_answer(error)) from None
            return Answer(status=heads[0].status_code, headers=heads[0].headers, body=None)
        return Answer(status=response.status_code, headers=response.headers, body=response.text)

    def refusal(self, answer: Answer, period: str | None = None) -> Retry | RateLimited | Rejected | Broken | Uncertain:
        """What an answer other than yes means to a message; ``period`` is a wait that it names in its own way."""
        status, said = answer.status, self.said(answer)
        after = retry_after(answer.headers.get("Retry-After") or period, self._now())
        if answer.accepts:
            return Uncertain(
                f"{self.host} answers with a web page (status {status}), and not as what takes {self._takes}: check "
                f"{self._setting}, and what stands before it"
            )
        if status == 429:
            return RateLimited(RATE_LIMIT_PAUSE if after is None else after, f"the rate limit of {self.host}")
        if status == 503 and after is not None:
            return Retry(f"{self.host} takes nothing for now (status {status}{said})", after)
        if status >= 500:
            return Uncertain(f"{self.host} answered with status {status}{said}")
        if status in LATER:
            return Retry(f"{self.host} answered with status {status}{said}", after)
        if status in REFUSED:
            return Rejected(f"{self.host} refuses {self._takes} (status {status}{said})")
        return Broken(self.why_broken(answer))

    def why_broken(self, answer: Answer) -> str:
        """What a person must do about an answer after which no other message will be taken either."""
        status, said = answer.status, self.said(answer)
        if 300 <= status < 400:
            there = redirect_host(answer.headers.get("Location"), *self._secrets)
            return f"{self.host} answers with a redirect to {there}, which is not followed: correct {self._setting}"
        return (
            f"{self.host} does not take {self._takes} there (status {status}{said}): check {self._setting}, and what "
            "stands before it"
        )

    def said(self, answer: Answer) -> str:
        """What an answer says beside its status, as the tail of a sentence, without any secret that it repeats."""
        # A page of HTML is a proxy's, and says less than the status.
        text = "" if answer.body is None or answer.is_page else one_line(clean(_sentence_in(answer.body)))
        return f": {cut(self.hidden(text), MAX_SAID)}" if text else ""

    def hidden(self, text: str) -> str:
        """``text`` without any secret that it repeats."""
        return self._shown.sub("[secret]", text) if self._secrets else text

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()

    def _client(self) -> Client:
        """The one client of all threads, made when it is first needed; raises Failed where it cannot be."""
        with self._lock:
            if self._made is None:
                self._made = self._connected()
            return self._made

    def _connected(self, context: SSLContext | None = None) -> Client:
        """A new client; ``context`` is how its connections are encrypted, by default as the machine has it."""
        from forwarder.wire.direct import connected

        return connected(
            self._origin,
            seconds=self._timeout.total_seconds(),
            tls=context,
            max_body=MAX_ANSWER,
            event_hooks={"response": [_note_head]},
        )

    def _no_answer(self, error: BaseException) -> Retry | Uncertain | Broken:
        """Why there is no answer: nothing was sent where no connection came about, else nobody knows what was taken."""
        import httpx2

        from forwarder.wire.unreachable import why_unreachable

        if why := self._why_unwelcome(error):
            return Broken(why)
        if why := why_unreachable(error, self._origin, self._setting, bundle=self._bundle):
            return Retry(f"{self.host} cannot be reached: {why}")
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            return Retry(f"{self.host} cannot be reached ({type(error).__name__})")
        if isinstance(error, httpx2.TimeoutException):
            return Uncertain(f"{self.host} did not answer within {format_duration(self._timeout)}")
        return Uncertain(f"the connection to {self.host} was cut ({type(error).__name__})")

    def _why_unwelcome(self, error: BaseException) -> str:  # noqa: ARG002 - for those who show a certificate
        """What the other side has against us, as it says while the connection is made; else empty."""
        return ""


def _sentence_in(body: str) -> str:
    """What a JSON object says to people, at one of the usual places; all of it where it says more, or elsewhere."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(told, dict) or told.get("errors"):
        return body
    inner = told.get("error")
    said = inner.get("message") if isinstance(inner, dict) else inner
    # RFC 9457 has the sentence at `detail`.
    return next((one for one in (told.get("message"), said, told.get("detail")) if one and isinstance(one, str)), body)


def _note_head(response: Response) -> None:
    """Notes an answer before its body is read: who said yes has said it, whatever becomes of the rest."""
    response.request.extensions["heads"].append(response)


def _in_any_form(secret: str) -> str:
    """A pattern of ``secret``, for who repeats an address may write each sign in it as such or escaped, even twice."""
    forms = (f"{re.escape(sign)}|(?i:{quote(sign, safe='').replace('%', '%(?:25)?')})" for sign in secret)
    return "".join(
        sign if sign.isascii() and sign.isalnum() else f"(?:{form})" for sign, form in zip(secret, forms, strict=True)
    )


def _secrets(url: str, target: str, headers: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """All that must not be shown of what is sent, the longest first, so that no half of one stays."""
    known = {url, target, *more}
    for value in headers:
        known |= {value, *value.split()}
    parts = set(re.split("[/?&=]", target))
    known |= parts | {unquote(part) for part in parts}
    return tuple(sorted((one for one in known if len(one) >= _LONG), key=len, reverse=True))
