"""What a webhook tells: in the published shape, small enough, and under one id for one thing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.webhook.config import WebhookOwner
from connectors.webhook.message import MANY, MAX_MESSAGE, TYPES, body_of, message
from connectors.webhook.room import MARK, MAX_ADDRESS, MAX_LABEL
from forwarder.alert import Alert, Change, Vendor
from forwarder.connector import BuiltInTexts, Delivery, Kind, Link, Origin, Receipt, Resolution
from forwarder.lifecycle.digests import compose
from forwarder.testing import NOW, ROSE, TICKET, alert, delivery, hostile_alerts, odd_alerts, responses_to
from tests.kit.samples import real_alerts

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "webhook-v1.schema.json").read_text("utf-8"))
RECEIPT = Receipt(remote_id="msg_first")


def closed(schema: Any) -> Any:
    """The schema, which allows what a later version adds, without that: a field that it does not name is a mistake."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(one) for name, one in schema.items()}
    if "properties" in made and "required" in made:
        made["additionalProperties"] = False
    return made


VALIDATOR = Draft202012Validator(closed(SCHEMA), format_checker=Draft202012Validator.FORMAT_CHECKER)


def told(outstanding: Delivery) -> dict[str, Any]:
    """The message, after it was held against the schema and the limit."""
    made = message(outstanding, BuiltInTexts())
    body = body_of(made)
    assert len(body.encode()) <= MAX_MESSAGE
    wrong = [f"{list(one.absolute_path)}: {one.message[:200]}" for one in VALIDATOR.iter_errors(json.loads(body))]
    assert wrong == []
    return made


def every_kind(one: Alert) -> Iterator[Delivery]:
    """All that may be told of an alert, and of many."""
    first = delivery(
        alert=one,
        links=(TICKET,),
        evidence=("2 sources agree",),
        owners=(WebhookOwner("dev-tools"),),
        vendors={"github": Vendor(key="github", name="GitHub", categories=("code",))},
        page="https://alerts.example.com/alerts/1",
    )
    yield from (replace(first, origin=origin) for origin in (Origin.FEED, Origin.ALARM, Origin.TEST))
    yield replace(first, kind=Kind.UPDATE, revision=2, receipt=RECEIPT, changes=ROSE)
    yield replace(first, kind=Kind.WITHDRAW, revision=1, receipt=RECEIPT)
    yield replace(first, kind=Kind.REMIND, revision=1, receipt=RECEIPT, reminder="Nobody has acknowledged it for 15m")
    yield from responses_to(first, RECEIPT)
    yield replace(first, alert=compose("hook", [one, one], NOW), origin=Origin.DIGEST, items=(one, one))
    yield replace(first, origin=Origin.REPORT)


def test_the_schema_is_one() -> None:
    """The published file is a valid schema of draft 2020-12, and names each type that is told."""
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]["type"]["enum"]) == {*TYPES.values(), *MANY.values()}


def test_real_alerts_are_told_in_the_published_shape() -> None:
    """Whatever is told of any of the real alerts is as the schema says, and nothing of one is cut."""
    ones = [Alert.parse(raw) for raw in real_alerts()]
    assert len(ones) >= 1500
    types = set()
    for number, one in enumerate(ones):
        every = list(every_kind(one))
        made = told(every[number % len(every)])
        types.add(made["type"])
        assert made["data"]["cut"] == []
    assert types == {*TYPES.values(), *MANY.values()}


def test_hostile_and_odd_alerts_are_told_in_the_published_shape() -> None:
    """No text and no type of a field breaks the shape or the limit."""
    for one in (*hostile_alerts(), *odd_alerts()):
        for outstanding in every_kind(one):
            told(outstanding)


@pytest.mark.parametrize(
    ("kind", "type_"), [(kind, name) for kind, name in TYPES.items() if not kind.responds], ids=str
)
def test_each_kind_has_its_type(kind: Kind, type_: str) -> None:
    """A delivery's kind is the message's type, with the moment at which it came to be owed."""
    made = told(delivery(kind=kind))
    assert (made["type"], made["version"], made["timestamp"]) == (type_, 1, "2026-03-01T12:00:00Z")


def test_a_decision_says_who_where_when_and_why() -> None:
    """What a person decided is told with its own time, and with where the alert has come by now."""
    for one in responses_to(delivery(), RECEIPT):
        assert one.response is not None
        made = told(one)
        response = made["data"]["response"]
        assert made["type"] == TYPES[one.kind]
        assert made["timestamp"] == response["at"] == "2026-03-01T14:02:00Z"
        assert made["data"]["state"] == one.response.status.value
        assert (response["where"], response["reason"]) == (one.response.place, one.response.reason)
        assert response["who"] == (one.response.person or None)
        assert response["resolution"] in {None, *(how.value for how in Resolution)}


