"""PagerDuty: one incident per alert, whatever the wire does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.pagerduty import PagerDuty, PagerDutyConfig
from connectors.pagerduty.client import other_region
from connectors.pagerduty.event import dedup_key
from forwarder.alert import Alert, Change
from forwarder.connector import Broken, Delivered, Delivery, Kind, Outcome, RateLimited, Receipt, Rejected, Retry
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import ALERT_ID, NOW, alert, delivery, hostile_alerts, odd_alerts
from tests.kit.core import nobody_listens

KEY = "no-real-key-of-any-pagerduty-32x"
DEDUP_KEY = f"sentrytex:{ALERT_ID}"
ROSE = Change(field="severity", old="high", new="critical")
LISTED = Change(field="cisa_kev", old=False, new=True)
FELL = Change(field="severity", old="critical", new="low")
_numbers = count(1)


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture
def oncall(service: Sandbox) -> Iterator[PagerDuty]:
    service.pagerduty.clear_faults()
    service.pagerduty.restore()
    with closing(pagerduty(service.pagerduty.url, routing_key=service.pagerduty.routing_key)) as connector:
        yield connector


def pagerduty(base_url: str | None = None, **config: Any) -> PagerDuty:
    settings = {"routing_key": KEY, "timeout": "2s", "base_url": base_url, **config}
    return PagerDuty("oncall", PagerDutyConfig.model_validate({"type": "pagerduty", **settings}), now=lambda: NOW)


def send(connector: PagerDuty, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


def fresh() -> Alert:
    """An alert that no other test sends."""
    return alert(id=f"fresh-{next(_numbers)}")


# What is sent when


def test_a_preview_reads_like_the_incident() -> None:
    """The preview shows the summary, the links and the details, and says what a withdrawal does."""
    connector = pagerduty()
    shown = connector.preview(connector.render(delivery()))
    assert "[CRITICAL] CVE-2026-10001" in shown
    assert "https://nvd.nist.gov" in shown
    assert "affected_vendors: github, aws-lambda" in shown
    assert "resolves" in connector.preview(connector.render(delivery(kind=Kind.WITHDRAW)))


def test_hostile_and_odd_alerts_are_accepted(oncall: PagerDuty, service: Sandbox) -> None:
    """Whatever the texts, the event becomes an incident."""
    for number, one in enumerate([*hostile_alerts(), *odd_alerts()]):
        outstanding = delivery(alert=Alert.parse({**one.raw, "id": f"hostile-{number}"}))
        event = oncall.render(outstanding)
        assert oncall.deliver(outstanding, event) == Delivered(Receipt(remote_id=f"sentrytex:hostile-{number}"))
        assert oncall.preview(event)


def test_a_resend_is_folded_into_the_incident(oncall: PagerDuty, service: Sandbox) -> None:
    """The same alert twice is one incident."""
    outstanding = delivery(alert=fresh())
    key = dedup_key(outstanding.alert)
    assert send(oncall, outstanding) == send(oncall, outstanding) == Delivered(Receipt(remote_id=key))
    assert incidents(service, key) == 1
    assert service.pagerduty.incidents[key]["events"] == [oncall.render(outstanding)] * 2


def test_an_escalation_opens_a_resolved_incident_again(oncall: PagerDuty, service: Sandbox) -> None:
    """An alert that got worse after people resolved its incident pages them anew."""
    outstanding = delivery(alert=fresh())
    key = dedup_key(outstanding.alert)
    receipt = Receipt(remote_id=key)
    send(oncall, outstanding)
    assert send(oncall, delivery(alert=outstanding.alert, kind=Kind.WITHDRAW, receipt=receipt)) == Delivered(receipt)
    update = delivery(alert=outstanding.alert, kind=Kind.UPDATE, receipt=receipt, changes=(ROSE,))
    assert send(oncall, update) == Delivered(receipt)
    assert incidents(service, key) == 2
    assert "severity: high → critical" in oncall.render(update)["payload"]["custom_details"]["changes"]


def test_an_update_that_pages_nobody_sends_nothing(oncall: PagerDuty, service: Sandbox) -> None:
    """An update without an escalation is done without a request, and says so."""
    seen = len(service.pagerduty.requests)
    receipt = Receipt(remote_id=DEDUP_KEY)
    outstanding = delivery(kind=Kind.UPDATE, receipt=receipt, changes=(FELL,))
    assert send(oncall, outstanding) == Delivered(receipt, note="nothing to page for")
    assert len(service.pagerduty.requests) == seen
    assert "nothing to page for" in oncall.preview(oncall.render(outstanding))


def test_an_update_of_an_alert_that_is_not_there_opens_its_incident(oncall: PagerDuty, service: Sandbox) -> None:
    """Without a receipt there is nothing to follow up on, so the alert is sent as it is now."""
    outstanding = delivery(alert=fresh(), kind=Kind.UPDATE, changes=(FELL,))
    assert isinstance(send(oncall, outstanding), Delivered)
    assert incidents(service, dedup_key(outstanding.alert)) == 1


def test_a_follow_up_goes_by_the_receipt() -> None:
    """A later delivery uses the key under which the first one went."""
    receipt = Receipt(remote_id="sentrytex:of-old")
    for kind in (Kind.WITHDRAW, Kind.UPDATE):
        outstanding = delivery(kind=kind, receipt=receipt, changes=(ROSE,))
        assert pagerduty().render(outstanding)["dedup_key"] == "sentrytex:of-old"


def incidents(service: Sandbox, key: str) -> int:
    return int(service.pagerduty.incidents[key]["count"])


# What an answer means


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"status":"invalid event","errors":["summary is too long"]}', Rejected),
        (400, '{"status":"invalid event","errors":["Length of \'routing_key\' is incorrect"]}', Broken),
        (400, "Invalid routing key", Broken),
        (302, "", Broken),
        (401, None, Broken),
        (403, None, Broken),
        (404, None, Broken),
        (407, None, Broken),
        (408, None, Retry),
        (409, None, Rejected),
        (413, None, Rejected),
        (422, None, Rejected),
        (429, None, RateLimited),
        (500, None, Retry),
        (502, "<html>Bad gateway</html>", Retry),
        (503, None, Retry),
        (504, None, Retry),
        (202, "[]", Retry),
        (202, "", Retry),
        (202, '{"status": "success"', Retry),
    ],
    ids=str,
)
def test_each_answer_has_its_outcome_after_one_request(
    oncall: PagerDuty, service: Sandbox, status: int, body: str | None, kind: type[Outcome]
) -> None:
    """The outcome goes by status and body, and the SDK repeats nothing by itself."""
    seen = len(service.pagerduty.requests)
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=status, body=body, times=None))
    assert isinstance(send(oncall, delivery()), kind)
    assert len(service.pagerduty.requests) == seen + 1


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TRUNCATED, FaultKind.HTML])
def test_a_lost_answer_is_tried_again_after_one_request(oncall: PagerDuty, service: Sandbox, kind: FaultKind) -> None:
    """A cut connection or an unreadable answer is a Retry, for the dedup key makes the repeat harmless."""
    seen = len(service.pagerduty.requests)
    service.pagerduty.inject(Fault(kind=kind, times=None))
    outstanding = delivery(alert=fresh())
    assert isinstance(send(oncall, outstanding), Retry)
    assert len(service.pagerduty.requests) == seen + 1
    service.pagerduty.clear_faults()
    assert isinstance(send(oncall, outstanding), Delivered)
    assert incidents(service, dedup_key(outstanding.alert)) == 1


def test_an_answer_in_a_coding_that_is_none_is_tried_again(oncall: PagerDuty, service: Sandbox) -> None:
    """A body that does not unpack is as good as none."""
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=202, headers={"Content-Encoding": "gzip"}, body="no"))
    assert send(oncall, delivery()) == Retry("PagerDuty's answer could not be read")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Sun, 01 Mar 2026 12:00:09 GMT", 9.0), ("soon", 30.0), (None, 30.0)],
)
def test_a_rate_limit_waits_as_long_as_the_answer_says(
    oncall: PagerDuty, service: Sandbox, header: str | None, seconds: float
) -> None:
    """Seconds, fractions and dates are read; without a usable header half a minute passes."""
    headers = {} if header is None else {"Retry-After": header}
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=429, headers=headers))
    assert send(oncall, delivery()) == RateLimited(seconds, "PagerDuty's rate limit")


def test_an_overloaded_service_is_asked_again_when_it_says(oncall: PagerDuty, service: Sandbox) -> None:
    """A 503 with a Retry-After is tried again after it."""
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=503, headers={"Retry-After": "12"}))
    outcome = send(oncall, delivery())
    assert isinstance(outcome, Retry)
    assert outcome.after == 12.0


def test_a_key_that_pagerduty_does_not_know_breaks_the_destination(oncall: PagerDuty, service: Sandbox) -> None:
    """A revoked or mistyped key pauses the connector, and the reason says where the right one goes."""
    service.pagerduty.revoke()
    outcome = send(oncall, delivery())
    assert isinstance(outcome, Broken)
    assert "into routing_key" in outcome.reason


def test_a_reason_repeats_what_pagerduty_said_without_the_key(oncall: PagerDuty, service: Sandbox) -> None:
    """The errors of an answer are shown in one line, and a key that they repeat is blotted out."""
    key = service.pagerduty.routing_key
    body = json.dumps({"errors": ["summary is\nempty", f"sent by {key}"]})
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=422, body=body))
    assert send(oncall, delivery()) == Rejected(
        "PagerDuty refuses the event (status 422: summary is empty; sent by [routing key])"
    )


def test_a_silent_service_is_left_after_the_timeout(service: Sandbox) -> None:
    """The config's timeout ends the wait."""
    service.pagerduty.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=60))
    with closing(pagerduty(service.pagerduty.url, timeout="1s")) as connector:
        assert send(connector, delivery()) == Retry("PagerDuty did not answer within 1s")


