"""One Jira site: a request goes out, its JSON comes back, or RequestFailed with the Outcome that its failure means."""

from __future__ import annotations

import re
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from connectors.jira.session import Refused, SignedIn, signed_in
from forwarder.connector import (
    Broken,
    Failed,
    RateLimited,
    Rejected,
    Retry,
    Uncertain,
    clean,
    cut,
    one_line,
    redirect_host,
    retry_after,
)
from forwarder.wire.deadline import AnswerTooLarge, asking, deadline
from forwarder.wire.unreachable import why_unreachable

if TYPE_CHECKING:
    from requests import RequestException, Response

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds to wait after a 429 that names no time.

https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
"""

PAGE_SIZE: Final = 100
"""Most entries that one request for a list asks for."""

MAX_PAGES: Final = 100
"""Pages of one list: a site that always has another one is out of order."""

_MAX_WORDS: Final = 300
_AMBIGUOUS: Final = frozenset({408, 409, 421, 423, 425})
_NEEDS_A_PERSON: Final = {
    401: "it does not accept the credentials, so renew the token",
    402: "the site's subscription does not allow it",
    403: "the account lacks a permission",
    404: "it does not exist, or the account may not see it",
    405: "the url does not lead to Jira's REST API",
    407: "the proxy in between requires credentials",
    410: "this site no longer offers the request",
}

Failure = Retry | RateLimited | Uncertain | Rejected | Broken
"""An Outcome other than Delivered."""


class RequestFailed(Failed):
    """A request without a result. ``outcome`` is what it means for the delivery.

    ``status`` is the HTTP status where there was an answer; ``errors`` what Jira said of single fields, by their id.
    """

    def __init__(self, outcome: Failure, *, status: int | None = None, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(outcome)
        self.status = status
        self.errors = errors or {}


class Site:
    """A Jira site as one account sees it: Cloud with ``email`` (API version 3), Data Center without (version 2).

    ``timeout`` is in seconds, ``connections`` how many threads use it at once.
    """

    def __init__(
        self,
        url: str,
        token: str,
        email: str | None,
        *,
        timeout: float,
        connections: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.url = url
        self.cloud = email is not None
        self._now = now
        self._ahead = timedelta()
        """How far the site's clock is ahead of ours."""
        self._secrets = (token, b64encode(f"{email or ''}:{token}".encode()).decode())
        self._base = f"{url}/rest/api/{3 if self.cloud else 2}"
        self._signing_in = threading.Lock()
        self._made: SignedIn | None = None
        self._timeout = timeout
        self._make = partial(signed_in, url, token, email, timeout=timeout, connections=connections)

    def time(self) -> datetime:
        """What time it is at the site, by its last answer; by our clock where none has told yet."""
        return self.in_its_time(self._now())

    def in_its_time(self, moment: datetime) -> datetime:
        """What the site's clock said at a moment of ours."""
        return moment + self._ahead

    @property
    def _session(self) -> SignedIn:
        """The one session of all threads, made when it is first needed: importing the SDK costs a tenth of a second."""
        with self._signing_in:
            if self._made is None:
                self._made = self._make()
            return self._made

    def ask(
        self, method: str, path: str, *, params: Any = None, body: Any = None, writes: bool = False
    ) -> dict[str, Any]:
        """The JSON object that the request is answered, empty for an answer without content; raises RequestFailed.

        Of a request that ``writes`` it is not known what became of it where the answer is lost: Uncertain. Any other
        can be repeated.
        """
        session = self._session
        from requests import RequestException

        try:
            with deadline(self._timeout), nullcontext() if writes else asking():
                response = session.request(method, f"{self._base}/{path}", params=params, body=body)
            self._read_clock(response)
            answer = response.json() if response.content else {}
        except Refused as refused:
            raise self._refusal(refused.response, writes=writes) from None
        except AnswerTooLarge:
            raise RequestFailed(unreadable(writes=writes)) from None
        except RequestException as error:
            raise RequestFailed(_lost(error, self._base, writes=writes)) from None
        if not writes and (reason := _unauthenticated(response)):
            raise RequestFailed(
                Broken(f"Jira answered, but did not accept the credentials ({reason}): renew the token")
            )
        if not isinstance(answer, dict):
            raise RequestFailed(unreadable(writes=writes))
        return answer

    def pages(self, path: str, *names: str) -> list[Mapping[str, Any]]:
        """All entries of a list that Jira hands out in pages, under one of ``names``; raises RequestFailed.

        A list that ends before Jira's count of it is an error, and not shorter.
        """
        entries: list[Mapping[str, Any]] = []
        for _ in range(MAX_PAGES):
            answer = self.ask("GET", path, params={"startAt": len(entries), "maxResults": PAGE_SIZE})
            page = next((answer[name] for name in names if isinstance(answer.get(name), list)), None)
            if page is None:
                raise RequestFailed(unreadable(writes=False))
            if not all(isinstance(entry, dict) for entry in page):
                raise RequestFailed(unreadable(writes=False))
            entries.extend(page)
            if _is_last(answer, page, len(entries)):
                return entries
            if not page:
                break
        raise RequestFailed(cut_short())

    def close(self) -> None:
        with self._signing_in:
            if self._made is not None:
                self._made.close()

    def _read_clock(self, response: Response) -> None:
        with suppress(KeyError, TypeError, ValueError):
            self._ahead = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC) - self._now()

    def _refusal(self, response: Response, *, writes: bool) -> RequestFailed:
        status = response.status_code
        messages, errors = _complaints(response)
        complaints = [*messages, *(f"{field}: {text}" for field, text in errors.items())]
        said = cut(self._without_secrets(one_line("; ".join(complaints))), _MAX_WORDS)
        reason = f"Jira answered {status}" + (f": {said}" if said else "")
        pause = retry_after(response.headers.get("Retry-After"), self._now())
        outcome: Failure
        if status == 429:
            outcome = RateLimited(RATE_LIMIT_PAUSE if pause is None else pause, "Jira's rate limit")
        elif status >= 500 or status in _AMBIGUOUS:
            outcome = Uncertain(reason) if writes else Retry(reason, pause)
        elif status < 400:
            there = redirect_host(response.headers.get("Location"), *self._secrets)
            outcome = Broken(f"Jira's url answers with a redirect to {there}, which is not followed: correct url")
        elif status == 404 and (not said or _is_part_of_every_jira(response)):
            detail = f" ({said})" if said else ""
            outcome = Broken(f"Jira's REST API is not at this url (404{detail}): correct url, and email for Cloud only")
        elif status in _NEEDS_A_PERSON:
            outcome = Broken(f"Jira answered {status}: {_NEEDS_A_PERSON[status]}" + (f" ({said})" if said else ""))
        else:
            outcome = Rejected(reason) if writes else Broken(reason)
        return RequestFailed(outcome, status=status, errors=errors)

    def _without_secrets(self, text: str) -> str:
        # A proxy in between may repeat what it was sent.
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        return text


