"""The contract of a connector, held against every connector that is registered.

The table in ``tests.kit.contract`` says for each what a trouble must come to; what is asserted is the same for all.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from forwarder.alert import Alert
from forwarder.connector import (
    Broken,
    Connector,
    Delivered,
    Failed,
    Kind,
    Origin,
    ProcessMemory,
    RateLimited,
    Receipt,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.contract import (
    HASTY,
    LOST,
    OUTCOMES,
    TARGETS,
    TICKET,
    UNSEEN,
    Target,
    Unreadable,
    connector_class,
    everything_told,
    follow_ups,
    look,
    new_delivery,
    numbers,
    patience,
    registered,
    responses_to,
    send,
    send_struck,
    settle,
    striking,
)
from tests.kit.samples import HOSTILE_TEXTS, delivery, hostile_alerts, odd_alerts

each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
"""Runs a test over every connector that talks to a service."""

each_teller = pytest.mark.parametrize(
    "target", [one for one in TARGETS if connector_class(one.kind).tells_responses], ids=lambda target: target.name
)
"""Runs a test over those that tell what people decide."""


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """One sandbox for all, with every service as it should be."""
    for service in (running.slack, running.teams, running.pagerduty, running.jsm, running.jira, running.webhook):
        service.clear_faults()
        service.restore()
    running.jira.index_lag = 0
    return running


@pytest.fixture
def connector(target: Target, sandbox: Sandbox) -> Iterator[Connector[Any]]:
    with closing(target.connect(sandbox)) as connected:
        yield connected


def test_every_registered_connector_is_held_to_the_contract() -> None:
    """A connector that is registered has its row in the table."""
    assert registered() == {target.kind for target in TARGETS} | {"console"}


@pytest.mark.parametrize("name", sorted(registered()))
def test_a_config_says_its_type_and_describes_each_key(name: str) -> None:
    """The config's model is named by the entry point, and every key has a sentence for the schema."""
    schema = connector_class(name).Config.model_json_schema()
    assert schema["properties"]["type"]["const"] == name
    undescribed = {key for key, of in schema["properties"].items() if key != "type" and not of.get("description")}
    assert undescribed == set()