def test_what_is_known_besides_is_there() -> None:
    """Owners, evidence, links, vendors by name, the page and unknown fields are told."""
    one = next(every_kind(alert(score_of_tomorrow=7)))
    data = told(one)["data"]
    assert data["owners"] == ["dev-tools"]
    assert data["evidence"] == ["2 sources agree"]
    assert data["links"] == [{"connector": "tickets", "text": TICKET.text, "url": TICKET.url}]
    assert data["alert"]["vendors"][0] == {"key": "github", "name": "GitHub", "categories": ["code"]}
    assert data["alert"]["other"] == {"score_of_tomorrow": 7}
    assert "accounts" not in data["alert"]
    assert told(replace(one, accounts=("acme", "beta")))["data"]["alert"]["accounts"] == ["acme", "beta"]
    assert data["page"] == "https://alerts.example.com/alerts/1"


def test_a_digest_tells_its_alerts_in_short() -> None:
    """Each of many is told by id, title, severity and link; the rest is counted by ``cut``."""
    ones = tuple(alert(id=f"a-{number}") for number in range(300))
    made = told(delivery(alert=compose("hook", ones, NOW), origin=Origin.DIGEST, items=ones))
    assert made["type"] == "digest"
    assert made["data"]["alerts"][0]["id"] == "a-0"
    assert "alerts" in made["data"]["cut"]


@pytest.mark.parametrize(("length", "is_cut"), [(MAX_LABEL, False), (MAX_LABEL + 1, True)])
def test_a_title_is_cut_with_a_mark(length: int, is_cut: bool) -> None:
    """A title of the limit is whole; one character more is cut, marked, and named."""
    data = told(delivery(alert=alert(title="x" * length)))["data"]
    assert len(data["alert"]["title"]) == MAX_LABEL
    assert data["alert"]["title"].endswith(MARK) is is_cut
    assert data["cut"] == (["alert.title"] if is_cut else [])


@pytest.mark.parametrize(("length", "is_cut"), [(MAX_ADDRESS, False), (MAX_ADDRESS + 1, True)])
def test_an_address_is_whole_or_missing(length: int, is_cut: bool) -> None:
    """Half of an address leads nowhere."""
    url = "https://example.com/".ljust(length, "a")
    data = told(delivery(alert=alert(source_urls=[url])))["data"]
    assert data["alert"]["source_urls"] == ([] if is_cut else [url])
    assert data["cut"] == (["alert.source_urls"] if is_cut else [])


def test_the_id_is_the_same_for_every_attempt() -> None:
    """What is learned meanwhile, and what another attempt differs in, is no other message."""
    for one in every_kind(alert()):
        later = replace(
            one,
            id=77,
            attempt=9,
            enqueued_at=NOW + timedelta(days=1),
            links=(Link(connector="x", text="X-1", url="https://example.com/x"),),
            evidence=("more",),
            receipt=None,
            owners=(),
            page=None,
        )
        assert message(later, BuiltInTexts())["id"] == message(one, BuiltInTexts())["id"]


def test_the_id_is_another_for_whatever_else_is_told() -> None:
    """Each kind, change, decision, alert, connector and repetition on purpose has an id of its own."""
    first = delivery()
    update = replace(first, kind=Kind.UPDATE, revision=2, changes=ROSE)
    ones: list[Mapping[str, Any]] = [
        message(one, BuiltInTexts())
        for one in (
            first,
            replace(first, alert=alert(id="another")),
            replace(first, connector="another"),
            replace(first, repeats=Receipt(remote_id="msg_first")),
            replace(first, repeats=Receipt(remote_id="msg_second")),
            update,
            replace(update, revision=3),
            replace(update, changes=(Change(field="cvss_score", old=1.0, new=2.0),)),
            replace(first, kind=Kind.REMIND, reminder="Nobody has acknowledged it for 15m"),
            replace(first, kind=Kind.REMIND, reminder="Nobody has acknowledged it for 30m"),
            *responses_to(first, None),
        )
    ]
    assert len({one["id"] for one in ones}) == len(ones)


def test_a_renamed_connector_repeats_under_the_id_of_before() -> None:
    """What was owed under the name before is the same message under the new one."""
    renamed = delivery(connector="new", sent_as="target")
    assert message(renamed, BuiltInTexts())["id"] == message(delivery(), BuiltInTexts())["id"]


def test_an_open_tells_the_alert_of_now_under_one_id() -> None:
    """An alert that changes before it arrives is the same message, though its revision is another."""
    assert message(delivery(revision=5), BuiltInTexts())["id"] == message(delivery(revision=1), BuiltInTexts())["id"]
