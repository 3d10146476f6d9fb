"""The Sentrytex API: alerts, single alerts, the stack; what goes wrong there, and how often we may ask.

Source of every fact here is the vendor's "API Reference": GET /alerts (limit, severity, since), GET /alerts/:id,
GET /stack, the errors, and 100 requests a minute for a key, in a sliding window.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2

from forwarder.alert import Alert, SetAside, Severity, Vendor, Vendors
from forwarder.common.accounts import DEFAULT
from forwarder.common.backoff import retry_after
from forwarder.common.clock import iso
from forwarder.common.text import clean, one_line
from forwarder.feed.connections import MAX_BODY, MAX_SECONDS, TIMEOUT, Connections
from forwarder.feed.items import sort_out
from forwarder.logs import get_logger
from forwarder.wire.client import TooLarge
from forwarder.wire.unreachable import why_unreachable

log = get_logger(__name__)

PAGE: Final = 200
"""Alerts that are asked for at once: the most that the reference allows. How many there are, only the answer says."""
REQUESTS_A_MINUTE: Final = 100
MAX_ONE: Final = 1024 * 1024
"""The same of a single alert's: what is larger is not worth the time to decode it."""


class Share(Enum):
    """Who asks, and the part of each minute's requests that is kept for them. What nobody claims is for all."""

    POLLS = 0.4
    SWEEPS = 0.2
    STACK = 0.04
    READS = 0.06
    """Single alerts. What is beyond it they take only while more than half of the minute's requests are left."""


class SentrytexError(Exception):
    """The API could not be read; the message is a sentence for people and holds no secret.

    ``server_time`` is the refusal's Date header, where there was an answer that had one, ``status`` its HTTP status,
    ``account`` whose feed it was.

    SentrytexError
    ├── KeyRefused     401, 403: nothing comes until a person acts
    ├── NotFound       404 for a single alert: no such alert, or not in the stack
    ├── RateLimited    429, or our own budget: ``after`` seconds
    ├── Unavailable    5xx, time-outs, a network that fails
    └── BadAnswer      an answer that is not the API's: HTML, 404 for a list, a redirect, cut short, too large
    """

    result = "error"
    account: str = DEFAULT
    server_time: datetime | None = None
    status: int | None = None


class KeyRefused(SentrytexError):
    result = "key_refused"


class NotFound(SentrytexError):
    result = "not_found"


class TooManyRequests(SentrytexError):
    result = "rate_limited"

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message)
        self.after = after


class Unavailable(SentrytexError):
    result = "unavailable"


class BadAnswer(SentrytexError):
    result = "bad_answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One answer of GET /alerts, newest first, each id once.

    ``size`` counts all that the answer held, invalid and repeated items too. ``server_time`` is its Date header.
    """

    alerts: tuple[Alert, ...]
    set_aside: tuple[SetAside, ...]
    size: int
    server_time: datetime | None

    @property
    def oldest(self) -> datetime | None:
        """The oldest moment that is certain: an alert without one may stand anywhere."""
        return min((alert.published_at for alert in self.alerts if alert.exact), default=None)

    def reaches_behind(self, time: datetime) -> bool:
        """Whether it shows something older than ``time``, and so, newest first, all that was published since."""
        return self.oldest is not None and self.oldest < time


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """The vendors that the account follows."""

    vendors: Vendors
    server_time: datetime | None


class RequestBudget:
    """At most ``limit`` requests in any sliding minute, of which each Share is kept for those who may claim it."""

    def __init__(self, limit: int = REQUESTS_A_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._kept = {share: int(limit * share.value) for share in Share}
        self._sent: deque[tuple[float, Share]] = deque()
        self._used = dict.fromkeys(Share, 0)
        self._lock = threading.Lock()

    # A little more than a minute, for the server counts by its own clock and by when a request arrives.
    _WINDOW: Final = 61.0
    _BEHIND: Final = 5.0

    def take(self, share: Share = Share.POLLS) -> float:
        """Spends one request and returns 0.0; where only what is kept for others is left, the seconds to wait."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            wait = self._wait(share, now) or self._behind(share)
            if not wait:
                self._sent.append((now, share))
                self._used[share] += 1
            return wait

    def _wait(self, share: Share, now: float) -> float:
        used, kept = dict(self._used), self._kept
        unclaimed = sum(max(kept[other] - used[other], 0) for other in Share if other is not share)
        over = len(self._sent) + unclaimed - self._limit
        if over < 0:
            return 0.0
        for sent, by in self._sent:
            used[by] -= 1
            # What is given back within another's share is kept for that one again.
            if by is share or used[by] >= kept[by]:
                over -= 1
            if over < 0:
                return self._over(sent) - now
        return self._WINDOW

    def _behind(self, share: Share) -> float:
        """The seconds that a single alert waits behind everything else, though nobody has claimed what is left."""
        if share is not Share.READS or self._used[share] < self._kept[share]:
            return 0.0
        return 0.0 if len(self._sent) < self._limit / 2 else self._BEHIND

    @property
    def left(self) -> int:
        """Requests that may be sent right now."""
        with self._lock:
            self._forget(self._clock())
            return self._limit - len(self._sent)

    def _forget(self, now: float) -> None:
        while self._sent and self._over(self._sent[0][0]) <= now:
            self._used[self._sent.popleft()[1]] -= 1

    def _over(self, sent: float) -> float:
        # Summed up in one way only: rounded in two, a wait could come out as 0.0, which means "spent".
        return sent + self._WINDOW