def test_an_unreachable_service_is_tried_again(unused_address: str) -> None:
    """A refused connection is a Retry that says so, and a check that fails."""
    with closing(pagerduty(unused_address)) as connector:
        outcome = send(connector, delivery())
        assert isinstance(outcome, Retry)
        assert outcome.reason.startswith("PagerDuty cannot be reached: 127.0.0.1:")
        assert connector.check()[0].ok is False


@pytest.fixture
def unused_address() -> Iterator[str]:
    with nobody_listens() as port:
        yield f"http://127.0.0.1:{port}"


def test_threads_do_not_get_in_each_other_s_way(oncall: PagerDuty, service: Sandbox) -> None:
    """Many deliveries at once all arrive, each under its own key."""
    alerts = [fresh() for _ in range(100)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda one: send(oncall, delivery(alert=one)), alerts))
    assert outcomes == [Delivered(Receipt(remote_id=dedup_key(one))) for one in alerts]
    assert all(incidents(service, dedup_key(one)) == 1 for one in alerts)


def test_a_closed_connector_closes_once(service: Sandbox) -> None:
    """Closing twice, or without having sent anything, is no error."""
    connector = pagerduty(service.pagerduty.url)
    connector.close()
    connector.close()


# The config and the check


def test_a_check_leaves_no_trace(oncall: PagerDuty, service: Sandbox) -> None:
    """The host is asked without an event, and the sentence names the command that tries the key."""
    before = service.pagerduty.snapshot()
    findings = oncall.check()
    assert service.pagerduty.snapshot() == before
    assert [finding.ok for finding in findings] == [True, True]
    assert "`forwarder test oncall`" in findings[1].text


