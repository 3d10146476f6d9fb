"""What holds for each connector's requests over HTTP: a deadline, a bounded answer, no redirect, the usual ways out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.connector import Broken, Connector, Delivered, Failed, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import LOST, Target, follow_ups, look, new_delivery, send, settle
from forwarder.testing.target import HASTY, OUTCOMES, SLOW, patience, striking
from tests.kit.contract import TARGETS
from tests.kit.wire import HOLDS, NAME, certificate, dripping, encrypting, peer, proxying, swallowing

each_target = pytest.mark.parametrize("target", [one for one in TARGETS if one.http], ids=lambda target: target.name)
"""Runs a test over those that speak HTTP; mail has tests of its own for this."""

LONG_BEFORE: Final = HOLDS / 2
"""Seconds: half of what the peers here would hold a request for. A deadline of 150 ms ends long before."""

TLS_RECORD: Final = b"\x16\x03\x03\x40\x00"
"""The head of a handshake record of 16,384 bytes."""


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    for service in running.services:
        service.clear_faults()
    return running


def at(target: Target[Sandbox], sandbox: Sandbox, origin: str) -> dict[str, Any]:
    """The target's config with ``origin`` in place of the stand-in's."""
    place = target.service(sandbox).origin.partition("://")[2]
    scheme, _, elsewhere = origin.partition("://")
    encrypted = scheme.removeprefix("http")
    return {
        key: re.sub(rf"^(\w+)://{re.escape(place)}", rf"\1{encrypted}://{elsewhere}", value)
        for key, value in target.config(sandbox).items()
        if isinstance(value, str) and f"://{place}" in value
    }


def told(connector: Connector[Any]) -> list[str]:
    return [finding.text for finding in connector.check()]


# No redirect


@pytest.mark.each_once
@each_target
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_a_redirect_is_broken_and_not_followed(target: Target[Sandbox], sandbox: Sandbox, status: int) -> None:
    """Whatever is asked, nothing goes where a redirect points; the reason names the host and none of the rest."""
    elsewhere = sandbox.sentrytex
    asked = len(elsewhere.requests)
    for secret in ("", *target.secrets(sandbox)):
        location = f"{elsewhere.origin}/stolen?{secret}"
        redirect = Fault(kind=FaultKind.STATUS, status=status, headers={"Location": location}, times=None)
        target.service(sandbox).inject(redirect)
        with closing(target.connect(sandbox)) as connector:
            outcome = send(connector, new_delivery())
            assert isinstance(outcome, Broken), outcome
            assert "a redirect to 127.0.0.1, which is not followed" in outcome.reason
            assert "stolen" not in outcome.reason
            for later in follow_ups(new_delivery(), None):
                assert isinstance(send(connector, later), OUTCOMES)
            if connector.reconcile_after:
                with pytest.raises(Failed) as failed:
                    connector.find(new_delivery())
                assert isinstance(failed.value.outcome, Broken)
            # A webhook is not asked anything by a check.
            assert "redirect" in " ".join(told(connector)) or target.name == "slack-webhook"
        target.service(sandbox).clear_faults()
    assert len(elsewhere.requests) == asked


@each_target
@pytest.mark.parametrize("location", [None, "", "/login", "//", "https://", "\x7f", "javascript:x", "https://a b/"])
def test_a_redirect_to_nowhere_is_broken(target: Target[Sandbox], sandbox: Sandbox, location: str | None) -> None:
    """Without a host the reason names none."""
    headers = {} if location is None else {"Location": location}
    target.service(sandbox).inject(Fault(kind=FaultKind.STATUS, status=302, headers=headers, times=None))
    with closing(target.connect(sandbox)) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, Broken), outcome
    assert "a redirect to another page" in outcome.reason


@each_target
def test_a_redirect_whose_host_is_the_secret_does_not_tell_it(target: Target[Sandbox], sandbox: Sandbox) -> None:
    """A remote that repeats the secret as a host brings it into no reason."""
    for secret in target.secrets(sandbox):
        target.service(sandbox).clear_faults()
        redirect = Fault(kind=FaultKind.STATUS, status=302, headers={"Location": f"https://{secret}.example.com"})
        target.service(sandbox).inject(redirect)
        with closing(target.connect(sandbox)) as connector:
            outcome = send(connector, new_delivery())
        assert isinstance(outcome, Broken), outcome
        assert secret.lower() not in outcome.reason.lower()


# Connections that are kept


@each_target
@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.kind.value)
def test_an_answer_lost_on_a_kept_connection_ends_in_one_alert(
    target: Target[Sandbox], sandbox: Sandbox, fault: Fault
) -> None:
    """What was sent on it may have arrived, as on a new one: it is not sent again without a look."""
    service = target.service(sandbox)
    with closing(target.connect(sandbox, **patience(fault))) as connector:
        assert isinstance(send(connector, new_delivery()), Delivered)
        made, struck = service.connections, new_delivery()
        service.inject(striking(target, fault))
        assert isinstance(send(connector, struck), target.lost)
        assert service.connections == made
        assert target.count(sandbox, struck.alert) == fault.kind.has_effect
        if not look(connector, struck, advance=sandbox.clock.advance):
            settle(connector, struck, advance=sandbox.clock.advance)
    stands = target.count(sandbox, struck.alert)
    assert stands == 1 if target.once or not fault.kind.has_effect else stands == 2


@each_target
def test_a_kept_connection_that_was_ended_costs_no_attempt(target: Target[Sandbox], sandbox: Sandbox) -> None:
    """A server that ends what waits at it leaves nobody in doubt: the next alert goes over a new one, and once."""
    service = target.service(sandbox)
    with closing(target.connect(sandbox)) as connector:
        for _ in range(3):
            one = new_delivery()
            assert isinstance(send(connector, one), Delivered)
            assert target.count(sandbox, one.alert) == 1
            made = service.connections
            service.hang_up()
        assert isinstance(send(connector, new_delivery()), Delivered)
        assert service.connections == made + 1


# One deadline, and an answer that can be kept


@each_target
@pytest.mark.parametrize(
    "fault", [fault for fault in LOST if fault.kind in SLOW or fault.kind in (FaultKind.FLOOD, FaultKind.BOMB)],
    ids=lambda fault: fault.kind.value,
)  # fmt: skip
def test_a_look_that_is_cut_short_is_not_a_no(target: Target[Sandbox], sandbox: Sandbox, fault: Fault) -> None:
    """A look whose answer is too slow or too large could not be had: Failed; a check says so, and ends, too."""
    if not target.find_path:
        return
    target.service(sandbox).inject(Fault(kind=fault.kind, seconds=fault.seconds, path="/", times=None))
    timeout = {"timeout": HASTY} if fault.kind in SLOW else {}
    with closing(target.connect(sandbox, **timeout)) as connector:
        with pytest.raises(Failed) as failed:
            connector.find(new_delivery())
        assert isinstance(failed.value.outcome, Retry)
        assert any(not finding.ok for finding in connector.check())


@each_target
@pytest.mark.parametrize("serve", [dripping(TLS_RECORD), swallowing], ids=["drips", "says nothing"])
def test_a_handshake_ends_by_the_deadline(target: Target[Sandbox], sandbox: Sandbox, serve: Any) -> None:
    """A peer that draws out the handshake holds nobody."""
    started = time.monotonic()
    with (
        peer(serve) as port,
        closing(
            target.connect(sandbox, timeout=HASTY, **at(target, sandbox, f"https://127.0.0.1:{port}"))
        ) as connector,
    ):
        assert isinstance(send(connector, new_delivery()), Retry | Uncertain)
        assert told(connector)
    assert time.monotonic() - started < LONG_BEFORE


@each_target
def test_a_proxy_is_held_to_the_deadline(
    target: Target[Sandbox], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy whose answer to CONNECT drips holds nobody."""
    monkeypatch.setenv("NO_PROXY", "")
    started = time.monotonic()
    with peer(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with closing(target.connect(sandbox, timeout=HASTY, **at(target, sandbox, f"https://{NAME}"))) as connector:
            assert isinstance(send(connector, new_delivery()), Retry | Uncertain)
            assert told(connector)
    assert time.monotonic() - started < LONG_BEFORE


@each_target
def test_what_is_sent_is_held_to_the_deadline(target: Target[Sandbox], sandbox: Sandbox) -> None:
    """A peer that takes nothing of a large message holds nobody."""
    started = time.monotonic()
    with (
        peer(swallowing) as port,
        closing(target.connect(sandbox, timeout=HASTY, **at(target, sandbox, f"http://127.0.0.1:{port}"))) as connector,
    ):
        one = new_delivery()
        payload: Mapping[str, Any] = {**connector.render(one), "padding": "x" * 20_000_000}
        assert isinstance(connector.deliver(one, payload), Retry | Uncertain)
    assert time.monotonic() - started < LONG_BEFORE


# The usual ways out


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate, in one file."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.each_once
@each_target
@pytest.mark.parametrize("fault", [None, FaultKind.DRIP, FaultKind.DRIP_BODY], ids=["well", "drip", "drip_body"])
def test_a_proxy_and_an_authority_of_ones_own_are_used(
    target: Target[Sandbox], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, both: Path, fault: FaultKind | None
) -> None:
    """Through HTTPS_PROXY and TLS an alert arrives, and a drip within it ends by the deadline all the same."""
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    monkeypatch.setenv("NO_PROXY", "")
    asked: list[str] = []
    one = new_delivery()
    if fault:
        target.service(sandbox).inject(Fault(kind=fault, seconds=30, path=target.send))
    behind = int(target.service(sandbox).origin.rpartition(":")[2])
    with peer(encrypting(both, behind)) as front, peer(proxying(front, asked)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        # The handshakes of a busy machine need their time.
        settings = {"timeout": "3s"} if fault else {}
        with closing(target.connect(sandbox, **settings, **at(target, sandbox, f"https://{NAME}"))) as connector:
            outcome = send(connector, one)
    assert isinstance(outcome, target.lost if fault else Delivered), outcome
    assert target.count(sandbox, one.alert) == 1
    assert set(asked) == {f"CONNECT {NAME}:443 HTTP/1.1"} or set(asked) == {f"CONNECT {NAME}:443 HTTP/1.0"}


@each_target
def test_a_certificate_of_nobody_known_is_refused(
    target: Target[Sandbox], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, both: Path
) -> None:
    """Nothing is sent to a host whose certificate nobody vouches for."""
    monkeypatch.setenv("NO_PROXY", "")
    service = target.service(sandbox)
    seen = len(service.requests)
    behind = int(service.origin.rpartition(":")[2])
    with peer(encrypting(both, behind)) as front, peer(proxying(front, [])) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        with closing(target.connect(sandbox, **at(target, sandbox, f"https://{NAME}"))) as connector:
            assert isinstance(send(connector, new_delivery()), Retry | Broken)
    assert len(service.requests) == seen
