"""The Sentrytex API: alerts, single alerts, the stack; what goes wrong there, and how often we may ask.

Source of every fact here is the vendor's "API Reference": GET /alerts (limit, severity, since), GET /alerts/:id,
GET /stack, the errors, and 100 requests a minute for a key, in a sliding window.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

import httpx2

from forwarder.alert import Alert, MalformedAlert, SetAside, Severity
from forwarder.common.backoff import retry_after
from forwarder.common.clock import iso
from forwarder.common.text import clean, one_line
from forwarder.logs import get_logger
from forwarder.wire.client import Client, TooLarge

log = get_logger(__name__)

PAGE: Final = 200
"""Alerts that are asked for at once: the most that the reference allows. How many there are, only the answer says."""
REQUESTS_A_MINUTE: Final = 100
MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of an answer; a page of 200 alerts never has more."""
MAX_SECONDS: Final = 60.0
"""Seconds for a whole request, the answer included; the client's time-out only limits each pause within it."""
MAX_RAW: Final = 64 * 1024
"""Characters of a malformed alert that are kept to look at."""
MAX_DEPTH: Final = 500
"""Levels of lists and objects within an alert: what is nested deeper can be read, but not written again."""
TIMEOUT: Final = httpx2.Timeout(20.0, connect=10.0)


class Share(Enum):
    """Who asks, and the part of each minute's requests that is kept for them. What nobody claims is for all."""

    POLLS = 0.4
    SWEEPS = 0.2
    STACK = 0.04
    READS = 0.06
    """Single alerts, which people ask for."""


class SentrytexError(Exception):
    """The API could not be read; the message is a sentence for people and holds no secret.

    ``server_time`` is the refusal's Date header, where there was an answer that had one, ``status`` its HTTP status.

    SentrytexError
    ├── KeyRefused     401, 403: nothing comes until a person acts
    ├── NotFound       404: no such alert, or not in the stack
    ├── RateLimited    429, or our own budget: ``after`` seconds
    ├── Unavailable    5xx, time-outs, a network that fails
    └── BadAnswer      an answer that is not the API's: HTML, a redirect, cut short, too large
    """

    result = "error"
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
        return min((alert.published_at for alert in self.alerts), default=None)

    def reaches_behind(self, time: datetime) -> bool:
        """Whether it shows something older than ``time``, and so, newest first, all that was published since."""
        return self.oldest is not None and self.oldest < time


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """The vendors that the account follows, by key, with their names."""

    vendors: Mapping[str, str]
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

    def take(self, share: Share = Share.POLLS) -> float:
        """Spends one request and returns 0.0; where only what is kept for others is left, the seconds to wait."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            wait = self._wait(share, now)
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
    """A client for one key. Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        budget: RequestBudget | None = None,
        timeout: httpx2.Timeout = TIMEOUT,
        max_seconds: float = MAX_SECONDS,
        max_body: int = MAX_BODY,
    ) -> None:
        self.budget = budget or RequestBudget()
        self._max_seconds, self._max_body = max_seconds, max_body
        self._key = api_key
        self._base = base_url.rstrip("/")
        self._client = Client(
            seconds=max_seconds,
            max_body=max_body,
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=timeout,
            # Plain http, which the config allows on this machine only, needs no certificates: reading them takes 40 ms.
            verify=self._base.startswith("https:"),
        )

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
            raise BadAnswer("The Sentrytex API answered without a list of alerts.")
        alerts, aside = _sort_out(items)
        return Page(alerts=alerts, set_aside=aside, size=len(items), server_time=server_time)

    def alert(self, alert_id: str) -> Mapping[str, Any]:
        """One alert as the API has it now, its evidence state included; raises NotFound and the other errors."""
        body, _ = self._get(f"/alerts/{quote(alert_id, safe='')}", {}, Share.READS)
        inner = body.get("alert")
        return inner if isinstance(inner, dict) else body

    def stack(self, *, share: Share = Share.STACK) -> Stack:
        """The account's vendors; raises SentrytexError."""
        body, server_time = self._get("/stack", {}, share)
        items = body.get("stack")
        if not isinstance(items, list):
            raise BadAnswer("The Sentrytex API answered without a stack.")
        vendors = {
            str(item["vendor_key"]): str(item.get("vendor_name") or item["vendor_key"])
            for item in items
            if isinstance(item, dict) and item.get("vendor_key")
        }
        return Stack(vendors=vendors, server_time=server_time)

    def close(self) -> None:
        self._client.close()

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
            response = self._client.get(self._base + path, params=params)
        except TooLarge:
            raise BadAnswer(f"The Sentrytex API's answer is larger than {self._max_body} bytes.") from None
        except httpx2.TimeoutException:
            if time.monotonic() - started >= self._max_seconds:
                raise Unavailable(
                    f"The Sentrytex API's answer took longer than {self._max_seconds:g} seconds."
                ) from None
            raise Unavailable("The Sentrytex API did not answer in time.") from None
        except httpx2.HTTPError as error:
            # The text of the exception may name the URL, never the key: that is in a header.
            raise Unavailable(f"The Sentrytex API could not be reached ({type(error).__name__}).") from error
        if response.status_code != 200:
            refusal = _refusal(response, _said(response.content, self._key))
            refusal.server_time, refusal.status = _server_time(response), response.status_code
            raise refusal
        return _decoded(response.content), _server_time(response)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _refusal(response: httpx2.Response, said: str) -> SentrytexError:
    status = response.status_code
    if status == 401:
        return KeyRefused(f"The Sentrytex API refused the key{said}. Put a valid one into sentrytex.api_key.")
    if status == 403:
        return KeyRefused(f"The Sentrytex key may not read this{said}. It needs a Business account and read scopes.")
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


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        # Bytes that are no UTF-8, a NaN or a number of a thousand digits must not stop a whole page.
        decoded = json.loads(
            body.decode(errors="replace"), parse_constant=_nothing, parse_int=_integer, parse_float=_finite
        )
    except (ValueError, RecursionError):
        what = "HTML" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        raise BadAnswer(f"The Sentrytex API answered with {what}; a proxy in between may have.") from None
    if not isinstance(decoded, dict):
        raise BadAnswer("The Sentrytex API answered with JSON of another shape.")
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


def _sort_out(items: list[Any]) -> tuple[tuple[Alert, ...], tuple[SetAside, ...]]:
    alerts: dict[str, Alert] = {}
    aside: dict[str, SetAside] = {}
    for item in items:
        try:
            alert = _parsed(item)
        except MalformedAlert as error:
            raw = clean(_text_of(item))
            digest = hashlib.sha256(raw.encode()).hexdigest()
            aside[digest] = SetAside(digest=digest, raw=raw[:MAX_RAW], reason=str(error))
        else:
            # The same id twice on one page is one alert; the first is the newest.
            alerts.setdefault(alert.id, alert)
    return tuple(alerts.values()), tuple(aside.values())


def _parsed(item: Any) -> Alert:
    level = [item]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return Alert.parse(item)
    raise MalformedAlert(f"it is nested more than {MAX_DEPTH} levels deep")


def _within(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _text_of(item: Any) -> str:
    try:
        return json.dumps(item, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        alert_id = item.get("id") if isinstance(item, dict) else None
        return f"The alert {alert_id} is nested too deeply to be written out."
