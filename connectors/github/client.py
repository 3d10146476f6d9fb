"""GitHub's REST API: a request goes out, its JSON comes back, or RequestFailed with the Outcome that this means.

https://docs.github.com/en/rest
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from connectors.github.config import GitHubConfig
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
    from httpx2 import Response

    from forwarder.wire.client import Client

VERSION: Final = "2022-11-28"
"""https://docs.github.com/en/rest/about-the-rest-api/api-versions"""

RATE_LIMIT_PAUSE: Final = 60.0
"""Seconds after a refusal that names no time; twice as many after the next one, up to LONGEST_PAUSE:
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
"""

LONGEST_PAUSE: Final = 900.0

RIGHTS: Final = "Issues: read and write"
"""What a fine-grained token must be granted:
https://docs.github.com/en/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens
"""

PAGE_SIZE: Final = 30
"""Entries of one answer: of issues with the longest texts, so many are less than MAX_ANSWER."""

MAX_PAGES: Final = 300
"""Pages of one list: one that always has another is out of order."""

MAX_MOVES: Final = 5
"""Redirects of one request that are followed: an issue can be transferred out of a repository that was renamed."""

MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of an answer that are read."""

_MAX_SAID: Final = 300
_TOO_QUICK: Final = "submitted too quickly"
"""What a refusal of new content says that is a limit, though its status is another:
https://github.com/cli/cli/issues/4801"""
_AMBIGUOUS: Final = frozenset({408, 409, 421, 423, 425})
_MOVED: Final = frozenset({301, 302, 307, 308})
_NEEDS_A_PERSON: Final = {
    401: "it does not accept the token: renew it",
    402: "the plan does not allow it",
    405: "base_url does not lead to its REST API",
    407: "the proxy in between requires credentials",
    410: "issues are disabled in the repository: enable them in its settings",
    451: "the repository is blocked",
}

Failure = Retry | RateLimited | Uncertain | Rejected | Broken
"""An Outcome other than Delivered."""


class RequestFailed(Failed):
    """A request without a result. ``outcome`` is what it means for the delivery.

    ``status`` is the HTTP status where there was an answer; ``fields`` those that GitHub did not accept.
    """

    def __init__(self, outcome: Failure, *, status: int | None = None, fields: frozenset[str] = frozenset()) -> None:
        super().__init__(outcome)
        self.status = status
        self.fields = fields


