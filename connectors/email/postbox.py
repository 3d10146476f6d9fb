"""Where mails are handed in: sessions that are kept for the next mail, and recipients whom the server does not take."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from connectors.email.address import Mailbox
from connectors.email.config import EmailConfig
from connectors.email.mail import receipt_of, wire
from connectors.email.replies import Reply, all_refused, listed
from connectors.email.session import Session
from forwarder.connector import (
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Memory,
    Notices,
    Outcome,
    Payload,
    ProcessMemory,
    Receipt,
    Retry,
)
from forwarder.wire.deadline import deadline

IDLE: Final = 30.0
"""Seconds for which a session is kept for the next mail. Servers wait for five minutes:
https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.7"""

PATIENCE: Final = timedelta(hours=1)
"""How long a mail is offered to those who cannot take it for now, after the others got it. Greylisting takes minutes:
https://www.rfc-editor.org/rfc/rfc6647#section-2.1. A mailbox may be full for ever, and what else is owed waits."""

_LEFT: Final = "left "
"""Before a mail's id, the key of the memory: since when some recipients have it, and who has yet to get it."""


class Postbox:
    """The server, for the threads of one connector."""

    def __init__(self, config: EmailConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        self._sender = Mailbox.parse(config.sender).address
        self._memory: Memory = ProcessMemory()
        self._notices = Notices()
        self._taken: set[str] = set()
        self._idle: list[tuple[Session, float]] = []
        self._lock = threading.Lock()
        self._closed = False

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes kept."""
        self._memory = memory
        self._notices.remember(memory)

    def post(self, delivery: Delivery, payload: Payload) -> Outcome:
        """One attempt; raises Failed."""
        mail = str(payload["id"])
        begun, recipients = self._left(mail) or (None, list(payload["recipients"]))
        with deadline(self._config.timeout.total_seconds()):
            session = self._session()
            refused = session.send(wire(payload), self._sender, recipients)
            self._give(session)
        if len(refused) == len(recipients) and begun is None:
            return all_refused(refused, self._config.host)
        for_now = {one: reply for one, reply in refused.items() if reply.is_for_now}
        waits = bool(for_now) and (begun is None or self._now() - begun < PATIENCE)
        self._note([one for one in recipients if not (waits and one in for_now)], refused)
        if waits:
            self._memory.put(_LEFT + mail, json.dumps([(begun or self._now()).isoformat(), list(for_now)]))
            return Retry(f"{self._config.host} has taken it, but not yet for {listed(for_now)}")
        if begun is not None:
            self._memory.put(_LEFT + mail, "")
        # An alert stands there under the mail that told of it first.
        first = None if delivery.kind is Kind.OPEN else delivery.receipt
        return Delivered(
            first or Receipt(remote_id=receipt_of(payload)), f"not to {listed(refused)}" if refused else ""
        )

    def check(self, recipients: Sequence[str]) -> list[Finding]:
        """Whether a mail to ``recipients`` would be taken: a sentence for each who is refused."""
        try:
            with deadline(self._config.timeout.total_seconds()):
                session = self._session()
                refused = session.offer(self._sender, recipients)
                session.forget()
                self._give(session)
        except Failed as failed:
            return [Finding(ok=False, text=f"{failed.outcome.reason}.")]
        place, sender = self._config.place, self._sender
        wrong = [
            Finding(ok=False, text=f"{place} takes no mail for {one} ({reply}).") for one, reply in refused.items()
        ]
        taken = [one for one in recipients if one not in refused]
        right = [Finding(ok=True, text=f"{place} takes mail from {sender} to {', '.join(taken)}.")] if taken else []
        return [*right, *wrong]

    def close(self) -> None:
        """Ends the sessions that wait for the next mail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session, _ in idle:
            session.close()

    def _session(self) -> Session:
        """One that was kept and still listens, else a new one."""
        while (kept := self._kept()) is not None:
            session, since = kept
            if time.monotonic() - since < IDLE and session.forget():
                return session
            if not session.is_over:
                session.close()
        return Session(self._config)

    def _kept(self) -> tuple[Session, float] | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give(self, session: Session) -> None:
        with self._lock:
            if not session.is_over and not self._closed and len(self._idle) < self._config.concurrency:
                self._idle.append((session, time.monotonic()))
                return
        if not session.is_over:
            session.close()

    def _left(self, mail: str) -> tuple[datetime, list[str]] | None:
        kept = self._memory.get(_LEFT + mail)
        if not kept:
            return None
        begun, recipients = json.loads(kept)
        return datetime.fromisoformat(begun), recipients

    def _note(self, recipients: Sequence[str], refused: dict[str, Reply]) -> None:
        """Says in a notice who gets nothing, until mail for them is taken again."""
        for one in recipients:
            reply = refused.get(one)
            if reply is not None:
                self._taken.discard(one)
                why = f"{self._config.host} takes no mail for {one} ({reply})"
                self._notices.say(one, f"{why}: correct the address, or allow it there.")
            elif one not in self._taken:
                self._taken.add(one)
                self._notices.say(one, "")
