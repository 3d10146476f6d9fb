"""Why no connection came about: each cause has a sentence of its own, whichever client met it."""

from __future__ import annotations

import io
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.jira import Jira
from connectors.pagerduty import PagerDuty, PagerDutyConfig
from connectors.slack import Slack, SlackConfig
from connectors.webhook import Webhook, WebhookConfig
from forwarder import logs
from forwarder.config import HeartbeatConfig
from forwarder.connector import Connector, Failed, Outcome
from forwarder.feed.client import FeedClient, SentrytexError
from forwarder.heartbeat import Heartbeat
from forwarder.testing import delivery
from forwarder.wire.unreachable import why_unreachable
from tests.connectors.jira.kit import config as jira_config
from tests.kit.core import nobody_listens
from tests.kit.wire import encrypting, peer

SECRET = "not-a-real-token"


def of_the_feed(address: str) -> str:
    client = FeedClient(address, SECRET)
    with pytest.raises(SentrytexError) as raised:
        client.alerts(None)
    client.close()
    return str(raised.value)


def of_the_heartbeat(address: str) -> str:
    log = io.StringIO()
    logs.configure(stream=log)
    heartbeat = Heartbeat(HeartbeatConfig(url=SecretStr(f"{address}/{SECRET}")))
    assert not heartbeat.beat()
    heartbeat.close()
    return log.getvalue()


def _reason(connector: Connector[Any]) -> str:
    one = delivery()
    try:
        outcome: Outcome = connector.deliver(one, connector.render(one))
    except Failed as failed:
        outcome = failed.outcome
    connector.close()
    return str(getattr(outcome, "reason", outcome))


def of_pagerduty(address: str) -> str:
    settings = {"type": "pagerduty", "routing_key": "0" * 32, "base_url": address, "timeout": "10s"}
    return _reason(PagerDuty("oncall", PagerDutyConfig.model_validate(settings)))


def of_slack(address: str) -> str:
    settings = {"type": "slack", "token": SECRET, "channel": "#secops", "base_url": f"{address}/api/", "timeout": "10s"}
    return _reason(Slack("secops", SlackConfig.model_validate(settings)))


def of_jira(address: str) -> str:
    return _reason(Jira("tickets", jira_config(url=address, timeout="10s")))


def of_webhook(address: str) -> str:
    settings = {"type": "webhook", "url": address, "signing_key": f"whsec_{'0' * 32}", "timeout": "10s"}
    return _reason(Webhook("hook", WebhookConfig.model_validate(settings)))


CLIENTS = [of_the_feed, of_the_heartbeat, of_pagerduty, of_slack, of_jira, of_webhook]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What one client says of an address that cannot be reached."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def told(address: str) -> str:
        said: str = request.param(address)
        assert SECRET not in said
        return said

    return told


@pytest.fixture
def closed() -> Iterator[int]:
    """A port at which nobody listens."""
    with nobody_listens() as port:
        yield port


def certificate(folder: Path, *, days: int) -> Path:
    """A key and a certificate for 127.0.0.1 in one file, good for ``days`` from now."""
    both, first, signed = (str(folder / name) for name in ("both.pem", "first.pem", "certificate.pem"))
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", both, "-out", first),
    )
    _openssl("x509", "-in", first, "-days", str(days), "-signkey", both, "-out", signed)
    with Path(both).open("a") as file:
        file.write(Path(signed).read_text())
    return Path(both)


def _openssl(*arguments: str) -> None:
    made = subprocess.run(["openssl", *arguments], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr


def test_a_port_that_nobody_listens_at(told: Callable[[str], str], closed: int) -> None:
    """The host and the port are named, and the key of the config."""
    said = told(f"https://127.0.0.1:{closed}")
    assert f"127.0.0.1:{closed} refuses the connection" in said
    assert "check " in said


def test_a_host_that_is_not_known(told: Callable[[str], str]) -> None:
    """The name is said to be the trouble."""
    said = told("https://nobody.invalid")
    assert "the name of nobody.invalid " in said
    assert "DNS" in said


def test_a_certificate_that_nobody_vouches_for(told: Callable[[str], str], tmp_path: Path) -> None:
    """Self-signed is what it is called, and how it is trusted."""
    both = certificate(tmp_path, days=1)
    with peer(encrypting(both, 1)) as port:
        said = told(f"https://127.0.0.1:{port}")
    assert "the certificate of 127.0.0.1 is self-signed" in said
    assert any(name in said for name in ("SSL_CERT_FILE", "ca_file"))


def test_a_port_that_does_not_speak_tls(told: Callable[[str], str]) -> None:
    """An address of plain http under https is a matter of the port."""

    def plain(connection: socket.socket, _stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with peer(plain) as port:
        said = told(f"https://127.0.0.1:{port}")
    assert f"127.0.0.1:{port} does not speak TLS" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [("403 Forbidden", "refuses to lead to api.example.com (403)"), ("407 No", "credentials (407)")],
)
def test_a_proxy_that_refuses(
    told: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, answer: str, words: str
) -> None:
    """The proxy is named, without its credentials, and the variable that leads to it."""

    def refusing(connection: socket.socket, _stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())

    with peer(refusing) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{port}")
        said = told("https://api.example.com")
    assert f"the proxy 127.0.0.1:{port} " in said
    assert words in said
    assert "HTTPS_PROXY" in said


def test_a_proxy_that_is_not_there(told: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    """It is the proxy that refuses the connection, not the service."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed}")
    said = told("https://api.example.com")
    assert f"the proxy 127.0.0.1:{closed} refuses the connection" in said
    assert "HTTPS_PROXY" in said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, "has expired"),
        (9, "is not valid yet"),
        (18, "is self-signed"),
        (20, "an authority that this machine does not know"),
        (62, "is for another name than api.example.com: correct base_url"),
        (23, "is not trusted (OpenSSL's code 23)"),
    ],
)
def test_what_is_wrong_with_a_certificate(code: int, words: str) -> None:
    """Each of OpenSSL's reasons that people meet is told apart."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    wrapped = RuntimeError("the SDK's own")
    wrapped.__cause__ = error
    assert words in why_unreachable(wrapped, "https://api.example.com/v1?secret=1", "base_url")


def test_an_error_within_an_exchange_is_none_of_a_connection() -> None:
    """What happens after the connection stood has other causes."""
    for error in (ConnectionResetError(), TimeoutError(), ValueError("x"), ssl.SSLEOFError(8, "EOF")):
        assert why_unreachable(error, "https://api.example.com", "base_url") == ""


def test_an_expired_certificate(told: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is expired also where its issuer is trusted."""
    both = certificate(tmp_path, days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with peer(encrypting(both, 1)) as port:
        assert "the certificate of 127.0.0.1 has expired" in told(f"https://127.0.0.1:{port}")
