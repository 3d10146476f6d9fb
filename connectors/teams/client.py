"""The wire of a workflow: one card in one request, and what each answer means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from connectors.teams.config import TeamsConfig
from forwarder.connector import Broken, Failed, RateLimited, Rejected, Retry, Uncertain
from forwarder.wire.endpoint import Answer, Endpoint

RUN: Final = "x-ms-workflow-run-id"
"""The header that names the run in the flow's history."""

ON: Final = "TriggerRequestMethodNotValid"
"""What a flow that is on says to a question without a card, once it has accepted the signature: it takes POST alone."""

_OFF: Final = (
    "the flow is turned off or deleted: turn it on in the Workflows app, or make another one and put its address into "
    "the config"
)
_UNSIGNED: Final = (
    'its address has no signature that counts: let "Anyone" trigger the flow, save it, and put the address that it has '
    "then into the config"
)
_SCHEMA: Final = "its trigger has a schema of its own that no card fits: empty the schema in the flow"

_CODES: Final[Mapping[str, str]] = {
    "WorkflowTriggerIsNotEnabled": _OFF,
    "WorkflowTriggerNotFound": _OFF,
    "WorkflowNotFound": _OFF,
    "DirectApiAuthorizationRequired": _UNSIGNED,
    "MisMatchingOAuthClaims": _UNSIGNED,
    "TriggerInputSchemaMismatch": _SCHEMA,
}
"""What must be done, by the code of a flow's refusal, whatever its status: a flow that is off says 400.
https://learn.microsoft.com/troubleshoot/power-platform/power-automate/flow-run-issues/triggers-troubleshoot"""


class Workflow(Endpoint):
    """The address of a flow that posts cards."""

    def __init__(self, config: TeamsConfig, now: Callable[[], datetime]) -> None:
        super().__init__(config.url.get_secret_value(), config.timeout, now, setting="url", takes="the card")

    def post(self, message: Mapping[str, Any]) -> str:
        """Posts ``message`` in exactly one request; the flow's run, empty where it is not told.

        Raises Failed unless the flow accepted it. What Teams says to the card itself nobody is told: the flow posts it
        after it has answered.
        """
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        answer = self.ask("POST", {"Content-Type": "application/json; charset=utf-8"}, body)
        if not answer.accepts or answer.is_page:
            raise Failed(self.refusal(answer))
        return answer.headers.get(RUN, "")

    def look(self) -> Answer:
        """What the flow says to a question without a card, which begins no run; raises Failed where it says nothing."""
        return self.ask("GET")

    def refusal(self, answer: Answer, period: str | None = None) -> Retry | RateLimited | Rejected | Broken | Uncertain:
        """A flow that is off, or takes nobody's cards, tells by a code what a status does not."""
        return Broken(self.why_broken(answer)) if code_of(answer) in _CODES else super().refusal(answer, period)

    def why_broken(self, answer: Answer) -> str:
        """What a person must do about an answer after which no other card will be taken either."""
        status, said = answer.status, self.said(answer)
        if remedy := _CODES.get(code_of(answer)):
            return f"The flow takes no cards (status {status}, {code_of(answer)}): {remedy}"
        if status in (401, 403):
            return f"The flow takes no cards (status {status}{said}): {_UNSIGNED}"
        if status in (404, 410):
            return f"The flow takes no cards (status {status}{said}): {_OFF}"
        return super().why_broken(answer)


def code_of(answer: Answer) -> str:
    """The code of a flow's refusal; empty where it gives none."""
    try:
        code = json.loads(answer.body or "")["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return code if isinstance(code, str) else ""
