"""A dead man's switch: someone outside is told of each complete poll, and notices when that ends."""

from __future__ import annotations

from typing import Final

import httpx2
import structlog

from forwarder.config import Heartbeat

log = structlog.get_logger(__name__)

TIMEOUT: Final = 10.0


def ping(heartbeat: Heartbeat) -> bool:
    """Asks the address once, and says whether it answered well; the address itself is never shown."""
    if heartbeat.url is None:
        return True
    try:
        response = httpx2.get(heartbeat.url.get_secret_value(), timeout=TIMEOUT)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        log.warning("heartbeat_failed", reason=f"It could not be reached ({type(error).__name__}).")
        return False
    if response.is_error:
        log.warning("heartbeat_failed", reason=f"It answered with {response.status_code}.")
    return not response.is_error
