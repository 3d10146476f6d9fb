"""A webhook: who has the keys can tell that a message is ours, and that it is one that came before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from connectors.webhook import Webhook
from forwarder.alert import Alert
from forwarder.connector import Broken, Delivered, Delivery, Kind, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.exchange import Request
from forwarder.testing import ROSE, alert, delivery
from forwarder.wire.endpoint import LATER, MAX_ANSWER, REFUSED
from tests.connectors.webhook.kit import NEW_KEY, send, webhook

_numbers = count(1)


@pytest.fixture
def hook(sandbox: Sandbox) -> Iterator[Webhook]:
    with closing(webhook(sandbox)) as connector:
        yield connector


def fresh() -> Delivery:
    """A delivery of an alert that no other test sends."""
    return delivery(alert=alert(id=f"fresh-{next(_numbers)}"), enqueued_at=datetime.now(UTC))


def taken(sandbox: Sandbox, one: Alert) -> list[str]:
    """The types of what the receiver took about an alert, in order."""
    return [message["type"] for message in sandbox.webhook.about(one.id)]


def seen(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that reach the receiver from now on, in full."""
    requests: list[Request] = []
    answer = sandbox.webhook.answer

    def noting(request: Request) -> Any:
        requests.append(request)
        return answer(request)

    monkeypatch.setattr(sandbox.webhook, "answer", noting)
    return requests


def test_a_repeat_is_the_same_but_for_its_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id, both headers of it and the bytes are the same, the moment and so the signature are the attempt's."""
    one, requests = fresh(), seen(sandbox, monkeypatch)
    times = [datetime.now(UTC) - timedelta(seconds=60), datetime.now(UTC)]
    for now in times:
        with closing(webhook(sandbox, now=lambda now=now: now)) as connector:  # type: ignore[misc]
            assert isinstance(send(connector, one), Delivered)
    first, second = requests
    assert first.body == second.body
    for name in ("webhook-id", "Idempotency-Key"):
        assert first.header(name) == second.header(name) == first.json()["id"]
    assert [int(one.header("webhook-timestamp")) for one in requests] == [int(now.timestamp()) for now in times]
    assert first.header("webhook-signature") != second.header("webhook-signature")
    assert sandbox.webhook.repeats[first.json()["id"]] == 1
    assert taken(sandbox, one.alert) == ["alert.opened"]


def test_keys_are_changed_without_losing_a_message(sandbox: Sandbox) -> None:
    """While both keys are named, a receiver with either takes it; with the new one alone, only who has that."""
    old = sandbox.webhook.signing_keys[0]
    both = webhook(sandbox, signing_key=NEW_KEY, previous_signing_key=old)
    new = webhook(sandbox, signing_key=NEW_KEY)
    with closing(both), closing(new):
        assert isinstance(send(both, fresh()), Delivered)
        assert isinstance(send(new, fresh()), Broken)
        sandbox.webhook.signing_keys[:] = [NEW_KEY]
        try:
            assert isinstance(send(both, fresh()), Delivered)
            assert isinstance(send(new, fresh()), Delivered)
        finally:
            sandbox.webhook.signing_keys[:] = [old]
        refused = send(new, fresh())
    assert isinstance(refused, Broken)
    assert "signing_key" in refused.reason


def test_a_message_of_another_time_is_not_ours(sandbox: Sandbox) -> None:
    """A clock that is wrong by more than the receiver's five minutes is told as what it may be."""
    with closing(webhook(sandbox, now=lambda: datetime.now(UTC) - timedelta(minutes=6))) as connector:
        outcome = send(connector, fresh())
    assert isinstance(outcome, Broken)
    assert "clocks" in outcome.reason


def test_an_alert_is_followed_under_the_message_that_told_of_it(sandbox: Sandbox, hook: Webhook) -> None:
    """Each thing that becomes of it is a message of its own, and its receipt stays the first one's."""
    first = fresh()
    outcome = send(hook, first)
    assert isinstance(outcome, Delivered)
    for kind in (Kind.UPDATE, Kind.REMIND, Kind.WITHDRAW):
        followed = send(
            hook,
            delivery(
                alert=first.alert, kind=kind, revision=2, receipt=outcome.receipt, changes=ROSE, reminder="It waits"
            ),
        )
        assert isinstance(followed, Delivered)
        assert followed.receipt == outcome.receipt
    again = send(hook, delivery(alert=first.alert, repeats=outcome.receipt))
    assert isinstance(again, Delivered)
    assert again.receipt != outcome.receipt
    types = ["alert.opened", "alert.updated", "alert.reminded", "alert.withdrawn", "alert.opened"]
    assert taken(sandbox, first.alert) == types


def test_the_end_of_a_receiver_pauses(sandbox: Sandbox, hook: Webhook) -> None:
    """410 is no fault of the message: nothing is thrown away, and a check says it as well."""
    sandbox.webhook.retire()
    outcome = send(hook, fresh())
    assert isinstance(outcome, Broken)
    assert outcome.reason.startswith("The endpoint is gone")
    (finding,) = hook.check()
    assert not finding.ok
    assert "gone" in finding.text


