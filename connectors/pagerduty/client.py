"""PagerDuty's wire: the SDK's clients, one request a call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connectors.pagerduty.config import PagerDutyConfig

if TYPE_CHECKING:
    from httpx2 import Response
    from pagerduty import EventsApiV2Client


class Clients:
    """The SDK's clients, one for each send under way, kept for the next.

    One client for all would be enough, but it looks at every connection that it holds before each request.
    """

    def __init__(self, config: PagerDutyConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._idle: list[EventsApiV2Client] = []
        self._make: Callable[[], EventsApiV2Client] | None = None
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[EventsApiV2Client]:
        """A client that nobody else uses meanwhile."""
        with self._lock:
            self._make = self._make or _factory(self._config)
            client = self._idle.pop() if self._idle else self._make()
        try:
            yield client
        finally:
            with self._lock:
                if self._closed:
                    client.close()
                else:
                    self._idle.append(client)

    def close(self) -> None:
        """Lets go of the connections; a send under way keeps its own until it ends."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()


def _factory(config: PagerDutyConfig) -> Callable[[], EventsApiV2Client]:
    """Makes the SDK's clients, which by themselves repeat requests, sleep in between and know no address but https."""
    import httpx2
    import pagerduty

    class OneRequest(pagerduty.EventsApiV2Client):
        """Sends an event once, to the configured address, and raises HttpError for every answer but a success."""

        max_network_attempts = 0

        def normalize_url(self, url: str) -> str:
            return config.address + url

        def postprocess(self, response: Response) -> None:
            # The SDK asks this hook before its own retrying, which knows no Retry-After and waits in the worker.
            if not response.is_success:
                raise pagerduty.HttpError(f"status {response.status_code}", response)

    # Plain http is for this machine, and needs no certificates; all clients share those that were read.
    certificates = httpx2.create_ssl_context() if config.address.startswith("https:") else False

    def make() -> EventsApiV2Client:
        client = OneRequest(config.routing_key.get_secret_value(), verify=certificates)
        # The SDK's hint follows its default, an int; the client underneath takes fractions.
        client.timeout = config.timeout.total_seconds()  # type: ignore[assignment]
        return client

    return make
