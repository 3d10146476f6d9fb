"""E-mail: each delivery as one mail, those about one alert in one thread.

A mail's id is made of what it tells, so a repeat after a lost answer carries the same ``Message-ID``, and every byte of
it is the same. Nobody can be asked whether a mail arrived; servers and programs that know its id show it once.

https://www.rfc-editor.org/rfc/rfc5321 and https://www.rfc-editor.org/rfc/rfc5322
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connectors.email.config import EmailConfig, EmailOwner
from connectors.email.setup import SETUP
from forwarder.connector import (
    Connector,
    Delivery,
    Failed,
    Finding,
    Memory,
    Outcome,
    Payload,
    Texts,
)

if TYPE_CHECKING:
    from connectors.email.postbox import Postbox


class Email(Connector[EmailConfig]):
    """Some recipients, behind one server."""

    Config = EmailConfig
    noun = ("mail", "mails")
    replayed = "are sent as new mails, in threads of their own"
    withdrawn = "a mail in its thread says that it is over"
    setup = SETUP
    Owner = EmailOwner
    tells_responses = True

    def __init__(
        self,
        name: str,
        config: EmailConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        from connectors.email.postbox import Postbox

        self._postbox: Postbox = Postbox(config, now)

    def remember(self, memory: Memory) -> None:
        super().remember(memory)
        self._postbox.remember(memory)

    def render(self, delivery: Delivery) -> Payload:
        """The mail: headers, recipients, plain text and HTML."""
        from connectors.email.mail import payload

        return payload(delivery, self.config, self.texts)

    def message_id(self, payload: Payload) -> str:
        """Its Message-ID: what was sent under it once is sent in the same words again."""
        return str(payload.get("id", ""))

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Hands the mail in, for all recipients who have not got it yet."""
        try:
            return self._postbox.post(delivery, payload)
        except Failed as failed:
            return failed.outcome

    def check(self) -> list[Finding]:
        """Connects, logs in, and says whom a mail would be from and for, without sending one."""
        return self._postbox.check([one.address for one in self.config.everybody])

    def check_owners(self, owners: Sequence[Any]) -> list[Finding]:
        """Whether the server takes mail for them."""
        return [one for one in self._postbox.check([str(owner.root) for owner in owners]) if not one.ok]

    def preview(self, payload: Payload) -> str:
        """The headers that people see, and the plain text."""
        shown = ("From", "To", "Cc", "Subject")
        head = [f"{name}: {payload['headers'][name]}" for name in shown if name in payload["headers"]]
        return "\n".join([*head, "", payload["text"].rstrip()])

    def close(self) -> None:
        self._postbox.close()