def dig(value: object, *names: str) -> Any:
    """What stands in nested JSON objects under ``names``; None where one of them is not there."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_part_of_every_jira(response: Response) -> bool:
    """Whether what was asked for is there in every Jira, whatever its projects and tickets."""
    return bool(re.search(r"/rest/api/\d/(myself|search)\b", response.url or ""))


def _complaints(response: Response) -> tuple[list[str], dict[str, str]]:
    """What Jira says is wrong: in general, and of single fields."""
    from requests import RequestException

    try:
        body = response.json()
    except (ValueError, RequestException):
        return [], {}
    if not isinstance(body, dict):
        return [], {}
    general, fields = body.get("errorMessages"), body.get("errors")
    messages = [clean(str(text)) for text in (general if isinstance(general, list) else [body.get("message")]) if text]
    errors = {clean(str(field)): clean(str(text)) for field, text in fields.items()} if isinstance(fields, dict) else {}
    return messages, errors


def _unauthenticated(response: Response) -> str | None:
    """Why an answer counts for nothing though its status says OK: Jira took us for a stranger, who sees no ticket.

    https://developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis/
    """
    reason = str(response.headers.get("X-Seraph-LoginReason", "OK")).strip()
    if reason not in {"", "OK"}:
        return cut(clean(reason), 40)
    return "anonymous" if response.headers.get("X-AUSERNAME") == "anonymous" else None


def unreadable(*, writes: bool) -> Failure:
    """What a successful answer means that is not what the request asks for."""
    reason = "Jira's answer could not be read: if that lasts, correct url, or the proxy in between"
    return Uncertain(reason) if writes else Retry(reason)


def cut_short() -> Failure:
    """What a list means that ends before its end."""
    return Retry("Jira cut its list short")


def _is_last(answer: Mapping[str, Any], page: list[Any], seen: int) -> bool:
    total = answer.get("total")
    if isinstance(total, int):
        return seen >= total
    return answer.get("isLast") is True or len(page) < PAGE_SIZE


def _lost(error: RequestException, address: str, *, writes: bool) -> Failure:
    """What a request without a complete answer means. The SDK's own words stay out: they hold addresses and headers."""
    from requests import exceptions
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, exceptions.JSONDecodeError):
        return unreadable(writes=writes)
    cause = getattr(error.args[0], "reason", None) if error.args else None
    why = why_unreachable(error, address, "url")
    if isinstance(error, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return Broken(f"Jira cannot be reached: {why}")
    reached = f"Jira cannot be reached: {why}" if why else "no connection to Jira"
    if isinstance(error, exceptions.ConnectTimeout | exceptions.ProxyError) or isinstance(cause, NewConnectionError):
        return Retry(reached)
    if why:
        return Uncertain(reached) if writes else Retry(reached)
    late = isinstance(error, exceptions.Timeout) or "timed out" in str(error)
    reason = "Jira did not answer in time" if late else "the connection to Jira broke before the answer was complete"
    return Uncertain(reason) if writes else Retry(reason)


def count(value: object) -> int:
    """A number as Jira gives it, 0 for anything else."""
    return value if isinstance(value, int) else 0
