"""PagerDuty's wire: one event in one request, and what each answer other than yes means."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from connectors.pagerduty.config import KEY_HINT, PagerDutyConfig
from forwarder.connector import (
    Broken,
    Failed,
    Payload,
    RateLimited,
    Rejected,
    Retry,
    clean,
    cut,
    format_duration,
    one_line,
    redirect_host,
    retry_after,
)

if TYPE_CHECKING:
    from httpx2 import Response
    from pagerduty import EventsApiV2Client

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds after a 429 that names none; PagerDuty promises no Retry-After."""

AMBIGUOUS: Final = frozenset({408, 421, 423, 425})
"""Statuses below 500 after which the same request may well be taken."""
_WRONG_PLACE: Final = frozenset({403, 404, 405, 407, 410})


class EventsApi:
    """The Events API as the holder of one routing key sees it."""

    def __init__(self, config: PagerDutyConfig, now: Callable[[], datetime]) -> None:
        self._config = config
        self._now = now
        self._lock = threading.Lock()
        self._made: EventsApiV2Client | None = None

    @property
    def host(self) -> str:
        return urlsplit(self._config.address).hostname or ""

    def send(self, event: Payload) -> None:
        """Sends ``event`` in exactly one request; raises Failed unless PagerDuty accepted it."""
        import httpx2
        import pagerduty

        rest = dict(event)
        try:
            self._client.send_event(rest.pop("event_action"), **rest)
        except pagerduty.Error as error:
            if error.response is not None:
                raise Failed(self._refusal(error.response)) from None
            raise Failed(Retry(no_answer(error.__cause__ or error, self._config.address, self._config))) from None
        except httpx2.HTTPError as error:
            raise Failed(Retry(no_answer(error, self._config.address, self._config))) from None

    def status(self) -> int:
        """The HTTP status of the bare address, which shows whether the host answers; raises Failed if it does not."""
        import httpx2

        from forwarder.wire.client import Client

        try:
            with Client(seconds=self._config.timeout.total_seconds()) as client:
                return client.get(self._config.address).status_code
        except httpx2.HTTPError as error:
            raise Failed(Retry(no_answer(error, self._config.address, self._config))) from None

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()

    @property
    def _client(self) -> EventsApiV2Client:
        """The one client of all threads, made when it is first needed: importing the SDK takes long."""
        with self._lock:
            if self._made is None:
                self._made = _make(self._config)
            return self._made

    def _refusal(self, response: Response) -> Retry | RateLimited | Rejected | Broken:
        """What an answer other than a clear yes means: https://developer.pagerduty.com/docs/events-api-v2/overview/"""
        key = self._config.routing_key.get_secret_value()
        status, said = response.status_code, what_it_said(response, key, "[routing key]")
        after = retry_after(response.headers.get("Retry-After"), self._now())
        if response.is_success:
            return Retry(f"PagerDuty's answer (status {status}) could not be read", after)
        if status == 429:
            return RateLimited(RATE_LIMIT_PAUSE if after is None else after, "PagerDuty's rate limit")
        if status >= 500 or status in AMBIGUOUS:
            return Retry(f"PagerDuty answered with status {status}{said}", after)
        if status == 401 or (status == 400 and "routing" in said.lower()):
            return Broken(
                f"PagerDuty refuses the routing key at {self.host} (status {status}{said}): {KEY_HINT}"
                f"{other_region(self._config, self._config.base_url)}"
            )
        if status < 400:
            there = redirect_host(response.headers.get("Location"), key)
            return Broken(
                f"{self.host} answers with a redirect to {there}, which is not followed: check region, base_url and "
                "the proxy"
            )
        if status in _WRONG_PLACE:
            return Broken(
                f"PagerDuty cannot be used at {self.host} (status {status}{said}): check region, base_url and the proxy"
            )
        return Rejected(f"PagerDuty refuses the event (status {status}{said})")


def other_region(config: PagerDutyConfig, base_url: str | None) -> str:
    """Where else a key may be known, as the tail of a sentence: each is known in its own region alone."""
    if base_url is not None:
        return ""
    other = "eu" if config.region == "us" else "us"
    return f", or set region: {other} if the account is there"


def what_it_said(response: Response, secret: str, name: str) -> str:
    """The errors that an answer lists, else its text, as the tail of a sentence, with ``name`` for the secret."""
    try:
        body = response.json()
    except ValueError:
        # A page of HTML is a proxy's, and says less than the status.
        body = "" if response.text.lstrip().startswith("<") else response.text
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        body = body["error"]
    if isinstance(body, Mapping):
        errors = body.get("errors") or body.get("message") or ""
        body = "; ".join(map(str, errors)) if isinstance(errors, list) else errors
    text = one_line(clean(str(body))).replace(secret, name)
    return f": {cut(text, 300)}" if text else ""


def no_answer(error: BaseException, address: str, config: PagerDutyConfig, keys: str = "region and base_url") -> str:
    """Why a request to ``address``, which follows from ``keys``, has no answer that can be used, as a sentence."""
    import httpx2

    from forwarder.wire.client import TooLarge
    from forwarder.wire.unreachable import why_unreachable

    if why := why_unreachable(error, address, keys):
        return f"PagerDuty cannot be reached: {why}"
    if isinstance(error, httpx2.TimeoutException):
        return f"PagerDuty did not answer within {format_duration(config.timeout)}"
    if isinstance(error, httpx2.DecodingError | TooLarge):
        return "PagerDuty's answer could not be read"
    return f"the connection to PagerDuty was cut ({type(error).__name__})"


def _make(config: PagerDutyConfig) -> EventsApiV2Client:
    """The SDK's client, which by itself repeats requests, sleeps in between and knows no address but https."""
    import httpx2
    import pagerduty

    from forwarder.wire.client import Client
    from forwarder.wire.deadline import encrypted
    from forwarder.wire.direct import Direct
    from forwarder.wire.kept import Kept
    from forwarder.wire.unreachable import proxy_of

    seconds = config.timeout.total_seconds()
    waits = {"timeout": httpx2.Timeout(seconds).as_dict()}
    # Parsing it takes a tenth of a request's time.
    address_of = cache(lambda path: httpx2.URL(config.address + path))

    class OneRequest(pagerduty.EventsApiV2Client, Client):
        """Sends an event once, to the configured address, and raises HttpError for every answer but a success."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._ready = httpx2.Headers({**self.headers, **self.prepare_headers("POST")})

        def request(self, method: str, url: Any, **how: Any) -> Response:
            # In place of the SDK's, which resends, knows no Retry-After and waits in the worker; and which makes a deep
            # copy of each event, and headers and address anew, which takes longer than to send it.
            body = {**how["json"], **self.auth_method.auth_param}
            request = httpx2.Request(method, address_of(url), headers=self._ready, json=body, extensions=waits)
            response = self.send(request, auth=None)
            if not response.is_success:
                raise pagerduty.HttpError(f"status {response.status_code}", response)
            return response

    # Plain http is for this machine, and needs no certificates.
    tls = httpx2.create_ssl_context() if config.address.startswith("https:") else None
    routing_key, parts = config.routing_key.get_secret_value(), urlsplit(config.address)
    if proxy_of(parts.scheme, parts.hostname or ""):
        return OneRequest(routing_key, verify=tls or False, seconds=seconds)
    kept = Kept(parts.netloc, encrypted(tls) if tls else None, seconds)
    return OneRequest(routing_key, verify=False, seconds=seconds, transport=Direct(kept))
