"""The requests of a session of requests over kept connections, where no proxy lies between: below the session lie two
libraries that take twice as long as the exchange itself.

An answer and a failure are told as the session tells them.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from forwarder.wire.deadline import bounded, encrypted
from forwarder.wire.kept import Kept

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

_CHUNK: Final = 64 * 1024
_ZIPPED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_FORM: Final = zlib.MAX_WBITS | 32
"""Has zlib find out by itself how something was packed (https://zlib.net/manual.html#Advanced)."""


class Direct:
    """Sends the requests of ``session`` to the one host of ``url``. ``seconds`` is for each wait."""

    def __init__(self, session: Session, url: str, seconds: float, *, most: int) -> None:
        parts = urlsplit(url)
        self._session, self._most = session, most
        tls = _trusting(session.verify) if parts.scheme.lower() == "https" else None
        self._kept = Kept(parts.netloc, tls, seconds)

    def send(self, request: PreparedRequest) -> Response:
        """Its answer, read, whatever the status; raises AnswerTooLarge, and requests.RequestException."""
        connection = self._kept.take()
        try:
            self._connect(connection)
            answer = _exchange(connection, request)
            response = self._told(request, answer)
        except BaseException:
            connection.close()
            raise
        self._kept.give(connection)
        return response

    def close(self) -> None:
        """Ends the connections that wait."""
        self._kept.close()

    def _connect(self, connection: HTTPConnection) -> None:
        if connection.sock is not None:
            return
        from requests import exceptions
        from urllib3.exceptions import NewConnectionError

        try:
            connection.connect()
        except ssl.SSLError as error:
            raise exceptions.SSLError(_Cause(error)) from error
        except TimeoutError as error:
            raise exceptions.ConnectTimeout(_Cause(error)) from error
        except OSError as error:
            raise exceptions.ConnectionError(_Cause(NewConnectionError(connection, str(error)))) from error  # type: ignore[arg-type] # any connection

    def _told(self, request: PreparedRequest, answer: HTTPResponse) -> Response:
        from requests import Response, exceptions
        from requests.cookies import MockRequest, MockResponse
        from requests.structures import CaseInsensitiveDict
        from requests.utils import get_encoding_from_headers

        response, refused = Response(), answer.status >= 300
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.headers.items())
        response.encoding = get_encoding_from_headers(response.headers)
        response.request, response.url = request, request.url or ""
        if "Set-Cookie" in answer.headers:
            self._session.cookies.extract_cookies(MockResponse(answer.headers), MockRequest(request))  # type: ignore[arg-type] # made to look alike
        try:
            body = bounded(_unpacked(answer), self._most)
        except (TimeoutError, OSError, HTTPException, zlib.error) as error:
            if refused:
                # What a refusal says beside its status is nice to know.
                body = b""
            elif isinstance(error, TimeoutError):
                raise exceptions.ReadTimeout(_Cause(error)) from error
            elif isinstance(error, zlib.error):
                raise exceptions.ContentDecodingError(_Cause(error)) from error
            else:
                raise exceptions.ChunkedEncodingError(_Cause(error)) from error
        response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
        return response


class _Cause(Exception):
    """What led to an error, where the session's own errors have it."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _exchange(connection: HTTPConnection, request: PreparedRequest) -> HTTPResponse:
    from requests import exceptions

    try:
        # The standard library would write a text in Latin-1, and fail at anything else.
        body = request.body.encode() if isinstance(request.body, str) else request.body
        connection.request(request.method or "GET", request.path_url, body, dict(request.headers))
        return connection.getresponse()
    except TimeoutError as error:
        raise exceptions.ReadTimeout(_Cause(error)) from error
    except (OSError, HTTPException) as error:
        raise exceptions.ConnectionError(_Cause(error)) from error


def _unpacked(answer: HTTPResponse) -> Iterator[bytes]:
    """The body in pieces, unpacked where it came packed."""
    packed = answer.headers.get("Content-Encoding", "").strip().lower() in _ZIPPED
    unpack = zlib.decompressobj(_ANY_FORM) if packed else None
    while piece := answer.read(_CHUNK):
        if unpack is None:
            yield piece
            continue
        yield from _pieces(unpack.decompress, piece, lambda: unpack.unconsumed_tail)
    if answer.length:
        # Read in pieces, a body that ends too early is no error of its own.
        raise HTTPException("the answer ended too early")
    if unpack is not None and not unpack.eof:
        raise zlib.error("the packed answer ended too early")


def _pieces(unpack: Callable[[bytes, int], bytes], packed: bytes, rest: Callable[[], bytes]) -> Iterator[bytes]:
    # A little can hold very much: it is unpacked piece by piece, so that it can end before the memory does.
    while packed:
        yield unpack(packed, _CHUNK)
        packed = rest()


def _trusting(verify: object) -> ssl.SSLContext:
    """What the session trusts: the file or folder that the environment names, else what comes with its library."""
    from pathlib import Path

    from requests.utils import DEFAULT_CA_BUNDLE_PATH
    from urllib3.util.ssl_ import create_urllib3_context

    bundle = Path(verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH)
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(*((None, bundle) if bundle.is_dir() else (bundle,)))
    context.check_hostname = True
    return encrypted(context)
