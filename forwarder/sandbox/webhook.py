"""A stand-in for a receiver of webhooks, as Standard Webhooks asks receivers to be.

It verifies each message with the verifier of the package that they publish, and takes each id once.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.server import Service

PATH: Final = "/hooks/not-a-real-webhook-path"
_MESSAGES_PER_MINUTE: Final = 600
_MAX_MESSAGE: Final = 256 * 1024


class Webhook(Service):
    """One address with its keys. ``limit_per_minute`` of None is no limit.

    ``signing_keys`` are those of which one must have signed a message; with the first the receiver began. ``messages``
    are those that were taken, by id, in the order in which they first came; ``repeats`` counts how often each came once
    more. A repeat in other words than the first is refused, and is in ``conflicts``. ``gone`` says that the receiver
    wants no more.
    """

    name = "webhook"
    verbs = ("retire",)

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.signing_keys = ["whsec_bm90LWEtcmVhbC1zaWduaW5nLWtleS0wMDAwMDE="]
        self.token = "not-a-real-webhook-token"  # noqa: S105
        self.limit_per_minute = _MESSAGES_PER_MINUTE if limits else None
        self.gone = False
        self.repeats: dict[str, int] = {}
        self.conflicts: list[str] = []
        self._window = SlidingWindow(_MESSAGES_PER_MINUTE, 60)
        self._taken: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The address to post to, which is a secret."""
        return f"{self.origin}{PATH}"

    @property
    def messages(self) -> dict[str, dict[str, Any]]:
        """By id, in the order in which they first came, decoded."""
        with self.lock:
            return {name: json.loads(body) for name, body in self._taken.items()}

    def about(self, alert_id: str) -> list[dict[str, Any]]:
        """The messages about one alert, in the order in which they first came."""
        # A look through the texts first: there may be thousands.
        written = json.dumps(alert_id, ensure_ascii=False)
        with self.lock:
            found = [json.loads(body) for body in self._taken.values() if written in body]
        return [one for one in found if one["data"].get("alert", {}).get("id") == alert_id]

    def retire(self) -> None:
        """Want no more messages, as a receiver does that was taken out of use."""
        self.gone = True

    def restore(self) -> None:
        super().restore()
        self.gone = False

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "signing_key": self.signing_keys[0], "token": self.token}

    def snapshot(self) -> dict[str, Any]:
        return {"messages": len(self._taken), "repeats": sum(self.repeats.values()), "conflicts": len(self.conflicts)}

    def refuse(self, status: int) -> Reply:
        return Reply.json({"error": {"status": status, "message": "the receiver says no"}}, status)

    def respond(self, request: Request) -> Reply:
        if request.path != PATH:
            return self.refuse(404)
        if self.gone:
            return self.refuse(410)
        if request.method != "POST":
            return self.refuse(405)
        if self.revoked or not self._is_genuine(request):
            return self.refuse(401)
        if len(request.body) > _MAX_MESSAGE:
            return self.refuse(413)
        if (wait := self._wait()) > 0:
            return Reply.json({"error": "too many"}, 429, {"Retry-After": f"{wait:.0f}"})
        return self._take(request)

    def _is_genuine(self, request: Request) -> bool:
        from standardwebhooks.webhooks import Webhook as Verifier
        from standardwebhooks.webhooks import WebhookVerificationError

        if request.header("Authorization") != f"Bearer {self.token}":
            return False
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("webhook-")}
        for key in self.signing_keys:
            try:
                Verifier(key).verify(request.body, headers)
            except WebhookVerificationError:
                continue
            return True
        return False

    def _wait(self) -> float:
        if self.limit_per_minute is None:
            return 0.0
        self._window.limit = self.limit_per_minute
        return self._window.take(self.clock())

    def _take(self, request: Request) -> Reply:
        name, body = request.header("webhook-id"), request.body.decode()
        if request.header("Idempotency-Key") != name or request.header("Content-Type") != "application/json":
            return self.refuse(400)
        before = self._taken.setdefault(name, body)
        if before is body:
            self.repeats[name] = 0
            return Reply.json({"taken": name}, 202)
        if before != body:
            self.conflicts.append(name)
            return self.refuse(422)
        self.repeats[name] += 1
        return Reply.json({"taken": name, "again": True})
