"""Connections to the API: one client's own, or those that the clients of many accounts share."""

from __future__ import annotations

import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from forwarder.wire.client import Client

MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of an answer; a page of 200 alerts never has more."""
MAX_SECONDS: Final = 60.0
"""Seconds for a whole request, the answer included; the client's time-out only limits each pause within it."""
TIMEOUT: Final = httpx2.Timeout(20.0, connect=10.0)


class Connections:
    """Connections to one address, open for as long as anybody holds them. Safe to use from several threads.

    They hold no key: each request brings its own. Nor do they keep a cookie, by which an answer to one account could
    change what another one is shown.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: httpx2.Timeout = TIMEOUT,
        max_seconds: float = MAX_SECONDS,
        max_body: int = MAX_BODY,
    ) -> None:
        self.base_url, self.max_seconds, self.max_body = base_url.rstrip("/"), max_seconds, max_body
        self.http = Client(
            seconds=max_seconds,
            max_body=max_body,
            headers={"Accept": "application/json"},
            timeout=timeout,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Plain http, which the config allows on this machine only, needs no certificates: reading them takes 40 ms.
            verify=self.base_url.startswith("https:"),
        )
        self._holders = 0
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Keeps them open until as many let go as hold them."""
        with self._lock:
            self._holders += 1

    def let_go(self) -> None:
        """Closes them with the last one who held them."""
        with self._lock:
            self._holders -= 1
            last = self._holders <= 0
        if last:
            self.http.close()