class Api:
    """The REST API as the holder of one token sees it. Every method raises RequestFailed."""

    def __init__(self, config: GitHubConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        self._token = config.token.get_secret_value()
        self._ahead = timedelta()
        """How far GitHub's clock is ahead of ours."""
        self._lock = threading.Lock()
        self._made: Client | None = None
        self._refusals = 0
        """How often in a row a limit was met of which no end was named."""
        self._spent_until = -math.inf
        """When there are requests again, in seconds since 1970: to ask before that can have the account blocked."""

    @property
    def host(self) -> str:
        return urlsplit(self._config.base_url).hostname or ""

    def time(self) -> datetime:
        """What time it is at GitHub, by its last answer; by our clock where none has told yet."""
        return self.in_its_time(self._now())

    def in_its_time(self, moment: datetime) -> datetime:
        """What GitHub's clock said at a moment of ours."""
        return moment + self._ahead

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        writes: bool = False,
    ) -> Any:
        """The JSON that the request is answered, None for an answer without content.

        Of a request that ``writes`` it is not known what became of it where the answer is lost: Uncertain. Any other
        can be repeated.
        """
        return self._answer(method, path, query or {}, body, writes=writes)[0]

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """All entries of a list, page by page; a list that does not end is an error, and not shorter."""
        query = {"per_page": PAGE_SIZE, **query}
        for _ in range(MAX_PAGES):
            page, links = self._answer("GET", path, query, None, writes=False)
            if not isinstance(page, list) or not all(isinstance(entry, Mapping) for entry in page):
                raise RequestFailed(self._unreadable(writes=False))
            yield from page
            following = links.get("next", {}).get("url")
            if not following:
                return
            # Of the address of the next page no more is taken than what is asked for there.
            query = dict(parse_qsl(urlsplit(following).query))
        raise RequestFailed(Retry("GitHub's list has no end"))

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()

    def _answer(
        self, method: str, path: str, query: Mapping[str, Any], body: Any, *, writes: bool
    ) -> tuple[Any, Mapping[str | None, Mapping[str, str]]]:
        """What the answer says, and the links that come with it."""
        self._wait_for_requests()
        response = self._sent(method, f"{self._config.base_url}/{path}", query, body, writes=writes)
        for _ in range(MAX_MOVES):
            if (moved := self._moved_to(response)) is None:
                break
            response = self._sent(method, moved, query, body, writes=writes)
        self._note(response)
        if not response.is_success:
            raise self._refusal(response, writes=writes)
        if response.status_code == 204 and not response.content:
            return None, {}
        try:
            return response.json(), response.links
        except (ValueError, RecursionError):
            raise RequestFailed(self._unreadable(writes=writes)) from None

    def _sent(self, method: str, url: str, query: Mapping[str, Any], body: Any, *, writes: bool) -> Response:
        import httpx2

        try:
            return self._client().request(
                method, url, params={name: str(value) for name, value in query.items()} or None, json=body
            )
        except httpx2.HTTPError as error:
            raise RequestFailed(self._lost(error, writes=writes)) from None

    def _client(self) -> Client:
        """The one client of all threads, made when it is first needed."""
        from forwarder.wire.direct import connected

        with self._lock:
            if self._made is None:
                self._made = connected(
                    self._config.base_url,
                    seconds=self._config.timeout.total_seconds(),
                    max_body=MAX_ANSWER,
                    headers={
                        "Authorization": f"Bearer {self._token}",
                        "Accept": "application/vnd.github+json",
                        "X-GitHub-Api-Version": VERSION,
                        "User-Agent": "sentrytex-forwarder",
                    },
                )
            return self._made

    def _moved_to(self, response: Response) -> str | None:
        """Where a repository that was renamed, or an issue that was transferred, is asked for by number.

        No other redirect is followed: it would take the token to wherever it points.
        """
        there = response.headers.get("Location", "")
        known = f"{self._config.base_url}/repositories/"
        return there.partition("?")[0] if response.status_code in _MOVED and there.startswith(known) else None

    def _wait_for_requests(self) -> None:
        left = self._spent_until - self.time().timestamp()
        if left > 0:
            raise RequestFailed(RateLimited(left, "GitHub's rate limit"))

    def _note(self, response: Response) -> None:
        headers = response.headers
        with suppress(KeyError, TypeError, ValueError):
            self._ahead = parsedate_to_datetime(headers["Date"]).astimezone(UTC) - self._now()
        if response.is_success:
            self._refusals = 0
        if headers.get("x-ratelimit-remaining") == "0" and "Retry-After" not in headers:
            with suppress(KeyError, ValueError):
                hour = self.time().timestamp() + 3600
                self._spent_until = min(float(headers["x-ratelimit-reset"]), hour)

    def _refusal(self, response: Response, *, writes: bool) -> RequestFailed:
        """https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api"""
        status = response.status_code
        message, fields = _complaints(response)
        said = cut(one_line(message.replace(self._token, "•••")), _MAX_SAID)
        reason = f"GitHub answered {status}" + (f": {said}" if said else "")
        tail = f" ({said})" if said else ""
        outcome: Failure
        if (pause := self._pause(response, message)) is not None:
            outcome = RateLimited(pause, "GitHub's rate limit")
        elif status >= 500 or status in _AMBIGUOUS:
            after = retry_after(response.headers.get("Retry-After"), self._now())
            outcome = Uncertain(reason) if writes else Retry(reason, after)
        elif status < 400:
            there = redirect_host(response.headers.get("Location"), self._token)
            outcome = Broken(f"GitHub's base_url answers with a redirect to {there}, which is not followed: correct it")
        elif status == 403:
            outcome = Broken(f"GitHub does not allow it{tail}: grant the token {RIGHTS} in the repository")
        elif status == 404:
            outcome = Broken(
                f"GitHub has no repository {self._config.repository} that the token may use (404{tail}): correct "
                f"repository, or grant the token {RIGHTS} there"
            )
        elif status in _NEEDS_A_PERSON:
            outcome = Broken(f"GitHub answered {status}: {_NEEDS_A_PERSON[status]}{tail}")
        else:
            outcome = Rejected(reason) if writes else Broken(reason)
        return RequestFailed(outcome, status=status, fields=fields)

    def _pause(self, response: Response, message: str) -> float | None:
        """Seconds to wait where a limit was met; None where the refusal has another reason.

        A secondary limit is a 403 as often as a 429, and need not name a time.
        """
        status, headers = response.status_code, response.headers
        if status not in (403, 429) and not (status == 422 and _TOO_QUICK in message.lower()):
            return None
        after = retry_after(headers.get("Retry-After"), self._now())
        if after is None and (left := self._spent_until - self.time().timestamp()) > 0:
            after = left
        said = message.lower()
        if status == 403 and after is None and not ("rate limit" in said or "abuse detection" in said):
            return None
        if after is not None:
            return after
        self._refusals += 1
        return float(min(RATE_LIMIT_PAUSE * 2 ** min(self._refusals - 1, 10), LONGEST_PAUSE))

    def _lost(self, error: BaseException, *, writes: bool) -> Failure:
        """What a request without a whole answer means."""
        import httpx2

        from forwarder.wire.client import TooLarge
        from forwarder.wire.unreachable import why_unreachable

        if why := why_unreachable(error, self._config.base_url, "base_url"):
            return Retry(f"GitHub cannot be reached: {why}")
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            return Retry(f"GitHub cannot be reached at {self.host} ({type(error).__name__})")
        if isinstance(error, httpx2.DecodingError | TooLarge):
            return self._unreadable(writes=writes)
        if isinstance(error, httpx2.TimeoutException):
            reason = f"GitHub did not answer within {format_duration(self._config.timeout)}"
        else:
            reason = f"the connection to GitHub was cut ({type(error).__name__})"
        return Uncertain(reason) if writes else Retry(reason)

    def _unreadable(self, *, writes: bool) -> Failure:
        """What a successful answer means that is not what the request asks for."""
        reason = "GitHub's answer could not be read: if that lasts, correct base_url, or the proxy in between"
        return Uncertain(reason) if writes else Retry(reason)


def _complaints(response: Response) -> tuple[str, frozenset[str]]:
    """What GitHub says is wrong, and which fields that is about."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return "", frozenset()
    if not isinstance(body, Mapping):
        return "", frozenset()
    errors = body.get("errors")
    known = [error for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    details = [f"{one.get('field')}: {one.get('message') or one.get('code')}" for one in known]
    details += [one for one in (errors if isinstance(errors, list) else [errors]) if isinstance(one, str)]
    said = "; ".join([str(body.get("message") or ""), *details])
    return clean(said), frozenset(str(one.get("field")) for one in known)
