"""The stand-in of a mail server: what it notes of a mail whose answer never went out."""

from __future__ import annotations

import smtplib

import pytest

from forwarder.sandbox import Fault, FaultKind, Sandbox


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.TIMEOUT_AFTER])
def test_a_mail_that_was_taken_and_not_answered_has_no_status(kind: FaultKind) -> None:
    """As with every other service: so a test sees that its client waits in vain."""
    with Sandbox() as sandbox:
        sandbox.email.inject(Fault(kind=kind, path="MESSAGE", seconds=0.1))
        with smtplib.SMTP("127.0.0.1", sandbox.email.port, timeout=10) as client:
            client.login(sandbox.email.username, sandbox.email.password)
            with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
                client.sendmail("a@example.com", ["b@example.com"], b"Subject: one\r\n\r\nA text.\r\n")
        assert len(sandbox.email.mails) == 1
        assert [seen.status for seen in sandbox.email.requests if seen.method == "MESSAGE"] == [None]