def test_a_check_reports_a_service_in_trouble(oncall: PagerDuty, service: Sandbox) -> None:
    """An answer of 5xx fails the check."""
    service.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=503))
    assert oncall.check()[0].ok is False


@pytest.mark.parametrize("key", ["", "short", "x" * 31, "x" * 33, "x" * 31 + " ", "ü" * 32, " " * 32])
def test_a_routing_key_of_the_wrong_form_is_reported_without_it(key: str) -> None:
    """The message says what a key looks like and where to get one; it never holds the key."""
    with pytest.raises(
        ValidationError, match="must be 32 characters without spaces: put the integration key"
    ) as caught:
        pagerduty(routing_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://events.example.com", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://events.example.com", False),
        ("ftp://events.example.com", False),
        ("events.example.com", False),
        ("https://", False),
        ("http://[::1", False),
        ("http://127.0.0.1:port", False),
    ],
)
def test_the_key_goes_over_no_open_network(url: str, is_fine: bool) -> None:
    """Plain http is for this machine alone."""
    if is_fine:
        assert pagerduty(url).config.address == url
    else:
        with pytest.raises(ValidationError, match=r"https://|no valid address"):
            pagerduty(url)


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ({}, "https://events.pagerduty.com"),
        ({"region": "eu"}, "https://events.eu.pagerduty.com"),
        ({"region": "eu", "base_url": "https://proxy.example.com/"}, "https://proxy.example.com"),
    ],
)
def test_the_region_names_the_address(config: dict[str, Any], address: str) -> None:
    """Each region has its host; an address of one's own goes first."""
    assert pagerduty(**config).config.address == address


def test_defaults_keep_the_vendors_rate() -> None:
    """Without a word in the config no more goes out than PagerDuty accepts."""
    config = pagerduty().config
    assert (str(config.max_rate), config.concurrency) == ("120/min", 2)


def test_reading_the_config_does_not_load_the_sdk() -> None:
    """The SDK is imported when something is sent."""
    code = "import sys, connectors.pagerduty; print([m for m in ('pagerduty', 'httpx2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_escalation_pages_the_service_that_the_config_names_now() -> None:
    """Another routing key is another service: what got worse pages there, under the same dedup key."""
    with Sandbox(limits=False) as sandbox:
        with closing(pagerduty(sandbox.pagerduty.url, routing_key=sandbox.pagerduty.routing_key)) as before:
            receipt = Receipt(remote_id=dedup_key(delivery().alert))
            assert send(before, delivery()) == Delivered(receipt)
        sandbox.pagerduty.routing_key = "1" * 32
        update = delivery(kind=Kind.UPDATE, receipt=receipt, changes=(ROSE,))
        with closing(pagerduty(sandbox.pagerduty.url, routing_key="1" * 32)) as now:
            assert send(now, update) == Delivered(receipt)
        assert [event["event_action"] for event in sandbox.pagerduty.incidents[DEDUP_KEY]["events"]] == ["trigger"] * 2


def test_a_key_that_is_refused_names_the_other_region() -> None:
    """A key is known in its own region alone."""
    with Sandbox(limits=False) as sandbox:
        config = PagerDutyConfig.model_validate({"type": "pagerduty", "routing_key": "1" * 32, "region": "us"})
        assert "set region: eu" in other_region(config, None)
        with closing(pagerduty(sandbox.pagerduty.url, routing_key="1" * 32)) as oncall:
            outcome = send(oncall, delivery())
    assert isinstance(outcome, Broken)
    assert "refuses the routing key at 127.0.0.1" in outcome.reason
