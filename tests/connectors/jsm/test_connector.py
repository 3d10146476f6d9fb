"""Alerts of Jira Service Management: opened once, closed and acknowledged by alias, within their fields' limits."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.jsm import Jsm, JsmConfig, event
from connectors.jsm.config import JsmOwner
from forwarder.connector import (
    Action,
    Broken,
    Change,
    Delivered,
    Delivery,
    Kind,
    Origin,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Resolution,
    Response,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import ALERT_ID, alert, delivery, hostile_alerts, odd_alerts

ALIAS = f"sentrytex:{ALERT_ID}"
STANDS = Receipt(remote_id=ALIAS)
WORSE = (Change(field="severity", old="high", new="critical"),)
TOOK = Response(
    number=1, action=Action.ACKNOWLEDGE, at=datetime(2026, 3, 1, 14, 2, tzinfo=UTC), place="secops", person="Ada"
)
DONE = replace(TOOK, number=2, action=Action.RESOLVE, resolution=Resolution.DONE, reason="We run 5.0.")
AGAIN = replace(TOOK, number=3, action=Action.REOPEN)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.jsm.clear_faults()
    running.jsm.restore()
    running.jsm.alerts.clear()
    return running


def connect(sandbox: Sandbox, **more: Any) -> Jsm:
    config = {"type": "jsm", "api_key": sandbox.jsm.api_key, "base_url": sandbox.jsm.url, **more}
    return Jsm("duty", JsmConfig.model_validate(config))


@pytest.fixture
def jsm(sandbox: Sandbox) -> Iterator[Jsm]:
    with closing(connect(sandbox)) as made:
        yield made


def send(connector: Jsm, outstanding: Delivery) -> Outcome:
    return connector.deliver(outstanding, connector.render(outstanding))


def said(response: Response) -> Delivery:
    return delivery(kind=Kind(response.action.value), response=response, latest=response, receipt=STANDS)


def test_an_alert_pages_once(sandbox: Sandbox, jsm: Jsm) -> None:
    """A repeat under the alias counts it up, and worse news of one that is open as well."""
    assert send(jsm, delivery(owners=(JsmOwner("dev-tools"),), evidence=("It is yours.",))) == Delivered(STANDS)
    send(jsm, delivery())
    send(jsm, delivery(kind=Kind.UPDATE, receipt=STANDS, changes=WORSE))
    (one,) = sandbox.jsm.alerts
    assert one["count"] == 3
    assert one["message"] == "[CRITICAL] CVE-2026-10001: Authentication bypass in the example gateway"
    assert (one["alias"], one["priority"], one["source"]) == (ALIAS, "P1", "Sentrytex")
    assert "Versions before 4.2.1 are affected." in one["description"]
    assert "https://example.com/advisories/7?a=1&b=2" in one["description"]
    assert one["details"]["Vendors"] == "github, aws-lambda"
    assert (one["details"]["Owner"], one["details"]["Evidence"]) == ("dev-tools", "It is yours.")


def test_decisions_are_told_by_alias(sandbox: Sandbox, jsm: Jsm) -> None:
    """Acknowledged, closed with who and why, and opened anew where it is open again."""
    for told in (delivery(), said(TOOK), said(DONE), said(AGAIN)):
        assert isinstance(send(jsm, told), Delivered)
    first, second = sandbox.jsm.alerts
    assert (first["status"], first["acknowledged"], second["status"]) == ("closed", True, "open")
    assert first["notes"] == ["👀 Acknowledged by Ada", "✅ Resolved (done) by Ada\nWe run 5.0."]


def test_an_id_with_a_slash_is_an_alias(sandbox: Sandbox, jsm: Jsm) -> None:
    """It stands in an address, and is no part of its path."""
    odd = alert(id="a/b?c#d e")
    send(jsm, delivery(alert=odd))
    send(jsm, delivery(alert=odd, kind=Kind.WITHDRAW, receipt=Receipt(remote_id="sentrytex:a/b?c#d e")))
    assert [one["status"] for one in sandbox.jsm.alerts] == ["closed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.UPDATE, "receipt": STANDS, "changes": (Change(field="cvss_score", old=1.0, new=2.0),)},
        {"origin": Origin.REPORT},
        {"latest": DONE},
    ],
)
def test_nobody_is_paged_for_less(sandbox: Sandbox, jsm: Jsm, changes: dict[str, Any]) -> None:
    """A change that is no worse, a report, and an alert that people have resolved by now."""
    told = delivery(**changes)
    assert "Jira Service Management: " in jsm.preview(jsm.render(told))
    assert isinstance(send(jsm, told), Delivered)
    assert sandbox.jsm.alerts == []


def test_whatever_an_alert_says_fits(sandbox: Sandbox, jsm: Jsm) -> None:
    """No text and no size passes a field's limit."""
    for one in (*hostile_alerts(), *odd_alerts()):
        told = delivery(alert=one, evidence=(one.title[:2000],) * 9, owners=(JsmOwner("o" * 255),) * 50)
        assert isinstance(send(jsm, told), Delivered)