def test_reading_schemas_loads_no_sdk() -> None:
    """A config's schema is read without any destination's SDK."""
    code = (
        "import sys\nfrom tests.kit.contract import connector_class, registered\n"
        "for name in registered(): connector_class(name).Config.model_json_schema()\n"
        "print(sorted({'slack_sdk', 'pagerduty', 'jira', 'requests', 'httpx2'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# Rendering


@each_target
def test_rendering_is_pure(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """The same delivery gives the same JSON, twice and on another connector, without a request or a secret."""
    seen = len(target.service(sandbox).requests)
    first = new_delivery(links=(TICKET,))
    receipt = Receipt(remote_id="C0SECOPS:1700000000.000100", url="https://example.com/1")
    with closing(target.connect(sandbox)) as another:
        for one in [first, *follow_ups(first, receipt), *follow_ups(first, None)]:
            payload = connector.render(one)
            assert json.loads(json.dumps(payload)) == payload == connector.render(one) == another.render(one)
            assert not any(secret in json.dumps(payload) for secret in target.secrets(sandbox))
            assert connector.preview(payload).strip()
    assert len(target.service(sandbox).requests) == seen


@each_target
def test_hostile_and_odd_alerts_arrive(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """No text, type or size of a field keeps an alert from its destination, nor reaches a terminal as a command."""
    for one in (*hostile_alerts(), *odd_alerts()):
        number = next(numbers)
        sent = new_delivery(alert=Alert.parse({**one.raw, "id": f"{one.id[:200]}-{number}"}))
        payload = connector.render(sent)
        assert json.loads(json.dumps(payload)) == payload
        assert isinstance(connector.deliver(sent, payload), Delivered), str(one)[:300]
        preview = connector.preview(payload)
        assert preview.strip()
        assert not any(char in preview for char in "\x00\x07\x1b\x9b\u202e")
    assert not any(message["pings"] for message in sandbox.slack.messages)


@each_target
@pytest.mark.parametrize("origin", list(Origin))
def test_what_is_no_alert_is_marked(target: Target, connector: Connector[Any], origin: Origin) -> None:
    """The forwarder's own troubles and a person's trial read differently from an alert, and arrive."""
    as_alert, marked = new_delivery(), new_delivery()
    marked = delivery(alert=as_alert.alert, enqueued_at=as_alert.enqueued_at, connector="target", origin=origin)
    same = connector.preview(connector.render(marked)) == connector.preview(connector.render(as_alert))
    assert same is (origin is Origin.FEED)
    assert isinstance(send(connector, marked), Delivered)


# Delivering


@each_target
def test_an_alert_is_followed_up_where_it_stands(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """An alert arrives once, and its changes, links and withdrawal add no second one."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    assert target.count(sandbox, first.alert) == 1
    if not target.edits:
        return
    for one in follow_ups(first, outcome.receipt):
        for _ in range(2):
            followed = send(connector, one)
            assert isinstance(followed, Delivered)
            assert followed.receipt.remote_id == outcome.receipt.remote_id
        assert target.count(sandbox, first.alert) == 1


@each_target
@pytest.mark.parametrize("index", range(3), ids=["change", "link", "withdrawal"])
def test_a_follow_up_of_nothing_is_no_error(target: Target, connector: Connector[Any], index: int) -> None:
    """Without a receipt a change or a withdrawal is settled all the same."""
    assert isinstance(send(connector, follow_ups(new_delivery(), None)[index]), Delivered)


@each_target
def test_a_payload_that_was_kept_can_be_sent(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """A payload that went through JSON is as good as a new one, and is left as it was."""
    first = new_delivery()
    payload = json.loads(json.dumps(connector.render(first)))
    before = json.dumps(payload)
    assert isinstance(connector.deliver(first, payload), Delivered)
    assert json.dumps(payload) == before
    assert target.count(sandbox, first.alert) == 1


@each_target
def test_what_was_learned_serves_the_next_process(target: Target, sandbox: Sandbox) -> None:
    """A connector that remembers an earlier one's deliveries brings the next, and finds them all."""
    memory, ones = ProcessMemory(), [new_delivery() for _ in range(3)]
    for one in ones:
        with closing(target.connect(sandbox)) as connector:
            connector.remember(memory)
            assert isinstance(send(connector, one), Delivered)
            assert target.count(sandbox, one.alert) == 1
            if connector.reconcile_after:
                assert connector.find(one) is not None
    kept = json.dumps(memory.values)
    assert not any(secret in kept for secret in target.secrets(sandbox))


@each_target
def test_a_memory_that_cannot_be_read_is_no_exception(target: Target, connector: Connector[Any]) -> None:
    """What cannot be remembered may put a delivery off, but neither breaks nor repeats anything."""
    connector.remember(Unreadable())
    outcome = send(connector, new_delivery())
    assert isinstance(outcome, Delivered | Retry)
    for one in follow_ups(new_delivery(), None):
        assert isinstance(send(connector, one), Delivered | Retry)
    with suppress(Failed):
        connector.find(new_delivery())
    assert connector.check()


@each_target
def test_many_threads_deliver_at_once(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """Deliveries from several threads all arrive, each once and under its own receipt."""
    ones = [new_delivery() for _ in range(40)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda one: send(connector, one), ones))
    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert [target.count(sandbox, one.alert) for one in ones] == [1] * len(ones)
    receipts = {outcome.receipt.remote_id for outcome in outcomes if isinstance(outcome, Delivered)}
    # One that edits nothing may have the same for all.
    assert len(receipts) == len(ones) or (not target.edits and len(receipts) == 1)


# Troubles


@pytest.mark.parametrize(
    ("target", "status"),
    [(target, status) for target in TARGETS for status in target.statuses],
    ids=lambda value: value.name if isinstance(value, Target) else str(value),
)
def test_each_status_has_its_outcome(target: Target, sandbox: Sandbox, connector: Connector[Any], status: int) -> None:
    """An answer of that status, in words that are not the service's own, comes to what the table says."""
    target.service(sandbox).inject(
        Fault(kind=FaultKind.STATUS, status=status, body="no word of this service", path=target.send, times=None)
    )
    outcome = send(connector, new_delivery())
    assert isinstance(outcome, target.statuses[status])
    assert outcome.reason.strip()  # type: ignore[union-attr]


@each_target
def test_no_status_is_an_exception(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """Whatever the status, and whatever was asked, there is an outcome, and for a new alert it is no success."""
    first, service = new_delivery(), target.service(sandbox)
    delivered = send(connector, first)
    assert isinstance(delivered, Delivered)
    later = follow_ups(first, delivered.receipt)
    for status in (*range(300, 309), *range(400, 432), 444, 451, 499, *range(500, 512), *range(520, 528), 599):
        service.inject(Fault(kind=FaultKind.STATUS, status=status, body="<html>no</html>", times=None))
        outcome = send(connector, new_delivery())
        assert isinstance(outcome, OUTCOMES), status
        assert not isinstance(outcome, Delivered), status
        assert isinstance(send(connector, later[status % len(later)]), OUTCOMES), status
        service.clear_faults()


def _kind(fault: Fault) -> str:
    return fault.kind.value


each_loss = pytest.mark.parametrize("fault", LOST, ids=_kind)


@each_target
@each_loss
def test_a_lost_answer_ends_in_one_alert(
    target: Target, sandbox: Sandbox, connector: Connector[Any], fault: Fault
) -> None:
    """A lost answer comes to what the table says, and the way back leaves exactly one alert at the destination."""
    first = new_delivery()
    sandbox.jira.index_lag = 5
    assert isinstance(send_struck(target, sandbox, first, fault), target.lost)
    if not look(connector, first, advance=sandbox.clock.advance):
        settle(connector, first, advance=sandbox.clock.advance)
    stands = target.count(sandbox, first.alert)
    assert stands == 1 if target.once or not fault.kind.has_effect else stands == 2


@pytest.mark.parametrize(
    ("target", "fault"),
    [(target, fault) for target in TARGETS if target.find_path for fault in UNSEEN],
    ids=lambda value: value.name if isinstance(value, Target) else f"{value.kind.value} {value.status} {value.body}",
)
def test_what_was_not_seen_is_not_not_there(
    target: Target, sandbox: Sandbox, connector: Connector[Any], fault: Fault
) -> None:
    """No answer to a look but a whole one says that nothing is there."""
    first = new_delivery()
    assert isinstance(send_struck(target, sandbox, first, Fault(kind=FaultKind.RESET_AFTER)), target.lost)
    service = target.service(sandbox)
    service.inject(replace(fault, path=target.find_path, times=None))
    with pytest.raises(Failed) as failed:
        connector.find(first)
    assert failed.value.outcome.reason.strip()
    service.clear_faults()
    assert connector.find(first) is not None


@each_target
def test_answers_lost_again_and_again_end_in_one_alert(target: Target, sandbox: Sandbox) -> None:
    """Losses in a row, of sends and of looks, do not add up."""
    first = new_delivery()
    target.service(sandbox).inject(
        *(striking(target, fault) for fault in LOST if fault.kind.has_effect),
        *(striking(target, fault, target.find_path) for fault in LOST if target.find_path),
    )
    with closing(target.connect(sandbox, timeout=HASTY)) as connector:
        settle(connector, first, advance=sandbox.clock.advance, attempts=2 * len(LOST))
    stands = target.count(sandbox, first.alert)
    assert stands == 1 if target.once else stands >= 1


@each_target
@pytest.mark.parametrize("fault", [fault for fault in LOST if "before" not in fault.kind], ids=_kind)
def test_a_lost_answer_to_a_follow_up_is_no_exception(
    target: Target, sandbox: Sandbox, connector: Connector[Any], fault: Fault
) -> None:
    """A change or a withdrawal whose answer is lost can be sent again, and adds no second alert."""
    first = new_delivery()
    delivered = send(connector, first)
    assert isinstance(delivered, Delivered)
    for one in follow_ups(first, delivered.receipt):
        assert isinstance(send_struck(target, sandbox, one, fault, path="POST"), OUTCOMES)
        settle(connector, one, advance=sandbox.clock.advance)
    if target.once:
        assert target.count(sandbox, first.alert) == 1


# What people decide


@each_teller
def test_rendering_a_response_is_pure(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """The same response gives the same JSON, twice and on another connector, with or without a place to show it."""
    seen = len(target.service(sandbox).requests)
    receipt = Receipt(remote_id="C0SECOPS:1700000000.000100", url="https://example.com/1")
    with closing(target.connect(sandbox)) as another:
        for one in (*responses_to(new_delivery(), receipt), *responses_to(new_delivery(), None)):
            payload = connector.render(one)
            assert json.loads(json.dumps(payload)) == payload == connector.render(one) == another.render(one)
            assert connector.preview(payload).strip()
    assert len(target.service(sandbox).requests) == seen


@each_teller
def test_responses_are_told_where_the_alert_stands(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """What people decide arrives where the alert stands, twice too, and only a reopening may add an alert."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    for one in responses_to(first, outcome.receipt):
        for _ in range(2):
            told = send(connector, one)
            assert isinstance(told, Delivered), told
            assert told.receipt.remote_id == outcome.receipt.remote_id
        if target.edits:
            again = target.again if one.kind is Kind.REOPEN else 0
            assert target.count(sandbox, first.alert) == 1 + again


@each_teller
def test_an_overtaken_response_is_no_error(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """What somebody has decided otherwise since is settled all the same, and the alert stands once."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    ones = responses_to(first, outcome.receipt)
    for one in ones[:-1]:
        assert isinstance(send(connector, replace(one, latest=ones[-1].latest)), Delivered)
    if target.edits:
        assert target.count(sandbox, first.alert) == 1


@each_teller
def test_a_response_to_nothing_is_no_error(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """Where the alert does not stand, what people decide is settled, and makes no alert but by a reopening."""
    first = new_delivery()
    for one in responses_to(first, None):
        assert target.count(sandbox, first.alert) == 0
        assert isinstance(send(connector, one), Delivered)
    assert target.count(sandbox, first.alert) == target.again


@each_teller
@pytest.mark.parametrize("field", ["person", "reason", "place"])
def test_what_people_write_arrives(target: Target, sandbox: Sandbox, connector: Connector[Any], field: str) -> None:
    """No name and no reason keeps a response from its destination, pings anybody or reaches a terminal."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    for text in HOSTILE_TEXTS:
        for one in responses_to(first, outcome.receipt):
            assert one.response is not None
            said: dict[str, Any] = {"person": "", field: text}
            written = replace(one.response, **said)
            told = replace(one, response=written, latest=written)
            payload = connector.render(told)
            assert isinstance(connector.deliver(told, json.loads(json.dumps(payload))), Delivered), text[:300]
            preview = connector.preview(payload)
            assert not any(char in preview for char in "\x00\x07\x1b\x9b\u202e")
    assert not any(message["pings"] for message in sandbox.slack.messages)


@each_teller
@pytest.mark.parametrize("fault", [fault for fault in LOST if "before" not in fault.kind], ids=_kind)
def test_a_lost_answer_to_a_response_is_no_exception(
    target: Target, sandbox: Sandbox, connector: Connector[Any], fault: Fault
) -> None:
    """A response whose answer is lost is looked for or told again, and adds no more than it would have."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    for one in responses_to(first, outcome.receipt):
        lost = send_struck(target, sandbox, one, fault, path="POST")
        assert isinstance(lost, OUTCOMES)
        if not (isinstance(lost, Uncertain) and look(connector, one, advance=sandbox.clock.advance)):
            settle(connector, one, advance=sandbox.clock.advance)
    if target.once:
        assert target.count(sandbox, first.alert) == 1 + target.again


@each_target
def test_an_answer_in_drips_is_an_answer(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """A slow answer ends in one alert, whether it was waited for or not."""
    first = new_delivery()
    target.service(sandbox).inject(Fault(kind=FaultKind.DRIP, seconds=0.1, path=target.send))
    settle(connector, first, advance=sandbox.clock.advance)
    assert target.count(sandbox, first.alert) == 1


@each_target
def test_an_error_after_the_effect_ends_in_one_alert(
    target: Target, sandbox: Sandbox, connector: Connector[Any]
) -> None:
    """A 500 says nothing about what was done before it."""
    first = new_delivery()
    target.service(sandbox).inject(Fault(kind=FaultKind.STATUS_AFTER, status=500, path=target.send))
    assert isinstance(send(connector, first), target.lost)
    if not look(connector, first, advance=sandbox.clock.advance):
        settle(connector, first, advance=sandbox.clock.advance)
    assert target.count(sandbox, first.alert) == (1 if target.once else 2)


@each_target
def test_a_service_that_is_down_is_tried_again(target: Target) -> None:
    """A refused connection sent nothing: it is a Retry, a failed look and a failed check, each told in a sentence."""
    with Sandbox() as gone:
        connector = target.connect(gone)
    with closing(connector):
        outcome = send(connector, new_delivery())
        assert isinstance(outcome, Retry)
        assert outcome.reason.strip()
        if connector.reconcile_after:
            with pytest.raises(Failed) as caught:
                connector.find(new_delivery())
            assert isinstance(caught.value.outcome, Retry)
        findings = connector.check()
        assert any(not finding.ok for finding in findings) or target.name == "slack-webhook"


@each_target
def test_revoked_credentials_break_the_destination_until_restored(
    target: Target, sandbox: Sandbox, connector: Connector[Any]
) -> None:
    """Revoked credentials are Broken with words for people, and once restored the same delivery goes through."""
    first = new_delivery()
    target.service(sandbox).revoke()
    outcome = send(connector, first)
    assert isinstance(outcome, Broken)
    assert len(outcome.reason.split()) > 3
    target.service(sandbox).restore()
    assert isinstance(send(connector, first), Delivered)
    assert target.count(sandbox, first.alert) == 1


def _date_in_100_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)


@each_target
@pytest.mark.parametrize(
    ("header", "bounds"),
    [
        (lambda: "7", (7, 7)),
        (lambda: "1.5", (1.5, 1.5)),
        (_date_in_100_seconds, (40, 100)),
        (lambda: "soon", (0.1, 60)),
        (lambda: None, (0.1, 60)),
        (lambda: "-5", (0, 60)),
        (lambda: "99999999", (60, 3600)),
    ],
    ids=["seconds", "fraction", "date", "garbage", "none", "negative", "far"],
)
def test_a_rate_limit_is_waited_out(
    target: Target,
    sandbox: Sandbox,
    connector: Connector[Any],
    header: Callable[[], str | None],
    bounds: tuple[float, float],
) -> None:
    """Every form of Retry-After is read, and one that says nothing usable gives a wait of the connector's own."""
    value = header()
    headers = {} if value is None else {"Retry-After": value}
    target.service(sandbox).inject(
        Fault(kind=FaultKind.STATUS, status=429, headers=headers, body="slow down", path=target.send)
    )
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, RateLimited)
    assert bounds[0] <= outcome.after <= bounds[1]
    assert isinstance(send(connector, first), Delivered)
    assert target.count(sandbox, first.alert) == 1


@each_target
def test_find_tells_what_is_there(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """What was delivered is found under its receipt, what was not is not; without looks nothing is ever found."""
    first = new_delivery()
    outcome = send(connector, first)
    assert isinstance(outcome, Delivered)
    found = look(connector, first, advance=sandbox.clock.advance)
    assert found is None if not connector.reconcile_after else found and found.remote_id == outcome.receipt.remote_id
    assert connector.find(new_delivery()) is None


@each_target
@pytest.mark.parametrize(
    "fault",
    [
        *(fault for fault in LOST if not fault.kind.has_effect),
        *(Fault(kind=FaultKind.STATUS, status=status) for status in (400, 401, 403, 404, 429, 500, 503)),
    ],
    ids=lambda fault: f"{fault.kind.value}-{fault.status}",
)
def test_a_look_or_a_check_that_fails_says_so(target: Target, sandbox: Sandbox, fault: Fault) -> None:
    """``find`` raises nothing but Failed, and ``check`` raises nothing and speaks in sentences."""
    target.service(sandbox).inject(Fault(kind=fault.kind, status=fault.status, seconds=30, path="/", times=None))
    with closing(target.connect(sandbox, **patience(fault))) as connector:
        with suppress(Failed):
            assert connector.find(new_delivery()) is None
        findings = connector.check()
    assert findings
    assert all(len(finding.text.split()) > 2 for finding in findings)


@each_target
def test_a_check_leaves_no_trace(target: Target, sandbox: Sandbox, connector: Connector[Any]) -> None:
    """A check against a healthy service finds nothing amiss and changes nothing there."""
    service = target.service(sandbox)
    before = service.snapshot()
    findings = connector.check()
    assert [finding.text for finding in findings if not finding.ok] == []
    assert service.snapshot() == before


# Secrets


@each_target
def test_no_secret_is_told(
    target: Target,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No reason, finding, repr, dump, log record or exception shows a secret, not even one that the remote repeats."""
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    secrets, service = target.secrets(sandbox), target.service(sandbox)
    parrot = f"you sent {' and '.join(secrets)}"
    listed = json.dumps({"error": parrot, "errors": [parrot], "errorMessages": [parrot]})
    said: list[str] = []
    with closing(target.connect(sandbox, timeout=HASTY)) as connector:
        said += [repr(connector), repr(vars(connector)), repr(connector.config), connector.config.model_dump_json()]
        for fault in (
            None,
            *(striking(target, fault) for fault in LOST),
            *(
                Fault(kind=FaultKind.STATUS, status=status, body=body, path=target.send, times=2)
                for statuses, body in (((200, 400, 401, 500), listed), ((302, 400, 413, 429), parrot))
                for status in statuses
            ),
        ):
            service.clear_faults()
            if fault:
                service.inject(fault)
            said += everything_told(connector)
        service.clear_faults()
        service.revoke()
        said += everything_told(connector)
    said += [record.getMessage() + str(record.exc_info or "") + str(vars(record)) for record in caplog.records]
    said += capfd.readouterr()
    assert [text for text in said if any(secret in text for secret in secrets)] == []


@pytest.mark.parametrize("name", sorted(registered()))
def test_a_config_that_is_refused_shows_no_value(name: str) -> None:
    """A validation error names keys, not what stands there: it may be a secret in the wrong place."""
    secret = "not-a-real-secret"
    model = connector_class(name).Config
    values: dict[str, Any] = dict.fromkeys(model.model_fields, secret)
    with pytest.raises(ValueError, match="type") as caught:
        model.model_validate({**values, "wrong_key": secret})
    assert secret not in str(caught.value)
