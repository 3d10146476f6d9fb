"""PagerDuty in an alert's life: what people decide elsewhere reaches the incident, and wakes nobody in vain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from connectors.pagerduty import PagerDuty, PagerDutyConfig
from connectors.pagerduty.event import dedup_key
from forwarder.alert import Alert, Change
from forwarder.connector import Action, Delivered, Delivery, Kind, Origin, Receipt, Resolution, Response
from forwarder.sandbox import Sandbox
from forwarder.testing import NOW, alert, delivery

KINDS = {Action.ACKNOWLEDGE: Kind.ACKNOWLEDGE, Action.RESOLVE: Kind.RESOLVE, Action.REOPEN: Kind.REOPEN}
_numbers = count(1)


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture
def oncall(service: Sandbox) -> Iterator[PagerDuty]:
    service.pagerduty.clear_faults()
    service.pagerduty.restore()
    with closing(pagerduty(service)) as connector:
        yield connector


def pagerduty(service: Sandbox, **config: Any) -> PagerDuty:
    settings = {"routing_key": service.pagerduty.routing_key, "base_url": service.pagerduty.url, **config}
    return PagerDuty("oncall", PagerDutyConfig.model_validate({"type": "pagerduty", **settings}), now=lambda: NOW)


def fresh() -> Alert:
    """An alert that no other test sends."""
    return alert(id=f"life-{next(_numbers)}")


def response(action: Action, number: int = 1, **told: Any) -> Response:
    told = {"person": "Ada", **told}
    if action is Action.RESOLVE:
        told.setdefault("resolution", Resolution.DONE)
    return Response(number=number, action=action, at=NOW + timedelta(minutes=number), place="secops", **told)


def telling(one: Alert, told: Response, *, latest: Response | None = None) -> Delivery:
    """The delivery of a response, and what was decided last by then."""
    receipt = Receipt(remote_id=dedup_key(one))
    return delivery(
        alert=one, kind=KINDS[told.action], revision=told.number, receipt=receipt, response=told, latest=latest or told
    )


def send(connector: PagerDuty, one: Delivery) -> Delivered:
    outcome = connector.deliver(one, connector.render(one))
    assert isinstance(outcome, Delivered), outcome
    assert outcome.receipt == Receipt(remote_id=dedup_key(one.alert))
    return outcome


def incident(service: Sandbox, one: Alert) -> tuple[int, str]:
    """How many incidents the alert opened, and the status of the newest; none and nothing where PagerDuty has none."""
    found = service.pagerduty.incidents.get(dedup_key(one))
    return (found["count"], found["status"]) if found else (0, "")


# What others decide


def test_the_incident_follows_what_people_decide_elsewhere(oncall: PagerDuty, service: Sandbox) -> None:
    """Acknowledged, resolved, open again: the last one as a new incident, for it pages anew."""
    one = fresh()
    send(oncall, delivery(alert=one))
    send(oncall, telling(one, response(Action.ACKNOWLEDGE)))
    assert incident(service, one) == (1, "acknowledged")
    send(oncall, telling(one, response(Action.RESOLVE, 2)))
    assert incident(service, one) == (1, "resolved")
    send(oncall, telling(one, response(Action.REOPEN, 3, person="Bob", reason="it is back")))
    assert incident(service, one) == (2, "triggered")
    event = service.pagerduty.incidents[dedup_key(one)]["events"][-1]
    assert event["payload"]["custom_details"]["reopened"] == "Reopened by Bob: it is back"


def test_a_preview_says_what_becomes_of_the_incident(oncall: PagerDuty) -> None:
    one = fresh()
    for action, does in ((Action.ACKNOWLEDGE, "acknowledges"), (Action.RESOLVE, "resolves")):
        shown = oncall.preview(oncall.render(telling(one, response(action))))
        assert shown == f"PagerDuty {does} the incident {dedup_key(one)}"


@pytest.mark.parametrize("action", list(Action))
def test_what_holds_no_more_is_not_sent(oncall: PagerDuty, service: Sandbox, action: Action) -> None:
    """A newer response follows: to page or to acknowledge by the older one would be wrong."""
    one = fresh()
    latest = response(Action.RESOLVE, 2, person="Bob", resolution=Resolution.NOT_AFFECTED)
    seen = len(service.pagerduty.requests)
    outcome = send(oncall, telling(one, response(action), latest=latest))
    assert outcome.note == "not sent, because something newer was decided: Resolved (not affected) by Bob"
    assert len(service.pagerduty.requests) == seen


# What wakes nobody


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.UPDATE, Kind.REMIND])
def test_an_alert_that_is_resolved_by_now_wakes_nobody(oncall: PagerDuty, service: Sandbox, kind: Kind) -> None:
    """It came late, or is a reminder. The receipt is the dedup key, by which later news finds its way."""
    one = fresh()
    outcome = send(oncall, delivery(alert=one, kind=kind, latest=response(Action.RESOLVE)))
    assert outcome.note == "nobody is paged: Resolved (done) by Ada"
    assert incident(service, one) == (0, "")
    send(oncall, telling(one, response(Action.REOPEN, 2)))
    assert incident(service, one) == (1, "triggered")


def test_an_alert_that_somebody_has_by_now_pages_and_is_acknowledged(oncall: PagerDuty, service: Sandbox) -> None:
    """Its incident stands, and the acknowledgement follows."""
    one, acknowledged = fresh(), response(Action.ACKNOWLEDGE)
    send(oncall, delivery(alert=one, latest=acknowledged))
    assert incident(service, one) == (1, "triggered")
    send(oncall, telling(one, acknowledged))
    assert incident(service, one) == (1, "acknowledged")


def test_a_reminder_pages_again_where_people_closed_the_incident(oncall: PagerDuty, service: Sandbox) -> None:
    """It is folded into an open incident, and opens a new one where there is none."""
    one = fresh()
    receipt = Receipt(remote_id=dedup_key(one))
    why = "Nobody has acknowledged it for 15m"
    reminder = delivery(alert=one, kind=Kind.REMIND, receipt=receipt, reminder=why)
    send(oncall, delivery(alert=one))
    send(oncall, reminder)
    assert incident(service, one) == (1, "triggered")
    send(oncall, delivery(alert=one, kind=Kind.WITHDRAW, receipt=receipt))
    send(oncall, reminder)
    assert incident(service, one) == (2, "triggered")
    event = service.pagerduty.incidents[dedup_key(one)]["events"][-1]
    assert event["payload"]["custom_details"]["reminder"] == why


def test_worse_news_pages_whatever_was_decided_before_it(oncall: PagerDuty, service: Sandbox) -> None:
    one = fresh()
    rose = (Change(field="severity", old="high", new="critical"),)
    update = delivery(
        alert=one, kind=Kind.UPDATE, receipt=Receipt(remote_id=dedup_key(one)), changes=rose,
        latest=response(Action.RESOLVE),
    )  # fmt: skip
    send(oncall, update)
    assert incident(service, one) == (1, "triggered")


@pytest.mark.parametrize("origin", [Origin.DIGEST, Origin.REPORT])
def test_a_digest_pages_nobody(oncall: PagerDuty, service: Sandbox, origin: Origin) -> None:
    """The config leads none here; one that is there all the same ends quietly."""
    one = fresh()
    assert "nobody is paged" in send(oncall, delivery(alert=one, origin=origin)).note
    assert incident(service, one) == (0, "")


def test_what_a_person_sends_again_is_sent(oncall: PagerDuty, service: Sandbox) -> None:
    """A replay is a wish of its own."""
    one = fresh()
    again = delivery(alert=one, repeats=Receipt(remote_id=dedup_key(one)), latest=response(Action.RESOLVE))
    send(oncall, again)
    assert incident(service, one) == (1, "triggered")
