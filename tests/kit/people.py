"""People in the sandbox's Slack, and a desk at which a test hears of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forwarder.connector import Delivery, Desk, Failed, MuteRequest, Reaction
from forwarder.sandbox import Sandbox
from forwarder.sandbox.slack_socket import Interaction
from tests.kit.core import until
from tests.kit.slack import by_token, new_delivery, sent


class HearingDesk(Desk):
    """A desk that keeps everything once, by its key, and answers as ``answer`` says."""

    def __init__(self, answer: Callable[[Reaction | MuteRequest], str] = lambda _: "") -> None:
        self.answer = answer
        self.told: list[Reaction | MuteRequest] = []
        """All that it was told, as often as it was."""
        self._lock = threading.Lock()

    def react(self, reaction: Reaction) -> str:
        return self._hear(reaction)

    def mute(self, request: MuteRequest) -> str:
        return self._hear(request)

    @property
    def reactions(self) -> list[Reaction]:
        """Each click once."""
        with self._lock:
            return list({one.key: one for one in self.told if isinstance(one, Reaction)}.values())

    @property
    def mutes(self) -> list[MuteRequest]:
        with self._lock:
            return list({one.key: one for one in self.told if isinstance(one, MuteRequest)}.values())

    def _hear(self, one: Reaction | MuteRequest) -> str:
        answer = self.answer(one)
        with self._lock:
            self.told.append(one)
        return answer


class Office:
    """A connector with buttons, and the people before its channel. ``desk`` hears them."""

    def __init__(self, sandbox: Sandbox, desk: Desk | None = None, **config: Any) -> None:
        self.sandbox = sandbox
        self.desk = desk or HearingDesk()
        self.slack = by_token(sandbox, **{"app_token": sandbox.slack.app_token, "timeout": "5s", **config})

    @property
    def heard(self) -> HearingDesk:
        assert isinstance(self.desk, HearingDesk)
        return self.desk

    def open(self) -> None:
        """Listens, as the forwarder asks for it every few seconds, until it is heard."""
        until(self.listens)

    def listens(self) -> bool:
        with suppress(Failed):
            self.slack.listen(self.desk)
            return True
        return False

    def trouble(self) -> str:
        """Why nothing is heard; empty where all is well."""
        try:
            self.slack.listen(self.desk)
        except Failed as failed:
            return failed.outcome.reason
        return ""

    def posted(self, one: Delivery | None = None) -> str:
        """The ts of an alert's message."""
        return sent(self.slack, one or new_delivery()).receipt.remote_id.partition(":")[2]

    def click(self, ts: str, button: str = "sentrytex_acknowledge", **how: Any) -> Interaction:
        return self.sandbox.slack.click("#secops", ts, button, **how)

    def close(self) -> None:
        self.slack.close()
