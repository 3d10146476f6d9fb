"""A stand-in for a workflow of Microsoft Teams that posts the cards which it is sent.

As the real one does, it accepts what its trigger takes, and posts it only then: a card that Teams refuses is a run that
failed, of which the sender hears nothing.
https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook
"""

from __future__ import annotations

import json
from typing import Any, Final

from forwarder.sandbox import adaptive
from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.server import Service

PATH: Final = "/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke"
_SIGNATURE: Final = "not-a-real-signature-of-a-workflow-000000000"
_ADAPTIVE: Final = "application/vnd.microsoft.card.adaptive"
_WINDOWS: Final = ((4, 1.0), (60, 30.0))
"""https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors"""

_CODES: Final = {
    400: "InvalidRequestContent",
    401: "DirectApiAuthorizationRequired",
    404: "WorkflowNotFound",
    429: "TooManyRequests",
}


class Teams(Service):
    """One workflow and its channel. ``limits`` of False is no limit.

    ``cards`` are those that were posted, in order; ``failed`` the runs that failed, each with what Teams said. ``off``
    says that the workflow is turned off or deleted, ``signature`` is what its address must hold.
    """

    name = "teams"
    verbs = ("turn_off",)

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.signature = _SIGNATURE
        self.off = False
        self.cards: list[dict[str, Any]] = []
        self.failed: list[list[str]] = []
        self._runs = 0
        self._windows = [SlidingWindow(limit, per) for limit, per in _WINDOWS] if limits else []

    @property
    def url(self) -> str:
        """The address to post to, which is a secret."""
        return f"{self.origin}{PATH}?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={self.signature}"

    @property
    def mentions(self) -> list[list[str]]:
        """Whom each card mentions, by their ids."""
        with self.lock:
            return [adaptive.mentions(card) for card in self.cards]

    def turn_off(self) -> None:
        """Take nothing more, as a workflow does that somebody turned off or deleted."""
        self.off = True

    def restore(self) -> None:
        super().restore()
        self.off = False

    def credentials(self) -> dict[str, str]:
        return {"url": self.url}

    def snapshot(self) -> dict[str, Any]:
        return {"cards": len(self.cards), "failed": len(self.failed)}

    def refuse(self, status: int) -> Reply:
        return self._refusal(status, _CODES.get(status, "BadRequest"))

    def respond(self, request: Request) -> Reply:
        if request.path != PATH:
            return self.refuse(404)
        if self.revoked or request.query.get("sig") != self.signature:
            return self.refuse(401)
        if self.off:
            return self._refusal(400, "WorkflowTriggerIsNotEnabled")
        if request.method != "POST":
            return self._refusal(404, "TriggerRequestMethodNotValid")
        if wait := max((window.take(self.clock()) for window in self._windows), default=0.0):
            return Reply.json({"error": {"code": "TooManyRequests"}}, 429, {"Retry-After": f"{wait:.0f}"})
        return self._run(request)

    def _run(self, request: Request) -> Reply:
        try:
            said = json.loads(request.body)
        except ValueError:
            return self._refusal(400, "InvalidRequestContent")
        if not isinstance(said, dict) or not isinstance(said.get("attachments"), list):
            return self._refusal(400, "TriggerInputSchemaMismatch")
        self._runs += 1
        for attachment in said["attachments"]:
            self._post(said, attachment, request)
        return Reply(status=202, body=b"", headers={"x-ms-workflow-run-id": f"0858{self._runs:030d}CU00"})

    def _post(self, said: dict[str, Any], attachment: Any, request: Request) -> None:
        """What Teams makes of a card, once the sender has its answer."""
        card = attachment.get("content") if isinstance(attachment, dict) else None
        wrong = adaptive.problems(card)
        if said.get("type") != "message" or not isinstance(card, dict) or attachment.get("contentType") != _ADAPTIVE:
            wrong.append("what was sent is no message with a card")
        if "charset=utf-8" not in (request.header("Content-Type") or "").lower():
            wrong.append("the emoji are lost: the request names no charset")
        if wrong or not isinstance(card, dict):
            self.failed.append(wrong)
        else:
            self.cards.append(card)

    def _refusal(self, status: int, code: str) -> Reply:
        return Reply.json({"error": {"code": code, "message": f"The workflow says {code}."}}, status)
