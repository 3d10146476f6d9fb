"""The SDK's session: authentication, proxies, certificates, and every answer other than a success as an exception.

The SDK's calls for single requests are not used: they hide the headers that say whether a search was authenticated at
all, read every field of the site before the first search, and refuse Cloud's list of issue types where the site was not
asked for its version first.
"""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from forwarder.wire.deadline import AnswerTooLarge, bounded
from forwarder.wire.prepared import Direct
from forwarder.wire.unreachable import proxy_of

if TYPE_CHECKING:
    from jira import JIRA
    from jira.resilientsession import ResilientSession
    from requests import Response

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of an answer: the largest are those that list the fields of a project, of which a site can have thousands."""

_CHUNK: Final = 64 * 1024
_CONNECT_TIMEOUT: Final = 3.0
_LOADING: Final = threading.Lock()
"""Connectors begin at the same time: what one has hidden is no other's to show again."""


class Refused(Exception):
    """An answer other than a success."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class SignedIn:
    """The SDK's session, signed in, which sends each request once and raises Refused.

    For each request a session puts together its settings and the environment's, which takes as long as the exchange
    itself. Here that is done once.
    """

    def __init__(self, session: ResilientSession, url: str, seconds: float) -> None:
        from requests import PreparedRequest, Request

        self._session = session
        parts = urlsplit(url)
        proxied = proxy_of(parts.scheme, parts.hostname or "")
        self._direct = None if proxied else Direct(session, url, seconds, most=MAX_BODY)
        pattern = session.prepare_request(Request("GET", url))
        self._headers, self._hooks, self._blank = pattern.headers, pattern.hooks, PreparedRequest
        self._address = lru_cache(maxsize=64)(self._prepared)

    def close(self) -> None:
        """Ends the connections that wait for a request."""
        if self._direct is not None:
            self._direct.close()
        self._session.close()

    def request(self, method: str, url: str, *, params: Any = None, body: Any = None) -> Response:
        """Its answer, read; raises Refused, AnswerTooLarge and requests.RequestException."""
        session, request = self._session, self._blank()
        request.method, request.hooks = method, self._hooks
        request.url = self._address(url) if params is None else self._prepared(url, params)
        request.headers = self._headers.copy()
        if len(session.cookies):
            request.prepare_cookies(session.cookies)
        request.prepare_body(None, None, body)
        if self._direct is None:
            return session.send(request, timeout=session.timeout, allow_redirects=False)
        response = self._direct.send(request)
        if response.status_code >= 300:
            raise Refused(response)
        return response

    def _prepared(self, url: str, params: Any = None) -> str | None:
        request = self._blank()
        request.prepare_url(url, params)
        return request.url


def signed_in(url: str, token: str, email: str | None, *, timeout: float, connections: int) -> SignedIn:
    """A session with the site at ``url``; ``timeout`` is in seconds, ``connections`` how many it keeps."""
    session = _sdk()(
        server=url,
        options={"headers": {"User-Agent": "sentrytex-forwarder"}},
        basic_auth=(email, token) if email is not None else None,
        token_auth=None if email is not None else token,
        get_server_info=False,
        max_retries=0,
        timeout=(min(_CONNECT_TIMEOUT, timeout), timeout),
        logging=False,
    )._session
    _keep_connections(session, connections)
    # Comes before a redirect is followed, which would turn a POST into a GET, and before the SDK reads a body, without
    # any limit, and stumbles over one that is not an object.
    session.hooks["response"].append(_read)
    # Not before the SDK is loaded: it would bring along what that is kept from loading.
    from forwarder.wire.adapter import read_environment

    read_environment(session, url)
    return SignedIn(session, url, timeout)


def _sdk() -> type[JIRA]:
    # requests would load charset_normalizer, 3 MB, to guess the encodings of texts, and warns where it cannot. Jira
    # speaks JSON, where there is nothing to guess.
    with _LOADING:
        hidden = sys.modules.setdefault("charset_normalizer", None) is None  # type: ignore[arg-type] # marks it as absent
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from jira import JIRA
        if hidden:
            del sys.modules["charset_normalizer"]
    return JIRA


def _keep_connections(session: ResilientSession, connections: int) -> None:
    from forwarder.wire.adapter import DeadlineAdapter

    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(pool_maxsize=connections))


def _read(response: Response, *_: Any, **__: Any) -> None:
    """Reads the answer up to MAX_BODY; raises Refused, and AnswerTooLarge."""
    from requests import RequestException

    if response.status_code < 300:
        try:
            _keep(response, bounded(response.iter_content(_CHUNK), MAX_BODY))
        finally:
            response.close()
        return
    body = b""
    # What a refusal says beside its status is nice to know.
    with suppress(RequestException, AnswerTooLarge):
        body = bounded(response.iter_content(_CHUNK), MAX_BODY)
    response.close()
    _keep(response, body)
    raise Refused(response)


def _keep(response: Response, body: bytes) -> None:
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]