@pytest.mark.parametrize("status", sorted(REFUSED))
def test_a_refusal_has_the_receivers_words(sandbox: Sandbox, hook: Webhook, status: int) -> None:
    """What the receiver says is in the dead letter, on one line, cut, and without the secrets that it repeats."""
    said = f"no\n{sandbox.webhook.token} {sandbox.webhook.url} {'x' * 500}"
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=status, body=said))
    outcome = send(hook, fresh())
    assert isinstance(outcome, Rejected)
    assert f"(status {status}: no [secret] [secret] xxx" in outcome.reason
    assert len(outcome.reason) < 400


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"message": "no [token]", "requestId": "1"}, "no [secret]"),
        ({"error": {"code": "x", "message": "no [token]"}}, "no [secret]"),
        ({"error": "no [token]"}, "no [secret]"),
        ({"title": "No", "detail": "no [token]"}, "no [secret]"),
        ({"message": "no", "errors": {"[token]": "too long"}}, '{"message": "no", "errors": {"[secret]": "too long"}}'),
        ({"reason": "no"}, '{"reason": "no"}'),
    ],
)
def test_who_reads_a_refusal_reads_a_sentence(sandbox: Sandbox, hook: Webhook, said: object, told: str) -> None:
    """Not the JSON around it, where it is at one of the usual places and all that there is."""
    body = json.dumps(said).replace("[token]", sandbox.webhook.token)
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=400, body=body))
    outcome = send(hook, fresh())
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith(f"(status 400: {told})")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(sandbox: Sandbox, hook: Webhook, status: int) -> None:
    """What was sent goes nowhere else; the host is named, and nothing of the address that follows it."""
    location = {"Location": f"https://elsewhere.example.com/{sandbox.webhook.token}"}
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=status, headers=location, times=2))
    before = len(sandbox.webhook.requests)
    outcome = send(hook, fresh())
    (finding,) = hook.check()
    assert isinstance(outcome, Broken)
    assert "a redirect to elsewhere.example.com, which is not followed" in outcome.reason
    assert not finding.ok
    assert len(sandbox.webhook.requests) == before + 2


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_yes_is_one(sandbox: Sandbox, hook: Webhook, status: int) -> None:
    """Any status of success counts, with any words, or none."""
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=status, body="" if status == 204 else "no JSON"))
    assert isinstance(send(hook, fresh()), Delivered)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.TRUNCATED),
        Fault(kind=FaultKind.DRIP_BODY, seconds=30),
        Fault(kind=FaultKind.FLOOD),
        Fault(kind=FaultKind.BOMB),
    ],
    ids=lambda fault: fault.kind.value,
)
def test_a_yes_holds_whatever_becomes_of_the_rest(sandbox: Sandbox, fault: Fault) -> None:
    """Who has said yes in the head of an answer has said it; of a body that never ends only a little is read."""
    sandbox.webhook.inject(fault)
    one = fresh()
    with closing(webhook(sandbox, timeout="500ms")) as connector:
        assert isinstance(send(connector, one), Delivered)
    assert taken(sandbox, one.alert) == ["alert.opened"]


@pytest.mark.parametrize("page", ["<!DOCTYPE html><p>Sign in", "\n <html>Sign in", f"<html>{'x' * MAX_ANSWER}"])
def test_a_page_for_people_is_no_yes(sandbox: Sandbox, hook: Webhook, page: str) -> None:
    """A web site, or a proxy's sign-in page, says 200 to anything: what was posted there has reached nobody."""
    headers = {"Content-Type": "text/html"}
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=200, body=page, headers=headers))
    outcome = send(hook, fresh())
    assert isinstance(outcome, Uncertain)
    assert "web page" in outcome.reason


def test_words_in_a_receivers_html_are_a_yes(sandbox: Sandbox, hook: Webhook) -> None:
    """Frameworks call a bare ``ok`` HTML."""
    fault = Fault(kind=FaultKind.STATUS, status=200, body="ok", headers={"Content-Type": "text/html"})
    sandbox.webhook.inject(fault)
    assert isinstance(send(hook, fresh()), Delivered)


@pytest.mark.parametrize("status", sorted(LATER))
def test_a_receiver_that_is_busy_with_it_is_asked_again(sandbox: Sandbox, hook: Webhook, status: int) -> None:
    """These say of themselves that a later try may pass."""
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=status, headers={"Retry-After": "7"}))
    outcome = send(hook, fresh())
    assert isinstance(outcome, Retry)
    assert outcome.after == 7


def test_a_receiver_that_names_a_time_is_given_it(sandbox: Sandbox, hook: Webhook) -> None:
    """A 503 with ``Retry-After`` says that nothing was taken; without one nobody knows."""
    after = {"Retry-After": "70"}
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=503, headers=after))
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=503), Fault(kind=FaultKind.STATUS, status=429))
    outcomes = [send(hook, fresh()) for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Retry, Uncertain, RateLimited]
    assert isinstance(outcomes[0], Retry)
    assert outcomes[0].after == 70


def test_a_check_shows_what_it_can(sandbox: Sandbox, hook: Webhook) -> None:
    """A receiver that knows POST alone is reached all the same, and told how to find out more."""
    (finding,) = hook.check()
    assert finding.ok
    assert finding.text.startswith("127.0.0.1 can be reached, and answers 405 to a question without a message.")
    assert "`forwarder test hook`" in finding.text
    sandbox.webhook.inject(Fault(kind=FaultKind.STATUS, status=500))
    (finding,) = hook.check()
    assert not finding.ok


def test_a_preview_shows_the_message(hook: Webhook) -> None:
    """What it is, whom it is about and what changed come first, then what would be sent."""
    told = hook.preview(hook.render(delivery(kind=Kind.UPDATE, changes=ROSE, receipt=Receipt(remote_id="msg_1"))))
    head, severity, vendors, change, *_ = told.splitlines()
    assert head.startswith("alert.updated msg_")
    assert severity == "CRITICAL Authentication bypass in the example gateway"
    assert vendors == "github, aws-lambda"
    assert change == "severity: high → critical"
    assert '"type": "alert.updated"' in told


def test_importing_it_loads_nothing_that_sends() -> None:
    """Who has no webhook pays for no client and for no signature."""
    code = (
        "import sys, connectors.webhook\n"
        "print(sorted({'httpx2', 'httpcore2', 'standardwebhooks', 'requests'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
