"""A delivery as a mail: its headers, its two forms, and how it finds its thread. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any, Final

from connectors.email.address import Mailbox
from connectors.email.config import EmailConfig
from connectors.email.content import MAX_ROWS, content, title_of
from connectors.email.page import page
from connectors.email.plain import plain
from forwarder import words
from forwarder.alert import Severity, got_worse
from forwarder.connector import Delivery, Kind, Origin, Texts, cut, identity, one_line

MAX_SUBJECT: Final = 150
"""Our own, in characters, the prefix included: what lists of mails show of a subject, twice."""

MAX_PAGE: Final = 90_000
"""Our own, in bytes of HTML: Gmail folds away what comes after about 102 kB."""

_ROWS: Final = (MAX_ROWS, 60, 30, 10)
_MARKS: Final = {Origin.ALARM: "Forwarder alarm: ", Origin.TEST: "TEST: "}
_FOLLOWED: Final = re.compile(r"(<[^<>\s]+>) (.+)", re.DOTALL)


_ENCODED: Final = "=?"
"""How an encoded word begins: https://www.rfc-editor.org/rfc/rfc2047#section-2"""
_VERBATIM: Final = frozenset({"In-Reply-To", "List-Id", "References"})


class _Policy(EmailPolicy):
    """The standard library's for SMTP, but for ids, which it encodes once they are long: nothing finds those again.

    And but for a subject that looks like an encoded word, which it decodes: a line that ends in one would be a header.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if name in _VERBATIM:
            return name, value
        if name == "Subject" and _ENCODED in value:
            return name, Header(value, "utf-8", header_name=name).encode(linesep="\r\n")
        return super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        as_it_is = name in _VERBATIM or (name == "Subject" and _ENCODED in value)
        return f"{name}: {value}\r\n".encode("ascii") if as_it_is else super().fold_binary(name, value)


_POLICY: Final = _Policy(linesep=SMTP.linesep)


def payload(delivery: Delivery, config: EmailConfig, texts: Texts) -> dict[str, Any]:
    """The mail as it is kept: its id, its headers in their order, who gets it, and its two forms."""
    sender = Mailbox.parse(config.sender)
    owners = [Mailbox.parse(str(getattr(owner, "root", ""))) for owner in delivery.owners]
    to = _each_once([*map(Mailbox.parse, config.to), *owners])
    cc = [one for one in _each_once(map(Mailbox.parse, config.cc)) if one.key not in {known.key for known in to}]
    mail = _id(delivery, sender)
    root, subject = _thread(delivery, sender, config, texts)
    headers = {
        "From": sender.header,
        "To": ", ".join(one.header for one in to),
        "Cc": ", ".join(one.header for one in cc),
        "Subject": subject,
        "Date": format_datetime(_told_at(delivery)),
        "Message-ID": mail,
        "In-Reply-To": root,
        "References": root,
        "List-Id": f"<{config.list_id or _list_of(delivery, sender)}>",
        "Auto-Submitted": "auto-generated",
        # Exchange goes by this one where it would tell the sender that somebody is away.
        "X-Auto-Response-Suppress": "All",
        **({"X-Priority": "1 (Highest)", "Importance": "high"} if _is_urgent(delivery) else {}),
    }
    text, html = _forms(delivery, texts)
    return {
        "id": mail,
        "headers": {name: value for name, value in headers.items() if value},
        "recipients": [one.address for one in (*to, *cc)],
        "text": text,
        "html": html,
    }


def wire(made: Mapping[str, Any]) -> bytes:
    """The mail as it goes out: the same bytes for the same payload, wherever it was kept meanwhile."""
    mail = EmailMessage(policy=_POLICY)
    for name, value in made["headers"].items():
        mail[name] = value
    mail.set_content(made["text"], cte="quoted-printable")
    mail.add_alternative(made["html"], subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{made['id'].strip('<>').partition('@')[0]}")
    return mail.as_bytes()


def receipt_of(made: Mapping[str, Any]) -> str:
    """Where an alert stands that was told first in this mail: what its follow-ups need to find the thread."""
    return f"{made['id']} {made['headers']['Subject']}"


def _thread(delivery: Delivery, sender: Mailbox, config: EmailConfig, texts: Texts) -> tuple[str, str]:
    """The id of the first mail about it, empty where this is that one, and the subject.

    Programs put a mail into a thread by its References, Gmail only where the subject is the same as well.
    """
    subject = _subject(delivery, config, texts)
    if delivery.kind is Kind.OPEN:
        return "", subject
    found = _FOLLOWED.fullmatch(delivery.receipt.remote_id) if delivery.receipt else None
    if found:
        return found[1], f"Re: {one_line(found[2])}"
    first = replace(delivery, kind=Kind.OPEN, revision=1, changes=(), response=None, reminder="", repeats=None)
    return _id(first, sender), f"Re: {subject}"


def _subject(delivery: Delivery, config: EmailConfig, texts: Texts) -> str:
    mark = _MARKS.get(delivery.origin, "")
    severity = "" if words.is_text_alone(delivery) else f"{delivery.alert.severity.value.upper()}: "
    told = f"{config.subject_prefix} {mark}{severity}{title_of(delivery, texts)}"
    return cut(one_line(told), MAX_SUBJECT)


def _forms(delivery: Delivery, texts: Texts) -> tuple[str, str]:
    """As text and as a page, with fewer rows where that would be too large."""
    text, html = "", ""
    for rows in _ROWS:
        made = content(delivery, texts, rows)
        text, html = plain(made), page(made)
        if len(html.encode()) <= MAX_PAGE:
            break
    return text, html


def _id(delivery: Delivery, sender: Mailbox) -> str:
    return f"<sentrytex.{identity(delivery)}@{sender.domain}>"


def _list_of(delivery: Delivery, sender: Mailbox) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", (delivery.sent_as or delivery.connector).lower()).strip("-")
    return f"{name or 'alerts'}.{sender.domain}"


def _told_at(delivery: Delivery) -> datetime:
    return (delivery.response.at if delivery.response else delivery.enqueued_at).astimezone(UTC)


def _is_urgent(delivery: Delivery) -> bool:
    """Whether people should drop everything else: never twice for what they know."""
    if words.is_text_alone(delivery) or delivery.alert.severity is not Severity.CRITICAL:
        return False
    if delivery.kind is Kind.UPDATE:
        return got_worse(delivery.changes)
    return delivery.kind in (Kind.OPEN, Kind.REOPEN, Kind.REMIND)


def _each_once(mailboxes: Any) -> Sequence[Mailbox]:
    return list({one.key: one for one in mailboxes}.values())
