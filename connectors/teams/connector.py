"""Microsoft Teams: a card per alert, and one for each thing that becomes of it.

A workflow posts the cards. It says yes as soon as it has one, and posts it then; it can neither be asked what it posted
nor change it. So each change is a card of its own, and after a lost answer a card may come twice.

``connectors.teams.cards`` says what a card looks like, ``connectors.teams.client`` what a workflow's refusals mean.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from connectors.teams import cards
from connectors.teams.client import ON, Workflow, code_of
from connectors.teams.config import TeamsConfig
from connectors.teams.owners import TeamsOwner
from connectors.teams.preview import preview
from connectors.teams.setup import SETUP
from forwarder.connector import (
    Connector,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Outcome,
    Payload,
    Receipt,
    Texts,
    clean,
    one_line,
)

MESSAGE, NOTHING = "message", "none"
"""What a payload's ``type`` may be. The first is what a workflow takes."""

ADAPTIVE: Final = "application/vnd.microsoft.card.adaptive"

ACCEPTED: Final = "accepted"
"""The receipt of a card whose run is not known."""


class Teams(Connector[TeamsConfig]):
    """A channel or a chat, as one workflow posts to it.

    Receipts are the ids of the workflow's runs, by which people find them in its history.
    """

    Config = TeamsConfig
    noun = ("card", "cards")
    replayed = "will show a second time"
    withdrawn = "a second card says that it is withdrawn"
    tells_responses = True
    setup = SETUP
    Owner = TeamsOwner

    def __init__(
        self,
        name: str,
        config: TeamsConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._workflow = Workflow(config, now)

    def render(self, delivery: Delivery) -> Payload:
        """The message that a workflow takes, with one card; ``{"type": "none"}`` where there is nothing to tell."""
        if _tells_nothing(delivery):
            return {"type": NOTHING}
        title = one_line(clean(self.texts.title(delivery, delivery.alert.title)))
        body = clean(self.texts.text(delivery, delivery.alert.description))
        made = cards.card(delivery, title, body)
        return {"type": MESSAGE, "attachments": [{"contentType": ADAPTIVE, "content": made}]}

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Hands the card to the workflow, in one request."""
        if payload["type"] == NOTHING:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note="nothing to send")
        try:
            run = self._workflow.post(payload)
        except Failed as failed:
            return failed.outcome
        # An alert stands there in the card that told of it first.
        first = None if delivery.kind is Kind.OPEN else delivery.receipt
        return Delivered(first or Receipt(remote_id=run or ACCEPTED))

    def check(self) -> list[Finding]:
        """Asks whether the workflow is there, is on and accepts the signature, without beginning a run of it."""
        host = self._workflow.host
        try:
            answer = self._workflow.look()
        except Failed as failed:
            return [Finding(ok=False, text=f"{failed.outcome.reason}.")]
        if code_of(answer) == ON:
            return [Finding(ok=True, text=f"The workflow is on, and accepts the address. {self._untried}")]
        if answer.status >= 500:
            return [Finding(ok=False, text=f"{host} answers with status {answer.status}: try again later.")]
        if answer.accepts or answer.status in (405, 501):
            return [Finding(ok=True, text=f"{host} can be reached, but does not answer as a workflow. {self._untried}")]
        return [Finding(ok=False, text=f"{self._workflow.why_broken(answer)}.")]

    def preview(self, payload: Payload) -> str:
        """The card in plain text, with its buttons."""
        if payload["type"] == NOTHING:
            return "Nothing is sent: there is no card to follow up on."
        return preview(payload["attachments"][0]["content"])

    def close(self) -> None:
        self._workflow.close()

    @property
    def _untried(self) -> str:
        return f"`forwarder test {self.name}` posts a card; whether Teams shows it, its channel tells."


def _tells_nothing(delivery: Delivery) -> bool:
    """Whether it is about a card that is not there, or brings links alone, which no card can be given later."""
    if delivery.receipt is None:
        return delivery.kind is Kind.WITHDRAW or delivery.kind.responds
    return delivery.kind is Kind.UPDATE and not delivery.changes
