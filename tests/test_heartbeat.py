"""The dead man's switch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr

from forwarder.config import HeartbeatConfig
from forwarder.heartbeat import Heartbeat
from forwarder.logs import configure
from forwarder.sandbox import Fault, FaultKind, Sandbox

SECRET = "not-a-real-ping-key"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged, as it would stand in a file."""
    import structlog

    stream = io.StringIO()
    configure("debug", "json", stream=stream)
    yield stream
    structlog.reset_defaults()


def beat(url: str) -> bool:
    pulse = Heartbeat(HeartbeatConfig(url=SecretStr(url)))
    try:
        return pulse.beat()
    finally:
        pulse.close()


def test_without_an_address_nothing_is_asked() -> None:
    """A heartbeat is optional."""
    pulse = Heartbeat(HeartbeatConfig())
    assert pulse.beat()
    pulse.close()


def test_the_address_is_asked_once(sandbox: Sandbox, log: io.StringIO) -> None:
    """A good answer says nothing."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=200))
    assert beat(f"{sandbox.pagerduty.url}/{SECRET}")
    assert [(seen.method, seen.path) for seen in sandbox.pagerduty.requests] == [("GET", f"/{SECRET}")]
    assert log.getvalue() == ""


@pytest.mark.parametrize("status", [404, 500])
def test_a_bad_answer_is_logged_without_the_address(sandbox: Sandbox, log: io.StringIO, status: int) -> None:
    """The address is itself the secret."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=status))
    assert not beat(f"{sandbox.pagerduty.url}/{SECRET}")
    assert f"It answered with {status}." in log.getvalue()
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TRUNCATED])
def test_a_network_that_fails_is_logged_without_the_address(
    sandbox: Sandbox, log: io.StringIO, kind: FaultKind
) -> None:
    """It never raises: a poll must not fail because somebody else's service does."""
    sandbox.pagerduty.inject(Fault(kind=kind))
    assert not beat(f"{sandbox.pagerduty.url}/{SECRET}")
    assert "It could not be reached" in log.getvalue()
    assert SECRET not in log.getvalue()


def test_a_redirect_is_no_heartbeat(sandbox: Sandbox, log: io.StringIO) -> None:
    """The address, which is a secret, goes nowhere else, and nobody takes a redirect for a beat."""
    there = f"{sandbox.slack.origin}/{SECRET}"
    sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=301, headers={"Location": there}))
    assert not beat(f"{sandbox.pagerduty.url}/{SECRET}")
    assert "a redirect to 127.0.0.1, which is not followed: correct heartbeat.url" in log.getvalue()
    assert SECRET not in log.getvalue()
    assert sandbox.slack.requests == []


@pytest.mark.parametrize("kind", [FaultKind.DRIP, FaultKind.DRIP_BODY, FaultKind.FLOOD])
def test_a_heartbeat_ends_by_its_deadline(sandbox: Sandbox, log: io.StringIO, kind: FaultKind) -> None:
    """An answer that drips or never ends holds up nothing."""
    sandbox.pagerduty.inject(Fault(kind=kind, seconds=30))
    pulse = Heartbeat(HeartbeatConfig(url=SecretStr(f"{sandbox.pagerduty.url}/{SECRET}")), timeout=0.3)
    with closing(pulse):
        assert not pulse.beat()
    assert "It could not be reached" in log.getvalue()
