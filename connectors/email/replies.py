"""What a server of mail says, and what follows from it: an outcome for each reply at each step. Pure.

The first digit of a reply says whether it holds: 4yz is for now, 5yz is for good, and after either the mail was not
taken (https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1). What it is about, the step says, and the code after it
(https://www.rfc-editor.org/rfc/rfc3463), which servers may leave out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forwarder.connector import Broken, RateLimited, Rejected, Retry, Uncertain, clean, cut, one_line

RATE_LIMIT_PAUSE: Final = 60.0
"""Seconds after a rate limit: a reply of SMTP names no time."""

MAX_SAID: Final = 200
"""Our own, in characters of what a reply says: a sentence for people."""

NO_LOGIN: Final = frozenset({530, 534, 535, 538})
"""Replies that ask for a login, or refuse one: https://www.rfc-editor.org/rfc/rfc4954#section-6"""

TOO_LARGE: Final = frozenset({"2.3", "3.4"})
"""The mail is larger than the mailbox, or the server, takes: https://www.rfc-editor.org/rfc/rfc3463#section-3"""

NOT_OURS_TO_SEND: Final = frozenset({"7.8", "7.9", *(f"7.{number}" for number in range(20, 28)), "7.57", "7.60"})
"""The login, or the right to send as the sender, is missing, so no other mail will be taken either:
https://www.rfc-editor.org/rfc/rfc4954#section-6, https://www.rfc-editor.org/rfc/rfc7372 (7.20 to 7.27), and Exchange:
https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online"""

BUSY: Final = frozenset({"4.5", "7.28"})
"""A limit to what one may send, which is reached: https://support.google.com/a/answer/3726730"""

_BUSY_WORDS: Final = re.compile(r"\brates?\b|throttl|too many|too fast|concurren|quota|limit exceeded", re.IGNORECASE)
_SENDER_WORDS: Final = re.compile(r"not verified|send ?as\b|on behalf of", re.IGNORECASE)
"""Words of servers whose code does not say it, Amazon SES and Exchange among them:
https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html"""

_ENHANCED: Final = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})(?:\s|$)")


class Step(StrEnum):
    """How far a conversation has come."""

    GREETING = "greeting"
    ENCRYPTION = "encryption"
    LOGIN = "login"
    SENDER = "sender"
    DATA = "data"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Reply:
    """A code of three digits, and the words after it, on a line and without any secret."""

    code: int
    text: str = ""

    @classmethod
    def of(cls, code: int, text: bytes | str, secrets: tuple[str, ...] = ()) -> Reply:
        said = one_line(clean(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))
        for secret in secrets:
            said = said.replace(secret, "[secret]")
        return cls(code, cut(said, MAX_SAID))

    @property
    def accepts(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_for_now(self) -> bool:
        """Whether a later try may pass."""
        return not 500 <= self.code < 600

    @property
    def subject(self) -> str:
        """What the code in the words is about, such as ``7.8``; empty without one."""
        found = _ENHANCED.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


def outcome(step: Step, reply: Reply, host: str, sender: str) -> Retry | RateLimited | Rejected | Broken | Uncertain:
    """What a reply other than yes means for the mail, and for those after it."""
    if reply.subject in BUSY or (400 <= reply.code < 500 and _BUSY_WORDS.search(reply.text)):
        return RateLimited(RATE_LIMIT_PAUSE, f"the rate limit of {host} ({reply})")
    if 400 <= reply.code < 500:
        return Retry(f"{host} takes no mail for now ({reply})")
    if 500 <= reply.code < 600:
        return _for_good(step, reply, host, sender)
    if step is Step.MESSAGE:
        return Uncertain(f"{host} answers with what is no answer ({reply})")
    return Retry(f"{host} answers with what is no answer ({reply})")


def _for_good(step: Step, reply: Reply, host: str, sender: str) -> Rejected | Broken:
    if step in (Step.GREETING, Step.ENCRYPTION):
        return Broken(f"{host} takes no connection from here ({reply}): check host, port and security")
    if step is Step.LOGIN:
        return Broken(
            f"{host} does not accept username and password ({reply}): correct them, or make a password for programs"
        )
    if reply.code in NO_LOGIN:
        return Broken(f"{host} asks for another login ({reply}): set username and password")
    if reply.subject in TOO_LARGE or reply.code == 552:
        return Rejected(f"{host} takes no mail as large as this one ({reply})")
    ours = reply.subject in NOT_OURS_TO_SEND or _SENDER_WORDS.search(reply.text)
    if step is Step.SENDER or ours:
        return Broken(f"{host} takes no mail from {sender} ({reply}): correct from, or let the user send as it there")
    return Rejected(f"{host} refuses this mail ({reply})")


def all_refused(refused: dict[str, Reply], host: str) -> Retry | RateLimited | Broken:
    """What it means that nobody may get a mail."""
    told = listed(refused)
    for_now = [reply for reply in refused.values() if reply.is_for_now]
    if not for_now:
        return Broken(f"{host} takes mail for none of the recipients, {told}: correct to, or allow it there")
    if any(_BUSY_WORDS.search(reply.text) for reply in for_now):
        return RateLimited(RATE_LIMIT_PAUSE, f"the rate limit of {host}: {told}")
    return Retry(f"{host} takes mail for none of the recipients for now, {told}")


def listed(refused: dict[str, Reply], most: int = 3) -> str:
    """Who was refused and why, for people."""
    told = [f"{address} ({reply})" for address, reply in list(refused.items())[:most]]
    return ", ".join(told) + (f" and {len(refused) - most} more" if len(refused) > most else "")