class FeedClient:
    """A client for one key, which the config has at ``key_at``. Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        key_at: str = "sentrytex.api_key",
        budget: RequestBudget | None = None,
        connections: Connections | None = None,
        timeout: httpx2.Timeout = TIMEOUT,
        max_seconds: float = MAX_SECONDS,
        max_body: int = MAX_BODY,
    ) -> None:
        self.budget = budget or RequestBudget()
        self._key, self._key_at, self._base = api_key, key_at, base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._connections = connections or Connections(
            base_url, timeout=timeout, max_seconds=max_seconds, max_body=max_body
        )
        self._connections.hold()

    def alerts(self, since: datetime | None, severity: Severity | None = None, *, share: Share = Share.POLLS) -> Page:
        """The newest alerts published at or after ``since``, PAGE of them if the API will; raises SentrytexError."""
        params: dict[str, str] = {"limit": str(PAGE)}
        if since is not None:
            params["since"] = iso(since)
        if severity is not None:
            params["severity"] = severity.value
        body, server_time = self._get("/alerts", params, share)
        items = body.get("alerts")
        if not isinstance(items, list):
            raise BadAnswer(self._lacking("/alerts", "a list of alerts"))
        alerts, aside = sort_out(items, server_time or datetime.now(UTC).replace(microsecond=0))
        return Page(alerts=alerts, set_aside=aside, size=len(items), server_time=server_time)

    def alert(self, alert_id: str) -> Mapping[str, Any]:
        """One alert as the API has it now, its evidence state included; raises NotFound and the other errors."""
        body, _ = self._get(f"/alerts/{quote(alert_id, safe='')}", {}, Share.READS)
        inner = body.get("alert")
        if not isinstance(inner, dict):
            return body
        # What stands beside the alert belongs to it.
        return {**{name: value for name, value in body.items() if name != "alert"}, **inner}

    def stack(self, *, share: Share = Share.STACK) -> Stack:
        """The account's vendors; raises SentrytexError."""
        body, server_time = self._get("/stack", {}, share)
        items = body.get("stack")
        if not isinstance(items, list):
            raise BadAnswer(self._lacking("/stack", "a stack"))
        vendors = {vendor.key: vendor for item in items if (vendor := Vendor.parse(item)) is not None}
        return Stack(vendors=vendors, server_time=server_time)

    def close(self) -> None:
        self._connections.let_go()

    def _lacking(self, path: str, what: str) -> str:
        parts = urlsplit(self._base)
        host = parts.netloc.rpartition("@")[2]
        return f"{host}{parts.path}{path} answers without {what}: is sentrytex.base_url the Sentrytex API?"

    def _get(self, path: str, params: Mapping[str, str], share: Share) -> tuple[dict[str, Any], datetime | None]:
        """What the API answers, and its time; a request is told in the log as it ended, and never with the key."""
        started = time.monotonic()
        try:
            body, server_time = self._ask(path, params, share)
        except SentrytexError as error:
            status = {} if error.status is None else {"status": error.status}
            log.debug("request", path=path, **params, **status, seconds=_since(started), reason=str(error))
            raise
        alerts = body.get("alerts")
        count = {"alerts": len(alerts)} if isinstance(alerts, list) else {}
        log.debug("request", path=path, **params, status=200, seconds=_since(started), **count)
        return body, server_time

    def _ask(self, path: str, params: Mapping[str, str], share: Share) -> tuple[dict[str, Any], datetime | None]:
        wait = self.budget.take(share)
        if wait:
            raise TooManyRequests("This minute's requests to the Sentrytex API are spent.", wait)
        started = time.monotonic()
        try:
            response = self._connections.http.get(self._base + path, params=params, headers=self._headers)
        except TooLarge:
            raise BadAnswer(f"The Sentrytex API's answer is larger than {self._connections.max_body} bytes.") from None
        except httpx2.ConnectTimeout as error:
            raise Unavailable(self._unreachable(error)) from error
        except httpx2.TimeoutException:
            if time.monotonic() - started >= self._connections.max_seconds:
                raise Unavailable(
                    f"The Sentrytex API's answer took longer than {self._connections.max_seconds:g} seconds."
                ) from None
            raise Unavailable("The Sentrytex API did not answer in time.") from None
        except httpx2.HTTPError as error:
            # The text of the exception may name the URL, never the key: that is in a header.
            raise Unavailable(self._unreachable(error)) from error
        is_one = path.startswith("/alerts/")
        if response.status_code != 200:
            refusal = _refusal(response, _said(response.content, self._key), self._key_at, is_one=is_one)
            refusal.server_time, refusal.status = _server_time(response), response.status_code
            raise refusal
        if is_one and len(response.content) > MAX_ONE:
            raise BadAnswer(f"What the Sentrytex API says of a single alert is larger than {MAX_ONE} bytes.")
        return _decoded(response), _server_time(response)

    def _unreachable(self, error: Exception) -> str:
        why = why_unreachable(error, self._base, "sentrytex.base_url")
        if not why:
            return (
                f"The connection to the Sentrytex API was cut before its answer was complete ({type(error).__name__})."
            )
        return f"The Sentrytex API cannot be reached: {why}."


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _elsewhere(response: httpx2.Response, what: str) -> BadAnswer:
    """An answer that is not the API's own: where it came from, without the query, and what to do."""
    url = response.request.url
    place = f"{url.netloc.decode(errors='replace')}{url.path}"
    return BadAnswer(
        f"{place} answers, but not as the Sentrytex API does ({what}): correct sentrytex.base_url, "
        "unless a proxy in between answered."
    )


