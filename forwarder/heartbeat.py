"""A dead man's switch: someone outside hears of each complete poll, and notices when that ends."""

from __future__ import annotations

from typing import Final

import httpx2

from forwarder.common.urls import redirect_host
from forwarder.config import HeartbeatConfig
from forwarder.logs import get_logger
from forwarder.wire.client import Client
from forwarder.wire.unreachable import why_unreachable

log = get_logger(__name__)

TIMEOUT: Final = 10.0
"""Seconds for all of it, the answer included."""


class Heartbeat:
    """Asks the heartbeat's address; the address itself is never shown."""

    def __init__(self, heartbeat: HeartbeatConfig, *, timeout: float = TIMEOUT) -> None:
        self._url = heartbeat.url
        # One client for all: a new one would read the machine's certificates anew for each beat.
        self._client = Client(seconds=timeout) if heartbeat.url is not None else None

    def beat(self) -> bool:
        """Asks once, and says whether it answered well; never raises."""
        if self._url is None or self._client is None:
            return True
        try:
            response = self._client.get(self._url.get_secret_value())
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            log.warning("heartbeat_failed", reason=_reason(error, self._url.get_secret_value()))
            return False
        if response.is_redirect:
            there = redirect_host(response.headers.get("Location"), self._url.get_secret_value().rpartition("/")[2])
            reason = f"It answered with a redirect to {there}, which is not followed: correct heartbeat.url."
            log.warning("heartbeat_failed", reason=reason)
        elif not response.is_success:
            log.warning("heartbeat_failed", reason=f"It answered with {response.status_code}.")
        return response.is_success

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _reason(error: Exception, address: str) -> str:
    if why := why_unreachable(error, address, "heartbeat.url"):
        return f"It could not be reached: {why}."
    if isinstance(error, httpx2.TimeoutException):
        return "It could not be reached: it did not answer in time."
    return f"It could not be reached: the connection was cut ({type(error).__name__})."
