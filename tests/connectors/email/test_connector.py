"""E-mail over a real server: who gets a mail, and what each trouble on the way there comes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.email import Email
from connectors.email.config import EmailOwner
from connectors.email.postbox import PATIENCE
from connectors.email.replies import Reply, Step, outcome
from forwarder.connector import (
    NOTICE,
    Broken,
    Delivered,
    Failed,
    Kind,
    ProcessMemory,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert, new_delivery
from tests.connectors.email.kit import PASSWORD, Server, email, send, serving, speaking
from tests.kit.certificates import Certificates


@pytest.fixture
def mail(server: Server, certificates: Certificates) -> Iterator[Email]:
    with closing(email(port=server.port, ca_file=str(certificates.ca))) as connector:
        yield connector


def test_a_mail_arrives_for_all_encrypted_and_over_one_connection(server: Server, mail: Email) -> None:
    """STARTTLS, a login, two recipients; the next mail takes the same connection."""
    before, first = server.connections, new_delivery()
    for one in (first, new_delivery(), new_delivery()):
        assert isinstance(send(mail, one), Delivered)
    assert server.connections == before + 1
    assert server.encrypted[-3:] == [True] * 3
    recipients, message = server.mails[0]
    assert recipients == ["a@example.com", "b@example.com"]
    assert first.alert.title in str(message["Subject"])
    assert sorted(part.get_content_type() for part in message.iter_parts()) == ["text/html", "text/plain"]


def test_a_repeat_is_the_same_mail_byte_for_byte(server: Server, mail: Email) -> None:
    """A payload that was kept goes out again as it was."""
    one = new_delivery()
    payload = mail.render(one)
    for _ in range(2):
        assert isinstance(mail.deliver(one, payload), Delivered)
    assert server.raw[0] == server.raw[1]
    assert server.mails[0][1]["Message-ID"] == mail.message_id(payload)


def test_an_alert_is_one_thread(server: Server, mail: Email) -> None:
    """What follows names the first mail, under its subject, also where the alert has another severity by then."""
    first = new_delivery(alert=alert(id="thread", severity="high"))
    opened = send(mail, first)
    assert isinstance(opened, Delivered)
    worse = alert(id="thread", severity="critical", title="Another title")
    later = new_delivery(alert=worse, kind=Kind.UPDATE, revision=2, receipt=opened.receipt)
    followed = send(mail, later)
    assert isinstance(followed, Delivered)
    assert followed.receipt == opened.receipt
    (_, root), (_, reply) = server.mails
    assert reply["In-Reply-To"] == reply["References"] == root["Message-ID"] != reply["Message-ID"]
    assert reply["Subject"] == f"Re: {root['Subject']}"
    assert "HIGH" in reply["Subject"]


HOSTILE = [
    "A title\r\nBcc: evil@example.net\r\n\r\nand a body",
    "\u202egnitteg \u2067right to left\u2069 \u200f",
    "\U0001f6a8" * 2500,
    "x" * 10_000,
    "=?utf-8?q?a=0D=0ABcc:_evil@example.net=0D=0A=0D=0A?= in an encoded word",
    "é =?utf-8?b?4oCuDQpCY2M6IGV2aWxAZXhhbXBsZS5uZXQ=?=",
    "=?utf-8?q?Bcc=3A?= =?utf-8?b?!!!?= \x00\x1b[31m\u2028\u0085end",
    'Bcc: "evil" <evil@example.net>, <script>alert(1)</script>',
]


def test_nothing_in_an_alert_is_a_header(server: Server, mail: Email) -> None:
    """Whatever a title holds, the mail has the headers of any other, and goes to the same people."""
    send(mail, new_delivery())
    ordinary = server.mails[0][1]
    for number, title in enumerate(HOSTILE):
        one = alert(id=f"hostile-{number}", title=title, description=title, affected_vendors=[title])
        assert isinstance(send(mail, new_delivery(alert=one)), Delivered)
        recipients, message = server.mails[-1]
        assert recipients == ["a@example.com", "b@example.com"]
        assert message.keys() == ordinary.keys()
        assert (message["From"], message["To"]) == (ordinary["From"], ordinary["To"])
        assert message["Subject"] == mail.render(new_delivery(alert=one))["headers"]["Subject"]
        assert len(message["Subject"]) <= 150
        assert not any(char in message["Subject"] for char in "\r\n\x00\x1b\u202e\u2067\u200f\u2028")
        assert all(len(line) <= 998 for line in server.raw[-1].splitlines())


def test_tls_from_the_first_byte_on(certificates: Certificates) -> None:
    """The same over a port that speaks TLS at once."""
    with (
        serving(certificates.server, "tls") as server,
        closing(email(port=server.port, security="tls", ca_file=str(certificates.ca))) as mail,
    ):
        assert isinstance(send(mail, new_delivery()), Delivered)
        assert mail.check()[0].ok


def test_who_is_not_trusted_hears_nothing(server: Server, certificates: Certificates) -> None:
    """A certificate of nobody who is known, with STARTTLS: it is tried again, and no login was sent."""
    for ca_file in (None, str(certificates.stranger)):
        with closing(email(port=server.port, ca_file=ca_file)) as mail:
            outcome = send(mail, new_delivery())
            assert isinstance(outcome, Retry)
            assert "put it into the file that ca_file names" in outcome.reason
            assert not mail.check()[0].ok
    assert server.mails == []


@pytest.mark.parametrize(
    ("security", "says"), [("tls", "does not begin with TLS: set security to starttls"), ("starttls", "no STARTTLS")]
)
def test_encryption_that_is_not_there_is_told(sandbox: Sandbox, security: str, says: str) -> None:
    """The stand-in knows none: without it nothing is sent, not even a login."""
    with closing(email(port=sandbox.email.port, security=security)) as mail:
        told = send(mail, new_delivery())
    assert isinstance(told, Broken if security == "starttls" else Retry)
    assert says in told.reason
    assert not any(seen.method == "AUTH" for seen in sandbox.email.requests)


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (b"454 4.7.0 not now", Retry, "takes no mail for now (454 4.7.0 not now)"),
        (b"502 5.5.1 not here", Broken, "(502 5.5.1 not here): check host, port and security"),
        (b"220 go on\r\n250 and a reply in clear", Retry, "does not go on with TLS after STARTTLS"),
    ],
)
def test_encryption_that_is_offered_and_not_begun_is_told(says: bytes, kind: type[Any], words: str) -> None:
    """With what the server says to it; and nothing is sent in clear."""
    with speaking(b"STARTTLS", STARTTLS=says) as (port, heard), closing(email(port=port)) as mail:
        told = send(mail, new_delivery())
    assert isinstance(told, kind)
    assert words in told.reason
    assert not {line[:4].upper() for line in heard} & {b"AUTH", b"MAIL"}


def test_a_login_that_is_refused_breaks_the_destination(server: Server, certificates: Certificates) -> None:
    """With what to do, and without the password."""
    with closing(email(port=server.port, ca_file=str(certificates.ca), password="wrong-password")) as mail:
        told = send(mail, new_delivery())
        assert isinstance(told, Broken)
        assert "does not accept username and password (535" in told.reason
        assert mail.check()[0].text == f"{told.reason}."
    assert "wrong-password" not in told.reason


# Recipients


def test_who_is_refused_does_not_keep_it_from_the_others(server: Server, mail: Email) -> None:
    """The others get it, the attempt says who did not, and a notice stands until that one is taken again."""
    memory = ProcessMemory()
    mail.remember(memory)
    server.refused["b@example.com"] = "550 5.1.1 no such user"
    told = send(mail, new_delivery())
    assert isinstance(told, Delivered)
    assert told.note == "not to b@example.com (550 5.1.1 no such user)"
    assert server.mails[0][0] == ["a@example.com"]
    assert memory.get(NOTICE).startswith("127.0.0.1 takes no mail for b@example.com (550 5.1.1 no such user)")
    server.refused.clear()
    assert isinstance(send(mail, new_delivery()), Delivered)
    assert memory.get(NOTICE) == ""


def test_who_is_refused_for_now_gets_it_later_and_alone(server: Server, certificates: Certificates) -> None:
    """Greylisting: the next attempt is for those who have yet to get it, in another process too."""
    memory, one = ProcessMemory(), new_delivery()
    server.refused["b@example.com"] = "450 4.2.0 greylisted"
    for process in range(2):
        with closing(email(port=server.port, ca_file=str(certificates.ca))) as mail:
            mail.remember(memory)
            told = send(mail, one)
        if process == 0:
            assert isinstance(told, Retry)
            assert "not yet for b@example.com (450 4.2.0 greylisted)" in told.reason
        server.refused.clear()
    assert isinstance(told, Delivered)
    assert [recipients for recipients, _ in server.mails] == [["a@example.com"], ["b@example.com"]]
    assert not any(value for key, value in memory.values.items() if key.startswith("left"))


def test_a_mailbox_that_stays_full_holds_nobody_up(server: Server, certificates: Certificates) -> None:
    """After an hour the mail counts as delivered, and a notice says who did not get it."""
    memory, one, now = ProcessMemory(), new_delivery(), datetime(2026, 3, 1, tzinfo=UTC)
    server.refused["b@example.com"] = "452 4.2.2 mailbox full"
    with closing(email(port=server.port, ca_file=str(certificates.ca), now=lambda: now)) as mail:
        mail.remember(memory)
        assert isinstance(send(mail, one), Retry)
        now += PATIENCE - timedelta(seconds=1)
        assert isinstance(send(mail, one), Retry)
        assert memory.get(NOTICE) == ""
        now += timedelta(seconds=1)
        told = send(mail, one)
    assert isinstance(told, Delivered)
    assert "b@example.com (452 4.2.2 mailbox full)" in told.note
    assert "b@example.com" in memory.get(NOTICE)
    assert [recipients for recipients, _ in server.mails] == [["a@example.com"]]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("550 5.1.1 no such user", Broken),
        ("450 4.2.0 greylisted", Retry),
        ("451 4.7.1 rate limit exceeded", RateLimited),
    ],
)
def test_nobody_who_may_get_it(server: Server, mail: Email, said: str, kind: type[Any]) -> None:
    """Where all recipients are refused nothing was sent, and the config may be wrong."""
    server.refused |= dict.fromkeys(("a@example.com", "b@example.com"), said)
    told = send(mail, new_delivery())
    assert isinstance(told, kind)
    assert "a@example.com" in told.reason
    server.refused.clear()
    assert isinstance(send(mail, new_delivery()), Delivered)


def test_a_check_asks_for_each_recipient(server: Server, mail: Email) -> None:
    """It names who is taken and who is not, and sends nothing."""
    server.refused["b@example.com"] = "550 5.1.1 no such user"
    place = f"127.0.0.1:{server.port}"
    assert [(finding.ok, finding.text) for finding in mail.check()] == [
        (True, f"{place} takes mail from alerts@example.com to a@example.com."),
        (False, f"{place} takes no mail for b@example.com (550 5.1.1 no such user)."),
    ]
    owners = [EmailOwner.model_validate(one) for one in ("b@example.com", "c@example.com")]
    assert [finding.text for finding in mail.check_owners(owners)] == [
        f"{place} takes no mail for b@example.com (550 5.1.1 no such user)."
    ]
    assert server.mails == []


# Replies, and none


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.HTML, FaultKind.FLOOD])
@pytest.mark.parametrize("verb", ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "MESSAGE"])
def test_how_far_it_came_says_what_a_lost_answer_means(sandbox: Sandbox, verb: str, kind: FaultKind) -> None:
    """Before its text is on its way a mail was not taken; from then on nobody knows."""
    sandbox.email.inject(Fault(kind=kind, path=f"{verb} /"))
    with closing(email(port=sandbox.email.port, security="none", password=sandbox.email.password)) as mail:
        told = send(mail, new_delivery())
        assert isinstance(told, Uncertain if verb == "MESSAGE" else Retry), told
        assert isinstance(send(mail, new_delivery()), Delivered)


def test_a_connection_that_was_closed_meanwhile_is_made_anew(sandbox: Sandbox) -> None:
    """A server ends what waits for too long: nothing was sent, so the next mail takes another connection."""
    with closing(email(port=sandbox.email.port, security="none", password=PASSWORD)) as mail:
        assert isinstance(send(mail, new_delivery()), Delivered)
        sandbox.email.hang_up()
        assert isinstance(send(mail, new_delivery()), Delivered)


def test_a_size_that_is_no_number_is_none() -> None:
    """It is taken as one that is not told."""
    with (
        speaking("SIZE ²".encode("latin-1")) as (port, heard),
        closing(email(port=port, security="none", username=None, password=None)) as mail,
    ):
        assert isinstance(send(mail, new_delivery()), Delivered)
    assert b"DATA\r\n" in heard


def test_a_mail_that_is_too_large_is_not_sent(certificates: Certificates) -> None:
    """The server says beforehand how much it takes."""
    with (
        serving(certificates.server, data_size_limit=1000) as server,
        closing(email(port=server.port, ca_file=str(certificates.ca))) as mail,
    ):
        told = send(mail, new_delivery())
        assert isinstance(told, Rejected)
        assert "takes 1000 bytes a mail" in told.reason
        assert server.mails == []


@pytest.mark.parametrize(
    ("step", "said", "kind"),
    [
        (Step.GREETING, "554 5.7.1 not from your address", Broken),
        (Step.GREETING, "421 4.3.2 too busy", Retry),
        (Step.ENCRYPTION, "454 4.7.0 TLS not available", Retry),
        (Step.LOGIN, "454 4.7.0 Too many login attempts, please try again later", RateLimited),
        (Step.LOGIN, "454 4.7.0 Temporary authentication failure", Retry),
        (Step.LOGIN, "534 5.7.9 Application-specific password required", Broken),
        (Step.SENDER, "530 5.7.0 Must issue a STARTTLS command first", Broken),
        (Step.SENDER, "553 5.7.1 Sender address rejected: not owned by user", Broken),
        (Step.SENDER, "552 5.3.4 Message size exceeds fixed limit", Rejected),
        (
            Step.SENDER,
            "421 4.4.2 Message submission rate for this client has exceeded the limit",
            RateLimited,
        ),
        (Step.DATA, "451 4.3.0 try again", Retry),
        (Step.DATA, "554 5.5.1 no valid recipients", Rejected),
        (Step.MESSAGE, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", RateLimited),
        (Step.MESSAGE, "454 Throttling failure: Maximum sending rate exceeded.", RateLimited),
        (Step.MESSAGE, "450 4.7.28 unusual rate of mail", RateLimited),
        (Step.MESSAGE, "550 5.4.5 Daily user sending limit exceeded", RateLimited),
        (Step.MESSAGE, "452 4.3.1 Insufficient system storage", Retry),
        (Step.MESSAGE, "554 5.7.1 Message rejected as spam", Rejected),
        (Step.MESSAGE, "552 Message too large", Rejected),
        (Step.MESSAGE, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Broken),
        (Step.MESSAGE, "550 5.7.26 unauthenticated mail is prohibited", Broken),
        (Step.MESSAGE, "554 Message rejected: Email address is not verified.", Broken),
        (Step.MESSAGE, "354 go on", Uncertain),
        (Step.DATA, "220 hello", Retry),
    ],
)
def test_each_reply_has_its_outcome(step: Step, said: str, kind: type[Any]) -> None:
    """By its first digit, its code, and where servers do not give one by its words; the reply is shown."""
    code, _, text = said.partition(" ")
    told = outcome(step, Reply.of(int(code), text), "smtp.example.com", "alerts@example.com")
    assert type(told) is kind, told
    assert said in told.reason


def test_a_reply_that_repeats_the_password_shows_none() -> None:
    """In words that are long, of several lines, or no text at all."""
    reply = Reply.of(535, f"5.7.8 you sent {PASSWORD}\nand\x1b[31m \xff".encode("latin-1"), (PASSWORD,))
    assert str(reply) == "535 5.7.8 you sent [secret] and\ufffd[31m \ufffd"
    assert len(str(Reply.of(550, "word " * 1000))) <= 204


def test_a_receipt_that_is_none_of_ours_is_no_error(mail: Email, server: Server) -> None:
    """A follow-up names the thread that the first mail would have."""
    first = new_delivery()
    later = new_delivery(alert=first.alert, kind=Kind.WITHDRAW, revision=2, receipt=Receipt(remote_id="stdout"))
    assert mail.render(later)["headers"]["In-Reply-To"] == mail.render(first)["id"]


def test_a_memory_that_is_away_sends_nothing(mail: Email, server: Server) -> None:
    """Who has it already is not known then, so nobody gets it twice."""

    class Away:
        def get(self, _: str) -> str:
            raise Failed(Retry("the database cannot be read"))

        def put(self, key: str, value: str) -> None:
            pass

    mail.remember(Away())
    assert isinstance(send(mail, new_delivery()), Retry)
    assert server.mails == []