@pytest.mark.parametrize("length", [event.MAX_MESSAGE, event.MAX_MESSAGE + 1])
def test_a_message_is_cut_at_its_limit(jsm: Jsm, length: int) -> None:
    """130 characters pass whole, one more is cut with a mark."""
    title = "[CRITICAL] CVE-2026-10001: ".ljust(length, "x").removeprefix("[CRITICAL] CVE-2026-10001: ")
    message = jsm.render(delivery(alert=alert(title=title)))["event"]["message"]
    assert len(message) == event.MAX_MESSAGE
    assert message.endswith("…") is (length > event.MAX_MESSAGE)


def test_priorities_are_the_config_s(sandbox: Sandbox) -> None:
    """Those that it names, and ours for the rest."""
    with closing(connect(sandbox, priority={"high": "P1"})) as made:
        found = [
            made.render(delivery(alert=alert(severity=one)))["event"]["priority"] for one in ("high", "medium", "low")
        ]
    assert found == ["P1", "P3", "P4"]


def test_what_was_accepted_and_not_carried_out_is_a_dead_letter(sandbox: Sandbox, jsm: Jsm) -> None:
    """An integration's filter lets nothing pass: the answer is 202 all the same, and the request tells."""
    sandbox.jsm.filtered = True
    outcome = send(jsm, delivery())
    assert isinstance(outcome, Rejected)
    assert "filtered out by the integration" in outcome.reason


def test_a_request_that_cannot_be_asked_about_was_accepted(sandbox: Sandbox, jsm: Jsm) -> None:
    """It is not sent again for that."""
    for fault in (FaultKind.RESET_BEFORE, FaultKind.HTML):
        sandbox.jsm.inject(Fault(kind=fault, path="GET /jsm/"))
        assert isinstance(send(jsm, delivery()), Delivered)


def test_closing_what_is_not_there_is_no_error(sandbox: Sandbox, jsm: Jsm) -> None:
    """Somebody has closed it already."""
    assert isinstance(send(jsm, said(DONE)), Delivered)
    assert sandbox.jsm.alerts == []


def test_an_alert_that_was_deleted_holds_up_no_other(sandbox: Sandbox, jsm: Jsm) -> None:
    """Where that is said at once; an address that leads elsewhere says 404 in other words."""
    gone = Fault(kind=FaultKind.STATUS, status=404, body='{"message": "Not found", "requestId": "a"}', path="/close")
    sandbox.jsm.inject(gone)
    outcome = send(jsm, said(DONE))
    assert isinstance(outcome, Delivered)
    assert outcome.note == "there is no alert to close"
    sandbox.jsm.inject(replace(gone, body='{"message": "No such page"}'))
    assert isinstance(send(jsm, said(DONE)), Broken)
    sandbox.jsm.inject(replace(gone, path=""))
    assert isinstance(send(jsm, delivery()), Broken)


def test_nothing_in_an_alert_is_an_element_of_html(sandbox: Sandbox, jsm: Jsm) -> None:
    """Jira Service Management would show it as one; what is no element reads as before, and so does what is one."""
    text = '<a href="https://evil.example/">Reset</a> <img src=x> <!-- --> a < b <3 </b>'
    one = alert(title=text, description=text, affected_vendors=[text])
    send(jsm, delivery(alert=one, evidence=(text,)))
    send(jsm, replace(said(DONE), response=replace(DONE, person=text, reason=text), latest=None))
    (event,) = sandbox.jsm.alerts
    shown = [event["message"], event["description"], *event["details"].values(), *event["notes"]]
    assert not any(re.search(r"<[A-Za-z/!?]", field) for field in shown)
    assert event["description"].replace("\u200b", "").startswith(text)
    assert len(event["notes"]) == 1


def test_a_check_shows_whether_the_key_counts(sandbox: Sandbox, jsm: Jsm) -> None:
    """By a request that never was: nothing is opened."""
    (good,) = jsm.check()
    sandbox.jsm.revoke()
    (bad,) = jsm.check()
    outcome = send(jsm, delivery())
    assert (good.ok, bad.ok) == (True, False)
    assert isinstance(outcome, Broken)
    assert "check api_key" in bad.text
    assert sandbox.jsm.api_key not in bad.text + outcome.reason
    assert sandbox.jsm.alerts == []


def test_a_rate_limit_names_its_period(sandbox: Sandbox, jsm: Jsm) -> None:
    """In a header of its own where there is no Retry-After."""
    sandbox.jsm.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"X-RateLimit-Period-In-Sec": "60"}))
    assert send(jsm, delivery()) == RateLimited(60, "the rate limit of 127.0.0.1")


@pytest.mark.parametrize(
    "wrong", [{"api_key": "two words"}, {"base_url": "http://example.com"}, {"priority": {"high": "P9"}}]
)
def test_a_config_that_cannot_work(wrong: dict[str, Any]) -> None:
    """It is found out before the first alert."""
    with pytest.raises(ValidationError):
        JsmConfig.model_validate({"type": "jsm", "api_key": "not-a-real-key", **wrong})


def test_importing_it_loads_nothing_that_sends() -> None:
    """Who does not use it pays for no client."""
    code = "import sys, connectors.jsm\nprint(sorted({'httpx2', 'httpcore2', 'ssl', 'requests'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
