"""What every connector shows of vendors and evidence: names instead of keys, a few lines, and nothing that they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from forwarder.connector import Change, Connector, Delivered, Delivery, Kind, Receipt, Vendor
from forwarder.feed.evidence import evidence_in
from forwarder.sandbox import Sandbox
from forwarder.testing import HOSTILE_TEXTS, Target, alert, delivery
from tests.kit.contract import TARGETS

NAMES = {
    "github": Vendor(key="github", name="GitHub", categories=("code hosting",)),
    "okta": Vendor(key="okta", name="Okta Identity"),
}
EVIDENCE = ("state: verified", "sources: 2")
JOINED = Change(field="affected_vendors", old=["github", "aws-lambda"], new=["aws-lambda", "okta"])
WORSE = Change(field="severity", old="high", new="critical")


@pytest.fixture(params=TARGETS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target[Sandbox]:
    found: Target[Sandbox] = request.param
    return found


@pytest.fixture
def connector(target: Target[Sandbox], sandbox: Sandbox) -> Iterator[Connector[Any]]:
    with closing(target.connect(sandbox)) as connected:
        yield connected


def shown(connector: Connector[Any], thing: Delivery) -> str:
    return connector.preview(connector.render(thing))


def followed(connector: Connector[Any], *changes: Change) -> Delivery:
    """An update of what stands there."""
    outcome = connector.deliver(first := delivery(), connector.render(first))
    assert isinstance(outcome, Delivered)
    return replace(first, id=2, kind=Kind.UPDATE, revision=2, receipt=outcome.receipt, changes=changes)


def test_vendors_are_called_by_name(connector: Connector[Any]) -> None:
    """One that the stack does not have by its key."""
    assert "GitHub, aws-lambda" in shown(connector, delivery(vendors=NAMES))
    assert "github, aws-lambda" in shown(connector, delivery())


def test_a_change_of_vendors_is_told_by_name(connector: Connector[Any], target: Target[Sandbox]) -> None:
    """Those that are gone from the alert, too. A program is told of changes as the API has them."""
    text = shown(connector, replace(followed(connector, JOINED, WORSE), vendors=NAMES))
    if target.for_people and "okta" in text.lower():  # where changes are told at all
        assert "Okta Identity" in text


def test_evidence_is_shown_where_it_is_known(connector: Connector[Any]) -> None:
    """In what opens an alert, and in the update that comes next."""
    for thing in (delivery(), followed(connector, WORSE)):
        assert "verified" not in shown(connector, thing)
        text = shown(connector, replace(thing, evidence=EVIDENCE))
        assert "state: verified" in text
        assert "sources: 2" in text


def test_who_sees_an_alert_is_told(connector: Connector[Any]) -> None:
    """Where the config names accounts, every message says which of them see it."""
    told = json.dumps(connector.render(delivery(alert=alert(), accounts=("acme-corp", "beta-corp"))))
    assert "acme-corp" in told
    assert "beta-corp" in told


def test_no_identity_depends_on_them(connector: Connector[Any], target: Target[Sandbox], sandbox: Sandbox) -> None:
    """What was sent before the stack was read is found after it, and a repeat shows no second time."""
    before = delivery(enqueued_at=sandbox.jira.clock())
    after = replace(before, vendors=NAMES, evidence=EVIDENCE)
    outcome = connector.deliver(before, connector.render(before))
    assert isinstance(outcome, Delivered)
    if connector.reconcile_after:
        found = connector.find(after)
        assert found is not None
        assert found.remote_id == outcome.receipt.remote_id
    elif target.once:
        connector.deliver(after, connector.render(after))
        assert target.count(sandbox, before.alert) == 1


@pytest.mark.each_once
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_whatever_they_say_it_arrives(connector: Connector[Any], text: str) -> None:
    """The services take names and evidence of any content and length, in a first message and in an update."""
    keys = ("github", "aws-lambda", "okta")
    said = (Vendor.parse({"vendor_key": key, "vendor_name": text, "category": text}) for key in keys)
    hostile = {vendor.key: vendor for vendor in said if vendor is not None}
    first = delivery(vendors=hostile, evidence=evidence_in({"evidence": [[text]] * 9}, ()))
    outcome = connector.deliver(first, connector.render(first))
    assert isinstance(outcome, Delivered), outcome
    assert "plain text" not in outcome.note
    update = replace(first, id=2, kind=Kind.UPDATE, revision=2, receipt=outcome.receipt, changes=(JOINED, WORSE))
    outcome = connector.deliver(update, connector.render(update))
    assert isinstance(outcome, Delivered), outcome
    assert "plain text" not in outcome.note


def test_a_connector_that_knows_neither_shows_what_it_did(connector: Connector[Any]) -> None:
    """A delivery without names and evidence is rendered as before: no line of it is about them."""
    payload = json.dumps(connector.render(delivery(alert=alert())))
    assert "Evidence" not in payload
    assert "GitHub" not in payload


def test_a_withdrawal_has_no_evidence(connector: Connector[Any]) -> None:
    """Nobody has to act any more."""
    gone = delivery(kind=Kind.WITHDRAW, receipt=Receipt(remote_id="C0:1.2"), evidence=EVIDENCE)
    assert "verified" not in shown(connector, gone)
