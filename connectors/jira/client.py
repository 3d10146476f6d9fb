"""One Jira site: a request goes out, its JSON comes back, or the Outcome that its failure means.

The SDK brings the session: authentication, proxies, certificates. Its calls for single requests are not used: they hide
the headers that say whether a search was authenticated at all, read every field of the site before the first search,
and refuse Cloud's list of issue types where the site was not asked for its version first.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

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
    retry_after,
)

if TYPE_CHECKING:
    from jira.resilientsession import ResilientSession
    from requests import RequestException, Response

RATE_LIMIT_PAUSE: Final = 30.0
"""Seconds to wait after a 429 that names no time.

https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
"""

PAGE_SIZE: Final = 100
"""Most entries that one request for a list asks for."""

_CONNECT_TIMEOUT: Final = 3.0
_MAX_WORDS: Final = 300
_AMBIGUOUS: Final = frozenset({408, 409, 421, 423, 425})
_HOST: Final = re.compile(r"https?://(?:[^/@]*@)?([\w.:-]{1,100})")
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
        self.cloud = email is not None
        self._now = now
        self._secrets = (token, b64encode(f"{email or ''}:{token}".encode()).decode())
        self._base = f"{url}/rest/api/{3 if self.cloud else 2}"
        self._signing_in = threading.Lock()
        self._made: ResilientSession | None = None
        self._make = partial(_signed_in, url, token, email, timeout=timeout, connections=connections)

    @property
    def _session(self) -> ResilientSession:
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
            response = session.request(method, f"{self._base}/{path}", params=params, json=body)
            answer = response.json() if response.content else {}
        except _Refused as refused:
            raise self._refusal(refused.response, writes=writes) from None
        except RequestException as error:
            raise RequestFailed(_lost(error, writes=writes)) from None
        if not writes and (reason := _unauthenticated(response)):
            raise RequestFailed(
                Broken(f"Jira answered, but did not accept the credentials ({reason}): renew the token")
            )
        if not isinstance(answer, dict):
            raise RequestFailed(unreadable(writes=writes))
        return answer

    def pages(self, path: str, *names: str) -> list[Mapping[str, Any]]:
        """All entries of a list that Jira hands out in pages, under one of ``names``; raises RequestFailed."""
        entries: list[Mapping[str, Any]] = []
        while True:
            answer = self.ask("GET", path, params={"startAt": len(entries), "maxResults": PAGE_SIZE})
            page = next((answer[name] for name in names if isinstance(answer.get(name), list)), None)
            if page is None:
                raise RequestFailed(unreadable(writes=False))
            entries.extend(entry for entry in page if isinstance(entry, dict))
            if not page or len(entries) >= count(answer.get("total")):
                return entries

    def close(self) -> None:
        with self._signing_in:
            if self._made is not None:
                self._made.close()

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
            there = _HOST.match(response.headers.get("Location", ""))
            outcome = Broken(f"Jira's url redirects to {there[1] if there else 'another page'}: put that under url")
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


def _signed_in(url: str, token: str, email: str | None, *, timeout: float, connections: int) -> ResilientSession:
    """The SDK's session, signed in, which sends each request once."""
    # requests would load charset_normalizer, 3 MB, to guess the encodings of texts, and warns where it cannot. Jira
    # speaks JSON, where there is nothing to guess.
    hidden = sys.modules.setdefault("charset_normalizer", None) is None  # type: ignore[arg-type] # marks it as absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jira import JIRA
    if hidden:
        del sys.modules["charset_normalizer"]
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies

    session = JIRA(
        server=url,
        options={"headers": {"User-Agent": "sentrytex-forwarder"}},
        basic_auth=(email, token) if email is not None else None,
        token_auth=None if email is not None else token,
        get_server_info=False,
        max_retries=0,
        timeout=(min(_CONNECT_TIMEOUT, timeout), timeout),
        logging=False,
    )._session
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    # Comes before a redirect is followed, which would turn a POST into a GET, and before the SDK reads an error's
    # body, where it stumbles over one that is not an object.
    session.hooks["response"].append(_raise_refusal)
    # Proxies and certificates are read from the environment once: doing it for each request costs a seventh of its
    # time. And a .netrc, which the session would obey too, must not replace the account.
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies.update(get_environ_proxies(url, no_proxy=None))
    session.verify = settings["verify"]
    session.trust_env = False
    return session


def dig(value: object, *names: str) -> Any:
    """What stands in nested JSON objects under ``names``; None where one of them is not there."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


class _Refused(Exception):
    """An answer other than a success."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def _raise_refusal(response: Response, *_: Any, **__: Any) -> None:
    if response.status_code >= 300:
        raise _Refused(response)


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
    reason = "Jira's answer could not be read"
    return Uncertain(reason) if writes else Retry(reason)


def _lost(error: RequestException, *, writes: bool) -> Failure:
    """What a request without a complete answer means. The SDK's own words stay out: they hold addresses and headers."""
    from requests import exceptions
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, exceptions.JSONDecodeError):
        return unreadable(writes=writes)
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return Broken("Jira's certificate cannot be verified: set REQUESTS_CA_BUNDLE if it is your own authority's")
    if isinstance(error, exceptions.ConnectTimeout | exceptions.ProxyError) or isinstance(cause, NewConnectionError):
        return Retry("no connection to Jira")
    late = isinstance(error, exceptions.Timeout) or "timed out" in str(error)
    reason = "Jira did not answer in time" if late else "the connection to Jira broke before the answer was complete"
    return Uncertain(reason) if writes else Retry(reason)


def count(value: object) -> int:
    """A number as Jira gives it, 0 for anything else."""
    return value if isinstance(value, int) else 0
