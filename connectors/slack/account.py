"""Who the token makes us: the workspace that it opens, and the bot that it speaks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.slack.client import Api, Refused

_PAUSE: Final = timedelta(minutes=5)


class Account:
    """What auth.test says of the token; that never changes, so it is asked once.

    ``glance`` is the same API as ``api`` with less patience, for what is only nice to know.
    """

    def __init__(self, api: Api, glance: Api, now: Callable[[], datetime]) -> None:
        self._api, self._glance, self._now = api, glance, now
        self._asking = threading.Lock()
        self._said: Mapping[str, Any] | None = None
        self._ask_again: datetime | None = None

    def whoami(self) -> Mapping[str, Any]:
        """Slack's ``team_id``, ``bot_id``, ``user_id`` and ``url``, as far as it tells them; raises Refused."""
        if self._said is None:
            self._said = self._api.read("auth.test").data
        return self._said

    def known(self) -> Mapping[str, Any]:
        """The same as far as it was asked already, without asking."""
        return self._said or {}

    def at_a_glance(self) -> Mapping[str, Any]:
        """The same without an error and without a delay: empty while it is not known."""
        # Whoever comes while another thread asks goes without: what is asked for so is not worth a delay.
        if self._said is None and self._asking.acquire(blocking=False):
            try:
                if self._ask_again is None or self._now() >= self._ask_again:
                    self._ask_again = self._now() + _PAUSE
                    self._said = self._glance.read("auth.test").data
            except Refused:
                pass
            finally:
                self._asking.release()
        return self._said or {}
