"""A webhook over a real TLS server: whom it trusts, how it says who it is, and what it says where that fails."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from forwarder.connector import Broken, Delivered, Retry
from forwarder.sandbox import Sandbox
from forwarder.testing import new_delivery
from tests.connectors.webhook.kit import encrypted, send, webhook
from tests.kit.certificates import Certificates


def test_an_authority_of_ones_own_is_trusted(sandbox: Sandbox, certificates: Certificates) -> None:
    """With ``ca_file`` its servers are trusted; without it, and with another one, they are not, and nothing is sent."""
    with encrypted(sandbox, certificates.server) as url:
        with closing(webhook(sandbox, url=url, ca_file=str(certificates.ca))) as hook:
            assert isinstance(send(hook, new_delivery()), Delivered)
            assert hook.check()[0].ok
        before = len(sandbox.webhook.arrived)
        for ca_file in (None, str(certificates.stranger)):
            with closing(webhook(sandbox, url=url, ca_file=ca_file)) as hook:
                outcome = send(hook, new_delivery())
                assert isinstance(outcome, Retry)
                assert "put it into the file that ca_file names" in outcome.reason
                assert not hook.check()[0].ok
        assert len(sandbox.webhook.arrived) == before


def test_a_receiver_that_asks_who_it_is_hears_it(sandbox: Sandbox, certificates: Certificates) -> None:
    """With a certificate of the receiver's authority the messages are taken, on connections that are kept, too."""
    client: dict[str, Any] = {"cert_file": str(certificates.client), "key_file": str(certificates.client_key)}
    with (
        encrypted(sandbox, certificates.server, clients=certificates.ca) as url,
        closing(webhook(sandbox, url=url, ca_file=str(certificates.ca), **client)) as hook,
    ):
        for _ in range(3):
            assert isinstance(send(hook, new_delivery()), Delivered)
        assert hook.check()[0].ok


def test_a_certificate_that_is_missing_or_not_accepted_pauses(sandbox: Sandbox, certificates: Certificates) -> None:
    """It is told what the receiver has against it, and what to do; nothing is taken."""
    before = len(sandbox.webhook.arrived)
    with encrypted(sandbox, certificates.server, clients=certificates.ca) as url:
        for cert_file, says in (
            (None, "asks for a certificate of ours"),
            (str(certificates.stranger), "does not accept the certificate in cert_file"),
        ):
            with closing(webhook(sandbox, url=url, ca_file=str(certificates.ca), cert_file=cert_file)) as hook:
                outcome = send(hook, new_delivery())
                (finding,) = hook.check()
            assert isinstance(outcome, Broken), outcome
            assert says in outcome.reason
            assert not finding.ok
            assert says in finding.text
    assert len(sandbox.webhook.arrived) == before


def test_a_certificate_that_is_replaced_is_used_at_once(
    sandbox: Sandbox, certificates: Certificates, tmp_path: Path
) -> None:
    """A renewed file serves the next message; half of one, or none, serves nobody, and the one before goes on."""
    pem = tmp_path / "client.pem"
    shutil.copy(certificates.stranger, pem)
    with (
        encrypted(sandbox, certificates.server, clients=certificates.ca) as url,
        closing(webhook(sandbox, url=url, ca_file=str(certificates.ca), cert_file=str(pem))) as hook,
    ):
        assert isinstance(send(hook, new_delivery()), Broken)
        pem.write_text(certificates.client.read_text() + certificates.client_key.read_text())
        assert isinstance(send(hook, new_delivery()), Delivered)
        pem.write_text(certificates.client.read_text()[:100])
        assert isinstance(send(hook, new_delivery()), Delivered)
        pem.unlink()
        assert isinstance(send(hook, new_delivery()), Delivered)


def test_certificates_that_are_gone_at_the_start_pause(
    sandbox: Sandbox, certificates: Certificates, tmp_path: Path
) -> None:
    """What could be read with the config and cannot be any more is told, and is no exception."""
    pem = tmp_path / "client.pem"
    shutil.copy(certificates.server, pem)
    with closing(webhook(sandbox, url="https://127.0.0.1:9/", cert_file=str(pem))) as hook:
        pem.unlink()
        outcome = send(hook, new_delivery())
    assert isinstance(outcome, Broken)
    assert "cert_file" in outcome.reason
    assert "no such file" in outcome.reason