def _refusal(response: httpx2.Response, said: str, key_at: str, *, is_one: bool) -> SentrytexError:
    """What an answer other than 200 means, with the key that the config has at ``key_at``.

    ``is_one`` says that a single alert was asked for, which may not be there.
    """
    status = response.status_code
    if status in (401, 403) and _is_page(response.content):
        # Nothing says whether the key is at fault, but whoever refuses should not be asked again and again.
        return KeyRefused(f"{_elsewhere(response, f'{status} with a web page')} If that is right, check the key.")
    if status == 401:
        return KeyRefused(f"The Sentrytex API refused the key{said}. Put a valid one into {key_at}.")
    if status == 403:
        return KeyRefused(f"The Sentrytex key may not read this{said}. It needs a Business account and read scopes.")
    if status == 404 and not (is_one and said):
        return _elsewhere(response, f"404{said or ', ' + _kind(response.content)}")
    if status == 404:
        return NotFound(f"The Sentrytex API does not know this{said}: it does not exist or is not in the stack.")
    if status == 429:
        after = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        return TooManyRequests("The Sentrytex API asks for fewer requests (429).", 60.0 if after is None else after)
    if status >= 500:
        return Unavailable(f"The Sentrytex API has a fault of its own ({status}{said}).")
    if 300 <= status < 400:
        return BadAnswer(
            f"The Sentrytex API answered with a redirect ({status}), which is not followed: check base_url."
        )
    return BadAnswer(f"The Sentrytex API answered with {status}{said}.")


def _said(body: bytes, key: str) -> str:
    """What the API's error says, in brackets and without the key; nothing where a proxy answered HTML in between."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return f" ({one_line(clean(error)).replace(key, '…')[:200]})" if isinstance(error, str) and error else ""


def _is_page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _kind(body: bytes) -> str:
    return "a web page" if _is_page(body) else "and no words of its own"


def _decoded(response: httpx2.Response) -> dict[str, Any]:
    body = response.content
    try:
        # Bytes that are no UTF-8, a NaN or a number of a thousand digits must not stop a whole page.
        decoded = json.loads(
            body.decode(errors="replace"), parse_constant=_nothing, parse_int=_integer, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise _elsewhere(response, "a web page" if _is_page(body) else "something that is not JSON") from None
    if not isinstance(decoded, dict):
        raise _elsewhere(response, "JSON of another shape")
    return decoded


def _nothing(_constant: str) -> None:
    """NaN and the infinities, which JSON does not have."""


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 30 else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _server_time(response: httpx2.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None
